"""Frame-wise segment refinement (ReMoGen): a light block that corrects a segment's latent with the newest observation.

It is interaction alone: with both alphas 0, with nobody and nothing in sight, or untrained, the latent stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from kinesphere.representations.primitive276 import FUTURE
from services.trainer.networks.interaction import InteractionConfig, Mixer, partner_module, scene_module
from services.trainer.networks.primitive_vae import LATENT


@dataclass(frozen=True)
class RefinementConfig:
    width: int = 128
    interaction: InteractionConfig = field(default_factory=lambda: InteractionConfig(width=48, layers=1))


class Refinement(nn.Module):
    """Latent [B,1,64] of a running segment and the newest observation -> the latent corrected."""

    def __init__(self, config: RefinementConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = nn.Linear(LATENT, config.width)
        self.frame = nn.Embedding(FUTURE, config.width)
        self.hhi = partner_module(config.interaction, config.width, 1)
        self.hsi = scene_module(config.interaction, config.width, 1)
        self.outputs = nn.Linear(config.width, LATENT, bias=False)

    def forward(
        self, latent: Tensor, recent: Tensor, frame: Tensor, partner: Tensor, partner_mask: Tensor,
        occupancy: Tensor, goal: Tensor, alpha: Tensor,
    ) -> Tensor:  # fmt: skip
        """recent [B,2,276] raw: the two newest frames that left; frame [B] 0..7: the next one; alpha [B,2]."""
        observed = [
            (self.hhi, self.hhi.observe(recent, partner, partner_mask)),
            (self.hsi, self.hsi.observe(recent, occupancy, goal)),
        ]
        h = self.latent(latent[:, 0]) + self.frame(frame)
        change = Mixer(observed, alpha, self.config.interaction.clamp)(0, h)
        corrected: Tensor = latent + self.outputs(change)[:, None]
        return corrected

"""The two graphs that the reactor serves, as modules to be exported.

``reactor_segment`` denoises a latent in all its steps and decodes it; ``reactor_refine`` corrects that latent once for
the next frame and decodes it again. Features are raw primitive276 in the segment's frame (see
``kinesphere.reaction.rollout``); every normalization is inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from kinesphere.reaction.features import PARTNER, PARTNER_FRAMES
from kinesphere.representations.primitive276 import FUTURE, HISTORY
from kinesphere.scenes.raster import CELLS
from services.trainer.export import compact, export_onnx, write_card
from services.trainer.networks.interaction import (
    GOAL,
    InteractionConfig,
    MetaInteraction,
    Mixer,
    partner_module,
    scene_module,
)
from services.trainer.networks.primitive_vae import FEATURES, LATENT, PrimitiveVAE, PrimitiveVAEConfig
from services.trainer.networks.prior import TEXT, Prior, PriorConfig, Sampler
from services.trainer.networks.refinement import Refinement, RefinementConfig


class SegmentGraph(nn.Module):
    """The next eight frames after a history of two."""

    def __init__(
        self, prior: Prior, vae: PrimitiveVAE, hhi: MetaInteraction, hsi: MetaInteraction, clamp: float
    ) -> None:
        super().__init__()
        self.prior, self.vae, self.hhi, self.hsi, self.clamp = prior, vae, hhi, hsi, clamp
        self.sampler = Sampler(prior)

    def forward(
        self, history: Tensor, text: Tensor, partner: Tensor, partner_mask: Tensor, occupancy: Tensor, goal: Tensor,
        alpha: Tensor, noise: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """See ``example_inputs`` for shapes -> latent [B,1,64], future [B,8,276]."""
        observed = [
            (self.hhi, self.hhi.observe(history, partner, partner_mask)),
            (self.hsi, self.hsi.observe(history, occupancy, goal)),
        ]
        latent = self.sampler(history, text, noise, Mixer(observed, alpha, self.clamp))
        return latent, self.vae.decode(history, latent)


class RefineGraph(nn.Module):
    """The running segment, corrected for the frame that is about to leave."""

    def __init__(self, vae: PrimitiveVAE, refinement: Refinement) -> None:
        super().__init__()
        self.vae, self.refinement = vae, refinement

    def forward(
        self, history: Tensor, start: Tensor, latent: Tensor, partner: Tensor, partner_mask: Tensor,
        occupancy: Tensor, goal: Tensor, alpha: Tensor, frame: Tensor,
    ) -> Tensor:  # fmt: skip
        """history: the two newest frames that left; start: the history that ``reactor_segment`` was given, which the
        latent is decoded with -> future [B,8,276], of which row ``frame`` is to leave."""
        corrected = self.refinement(latent, history, frame, partner, partner_mask, occupancy, goal, alpha)
        return self.vae.decode(start, corrected)


def example_inputs(batch: int = 2) -> dict[str, Tensor]:
    """One of every input that either graph takes."""
    return {
        "history": torch.randn(batch, HISTORY, FEATURES),
        "start": torch.randn(batch, HISTORY, FEATURES),
        "latent": torch.randn(batch, 1, LATENT),
        "text": nn.functional.normalize(torch.randn(batch, TEXT), dim=1),
        "partner": torch.randn(batch, PARTNER_FRAMES, PARTNER.total),
        "partner_mask": torch.ones(batch, PARTNER_FRAMES),
        "occupancy": (torch.rand(batch, *CELLS) < 0.2).float(),
        "goal": torch.ones(batch, GOAL),
        "alpha": torch.ones(batch, 2),
        "noise": torch.randn(batch, 1, LATENT),
        "frame": torch.arange(batch) % FUTURE,
    }


SEGMENT_INPUTS = ("history", "text", "partner", "partner_mask", "occupancy", "goal", "alpha", "noise")
REFINE_INPUTS = (
    "history", "start", "latent", "partner", "partner_mask", "occupancy", "goal", "alpha", "frame",
)  # fmt: skip


def export_reactor(
    segment: SegmentGraph,
    refine: RefineGraph,
    models: Path,
    recipe: str,
    metrics: Mapping[str, float],
) -> list[Path]:
    """Write both graphs into the model repository; ``recipe`` names the run whose figures ``metrics`` are."""
    torch.manual_seed(0)
    example = example_inputs()
    folders = [models / "reactor_segment", models / "reactor_refine"]
    # No waiting for others: the service that calls them has put its sessions together already.
    export_onnx(
        segment, {name: example[name] for name in SEGMENT_INPUTS}, ["latent", "future"], folders[0], dynamic={},
        queue_delay_us=0, tolerance=5e-2,
    )  # fmt: skip
    export_onnx(
        refine, {name: example[name] for name in REFINE_INPUTS}, ["future"], folders[1], dynamic={}, queue_delay_us=0,
        tolerance=5e-2,
    )  # fmt: skip
    for folder in folders:
        compact(folder / "1" / "model.onnx")
    steps = segment.prior.config.steps
    write_card(
        folders[0], "reactor_segment",
        f"Eight frames after two: {steps} denoising steps of the prior with its partner and scene modules, and the "
        "primitive VAE's decoder.", recipe, metrics,
    )  # fmt: skip
    write_card(
        folders[1], "reactor_refine",
        "A running segment corrected with the newest observation of partner and scene, and decoded again.",
        recipe, metrics,
    )  # fmt: skip
    return folders


def export_untrained(models: Path, seed: int = 0) -> list[Path]:
    """Both graphs with random weights, for tests of what runs them: a body that stands where its history left it and
    trembles by some millimetres, differently with noise, text, partner and scene."""
    torch.manual_seed(seed)
    interaction, config = InteractionConfig(width=16, heads=2, layers=1), PriorConfig(32, 32, 2, steps=2)
    vae, prior = PrimitiveVAE(PrimitiveVAEConfig(16, 1, 2)), Prior(config)
    hhi, hsi = (make(interaction, config.width, config.blocks) for make in (partner_module, scene_module))
    refinement = Refinement(RefinementConfig(32, interaction))
    nn.init.normal_(vae.decode_linear.weight, std=5e-4)
    nn.init.zeros_(vae.decode_linear.bias)
    for module in (hhi, hsi, refinement.hhi, refinement.hsi):
        nn.init.normal_(module.film.weight, std=0.5)
    return export_reactor(
        SegmentGraph(prior, vae, hhi, hsi, interaction.clamp),
        RefineGraph(vae, refinement),
        models,
        "untrained",
        {},
    )

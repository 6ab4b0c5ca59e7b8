"""Causal motion VAE: four frames to one latent and back (after MotionStreamer's causal temporal autoencoder, 2025).

Every convolution looks only backwards, so a latent's frames can be emitted as soon as the latent exists and nothing
emitted ever changes: that is what makes streaming seamless.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.trainer.networks.layers import Conv, Downsample, Normalizer, ResBlock, upsample

FEATURES = 263


@dataclass(frozen=True)
class VAEConfig:
    width: int = 256
    latent: int = 32


class MotionVAE(nn.Module):
    """Raw hml263 [B,T,263] <-> latents [B,T/4,latent], scaled to unit deviation by ``scale``.

    The decoder's receptive field is 8 latents at most, as long as the history a window carries.
    """

    scale: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.normalizer = Normalizer(FEATURES)
        self.register_buffer("scale", torch.ones(config.latent))
        self.encoder = nn.Sequential(
            Conv(FEATURES, w, 3, causal=True), nn.SiLU(), Downsample(w, w, causal=True),
            ResBlock(w, 1, causal=True), ResBlock(w, 3, causal=True), Downsample(w, w, causal=True),
            ResBlock(w, 1, causal=True), ResBlock(w, 2, causal=True), nn.SiLU(), nn.Conv1d(w, 2 * config.latent, 1),
        )  # fmt: skip
        self.inputs = Conv(config.latent, w, 2, causal=True)
        self.low = nn.Sequential(ResBlock(w, 1, causal=True))
        self.mid = nn.Sequential(
            Conv(w, w, 3, causal=True), ResBlock(w, 1, causal=True), ResBlock(w, 2, causal=True)
        )
        self.high = nn.Sequential(Conv(w, w, 3, causal=True), nn.SiLU(), Conv(w, FEATURES, 3, causal=True))

    def posterior(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,T/4,latent] of the (unscaled) posterior."""
        mean, log_variance = (
            self.encoder(self.normalizer(motion).transpose(1, 2)).transpose(1, 2).chunk(2, dim=-1)
        )
        return mean, log_variance.clamp(-12.0, 6.0)

    def encode(self, motion: Tensor) -> Tensor:
        """Posterior mean, scaled: [B,T,263] -> [B,T/4,latent]."""
        return self.posterior(motion)[0] / self.scale

    def decode_normalized(self, latents: Tensor) -> Tensor:
        """Scaled latents [B,N,latent] -> normalized motion [B,4N,263]."""
        x = self.low(F.silu(self.inputs((latents * self.scale).transpose(1, 2))))
        x = self.mid(upsample(x))
        out: Tensor = self.high(upsample(F.silu(x))).transpose(1, 2)
        return out

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [B,N,latent] -> raw hml263 [B,4N,263]."""
        return self.normalizer.invert(self.decode_normalized(latents))

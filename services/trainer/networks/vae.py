"""Causal motion VAE: four frames to one latent and back (causal as MotionStreamer's temporal autoencoder, 2025).

Both ways are a linear map of a patch of four frames, started at the training data's principal components, and a
convolutional network that adds what a linear map cannot. It looks only backwards, so a latent's frames can be emitted
as soon as the latent exists and nothing emitted ever changes: that is what makes streaming seamless.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from services.trainer.networks.layers import Conv, Normalizer, ResBlock

FEATURES = 263
PATCH = 4


@dataclass(frozen=True)
class VAEConfig:
    width: int = 256
    latent: int = 32


class MotionVAE(nn.Module):
    """Raw hml263 [B,T,263] <-> latents [B,T/4,latent], scaled to unit deviation over all by ``scale``.

    The decoder's receptive field is 8 latents before its own, as long as the history a window carries.
    """

    scale: Tensor

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        w, size = config.width, PATCH * FEATURES
        self.normalizer = Normalizer(FEATURES)
        self.register_buffer("scale", torch.ones(()))
        self.encode_linear = nn.Linear(size, config.latent)
        self.encode_more = nn.Sequential(
            nn.Conv1d(size, w, 1), ResBlock(w, 1, causal=True), ResBlock(w, 2, causal=True),
            nn.SiLU(), nn.Conv1d(w, 2 * config.latent, 1),
        )  # fmt: skip
        self.decode_linear = nn.Linear(config.latent, size)
        self.decode_more = nn.Sequential(
            Conv(config.latent, w, 3, causal=True), ResBlock(w, 1, causal=True), ResBlock(w, 2, causal=True),
            nn.SiLU(), nn.Conv1d(w, size, 1),
        )  # fmt: skip
        # The linear maps begin as a working codec: nothing is added to them, and the posterior is narrow.
        for network in (self.encode_more, self.decode_more):
            for parameter in network[-1].parameters():
                nn.init.zeros_(parameter)
        bias = self.encode_more[-1].bias
        assert isinstance(bias, Tensor)
        nn.init.constant_(bias[config.latent :], -5.0)

    def start_from_components(self, motion: Tensor) -> None:
        """Set the linear maps to the principal components of ``motion`` [N,T,263].

        A latent's deviation is the fourth root of its component's variance: what matters more stays larger, so that
        denoising settles it first, but no latent drowns.
        """
        patches = self._patches(motion).flatten(0, 1)
        mean = patches.mean(0)
        variance, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        # More latents than patches would leave components without variance.
        variance = variance.flip(0)[: self.config.latent].clamp_min(1e-4)
        vectors = vectors.flip(1)[:, : self.config.latent]
        down = vectors * variance**-0.25
        up = vectors * variance**0.25
        with torch.no_grad():
            self.encode_linear.weight.copy_(down.T)
            self.encode_linear.bias.copy_(-mean @ down)
            self.decode_linear.weight.copy_(up)
            self.decode_linear.bias.copy_(mean)
            self.scale.copy_(variance.sqrt().mean().sqrt())

    def _patches(self, motion: Tensor) -> Tensor:
        normalized: Tensor = self.normalizer(motion)
        return normalized.reshape(motion.shape[0], motion.shape[1] // PATCH, PATCH * FEATURES)

    def posterior(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,T/4,latent] of the (unscaled) posterior."""
        patches = self._patches(motion)
        more, log_variance = self.encode_more(patches.transpose(1, 2)).transpose(1, 2).chunk(2, dim=2)
        return self.encode_linear(patches) + more, log_variance.clamp(-12.0, 6.0)

    def encode(self, motion: Tensor) -> Tensor:
        """Posterior mean, scaled: [B,T,263] -> [B,T/4,latent]."""
        return self.posterior(motion)[0] / self.scale

    def decode_normalized(self, latents: Tensor) -> Tensor:
        """Scaled latents [B,N,latent] -> normalized motion [B,4N,263]."""
        latents = latents * self.scale
        patches: Tensor = self.decode_linear(latents) + self.decode_more(latents.transpose(1, 2)).transpose(
            1, 2
        )
        return patches.reshape(latents.shape[0], latents.shape[1] * PATCH, FEATURES)

    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents [B,N,latent] -> raw hml263 [B,4N,263]."""
        return self.normalizer.invert(self.decode_normalized(latents))

"""Transformer VAE over motion primitives (DART: Zhao, Li & Tang 2025): the eight frames that follow two known ones.

What the two history frames let one expect (the last pose, and how far each number goes on as it moved) is not coded at
all. What remains goes through a linear map, started at the training data's principal components, and a transformer
that sees the history and adds what a linear map cannot. So a latent of zeros already moves on smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kinesphere.reaction.rollout import STEPS
from kinesphere.representations.primitive276 import FUTURE, HISTORY, LAYOUT
from services.trainer.networks.layers import Normalizer, TransformerBlock

FEATURES = LAYOUT.total
LATENT = 64


@dataclass(frozen=True)
class PrimitiveVAEConfig:
    """width, layers, heads: of both transformers; the encoder is needed in training alone."""

    width: int = 96
    layers: int = 2
    heads: int = 4


class PrimitiveVAE(nn.Module):
    """Raw primitive276: history [B,2,276] and future [B,8,276] <-> latent [B,1,64], scaled by ``scale`` to unit
    deviation over all."""

    scale: Tensor

    def __init__(self, config: PrimitiveVAEConfig) -> None:
        super().__init__()
        self.config = config
        w, size = config.width, FUTURE * FEATURES
        self.normalizer = Normalizer(FEATURES)
        self.register_buffer("scale", torch.ones(()))
        # How much of the history's last step every number goes on with, in each future frame.
        self.momentum = nn.Parameter(torch.zeros(FUTURE, FEATURES))
        self.encode_frames = nn.Linear(FEATURES, w)
        self.encode_place = nn.Parameter(torch.randn(HISTORY + FUTURE + 2, w) * 0.02)
        self.encode_blocks = self._blocks()
        self.encode_out = nn.Linear(w, LATENT)
        self.encode_linear = nn.Linear(size, LATENT)
        self.decode_latent = nn.Linear(LATENT, w)
        self.decode_history = nn.Linear(FEATURES, w)
        self.decode_place = nn.Parameter(torch.randn(1 + HISTORY + FUTURE, w) * 0.02)
        self.decode_blocks = self._blocks()
        self.decode_out = nn.Linear(w, FEATURES)
        self.decode_linear = nn.Linear(LATENT, size)
        # The linear maps begin as a working codec: nothing is added to them, and the posterior is narrow.
        for layer in (self.encode_out, self.decode_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.spread_bias = nn.Parameter(torch.full((LATENT,), -5.0))

    def _blocks(self) -> nn.ModuleList:
        config = self.config
        return nn.ModuleList(TransformerBlock(config.width, config.heads) for _ in range(config.layers))

    def start_from_components(self, history: Tensor, future: Tensor) -> None:
        """Fit the momentum by least squares and set the linear maps to the principal components of what it leaves, of
        raw primitives [N,2,276] and [N,8,276].

        A latent's deviation is the fourth root of its component's variance: what matters more stays larger, so that
        denoising settles it first, but no latent drowns.
        """
        past, coming = self.normalizer(history), self.normalizer(future)
        step, beyond = past[:, -1] - past[:, -2], coming - past[:, -1:]
        with torch.no_grad():
            fitted = (step[:, None] * beyond).sum(0) / (step.square().sum(0) + 1e-3 * len(step))
            self.momentum.copy_(fitted)
            rest = (coming - self._expected(past)).flatten(1)
            mean = rest.mean(0)
            variance, vectors = torch.linalg.eigh(torch.cov((rest - mean).T))
            variance = variance.flip(0)[:LATENT].clamp_min(1e-4)
            vectors = vectors.flip(1)[:, :LATENT]
            self.encode_linear.weight.copy_((vectors * variance**-0.25).T)
            self.encode_linear.bias.copy_(-mean @ (vectors * variance**-0.25))
            self.decode_linear.weight.copy_(vectors * variance**0.25)
            self.decode_linear.bias.copy_(mean)
            self.scale.copy_(variance.sqrt().mean().sqrt())

    def _expected(self, past: Tensor) -> Tensor:
        """Normalized history [B,2,276] -> the future [B,8,276] that it lets expect."""
        last, step = past[:, 1:2], past[:, 1:2] - past[:, 0:1]
        return last + self.momentum * step

    def posterior(self, history: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance [B,1,64] of the (unscaled) posterior."""
        past, coming = self.normalizer(history), self.normalizer(future)
        frames = self.encode_frames(torch.cat([past, coming], dim=1))
        x = torch.cat([frames.new_zeros(len(frames), 2, frames.shape[2]), frames], dim=1) + self.encode_place
        for block in self.encode_blocks:
            x = block(x)
        more, spread = self.encode_out(x[:, :2]).split(1, dim=1)
        mean = self.encode_linear((coming - self._expected(past)).flatten(1))[:, None] + more
        return mean, (spread + self.spread_bias).clamp(-12.0, 6.0)

    def encode(self, history: Tensor, future: Tensor) -> Tensor:
        """Posterior mean, scaled: [B,1,64]."""
        return self.posterior(history, future)[0] / self.scale

    def decode_normalized(self, history: Tensor, latent: Tensor) -> Tensor:
        """Raw history [B,2,276] and scaled latent [B,1,64] -> normalized future [B,8,276]."""
        past, latent = self.normalizer(history), latent * self.scale
        told = torch.cat([self.decode_latent(latent), self.decode_history(past)], dim=1)
        x = torch.cat([told, told[:, :1].expand(-1, FUTURE, -1)], dim=1) + self.decode_place
        for block in self.decode_blocks:
            x = block(x)
        linear = self.decode_linear(latent).reshape(-1, FUTURE, FEATURES)
        rebuilt: Tensor = self._expected(past) + linear + self.decode_out(x[:, 1 + HISTORY :])
        return rebuilt

    def decode(self, history: Tensor, latent: Tensor) -> Tensor:
        """Raw history [B,2,276] and scaled latent [B,1,64] -> raw future [B,8,276], joined to the history."""
        return joined(history, self.normalizer.invert(self.decode_normalized(history, latent)))


def joined(history: Tensor, future: Tensor) -> Tensor:
    """Raw rows with the step into the future [B,8,276] smoothed: its first pose comes to lie where the poses around it
    (two of the history, two of the future) let one expect, and the shift fades over the frames.

    What a latent leaves out shows most where it meets what is known: the jerk there falls by a third.
    """
    pose = torch.ones(FEATURES, device=future.device)
    for name in STEPS:
        pose[LAYOUT[name]] = 0.0
    around = (4.0 * (history[:, 1:2] + future[:, 1:2]) - history[:, 0:1] - future[:, 2:3]) / 6.0
    fading = (1.0 - torch.arange(FUTURE, device=future.device) / FUTURE) ** 3
    return future + fading[None, :, None] * pose * (around - future[:, 0:1])

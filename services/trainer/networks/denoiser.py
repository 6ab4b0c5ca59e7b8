"""The decoder's denoiser: latent diffusion over the motion VAE's latents in windows (MLD style, text left out).

A window holds H history latents (already emitted) and W new ones. Every position is one latent, four frames, and sees
the plan tokens that describe it and the draft: the latent of what the tokenizer alone would decode them to. So the
denoiser only learns what the draft lacks. The transformer lets a position see the rest of the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from services.trainer.networks.layers import TransformerBlock, sinusoid


@dataclass(frozen=True)
class DenoiserConfig:
    """history, new: latents of a window; steps: of sampling. temperature: scale of the noise that sampling starts from;
    below 1, samples keep nearer to what is likeliest and tremble less."""

    width: int = 256
    layers: int = 6
    heads: int = 4
    latent: int = 32
    code_dim: int = 256
    history: int = 8
    new: int = 12
    steps: int = 8
    train_steps: int = 1000
    prediction: str = "v_prediction"
    temperature: float = 1.0

    @property
    def plan(self) -> int:
        """Width of what is known of a position: both codebooks' vectors and the draft."""
        return 2 * self.code_dim + self.latent

    @property
    def positions(self) -> int:
        return self.history + self.new


class Denoiser(nn.Module):
    """Noisy latents, plan (codebook vectors and draft), history and diffusion time -> the scheduler's prediction."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.latents = nn.Linear(config.latent, w)
        self.history = nn.Linear(config.latent, w)
        self.plan = nn.Linear(config.plan, w)
        self.unknown = nn.Parameter(torch.zeros(w))
        self.no_history = nn.Parameter(torch.zeros(w))
        self.place = nn.Parameter(torch.randn(config.positions, w) * 0.02)
        self.time = nn.Sequential(nn.Linear(w, w), nn.SiLU(), nn.Linear(w, w))
        self.blocks = nn.ModuleList(
            TransformerBlock(w, config.heads, conditioned=True) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(w)
        self.outputs = nn.Linear(w, config.latent)

    def forward(
        self, noisy: Tensor, time: Tensor, plan: Tensor, valid: Tensor, history: Tensor, history_mask: Tensor
    ) -> Tensor:
        """noisy [B,W,latent], time [B], plan [B,H+W,config.plan], valid [B,H+W], history [B,H,latent],
        history_mask [B,H] -> [B,W,latent]."""
        known = history_mask[..., None]
        past = known * self.history(history) + (1 - known) * self.no_history
        x = torch.cat([past, self.latents(noisy)], dim=1)
        told = valid[..., None]
        x = x + told * self.plan(plan) + (1 - told) * self.unknown + self.place
        condition = self.time(sinusoid(time, self.config.width))
        for block in self.blocks:
            x = block(x, None, condition)
        out: Tensor = self.outputs(self.norm(x[:, self.config.history :]))
        return out

"""The reactor's prior: a denoiser of primitive latents that knows the history and the intent (DART's MLP variant).

One latent is denoised, so the network is a residual perceptron. What history and text say is put into every block
before its non-linearity; it does not change between steps, so a graph of ten steps computes it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.representations.primitive276 import HISTORY
from services.trainer.networks.layers import Normalizer, sinusoid
from services.trainer.networks.primitive_vae import FEATURES, LATENT

TEXT = 384
# Features [B,W] of block i -> what interaction adds to them.
Modulate = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class PriorConfig:
    """steps: of sampling. temperature: scale of the noise that sampling starts from. guidance: how far samples are led
    away from what would follow the history alone, by text and by what the modules say; 1 is not at all, and costs half.
    """

    width: int = 192
    hidden: int = 384
    blocks: int = 4
    steps: int = 10
    train_steps: int = 1000
    temperature: float = 1.0
    guidance: float = 1.0


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first = nn.Linear(width, hidden)
        self.known = nn.Linear(width, hidden, bias=False)
        self.time = nn.Linear(width, hidden, bias=False)
        self.second = nn.Linear(hidden, width)

    def forward(self, h: Tensor, known: Tensor, time: Tensor) -> Tensor:
        """h [B,W]; known, time [B,hidden]: what ``self.known`` and ``self.time`` made of the condition."""
        out: Tensor = h + self.second(F.silu(self.first(self.norm(h)) + known + time))
        return out


class Prior(nn.Module):
    """Noisy latent [B,1,64], time, history and text -> the clean latent."""

    def __init__(self, config: PriorConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.normalizer = Normalizer(FEATURES)
        self.latent = nn.Linear(LATENT, w)
        self.history = nn.Linear(HISTORY * FEATURES, w)
        self.text = nn.Linear(TEXT, w)
        self.known = nn.Sequential(nn.SiLU(), nn.Linear(w, w))
        self.time = nn.Sequential(nn.Linear(w, w), nn.SiLU())
        self.blocks = nn.ModuleList(_Block(w, config.hidden) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(w)
        self.outputs = nn.Linear(w, LATENT)

    @property
    def _layers(self) -> list[_Block]:
        return cast(list[_Block], list(self.blocks))

    def condition(self, history: Tensor, text: Tensor) -> list[Tensor]:
        """What every block is told of raw history [B,2,276] and text [B,384] (zeros: no intent)."""
        # Text vectors have unit length; their entries are brought to unit deviation.
        told = self.history(self.normalizer(history).flatten(1)) + self.text(text * TEXT**0.5)
        known = told + self.known(told)
        return [block.known(known) for block in self._layers]

    def timing(self, time: Tensor) -> list[Tensor]:
        """What every block is told of the diffusion time [B] (of ``train_steps``)."""
        when = self.time(sinusoid(time, self.config.width))
        return [block.time(when) for block in self._layers]

    def forward(
        self, noisy: Tensor, timing: list[Tensor], condition: list[Tensor], modulate: Modulate | None = None
    ) -> Tensor:
        """noisy [B,1,64] -> [B,1,64]. modulate: see ``interaction.Mixer``."""
        h = self.latent(noisy[:, 0])
        for i, block in enumerate(self._layers):
            if modulate is not None:
                h = h + modulate(i, h)
            h = block(h, condition[i], timing[i])
        clean: Tensor = self.outputs(self.norm(h))[:, None]
        return clean


def make_scheduler(kind: type, config: PriorConfig) -> Any:
    """A diffusers scheduler with the settings that training and sampling share. The last step is pure noise, as
    sampling's first one is (Lin et al. 2024)."""
    more = {"timestep_spacing": "trailing", "set_alpha_to_one": True} if kind is DDIMScheduler else {}
    return kind(
        num_train_timesteps=config.train_steps, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type="sample", clip_sample=False, rescale_betas_zero_snr=True, **more,
    )  # fmt: skip


class Sampler:
    """DDIM without added noise, the steps unrolled where a graph is traced: noise [B,1,64] -> latent [B,1,64].

    What the prior is told of each step's time is computed here, once.
    """

    def __init__(self, prior: Prior, steps: int | None = None) -> None:
        self.prior = prior
        self.scheduler = make_scheduler(DDIMScheduler, prior.config)
        self.scheduler.set_timesteps(steps or prior.config.steps)
        device = prior.latent.weight.device
        with torch.no_grad():
            self.timings = [
                prior.timing(torch.full((1,), float(step), device=device))
                for step in self.scheduler.timesteps
            ]

    def __call__(
        self, history: Tensor, text: Tensor, noise: Tensor, modulate: Modulate | None = None, begin: int = 0
    ) -> Tensor:
        """history [B,2,276] raw, text [B,384]. begin: steps that are left out; ``noise`` is a latent that has gone
        through them."""
        prior, guidance = self.prior, self.prior.config.guidance
        told = prior.condition(history, text)
        if guidance != 1.0:
            # Told and untold side by side: the weights are read once.
            free = prior.condition(history, torch.zeros_like(text))
            told = [torch.cat(pair) for pair in zip(told, free, strict=True)]
            modulate = _first_half(modulate, prior.config.width) if modulate is not None else None
        latent = noise if begin else prior.config.temperature * noise
        steps = list(zip(self.scheduler.timesteps.tolist(), self.timings, strict=True))
        for step, timing in steps[begin:]:
            if guidance == 1.0:
                clean = prior(latent, timing, told, modulate)
            else:
                both = prior(torch.cat([latent, latent]), timing, told, modulate).reshape(2, -1, 1, LATENT)
                clean = guidance * both[0] + (1.0 - guidance) * both[1]
            latent = self.scheduler.step(clean, step, latent).prev_sample
        return latent


def _first_half(modulate: Modulate, width: int) -> Modulate:
    """``modulate`` for the first half of a batch; nothing is added to the second."""

    def half(place: int, h: Tensor) -> Tensor:
        change = modulate(place, h.reshape(2, -1, width)[0])
        return torch.cat([change, torch.zeros_like(change)])

    return half

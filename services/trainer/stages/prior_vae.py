"""Stage ``prior_vae``: the VAE whose latents, one for eight frames, the reactor's prior denoises."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.representations.primitive276 import HISTORY, LAYOUT
from kinesphere.skeleton import JOINT_INDEX
from services.trainer.loop import TrainingStage
from services.trainer.networks.primitive_vae import PrimitiveVAE, PrimitiveVAEConfig
from services.trainer.primitive_data import PrimitiveData, statistics
from services.trainer.primitives import bodies_of, cut, following_history, joints_of
from services.trainer.recipes import Recipe, check_options

_OPTIONS = {
    "segments", "kl_weight", "delta_weight", "foot_weight", "body_weight", "own_history", "history_noise",
    "encoder_until", "latent_noise",
}  # fmt: skip
_FEET = [JOINT_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("ankle", "foot")]


class PrimitiveVAEStage(TrainingStage):
    """Segments in a row, each with the recorded history or, with the probability ``own_history``, with the last frames
    that the VAE itself rebuilt, so that what it decodes can be gone on from.

    From step ``encoder_until`` on only the decoder learns, from latents that are ``latent_noise`` off, as those that
    the denoiser makes will be.
    """

    network: PrimitiveVAE

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(PrimitiveVAEConfig)}, "network")
        check_options(recipe, recipe.options, _OPTIONS, "options")
        root = Path(recipe.data)
        self.train, self.val = PrimitiveData(root, "train"), PrimitiveData(root, "val")
        self.segments = int(recipe.options.get("segments", 3))
        torch.manual_seed(recipe.seed)
        self.network = PrimitiveVAE(PrimitiveVAEConfig(**recipe.network))
        history, future = self.train.sample(8192, recipe.seed)
        self.network.normalizer.set(*statistics(history, future))
        self.network.start_from_components(history, future)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        options = self.recipe.options
        rng = np.random.default_rng((self.recipe.seed, step))
        joints, six, _ = self.train.draw(rng, self.recipe.budget.batch, self.segments)
        joints, six = joints.to(self.device), six.to(self.device)
        encoding = step < options.get("encoder_until", self.recipe.budget.steps)
        own: Tensor | None = None
        total, notes = torch.zeros((), device=self.device), dict[str, float]()
        for segment in range(self.segments):
            history, future = cut(joints, six, segment)
            if own is not None:
                use = torch.rand(len(own), 1, 1, device=self.device) < options.get("own_history", 0.5)
                history = torch.where(use, own, history)
            history = noisy_history(history, options.get("history_noise", 0.0))
            with torch.set_grad_enabled(encoding):
                mean, log_variance = self.network.posterior(history, future)
                latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
                kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()
            if encoding and segment == 0:
                with torch.no_grad():
                    self.network.scale.lerp_(mean.var(dim=0).mean().sqrt(), 0.02)
            latent = latent / self.network.scale
            if not encoding:
                latent = latent + options.get("latent_noise", 0.0) * torch.randn_like(latent)
            rebuilt = self.network.decode_normalized(history, latent)
            parts = segment_losses(self.network, rebuilt, history, future, body="body_weight" in options)
            total = total + parts["reconstruction"] + options.get("kl_weight", 1e-4) * kl
            total = total + sum(
                options.get(f"{name}_weight", 0.0) * parts[name] for name in _WEIGHED if name in parts
            )
            parts["kl"] = kl
            for name, part in parts.items():
                notes[name] = notes.get(name, 0.0) + float(part.detach()) / self.segments
            with torch.no_grad():
                own, _ = following_history(self.network.normalizer.invert(rebuilt.detach()))
        return total / self.segments, notes

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out segments rebuilt: MPJPE of a single one, of the fourth in a row that goes on from what was rebuilt,
        and how far the steps of the feet are off, mm a frame."""
        vae = cast(PrimitiveVAE, network)
        joints, six, _ = self.val.draw(np.random.default_rng(0), 512, 4)
        joints, six = joints.to(self.device), six.to(self.device)
        own, figures = cut(joints, six, 0)[0], dict[str, float]()
        latents = []
        for segment in range(4):
            history, future = cut(joints, six, segment)
            latents.append(vae.encode(history, future))
            once = vae.decode(history, latents[-1])
            chained = vae.decode(own, vae.encode(own, future))
            own, _ = following_history(chained)
            if segment == 0:
                figures["MPJPE_mm"] = 1000 * float(joint_error(once, future))
                feet = foot_steps(once, history) - foot_steps(future, history)
                figures["foot_step_mm"] = 1000 * float(feet.norm(dim=-1).mean())
        figures["chained_MPJPE_mm"] = 1000 * float(joint_error(chained, future))
        figures["latent_std"] = float(torch.cat(latents).var(dim=0).mean().sqrt())
        return figures

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        """Nothing: the VAE's decoder is part of the reactor's graphs, which the later stages write."""
        return []


_WEIGHED = ("delta", "foot", "body")


def segment_losses(
    vae: PrimitiveVAE, rebuilt: Tensor, history: Tensor, future: Tensor, *, body: bool = False
) -> dict[str, Tensor]:
    """Smooth L1 of the normalized future [B,8,276] (L_rec) and of its differences in time, from the history on (L_aux);
    L1 of the feet's movement in metres; with ``body``, L1 between the true joints and those that the rotations lead to.
    """
    wanted = vae.normalizer(future)
    last = vae.normalizer(history)[:, -1:]
    made, true = torch.cat([last, rebuilt], dim=1).diff(dim=1), torch.cat([last, wanted], dim=1).diff(dim=1)
    raw = vae.normalizer.invert(rebuilt)
    parts = {
        "reconstruction": F.smooth_l1_loss(rebuilt, wanted),
        "delta": F.smooth_l1_loss(made, true, beta=0.1),
        "foot": F.l1_loss(foot_steps(raw, history), foot_steps(future, history)),
    }
    if body:
        # Every other frame will do: rotations change little in one.
        placed = bodies_of(raw[:, 1::2])
        parts["body"] = F.l1_loss(placed, joints_of(future[:, 1::2]))
    return parts


def foot_steps(future: Tensor, history: Tensor) -> Tensor:
    """How far ankles and toes go in each frame [B,8,4,3], metres: raw future [B,8,276] after raw history [B,2,276]."""
    rows = torch.cat([history[:, HISTORY - 1 :], future], dim=1)
    steps: Tensor = joints_of(rows)[:, :, _FEET].diff(dim=1)
    return steps


def joint_error(made: Tensor, true: Tensor) -> Tensor:
    """Mean distance of joints, metres: of the body that leaves for raw rows [B,T,276], from the true one."""
    error: Tensor = (bodies_of(made) - joints_of(true)).norm(dim=-1).mean()
    return error


def noisy_history(history: Tensor, amount: float) -> Tensor:
    """Raw history [B,2,276] as it may come in: joints ``amount`` metres off (both frames alike, and a little each for
    itself), rotations by thrice the number, and in half of the rows the last step unknown: the one before stands in."""
    if amount == 0.0:
        return history
    scale = torch.zeros_like(history[:1, :1])
    for name, size in (("translation", 1.0), ("joints", 1.0), ("rotations", 3.0)):
        scale[:, :, LAYOUT[name]] = size * amount
    noise = torch.randn_like(history[:, :1]) + 0.3 * torch.randn_like(history)
    noisy = history + scale * noise
    unknown = torch.rand(len(history), 1, device=history.device) < 0.5
    for name in ("translation_delta", "orientation_delta", "joint_deltas"):
        part = LAYOUT[name]
        noisy[:, 1, part] = torch.where(unknown, noisy[:, 0, part], noisy[:, 1, part])
    return noisy

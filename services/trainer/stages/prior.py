"""Stage ``prior``: the reactor's denoiser, taught on single-person movement and its captions."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from services.trainer.loop import TrainingStage
from services.trainer.networks.primitive_vae import PrimitiveVAE
from services.trainer.networks.prior import Modulate, Prior, PriorConfig, Sampler, make_scheduler
from services.trainer.primitive_data import PooledTexts, PrimitiveData, captions
from services.trainer.primitives import cut, floor_frames, following_history
from services.trainer.reactor_parts import Reactor
from services.trainer.recipes import Recipe, check_options
from services.trainer.rollouts import frechet, physics, roll
from services.trainer.stages.prior_vae import noisy_history, segment_losses
from services.trainer.trained import trained_primitive_vae

SEGMENT_OPTIONS = {
    "vae", "segments", "own_history", "own_from", "history_steps", "history_noise", "unsaid", "latent_weight",
    "reconstruction_weight", "delta_weight", "foot_weight",
}  # fmt: skip


class SegmentLoss:
    """What every stage that teaches a denoiser asks of a segment: L_latent + L_rec + L_aux of the clean latent that it
    predicts at a random time, and the history that the next segment goes on from."""

    def __init__(self, recipe: Recipe, prior: Prior, vae: PrimitiveVAE) -> None:
        self.options, self.prior, self.vae = recipe.options, prior, vae
        self.scheduler = make_scheduler(DDPMScheduler, prior.config)

    def __call__(
        self, history: Tensor, future: Tensor, text: Tensor, modulate: Modulate | None = None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Raw history [B,2,276] and future [B,8,276], text [B,384] -> losses and the clean latent, as predicted."""
        with torch.no_grad():
            clean = self.vae.encode(history, future)
        time = torch.randint(0, self.prior.config.train_steps, (len(clean),), device=clean.device)
        noisy = self.scheduler.add_noise(clean, torch.randn_like(clean), time)
        condition = self.prior.condition(history, text)
        predicted = self.prior(noisy, self.prior.timing(time), condition, modulate)
        rebuilt = self.vae.decode_normalized(history, predicted)
        parts = {"latent": F.smooth_l1_loss(predicted, clean)}
        parts |= segment_losses(self.vae, rebuilt, history, future)
        return parts, predicted.detach()

    @torch.no_grad()
    def made(
        self, history: Tensor, text: Tensor, predicted: Tensor, modulate: Modulate | None = None
    ) -> Tensor:
        """The raw future [B,8,276] that the next segment goes on from: sampled in ``options.history_steps`` steps, or
        of the latent that was ``predicted`` from the recording's where there are none."""
        steps = int(self.options.get("history_steps", 0))
        if steps:
            noise = torch.randn_like(predicted)
            predicted = Sampler(self.prior, steps)(history, text, noise, modulate)
        return self.vae.decode(history, predicted)

    def weighed(self, parts: dict[str, Tensor]) -> Tensor:
        """The parts as one loss, by the recipe's weights."""
        weights = {"latent": 1.0, "reconstruction": 1.0, "delta": 1.0, "foot": 5.0}
        terms = [self.options.get(f"{name}_weight", weight) * parts[name] for name, weight in weights.items()]
        return torch.stack(terms).sum()

    def chance(self, step: int, steps: int) -> float:
        """How often a segment goes on from what the network made: DART's schedule, first never, then more and more."""
        begin, end = float(self.options.get("own_from", 0.2)), 0.6
        done = (step / steps - begin) / (end - begin)
        return float(self.options.get("own_history", 0.8)) * min(1.0, max(0.0, done))


class PriorStage(TrainingStage):
    """Stretches of several segments; the VAE is frozen."""

    network: Prior

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(PriorConfig)}, "network")
        check_options(recipe, recipe.options, SEGMENT_OPTIONS, "options")
        root = Path(recipe.data)
        self.train, self.val = PrimitiveData(root, "train"), PrimitiveData(root, "val")
        self.texts = PooledTexts(
            [c.text for data in (self.train, self.val) for clip in data.clips for c in clip.captions],
            root / "cache",
        )
        self.vae_recipe = recipe.options.get("vae", f"prior_vae/{recipe.preset}")
        self.vae = trained_primitive_vae(self.vae_recipe).to(self.device)
        self.segments = int(recipe.options.get("segments", 3))
        torch.manual_seed(recipe.seed)
        self.network = Prior(PriorConfig(**recipe.network))
        self.network.normalizer.load_state_dict(self.vae.normalizer.state_dict())
        self.network.to(self.device)
        self.segment = SegmentLoss(recipe, self.network, self.vae)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        recipe, options = self.recipe, self.recipe.options
        rng = np.random.default_rng((recipe.seed, step))
        joints, six, clips = self.train.draw(rng, recipe.budget.batch, self.segments)
        joints, six = joints.to(self.device), six.to(self.device)
        text = self.texts([captions(clip, rng, options.get("unsaid", 0.1)) for clip in clips]).to(self.device)
        chance = self.segment.chance(step, recipe.budget.steps)
        own: Tensor | None = None
        total, notes = torch.zeros((), device=self.device), dict[str, float]()
        for number in range(self.segments):
            history, future = cut(joints, six, number)
            if own is not None:
                # Its target is what was recorded, as seen from where it stands itself.
                use = torch.rand(len(own), 1, 1, device=self.device) < chance
                history = torch.where(use, own, history)
            history = noisy_history(history, options.get("history_noise", 0.0))
            parts, predicted = self.segment(history, future, text)
            total = total + self.segment.weighed(parts) / self.segments
            for name, part in parts.items():
                notes[name] = notes.get(name, 0.0) + float(part.detach()) / self.segments
            if chance > 0 and number + 1 < self.segments:
                own, _ = following_history(self.segment.made(history, text, predicted))
        return total, notes

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out stretches gone on with for 3.2 s from two frames and a caption, beside what was recorded."""
        prior, segments = cast(Prior, network), 8
        rng = np.random.default_rng(0)
        joints, six, clips = self.val.draw(rng, 256, segments)
        joints, six = joints.to(self.device), six.to(self.device)
        text = self.texts([captions(clip, rng, 0.0) for clip in clips]).to(self.device)
        history, _ = cut(joints, six, 0)
        made = roll(prior, self.vae, history, floor_frames(joints[:, 0]), text, segments)
        true = joints[:, 2:-1]
        figures = physics(made) | {f"true_{name}": value for name, value in physics(true).items()}
        figures["frechet"] = frechet(movement(made), movement(true))
        return figures

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        parts = Reactor.of(self.recipe.preset, vae=self.vae, prior=cast(Prior, network))
        return parts.export(models, f"prior/{self.recipe.preset}", metrics)


def movement(joints: Tensor) -> Tensor:
    """World joints [B,T,22,3] as one vector a second of each stretch: poses about the pelvis' ground point and their
    velocities, every fourth frame."""
    local = joints - joints[:, :, :1] * joints.new_tensor([1.0, 0.0, 1.0])
    speed = joints.diff(dim=1)[:, ::4] * 5.0
    parts = torch.cat([local[:, :-1:4], speed], dim=-1).flatten(2)
    seconds = parts.shape[1] // 5
    vectors: Tensor = parts[:, : 5 * seconds].unflatten(1, (seconds, 5)).flatten(2).flatten(0, 1)
    return vectors.cpu()

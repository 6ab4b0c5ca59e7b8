"""What the stages ``hhi`` and ``hsi`` share: one module taught on reactions, beside a prior that does not change.

``options.prior`` makes the paper's ablations: ``joint`` lets the prior learn along from its trained weights, ``none``
from nothing.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from services.trainer.loop import TrainingStage
from services.trainer.networks.interaction import AdaptedPrior, InteractionConfig, MetaInteraction, Mixer
from services.trainer.networks.prior import Modulate, Prior, PriorConfig
from services.trainer.primitive_data import PooledTexts
from services.trainer.primitives import (
    Frames,
    encode,
    encode_towards,
    floor_frames,
    following_history,
    nested,
)
from services.trainer.reaction_data import Batch, Domain, ReactionData, Sample
from services.trainer.reactor_parts import MODULES, Reactor
from services.trainer.recipes import Recipe, check_options, load_recipe
from services.trainer.rollouts import frechet, physics, roll
from services.trainer.stages.prior import SEGMENT_OPTIONS, SegmentLoss, movement
from services.trainer.stages.prior_vae import noisy_history
from services.trainer.trained import trained_primitive_vae, trained_prior

_OPTIONS = SEGMENT_OPTIONS | {"prior", "pull", "late"}
_WINDOW = slice(0, 11)


class InteractionStage(TrainingStage):
    """Stretches of several segments; from the second on the body is, more and more often, where the network led it, and
    the target leads it half the way back to the recording, as far as steps allow (``options.pull``)."""

    network: AdaptedPrior
    domain: Domain

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(InteractionConfig)}, "network")
        check_options(recipe, recipe.options, _OPTIONS, "options")
        options, root = recipe.options, Path(recipe.data)
        self.train, self.val = (ReactionData(root, split, self.domain) for split in ("train", "val"))
        self.texts = PooledTexts([*self.train.texts, *self.val.texts], root / "cache")
        self.vae = trained_primitive_vae(options.get("vae", f"prior_vae/{recipe.preset}")).to(self.device)
        self.segments = int(options.get("segments", 3))
        self.config = InteractionConfig(**recipe.network)
        torch.manual_seed(recipe.seed)
        prior = self._prior()
        module = MODULES[self.domain](self.config, prior.config.width, prior.config.blocks)
        module.normalizer.load_state_dict(self.vae.normalizer.state_dict())
        self.network = AdaptedPrior(prior, module).to(self.device)
        self.prepare(module)
        self.segment = SegmentLoss(recipe, prior, self.vae)

    def _prior(self) -> Prior:
        kind = self.recipe.options.get("prior", "frozen")
        named = f"prior/{self.recipe.preset}"
        if kind == "none":
            fresh = Prior(PriorConfig(**load_recipe(named).network))
            fresh.normalizer.load_state_dict(self.vae.normalizer.state_dict())
            return fresh
        return trained_prior(named).requires_grad_(kind == "joint")

    def prepare(self, module: MetaInteraction) -> None:
        """Statistics of what the module observes."""

    @abstractmethod
    def observe(self, batch: Batch, frames: Frames, newest: int, late: Tensor | None) -> tuple[Tensor, ...]:
        """What the module's encoder takes at frame ``newest`` of the stretches, told in ``frames``."""

    def modulate(
        self, batch: Batch, history: Tensor, frames: Frames, newest: int, late: Tensor | None = None
    ) -> Modulate:
        """The module alone, at full weight."""
        module = self.network.module
        seen = module.observe(history, *self.observe(batch, frames, newest, late))
        alpha = torch.ones(len(history), 1, device=self.device)
        return Mixer([(module, seen)], alpha, self.config.clamp)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        recipe, options = self.recipe, self.recipe.options
        rng = np.random.default_rng((recipe.seed, step))
        batch = self.train.draw(rng, recipe.budget.batch, self.segments)
        joints, six = batch.joints.to(self.device), batch.six.to(self.device)
        text = self.texts(some_texts(batch.texts, rng, options.get("unsaid", 0.3))).to(self.device)
        # A segment is made ahead of need: in half of the cases the partner's newest frames are not there yet.
        late = torch.randint(0, int(options.get("late", 8)) + 1, (len(text),), device=self.device)
        late = late * (torch.rand(len(text), device=self.device) < 0.5)
        chance = self.segment.chance(step, recipe.budget.steps)
        own: tuple[Tensor, Frames] | None = None
        total, notes = torch.zeros((), device=self.device), dict[str, float]()
        for number in range(self.segments):
            start = 8 * number
            part = slice(start, start + 11)
            true = floor_frames(joints[:, start])
            rows = encode(joints[:, part], six[:, part], true)
            history, future, frames = rows[:, :2], rows[:, 2:], true
            if own is not None:
                use = torch.rand(len(text), 1, 1, device=self.device) < chance
                history = torch.where(use, own[0], history)
                frames = Frames(
                    torch.where(use, own[1].axes, true.axes),
                    torch.where(use[:, 0], own[1].origin, true.origin),
                )
                future = encode_towards(joints[:, part], six[:, part], true, frames, options.get("pull", 0.5))
            history = noisy_history(history, options.get("history_noise", 0.0))
            modulate = self.modulate(batch, history, frames, start + 1, late)
            parts, predicted = self.segment(history, future, text, modulate)
            total = total + self.segment.weighed(parts) / self.segments
            for name, value in parts.items():
                notes[name] = notes.get(name, 0.0) + float(value.detach()) / self.segments
            if chance > 0 and number + 1 < self.segments:
                made = self.segment.made(history, text, predicted, modulate)
                following, inner = following_history(made)
                own = following, nested(frames, inner)
        return total, notes

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out reactions gone on with for 3.2 s from two frames, with the module and without it (``alone_``),
        beside what was recorded."""
        adapted, segments = cast(AdaptedPrior, network), 8
        samples = self.val.samples[:: max(1, len(self.val.samples) // 192)]
        begins = [begin_of(sample) for sample in samples]
        batch = self.val.stretch(samples, begins, 8 * segments + 3, np.ones(len(samples), dtype=bool))
        joints, six = batch.joints.to(self.device), batch.six.to(self.device)
        text = self.texts([texts[0] for texts in batch.texts]).to(self.device)
        frames = floor_frames(joints[:, 0])
        history = encode(joints[:, _WINDOW], six[:, _WINDOW], frames)[:, :2]
        true, figures = joints[:, 2:-1], dict[str, float]()

        def watch(segment: int, past: Tensor, where: Frames) -> Modulate:
            return self.modulate(batch, past, where, 8 * segment + 1)

        for prefix, watching in (("", watch), ("alone_", None)):
            prior = cast(Prior, adapted.prior)
            made = roll(prior, self.vae, history, frames, text, segments, watch=watching)
            off = (made - true).norm(dim=-1)
            figures[f"{prefix}MPJPE_mm"] = 1000 * float(off.mean())
            figures[f"{prefix}pelvis_end_mm"] = 1000 * float(off[:, -1, 0].mean())
            figures[f"{prefix}frechet"] = frechet(movement(made), movement(true))
            figures |= {f"{prefix}{name}": value for name, value in physics(made).items()}
        return figures

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        adapted = cast(AdaptedPrior, network)
        parts = Reactor.of(
            self.recipe.preset, vae=self.vae, prior=cast(Prior, adapted.prior),
            hhi=adapted.module if self.domain == "hhi" else None,
            hsi=adapted.module if self.domain == "hsi" else None,
        )  # fmt: skip
        return parts.export(models, f"{self.recipe.stage}/{self.recipe.preset}", metrics)


def begin_of(sample: Sample) -> int:
    """Where to begin looking at a reaction: half a second before the partner's cue, or at its start."""
    return max(0, (sample.item.onset or 0) - 10)


def some_texts(texts: list[tuple[str, ...]], rng: np.random.Generator, unsaid: float) -> list[str | None]:
    """One of each sample's texts; with the probability ``unsaid`` none."""
    chosen = [str(rng.choice(each)) if each else None for each in texts]
    return [None if rng.random() < unsaid else text for text in chosen]


def observed_statistics(rows: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [72] of the partner's frames [B,10,72] that were seen."""
    known = rows[mask > 0]
    return known.mean(dim=0), known.std(dim=0)

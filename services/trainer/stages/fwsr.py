"""Stage ``fwsr``: frame-wise refinement, taught on segments that the frozen parts made from old observations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.representations.primitive276 import FUTURE, HISTORY
from services.trainer.loop import TrainingStage
from services.trainer.networks.interaction import InteractionConfig, Mixer, PartnerEncoder
from services.trainer.networks.prior import Sampler
from services.trainer.networks.refinement import Refinement
from services.trainer.primitive_data import PooledTexts
from services.trainer.primitives import Frames, bodies_of, cut, floor_frames
from services.trainer.reaction_data import Batch, ReactionData, partner_inputs, scene_inputs
from services.trainer.reactor_parts import Reactor, refinement_config
from services.trainer.recipes import Recipe, check_options
from services.trainer.stages.interaction import observed_statistics, some_texts
from services.trainer.stages.prior_vae import joint_error, noisy_history

_OPTIONS = {"sampling_steps", "history_noise", "unsaid", "latent_weight", "seam_weight", "frames", "domain"}


@dataclass
class Running:
    """Segments that run. history: raw, in ``frames``, as foreseen when the segment was made; left: the same two frames
    as they left; future: as recorded, raw; latent: as the frozen parts made it."""

    batch: Batch
    frames: Frames
    history: Tensor
    left: Tensor
    future: Tensor
    latent: Tensor


class RefinementStage(TrainingStage):
    """A segment is sampled as it would be in service, from what had been observed up to 8 frames before its start; at
    ``options.frames`` of its frames in a row the newest observation comes in, and the corrected rest is compared with
    the recording."""

    network: Refinement

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        sizes = {f.name for f in fields(InteractionConfig)} | {"features"}
        check_options(recipe, recipe.network, sizes, "network")
        check_options(recipe, recipe.options, _OPTIONS, "options")
        root, domain = Path(recipe.data), recipe.options.get("domain")
        self.train, self.val = (ReactionData(root, split, domain) for split in ("train", "val"))
        self.texts = PooledTexts([*self.train.texts, *self.val.texts], root / "cache")
        self.reactor = Reactor.of(recipe.preset)
        for part in (self.reactor.vae, self.reactor.prior, self.reactor.hhi, self.reactor.hsi):
            part.to(self.device).eval().requires_grad_(False)
        torch.manual_seed(recipe.seed)
        self.network = Refinement(refinement_config(recipe.network)).to(self.device)
        for module in (self.network.hhi, self.network.hsi):
            module.normalizer.load_state_dict(self.reactor.vae.normalizer.state_dict())
        batch = self.train.draw(np.random.default_rng(recipe.seed), 1024, 1)
        seen = partner_inputs(batch, floor_frames(batch.joints[:, 0]), 1)
        encoder = self.network.hhi.encoder
        assert isinstance(encoder, PartnerEncoder)
        if seen[1].sum() > 1:  # scenes alone have no partner
            encoder.normalizer.set(*(each.to(self.device) for each in observed_statistics(*seen)))
        self.sampler = Sampler(self.reactor.prior, recipe.options.get("sampling_steps"))

    def running(self, batch: Batch, text: Tensor, late: Tensor, noise: Tensor, begin: int = 0) -> Running:
        """Segments sampled from observations ``late`` [B] frames old. begin: steps of sampling that are left out; what
        was recorded, with as much noise, goes through the others."""
        reactor = self.reactor
        joints, six = batch.joints.to(self.device), batch.six.to(self.device)
        left, future = cut(joints, six, 0)
        history = noisy_history(left, self.recipe.options.get("history_noise", 0.0))
        frames = floor_frames(joints[:, 0])
        with torch.no_grad():
            observed = [
                (reactor.hhi, reactor.hhi.observe(history, *partner_inputs(batch, frames, 1, late))),
                (reactor.hsi, reactor.hsi.observe(history, *scene_inputs(batch, frames))),
            ]
            if begin:
                time = self.sampler.scheduler.timesteps[begin].expand(len(noise)).to(self.device)
                recorded = reactor.vae.encode(history, future)
                noise = self.sampler.scheduler.add_noise(recorded, noise, time)
            alpha = torch.ones(len(history), 2, device=self.device)
            latent = self.sampler(history, text, noise, Mixer(observed, alpha, reactor.clamp), begin)
        return Running(batch, frames, history, left, future, latent)

    def refined(self, network: Refinement, run: Running, recent: Tensor, frame: int) -> Tensor:
        """The latents corrected before frame ``frame``, with everything seen until then."""
        count = len(recent)
        partner = partner_inputs(run.batch, run.frames, HISTORY - 1 + frame)
        alpha = torch.ones(count, 2, device=self.device)
        number = torch.full((count,), frame, device=self.device)
        corrected: Tensor = network(
            run.latent, recent, number, *partner, *scene_inputs(run.batch, run.frames), alpha
        )
        return corrected

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        recipe, options, vae = self.recipe, self.recipe.options, self.reactor.vae
        rng = np.random.default_rng((recipe.seed, step))
        batch = self.train.draw(rng, recipe.budget.batch, 1)
        text = self.texts(some_texts(batch.texts, rng, options.get("unsaid", 0.3))).to(self.device)
        late = torch.randint(0, FUTURE + 1, (len(text),), device=self.device)
        # A segment sampled from nothing differs from the recording by chance more than by what has been seen since,
        # and to undo chance is to become average. Most begin near the recording, so that what was seen tells.
        begin = int(rng.integers(len(self.sampler.timings)))
        run = self.running(batch, text, late, torch.randn(len(text), 1, 64, device=self.device), begin)
        count = int(options.get("frames", 3))
        first = int(rng.integers(FUTURE - count + 1))
        with torch.no_grad():
            planned = vae.decode(run.history, run.latent)
            target = vae.encode(run.history, run.future)
        # What has left so far was planned, or was corrected already and so is nearer to what was recorded.
        mix = torch.rand(len(text), 1, 1, device=self.device)
        left = torch.cat([run.left, planned + mix * (run.future - planned)], dim=1)
        recent = left[:, first : first + HISTORY]
        wanted, past = vae.normalizer(run.future), vae.normalizer(run.left)
        total, notes = torch.zeros((), device=self.device), dict[str, float]()
        for frame in range(first, first + count):
            corrected = self.refined(self.network, run, recent.detach(), frame)
            rebuilt = vae.decode(run.history, corrected)
            made = vae.normalizer(rebuilt)
            step_made = made[:, frame : frame + 1] - vae.normalizer(recent[:, 1:])
            parts = {
                "latent": F.smooth_l1_loss(corrected, target),
                "reconstruction": F.smooth_l1_loss(made[:, frame:], wanted[:, frame:]),
                "now": F.smooth_l1_loss(made[:, frame], wanted[:, frame]),
                # The frame that leaves must follow the one that left, which was corrected otherwise.
                "seam": F.smooth_l1_loss(step_made, _step_into(wanted, past, frame), beta=0.1),
            }
            weights = {"latent": 0.5, "reconstruction": 1.0, "now": 1.0, "seam": 1.0}
            terms = [options.get(f"{name}_weight", weights[name]) * part for name, part in parts.items()]
            total = total + torch.stack(terms).sum() / count
            for name, part in parts.items():
                notes[name] = notes.get(name, 0.0) + float(part.detach()) / count
            recent = torch.cat([recent[:, 1:], rebuilt[:, frame : frame + 1]], dim=1)
        return total, notes

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out segments made from observations 8 frames old: how far the frame that leaves is from the recording,
        mm, as planned and as corrected, mean over a segment's frames."""
        refinement, vae = cast(Refinement, network), self.reactor.vae
        rng = np.random.default_rng(0)
        batch = self.val.draw(rng, 256, 1)
        text = self.texts(some_texts(batch.texts, rng, 0.0)).to(self.device)
        noise = torch.randn(len(text), 1, 64, generator=torch.Generator().manual_seed(0)).to(self.device)
        run = self.running(batch, text, torch.full((len(text),), FUTURE, device=self.device), noise)
        planned = vae.decode(run.history, run.latent)
        left, emitted = run.history, list[Tensor]()
        for frame in range(FUTURE):
            corrected = self.refined(refinement, run, left[:, -HISTORY:], frame)
            emitted.append(vae.decode(run.history, corrected)[:, frame : frame + 1])
            left = torch.cat([left, emitted[-1]], dim=1)
        made = torch.cat(emitted, dim=1)
        jerk = [bodies_of(rows).diff(n=3, dim=1).norm(dim=-1).mean() for rows in (made, planned)]
        return {
            "MPJPE_mm": 1000 * float(joint_error(made, run.future)),
            "planned_MPJPE_mm": 1000 * float(joint_error(planned, run.future)),
            "jerk": 8000 * float(jerk[0]),
            "planned_jerk": 8000 * float(jerk[1]),
        }

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        parts = Reactor.of(self.recipe.preset, refinement=cast(Refinement, network))
        return parts.export(models, f"fwsr/{self.recipe.preset}", metrics)


def _step_into(future: Tensor, history: Tensor, frame: int) -> Tensor:
    """What changes from the frame before to frame ``frame`` of ``future`` [B,8,276] -> [B,1,276]."""
    rows = torch.cat([history[:, HISTORY - 1 :], future], dim=1)
    return rows[:, frame + 1 : frame + 2] - rows[:, frame : frame + 1]

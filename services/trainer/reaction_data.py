"""Batches of two bodies, or of a body and a scene: what the interaction modules and the refinement are taught on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from kinesphere import rotations as rot
from kinesphere.datasets.reactions.dataset import Reaction, ReactionDataset
from kinesphere.datasets.splits import Split
from kinesphere.errors import InputError
from kinesphere.reaction.features import PARTNER_FRAMES
from kinesphere.representations.primitive276 import HISTORY
from kinesphere.scenes import Raster
from kinesphere.scenes.raster import CELLS
from kinesphere.skeleton import JOINT_INDEX, FloatArray
from services.trainer.primitive_data import frames_of
from services.trainer.primitives import Frames

FPS = 20.0
Domain = Literal["hhi", "hsi"]
_LEFT = [JOINT_INDEX["left_hip"], JOINT_INDEX["left_shoulder"]]
_RIGHT = [JOINT_INDEX["right_hip"], JOINT_INDEX["right_shoulder"]]


@dataclass
class Sample:
    """One reaction in memory. joints [T,22,3], six [T,22,6] of the agent; partner [T,22,3]; scene; all in one world."""

    item: Reaction
    joints: FloatArray
    six: FloatArray
    partner: FloatArray | None
    scene: Raster | None


@dataclass
class Batch:
    """Stretches of T = 2 + 8 K + 1 frames. joints [B,T,22,3], six [B,T,22,6]; partner [B,8+T,22,3] begins 8 frames
    earlier, seen [B,8+T] 0 where nothing is known yet; goals [B,4] in the world, 1 = given."""

    joints: Tensor
    six: Tensor
    partner: Tensor
    seen: Tensor
    goals: Tensor
    scenes: list[Raster | None]
    texts: list[tuple[str, ...]]


class ReactionData:
    """One split's reactions with a partner (``hhi``), with a scene (``hsi``), or all.

    Raises InputError(``data``) if there are none.
    """

    def __init__(self, root: Path, split: Split, domain: Domain | None = None) -> None:
        self.dataset = ReactionDataset(root)
        chosen = [item for item in self.dataset.items if item.split == split and item.frames >= frames_of(1)]
        if domain == "hhi":
            chosen = [item for item in chosen if item.scene is None]
        elif domain == "hsi":
            chosen = [item for item in chosen if item.scene is not None]
        if not chosen:
            raise InputError(
                "data", f"{root} has no reactions of {domain or 'any domain'} in its {split} split"
            )
        self._rasters: dict[tuple[str, bool], Raster] = {}
        self.samples = [self._read(item) for item in track(chosen, description=f"reading {split}")]

    def _read(self, item: Reaction) -> Sample:
        agent, partner = self.dataset.agent(item), self.dataset.partner(item)
        scene = None
        if item.scene is not None:
            scene = self._rasters.get((item.scene, item.mirrored))
            if scene is None:
                found = self.dataset.scene(item)
                assert found is not None
                scene = self._rasters[item.scene, item.mirrored] = Raster(found)
        six = rot.to_6d(agent.rotations).astype(np.float32)
        return Sample(item, agent.positions, six, None if partner is None else partner.positions, scene)

    @property
    def texts(self) -> list[str]:
        """Every text of the split."""
        return [text for sample in self.samples for text in sample.item.text]

    def draw(self, rng: np.random.Generator, count: int, segments: int, *, goals: float = 0.7) -> Batch:
        """Stretches of ``segments``; one that is too short stands still at its end. A third begins shortly before an
        answer does (waiting is what there is most of), the others anywhere. A scene's goal is the sample's, or where
        its pelvis is at its end, and is given with the probability ``goals``."""
        frames = frames_of(segments)
        samples = [self.samples[pick] for pick in rng.integers(len(self.samples), size=count)]
        begins = [_begin(sample.item, frames, rng) for sample in samples]
        return self.stretch(samples, begins, frames, rng.random(count) < goals)

    def stretch(
        self, samples: list[Sample], begins: list[int], frames: int, aimed: NDArray[np.bool_]
    ) -> Batch:
        """The frames from ``begins`` on of ``samples``."""
        before, count = PARTNER_FRAMES - HISTORY, len(samples)
        joints, six = (
            np.empty((count, frames, 22, 3), np.float32),
            np.empty((count, frames, 22, 6), np.float32),
        )
        partner = np.zeros((count, before + frames, 22, 3), np.float32)
        seen, goals = np.zeros((count, before + frames), np.float32), np.zeros((count, 4), np.float32)
        for row, (sample, begin) in enumerate(zip(samples, begins, strict=True)):
            last = len(sample.joints) - 1
            at = np.minimum(np.arange(begin, begin + frames), last)
            joints[row], six[row] = sample.joints[at], sample.six[at]
            if sample.partner is not None:
                at = np.minimum(np.arange(begin - before, begin + frames), last)
                partner[row] = sample.partner[np.maximum(at, 0)]
                seen[row] = at >= 0
            if sample.scene is not None and aimed[row]:
                goals[row] = (*(sample.item.goal or sample.joints[-1, 0]), 1.0)
        return Batch(
            joints=torch.from_numpy(joints), six=torch.from_numpy(six), partner=torch.from_numpy(partner),
            seen=torch.from_numpy(seen), goals=torch.from_numpy(goals), scenes=[s.scene for s in samples],
            texts=[s.item.text for s in samples],
        )  # fmt: skip


def _begin(item: Reaction, frames: int, rng: np.random.Generator) -> int:
    """Where a stretch of ``frames`` is cut out of a reaction."""
    last = max(0, item.frames - frames)
    if item.answer is not None and rng.random() < 1 / 3:
        return int(np.clip(item.answer - rng.integers(frames), 0, last))
    return int(rng.integers(0, last + 1))


def partner_inputs(
    batch: Batch, frames: Frames, newest: int, late: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``partner`` [B,10,72] and ``partner_mask`` [B,10] at frame ``newest`` of the stretches, told in ``frames``.

    The same numbers as ``kinesphere.reaction.rollout.late_window``. late [B]: frames that have not arrived yet.
    """
    window = slice(newest + 1 - HISTORY, newest + 1 - HISTORY + PARTNER_FRAMES)
    mask = batch.seen[:, window].to(frames.axes.device)
    if late is not None:
        slots = torch.arange(PARTNER_FRAMES, device=mask.device)
        mask = mask * (slots < PARTNER_FRAMES - late[:, None]).float()
    joints = frames.inside(batch.partner[:, window].to(frames.axes.device))
    velocity = joints[:, :, 0].diff(dim=1) * FPS
    velocity = torch.cat([velocity[:, :1], velocity], dim=1)
    # The first frame that was seen has the velocity of the next one.
    first = (mask.cumsum(dim=1) == 1.0) & (mask > 0)
    velocity = torch.where(first[:, :, None], velocity.roll(-1, dims=1), velocity)
    ground = joints[:, :, 0, [0, 2]]
    outward = ground / ground.norm(dim=2, keepdim=True).clamp_min(1e-6)
    left = (joints[:, :, _LEFT] - joints[:, :, _RIGHT]).sum(dim=2)
    facing = torch.nn.functional.normalize(torch.stack([-left[..., 2], left[..., 0]], dim=2), dim=2)
    approach = -(velocity[:, :, [0, 2]] * outward).sum(dim=2, keepdim=True)
    features = torch.cat([joints.flatten(2), velocity, facing, approach], dim=2)
    return features * mask[:, :, None], mask


def scene_inputs(batch: Batch, frames: Frames) -> tuple[Tensor, Tensor]:
    """``occupancy`` [B,24,12,24] and ``goal`` [B,4], told in ``frames``."""
    axes, origins = frames.axes.detach().cpu().numpy(), frames.origin.detach().cpu().numpy()
    cells = np.zeros((len(axes), *CELLS), np.float32)
    for row, scene in enumerate(batch.scenes):
        if scene is not None:
            cells[row] = scene.around(axes[row], origins[row])
    device = frames.axes.device
    goals = batch.goals.to(device)
    place = frames.inside(goals[:, None, :3])[:, 0]
    return torch.from_numpy(cells).to(device), torch.cat([place, torch.ones_like(goals[:, 3:])], 1) * goals[
        :, 3:
    ]

"""Batches of motion primitives: stretches of recorded movement, cut into segments in a row, and their texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.splits import Split
from kinesphere.reaction.rollout import STEPS
from kinesphere.representations.primitive276 import FUTURE, HISTORY, LAYOUT
from services.trainer.data import TextFeatures
from services.trainer.poses import Poses
from services.trainer.primitives import cut


class PooledTexts:
    """MiniLM's mean vector of every caption, unit length."""

    def __init__(self, texts: list[str], cache: Path) -> None:
        features = TextFeatures(texts, cache)
        self.index = features.index
        rows = np.zeros((len(self.index), 384), np.float32)
        for i, (begin, end) in enumerate(zip(features.starts[:-1], features.starts[1:], strict=True)):
            rows[i] = features.flat[begin:end].astype(np.float32).mean(axis=0)
        self.rows = torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    def __call__(self, texts: list[str | None]) -> Tensor:
        """[B,384]; None is no intent, a row of zeros."""
        out = torch.zeros(len(texts), self.rows.shape[1])
        for row, text in enumerate(texts):
            if text is not None:
                out[row] = self.rows[self.index[text]]
        return out


def frames_of(segments: int) -> int:
    """Frames that so many segments in a row need; the last one tells the last step."""
    return HISTORY + FUTURE * segments + 1


class PrimitiveData:
    """One split of a built data set. Clips too short for one segment are left out."""

    def __init__(self, root: Path, split: Split) -> None:
        self.dataset = ClipDataset(root)
        self.poses = Poses(self.dataset)
        self.clips: list[Clip] = [c for c in self.dataset.split(split) if c.frames >= frames_of(1)]
        weights = np.array([c.weight for c in self.clips], dtype=np.float64)
        self.weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator, count: int, segments: int) -> tuple[Tensor, Tensor, list[Clip]]:
        """World poses [B,T,22,3], [B,T,22,6] of stretches of ``segments``; a clip that is too short stands still in its
        last frame. A quarter begins as the clip does: that is where people set out from standing."""
        frames = frames_of(segments)
        joints = np.empty((count, frames, 22, 3), np.float32)
        six = np.empty((count, frames, 22, 6), np.float32)
        picks = rng.choice(len(self.clips), size=count, p=self.weights)
        for row, pick in enumerate(picks):
            clip = self.clips[pick]
            last = max(0, clip.frames - frames)
            begin = int(rng.integers(0, min(last, 10) + 1 if rng.random() < 0.25 else last + 1))
            at = clip.offset + np.minimum(np.arange(begin, begin + frames), clip.frames - 1)
            joints[row], six[row] = self.poses.joints[at], self.poses.rotations[at]
        return torch.from_numpy(joints), torch.from_numpy(six), [self.clips[pick] for pick in picks]

    def sample(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """History [count,2,276] and future [count,8,276] of segments spread over the split."""
        joints, six, _ = self.draw(np.random.default_rng(seed), count, 1)
        return cut(joints, six, 0)


def captions(clip: Clip, rng: np.random.Generator, unsaid: float) -> str | None:
    """One of a clip's captions; with the probability ``unsaid`` none."""
    if rng.random() < unsaid:
        return None
    return clip.captions[int(rng.integers(len(clip.captions)))].text


def statistics(history: Tensor, future: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and scale [276] of primitives, which say how much a number counts.

    Deviations are averaged within each kind of number, so that still joints are not blown up. Places count thrice, as
    the pelvis' rotation does, and steps, which follow from them, a third: so 64 principal components rebuild joints to
    17 mm, where deviations alone leave 30.
    """
    rows = torch.cat([history, future], dim=1).flatten(0, 1)
    std = rows.std(dim=0)
    for name in LAYOUT:
        std[LAYOUT[name]] = std[LAYOUT[name]].mean()
    for name in ("translation", "joints"):
        std[LAYOUT[name]] /= 3.0
    for name in STEPS:
        std[LAYOUT[name]] *= 3.0
    root = LAYOUT["rotations"].start
    std[root : root + 6] /= 3.0
    return rows.mean(dim=0), std

"""Batches from a built dataset: motion in memory, text features computed once and cached beside the dataset."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.splits import Split
from kinesphere.text import TextEncoder

MAX_TOKENS = 32
MAX_FRAMES = 208


@dataclass
class TextBatch:
    features: Tensor
    mask: Tensor
    pooled: Tensor


class TextFeatures:
    """MiniLM token features of every distinct caption of a dataset (fp16 on disk, one flat array)."""

    def __init__(self, texts: list[str], cache: Path) -> None:
        self.index = {text: i for i, text in enumerate(sorted(set(texts)))}
        digest = hashlib.sha256("\n".join(self.index).encode()).hexdigest()[:16]
        flat_file, starts_file = cache / f"text-{digest}.npy", cache / f"text-{digest}-starts.npy"
        if not starts_file.exists():
            cache.mkdir(parents=True, exist_ok=True)
            self._compute(flat_file, starts_file)
        self.flat: NDArray[np.float16] = np.load(flat_file)
        self.starts: NDArray[np.int64] = np.load(starts_file)
        self._encoder: TextEncoder | None = None

    def features(self, text: str) -> NDArray[np.floating]:
        """Token features [L,384] of a caption; one that is not of the dataset is computed now."""
        at = self.index.get(text)
        if at is not None:
            return self.flat[self.starts[at] : self.starts[at + 1]]
        if self._encoder is None:
            self._encoder = TextEncoder()
        features, mask = self._encoder.encode([text], max_tokens=MAX_TOKENS)
        return np.asarray(features[0][mask[0]])

    def _compute(self, flat_file: Path, starts_file: Path) -> None:
        encoder, texts = TextEncoder(), list(self.index)
        # Neighbours in length share a batch, so that little is computed on padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows: list[NDArray[np.float16]] = [np.zeros((0, 384), np.float16)] * len(texts)
        for begin in track(range(0, len(order), 64), description="text features"):
            some = order[begin : begin + 64]
            features, mask = encoder.encode([texts[i] for i in some], max_tokens=MAX_TOKENS)
            for row, i in enumerate(some):
                rows[i] = features[row][mask[row]].astype(np.float16)
        np.save(flat_file, np.concatenate(rows))
        np.save(starts_file, np.cumsum([0, *(len(r) for r in rows)]))

    def batch(self, texts: list[str]) -> TextBatch:
        """Features [B,L,384], mask [B,L] and their masked mean, unit length [B,384]."""
        return pad_features([self.features(text) for text in texts])


def pad_features(rows: list[NDArray[np.floating]]) -> TextBatch:
    """Captions' token features [L,384], padded to the longest."""
    longest = max(len(r) for r in rows)
    features = np.zeros((len(rows), longest, 384), np.float32)
    mask = np.zeros((len(rows), longest), np.float32)
    for i, row in enumerate(rows):
        features[i, : len(row)], mask[i, : len(row)] = row, 1.0
    pooled = (features * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    return TextBatch(torch.from_numpy(features), torch.from_numpy(mask), torch.from_numpy(pooled))


class MotionData:
    """One split of a dataset, ready for batches. Clips are cut to a multiple of 16 frames."""

    def __init__(self, root: Path, split: Split, *, minimum: int = 16) -> None:
        self.dataset = ClipDataset(root)
        self.mean = torch.from_numpy(np.asarray(self.dataset.mean, dtype=np.float32))
        self.std = torch.from_numpy(feature_std(np.asarray(self.dataset.std, dtype=np.float32)))
        self.clips: list[Clip] = [c for c in self.dataset.split(split) if c.frames >= minimum]
        self.weights = np.array([getattr(c, "weight", 1.0) for c in self.clips], dtype=np.float64)
        self.weights /= self.weights.sum()

    def frames(self, clip: Clip) -> int:
        return min(clip.frames, MAX_FRAMES) // 16 * 16

    def motion(self, clip: Clip) -> NDArray[np.float32]:
        return np.asarray(self.dataset.features(clip)[: self.frames(clip)], dtype=np.float32)

    def draw(self, seed: int, step: int, count: int) -> tuple[list[Clip], np.random.Generator]:
        """The clips of a step's batch, and the generator to crop them with."""
        rng = np.random.default_rng((seed, step))
        picks = rng.choice(len(self.clips), size=count, p=self.weights, replace=len(self.clips) < count)
        return [self.clips[i] for i in picks], rng

    def padded(self, clips: list[Clip]) -> tuple[Tensor, Tensor]:
        """Motion [B,T,263] padded with its mean, and lengths [B]."""
        lengths = [self.frames(c) for c in clips]
        batch = self.mean.numpy()[None, None].repeat(len(clips), 0).repeat(max(lengths), 1)
        for row, clip in enumerate(clips):
            batch[row, : lengths[row]] = self.motion(clip)
        return torch.from_numpy(batch), torch.tensor(lengths)


def feature_std(std: NDArray[np.float32]) -> NDArray[np.float32]:
    """Deviations averaged within each kind of feature, as HumanML3D does, so that still joints are not blown up and the
    root's few numbers weigh as much as the many others (they are divided by 5)."""
    from kinesphere.representations.hml263 import LAYOUT

    out = np.empty_like(std)
    for part in LAYOUT:
        where = LAYOUT[part]
        out[where] = std[where].mean()
        if part.startswith("root"):
            out[where] /= 5.0
    return out


def alike(pooled: Tensor, texts: list[str], threshold: float = 0.93) -> Tensor:
    """[B,B] bool: captions so close in meaning that they are no negatives of each other.

    Left and right differ in meaning but hardly in MiniLM's mean vector, so captions that disagree on a side stay
    negatives.
    """
    close = pooled @ pooled.T > threshold
    sides = torch.tensor([[("left" in t.lower()), ("right" in t.lower())] for t in texts])
    same_side = (sides[:, None] == sides[None]).all(-1)
    return close & same_side

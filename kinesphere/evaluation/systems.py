"""What is compared in a text-to-motion table: anything that turns sentences and lengths into motion.

The baselines here need no network: real motion, real motion with the captions shuffled, and the training clip whose
caption is nearest. Generating systems come from the caller (the command line wires the gRPC client in).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray

# Sentences, lengths in frames at 20 fps, seed -> one raw hml263 array [length, 263] each.
Generate = Callable[[Sequence[str], Sequence[int], int], Sequence[FloatArray]]


class TextFeatures(Protocol):
    """``kinesphere.text.TextEncoder``, or anything with its ``encode``."""

    def encode(self, texts: list[str], max_tokens: int = 32) -> tuple[FloatArray, NDArray[np.bool_]]: ...


@dataclass(frozen=True)
class System:
    """name: the table's row. varied: other seeds give other motions, so that multimodality means something."""

    name: str
    generate: Generate
    varied: bool = True


class NearestNeighbour:
    """The train clip whose caption is nearest to the sentence (cosine of mean MiniLM features), made to length.

    A baseline that knows real motion by heart: what a generator adds to looking clips up. The seed chooses among the
    ``choices`` nearest captions (1: always the nearest). captions: at most so many of each clip are looked through,
    spread evenly over what it has. cache: folder for their embeddings, which take minutes to make.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        encoder: TextFeatures,
        *,
        choices: int = 1,
        captions: int = 3,
        cache: Path | None = None,
    ) -> None:
        self._dataset = dataset
        self._encoder = encoder
        self._choices = choices
        self._clips: list[Clip] = []
        texts: list[str] = []
        for clip in dataset.split("train"):
            said = list(dict.fromkeys(entry.text for entry in clip.captions))
            for caption in said[:: max(1, -(-len(said) // captions))]:
                self._clips.append(clip)
                texts.append(caption)
        if not texts:
            raise InputError("data", "the train split has no captions to look up")
        self._embeddings = self._cached(texts, cache)

    def __call__(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        rng = np.random.default_rng(seed)
        likeness = self._embed(list(texts)) @ self._embeddings.T
        found = []
        for row, length in zip(likeness, lengths, strict=True):
            nearest = np.argpartition(-row, range(self._choices))[: self._choices]
            clip = self._clips[int(rng.choice(nearest))]
            found.append(fitted(self._dataset.features(clip), length))
        return found

    def _cached(self, texts: list[str], folder: Path | None) -> FloatArray:
        if folder is None:
            return self._embed(texts)
        # Another encoder says other things of the same texts: what it says of one is part of the name.
        digest = hashlib.sha256("\n".join(texts).encode())
        digest.update(self._embed(texts[:1]).tobytes())
        file = folder / f"captions-{digest.hexdigest()[:16]}.npy"
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part.npy")
            np.save(part, self._embed(texts))
            part.replace(file)
        stored: FloatArray = np.load(file, allow_pickle=False)
        return stored

    def _embed(self, texts: list[str]) -> FloatArray:
        unique = {text: index for index, text in enumerate(dict.fromkeys(texts))}
        listed = sorted(unique, key=len)
        vectors: dict[str, FloatArray] = {}
        for start in range(0, len(listed), 64):
            batch = listed[start : start + 64]
            features, mask = self._encoder.encode(batch)
            weights = mask[..., None].astype(np.float32)
            mean = (features * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1)
            mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6)
            vectors.update(zip(batch, mean, strict=True))
        return np.stack([vectors[text] for text in texts]).astype(np.float32)


def fitted(features: FloatArray, length: int) -> FloatArray:
    """[T,263] cut to ``length`` rows, or continued forward and backward in turns (no jump in pose) to reach it."""
    if len(features) >= length:
        return features[:length]
    there_and_back = np.concatenate([np.arange(len(features)), np.arange(len(features))[::-1]])
    return features[np.resize(there_and_back, length)]

"""Text-to-motion metrics on embeddings: R-precision, MM-Dist, FID, diversity, multimodality.

Two published protocols: HumanML3D's (Guo et al. 2022, text-to-motion/utils/metrics.py) and InterHuman's (Liang et al.
2023, InterGen/utils/metrics.py), which ranks within 96 instead of 32, and scales embeddings by 6 for FID and diversity.
Random choices come from NumPy's legacy generator seeded anew for each metric, as the published code is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError

Embeddings = NDArray[np.floating]


@dataclass(frozen=True)
class Protocol:
    """How a benchmark computes its table.

    batch: texts ranked against one another; samples beyond the last whole batch are left out. scale: factor on
    embeddings before FID and diversity. diversity_divisor: InterHuman halves its diversity. top_k: ranks reported.
    """

    batch: int
    scale: float = 1.0
    diversity_divisor: float = 1.0
    diversity_pairs: int = 300
    multimodality_pairs: int = 10
    top_k: int = 3


HUMANML3D: Final = Protocol(batch=32)
INTERHUMAN: Final = Protocol(batch=96, scale=6.0, diversity_divisor=2.0)


@dataclass(frozen=True)
class Scores:
    """One row of the table. r_precision: top 1..k in 0..1; mm_dist: mean distance of a text to its motion."""

    r_precision: tuple[float, ...]
    mm_dist: float
    fid: float
    diversity: float
    multimodality: float | None = None
    samples: int = 0


def score(
    text: Embeddings,
    motion: Embeddings,
    real: Embeddings,
    *,
    protocol: Protocol = HUMANML3D,
    repeated: Embeddings | None = None,
    seed: int = 0,
) -> Scores:
    """Every metric of one system.

    text, motion, real: [N,D], row i of ``motion`` made from row i of ``text``, ``real`` its ground truth. repeated:
    [M,R,D], R motions of each of M texts, for multimodality (left out when None).
    Raises InputError when shapes differ, values are not finite, or N is smaller than a batch or the diversity pairs.
    """
    for name, array in (("motion", motion), ("real", real)):
        _check(name, array, text.shape)
    _check("text", text, text.shape)
    used = len(text) // protocol.batch * protocol.batch
    if used < max(protocol.batch, protocol.diversity_pairs):
        least = max(protocol.batch, protocol.diversity_pairs)
        raise InputError(
            "text", f"{len(text)} samples; this protocol needs whole batches with at least {least}"
        )
    text, motion, real = text[:used], motion[:used], real[:used]
    precision, distance = retrieval(text, motion, protocol.batch, protocol.top_k)
    return Scores(
        r_precision=precision,
        mm_dist=distance,
        fid=fid(real * protocol.scale, motion * protocol.scale),
        diversity=diversity(motion * protocol.scale, protocol.diversity_pairs, seed)
        / protocol.diversity_divisor,
        multimodality=None
        if repeated is None
        else multimodality(repeated, protocol.multimodality_pairs, seed),
        samples=used,
    )


def distances(a: Embeddings, b: Embeddings) -> Embeddings:
    """Euclidean distances of every row of ``a`` to every row of ``b``: [N,D], [M,D] -> [N,M]."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def retrieval(
    text: Embeddings, motion: Embeddings, batch: int = 32, top_k: int = 3
) -> tuple[tuple[float, ...], float]:
    """R-precision at 1..top_k and MM-Dist, ranking each text's motion among those of its batch.

    [N,D] twice; rows beyond the last whole batch are not used. Raises InputError when there is no whole batch.
    """
    if text.shape != motion.shape or len(text) < batch:
        raise InputError(
            "motion", f"shapes {list(text.shape)} and {list(motion.shape)}; at least {batch} equal rows"
        )
    hits = np.zeros(top_k)
    total = 0.0
    used = len(text) // batch * batch
    for start in range(0, used, batch):
        matrix = distances(text[start : start + batch], motion[start : start + batch])
        total += float(np.trace(matrix))
        ranked = np.argsort(matrix, axis=1)[:, :top_k]
        hits += np.cumsum(ranked == np.arange(batch)[:, None], axis=1).sum(axis=0)
    return tuple(float(value) for value in hits / used), total / used


def fid(real: Embeddings, generated: Embeddings) -> float:
    """Frechet distance of two clouds of embeddings seen as Gaussians (Heusel et al. 2017). [N,D], [M,D].

    tr sqrt(A B) is the sum of square roots of the eigenvalues of sqrt(A) B sqrt(A), which is symmetric: the same
    number as the reference's general matrix square root, but stable when there are fewer samples than dimensions.
    """
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise InputError(
            "generated", f"shapes {list(real.shape)} and {list(generated.shape)} have different widths"
        )
    if min(len(real), len(generated)) < 2:
        raise InputError("generated", "at least 2 samples of each are needed for a covariance")
    a, b = np.asarray(real, dtype=np.float64), np.asarray(generated, dtype=np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0.0)).sum()
    gap = a.mean(axis=0) - b.mean(axis=0)
    # A distance is not negative, but rounding may leave -1e-7 where both are the same.
    return max(0.0, float(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def diversity(motion: Embeddings, pairs: int = 300, seed: int = 0) -> float:
    """Mean distance of ``pairs`` random pairs of the [N,D] embeddings. Raises InputError when N < pairs."""
    if len(motion) < pairs:
        raise InputError("motion", f"{len(motion)} samples, at least {pairs} are needed for {pairs} pairs")
    rng = np.random.RandomState(seed)
    first = rng.choice(len(motion), pairs, replace=False)
    second = rng.choice(len(motion), pairs, replace=False)
    return float(np.linalg.norm(motion[first] - motion[second], axis=1).mean())


def multimodality(motion: Embeddings, pairs: int = 10, seed: int = 0) -> float:
    """Mean distance of ``pairs`` random pairs among the R motions of each text, [M,R,D]. InputError when R < pairs."""
    if motion.ndim != 3 or motion.shape[1] < pairs:
        raise InputError(
            "repeated", f"has shape {list(motion.shape)}, expected [M, R, D] with R of at least {pairs}"
        )
    rng = np.random.RandomState(seed)
    first = rng.choice(motion.shape[1], pairs, replace=False)
    second = rng.choice(motion.shape[1], pairs, replace=False)
    return float(np.linalg.norm(motion[:, first] - motion[:, second], axis=2).mean())


def confidence(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of the 95 % interval, 1.96 s / sqrt(n) with the population's s, as the field reports it."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(1.96 * array.std() / np.sqrt(len(array)))


def _check(name: str, array: Embeddings, shape: tuple[int, ...]) -> None:
    if array.ndim != 2 or array.shape != shape:
        raise InputError(name, f"has shape {list(array.shape)}, expected [N, D] as the text's {list(shape)}")
    if not np.all(np.isfinite(array)):
        raise InputError(name, "holds NaN or infinite values")

"""Pairs that were recorded together: the CMU salsa dancers, who share one world frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.datasets import sources, splits
from kinesphere.datasets.reactions.composed import Sample, said, seeded
from kinesphere.datasets.reactions.parallel import Progress, in_order
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray

# Frames: windows of 4 to 10 s; overlapping ones for training only.
_LEAST, _USUAL, _MOST = 80, 120, 200
_WORDS: Final = (
    "[dance] salsa with the partner",
    "[dance] with the other person",
    "[follow] the partner's salsa steps",
    "[do] a salsa dance as a couple",
    "[dance] as one of a pair, hand in hand",
    "[keep] step with the dance partner",
)
# Metres between the dancers' pelvises, over a take: dancers in another scale or another frame are outside.
_APART: Final = (0.4, 1.3)


def load_pairs(
    roots: list[Path], *, limit: int | None = None, jobs: int = 1, progress: Progress | None = None
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """Both roles of every window of every pair under ``roots``, and (take, reason) for what is refused.

    limit: at most so many takes.
    """
    takes = [take for take in sources.enumerate_takes(roots) if take.group.startswith("cmu/salsa_")]
    dealt = splits.assign((take.group, take.kind) for take in takes)
    pairs: dict[str, list[sources.Take]] = {}
    for take in takes:
        pairs.setdefault(take.group, []).append(take)
    work = [
        (group, two[0].path, two[1].path, dealt[group])
        for group, two in sorted(pairs.items())
        if len(two) == 2
    ][:limit]
    made = in_order(_pair, work, jobs, progress)
    refused = [(group, reason) for (group, *_), (_, reason) in zip(work, made, strict=True) if reason]
    return [sample for samples, _ in made for sample in samples], refused


def _pair(job: tuple[str, Path, Path, Split]) -> tuple[list[Sample], str]:
    group, first, second, split = job
    try:
        bodies = together(*(_positions(path) for path in (first, second)))
    except (InputError, ValueError, OSError) as error:
        return [], str(error) or type(error).__name__
    motions = [Motion.from_positions(body, FPS) for body in bodies]
    samples = []
    for start, stop in windows(len(bodies[0]), overlapping=split == "train"):
        for role, (agent, partner) in enumerate((motions, motions[::-1])):
            name = f"salsa/{group.rpartition('_')[2]}-{role}/{start}-{stop}"
            names = (first.stem, second.stem) if role == 0 else (second.stem, first.stem)
            samples.append(
                Sample(
                    name,
                    " | ".join(f"salsa-pairs/{stem}" for stem in names),
                    "salsa",
                    split,
                    agent.slice(start, stop),
                    partner.slice(start, stop),
                    said(_WORDS, seeded(name)),
                    origin="recorded",
                )
            )
    return samples, ""


def _positions(path: Path) -> FloatArray:
    """[T,22,3] at 20 fps in the dancers' common world, metres."""
    take = sources.Take(path.stem, "cmu", path, "", "")
    return sources.load(take)


def together(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two dancers [T,22,3] of one world on the reference body, in one scale, on the floor y = 0.

    Each dancer's path is scaled as the reference body's legs are to its own; with legs of one length that is one scale
    for both, and the distance between them keeps its meaning. Raises InputError(``pair``) for legs that differ by over
    5 %, and for dancers who are not as near to each other as dancers are.
    """
    frames = min(len(first), len(second))
    legs = [_leg(body) for body in (first, second)]
    if max(legs) > 1.05 * min(legs):
        raise InputError("pair", f"legs of {legs[0]:.2f} and {legs[1]:.2f} m do not share one scale")
    apart = float(np.median(np.linalg.norm((first[:frames, 0] - second[:frames, 0])[:, [0, 2]], axis=-1)))
    if not _APART[0] <= apart <= _APART[1]:
        raise InputError(
            "pair", f"the dancers are {apart:.2f} m apart, {_APART[0]} to {_APART[1]} m is plausible"
        )
    placed = []
    for body in (first[:frames], second[:frames]):
        uniform = hml263.uniform_positions(body)
        # The floor is under the feet, not under the one lowest frame of a fast dance.
        floor = float(np.percentile(uniform[..., 1].min(axis=1), 5))
        placed.append((uniform - np.array([0.0, floor, 0.0], dtype=np.float32)).astype(np.float32))
    return placed[0], placed[1]


def _leg(body: FloatArray) -> float:
    return sum(
        float(np.median(np.linalg.norm(body[:, a] - body[:, b], axis=-1))) for a, b in ((2, 5), (5, 8))
    )


def windows(frames: int, *, overlapping: bool) -> Iterator[tuple[int, int]]:
    """[start, stop) of 4 to 10 s; every 1.5 s where they overlap, else one after the other. The lengths alternate."""
    start, number = 0, 0
    lengths = (_USUAL, _LEAST, 160, 100, _MOST, 140)
    while frames - start >= _LEAST:
        length = lengths[number % len(lengths)] if overlapping else _USUAL
        stop = min(start + length, frames)
        if not overlapping and frames - stop < _LEAST:
            stop = min(frames, start + _MOST)
        yield start, stop
        start, number = (start + 30 if overlapping else stop), number + 1

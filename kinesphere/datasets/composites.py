"""Two gestures in a row: real takes of people who stand, joined by a short blend, because few takes hold sequences.

Only takes of the train split are joined, both in the same style; the result is marked as source ``composite``.
"""

from __future__ import annotations

import random
import re
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.datasets.kinematics import kinematics
from kinesphere.datasets.labels import Label
from kinesphere.datasets.sources import Take
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray

GESTURES: Final = (
    "raise-up-left-hand", "raise-up-right-hand", "raise-up-both-hands", "wave-left-hand", "wave-right-hand", "wave-both-hands",
    "bow", "bye", "byebye",
)  # fmt: skip
BLEND: Final = 8  # frames between the two
MOST: Final = 200


def compose(takes: list[Take], dealt: dict[str, Split], count: int = 320) -> list[Take]:
    """Up to ``count`` pairs of gestures of the train split, different in content, chosen by a fixed seed."""
    chance = random.Random("kinesphere composites")
    by_style: dict[str, list[Take]] = {}
    for take in takes:
        parts = take.path.stem.split("_")
        if (
            take.source == "bandai-namco"
            and len(parts) == 4
            and parts[1] in GESTURES
            and dealt[take.group] == "train"
        ):
            by_style.setdefault(take.label.style, []).append(take)
    pools = {style: pool for style, pool in by_style.items() if len({t.kind for t in pool}) > 1}
    if not pools:
        return []
    found: dict[str, Take] = {}
    for _ in range(30 * count):
        if len(found) >= count:
            break
        pool = pools[chance.choice(sorted(pools))]
        # Kinds evenly, not takes: bows are few.
        first_kind, second_kind = chance.sample(sorted({take.kind for take in pool}), 2)
        first = chance.choice([take for take in pool if take.kind == first_kind])
        second = chance.choice([take for take in pool if take.kind == second_kind])
        if _seconds(first.path) + _seconds(second.path) > MOST / FPS - 0.5:
            continue
        name = f"composite/{first.path.stem}+{second.path.stem.partition('_')[2]}"
        found[name] = Take(
            name,
            "composite",
            first.path,
            name,
            "composite",
            Label(style=first.label.style),
            split="train",
            then=second.path,
        )
    return list(found.values())


@lru_cache(maxsize=4096)
def _seconds(path: Path) -> float:
    """Length of a BVH by its header; 0 when it says none."""
    with path.open("rb") as file:
        head = file.read(65536).decode("ascii", errors="replace")
    frames, step = re.search(r"Frames:\s*(\d+)", head), re.search(r"Frame Time:\s*([\d.]+)", head)
    return int(frames[1]) * float(step[1]) if frames and step else 0.0


def join(first: FloatArray, second: FloatArray) -> FloatArray:
    """[A,22,3] then [B,22,3] of one body -> one movement; the second starts where and as the first stands at its end.

    Raises InputError(``composite``) when either does not rest at the joint, or the whole is longer than 10 s.
    """
    a, b = kinematics(first), kinematics(second)
    if len(first) + len(second) + BLEND > MOST:
        raise InputError("composite", "longer than 10 s")
    if (
        a.energy[-3:].mean() > 0.5
        or b.energy[:3].mean() > 0.5
        or a.speed[-3:].mean() > 0.2
        or b.speed[:3].mean() > 0.2
    ):
        raise InputError("composite", "one of the two does not rest where they are joined")
    angle = float(a.yaw[-1] - b.yaw[0])
    cos, sin = np.cos(angle), np.sin(angle)
    turned = second.copy()
    turned[..., 0] = cos * second[..., 0] + sin * second[..., 2]
    turned[..., 2] = cos * second[..., 2] - sin * second[..., 0]
    ground = [0, 2]
    feet = [7, 8, 10, 11]
    turned[..., ground] += (first[-1, feet] - turned[0, feet]).mean(axis=0)[ground]
    turned[..., 1] += first[-1, feet, 1].min() - turned[0, feet, 1].min()
    if float(np.linalg.norm(first[-1] - turned[0], axis=-1).max()) > 0.35:
        raise InputError("composite", "the poses at the joint are too far apart")
    weight = (0.5 - 0.5 * np.cos(np.pi * (np.arange(BLEND) + 1) / (BLEND + 1))).astype(np.float32)[
        :, None, None
    ]
    between = first[-1:] * (1 - weight) + turned[:1] * weight
    return np.concatenate([first, between, turned]).astype(np.float32)

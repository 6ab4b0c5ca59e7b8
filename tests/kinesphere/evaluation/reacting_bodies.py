"""A made-up reaction data set, and an evaluator that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinesphere.datasets.reactions import build
from kinesphere.datasets.reactions.composed import Sample
from kinesphere.motion import Motion
from kinesphere.rotations import about_y, multiply
from kinesphere.scenes import Box, Scene
from kinesphere.skeleton import FloatArray
from tests.kinesphere.datasets.bodies import raised, standing, walking


def write_reactions(folder: Path, numbers: int = 3) -> Path:
    """A data set in ``folder``, ``numbers`` test reactions of each kind and their mirror images: raised hands that are
    answered by waves (composed), two who sway (recorded), walks up to a box (composed)."""
    made = []
    for number in range(numbers):
        more = 0.1 * number
        wave = raised(standing(4.0), "left", 1.4 + more, 3.8, waves=2.5)
        partner = opposite(raised(standing(4.0), "right", 0.8, 3.0), 2.0 + more)
        made.append(
            Sample(
                f"wave{number}", "a | b", "wave_back", "test", motion(wave), motion(partner),
                (f"wave back {number}", "a person waves back"), onset=16, answer=28 + 2 * number,
            )
        )  # fmt: skip
        dance = raised(standing(3.0), "right", 0.5, 2.5, waves=1.0)
        made.append(
            Sample(
                f"dance{number}", "c | d", "salsa", "test", motion(dance), motion(opposite(dance, 0.9)),
                ("dance with the partner",), origin="recorded",
            )
        )  # fmt: skip
        walk = walking(3.0, 0.8)
        end = walk[-1, 0]
        box = Box((float(end[0]), 0.25, float(end[2]) + 0.6), (0.4, 0.5, 0.4))
        made.append(
            Sample(
                f"walk{number}", "e", "walk_to", "test", motion(walk), None, ("walk to the box",),
                goal=(float(end[0]), float(end[1]), float(end[2])), scene=Scene(f"room{number}", (box,)),
            )
        )  # fmt: skip
    build.write(made, folder)
    return folder


def motion(positions: FloatArray) -> Motion:
    return Motion.from_positions(positions, 20.0)


def opposite(body: FloatArray, metres: float) -> FloatArray:
    """The body turned round, ``metres`` ahead of where it stood."""
    turned = Motion.from_positions(body, 20.0)
    rotations = turned.rotations.copy()
    back = about_y(np.full(len(body), np.pi)).astype(np.float32)
    rotations[:, 0] = multiply(back, rotations[:, 0])
    place = turned.translation * np.array([-1, 1, -1], np.float32) + np.array([0, 0, metres], np.float32)
    found: FloatArray = Motion.from_rotations(place, rotations, 20.0).positions
    return found


class Plain:
    """Embeds a motion as its mean pose, and a text as its letters; [N,263] both."""

    name = "plain"

    def texts(self, texts: Sequence[str]) -> FloatArray:
        rows = np.zeros((len(texts), 263), np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[[ord(letter) % 263 for letter in text]] = 1.0
        return rows

    def motions(self, motions: Sequence[FloatArray]) -> FloatArray:
        assert all(len(each) % 16 == 0 for each in motions)
        return np.stack([each.mean(axis=0) for each in motions]).astype(np.float32)


def sentences(texts: list[str]) -> FloatArray:
    """[N,384] unit vectors, other ones for other texts."""
    rows = np.stack([np.random.default_rng([*text.encode()]).normal(size=384) for text in texts])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

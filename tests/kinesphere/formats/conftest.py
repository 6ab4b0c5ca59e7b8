"""Made-up motions for the tests of the formats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.motion import Motion
from kinesphere.skeleton import NUM_JOINTS, SMPL22, Skeleton

MakeMotion = Callable[..., Motion]


def _wild(
    seed: int = 0, frames: int = 12, fps: float = 20.0, *, calm: float = 1.0, stretch: float = 1.0
) -> Motion:
    """Random smooth rotations of every joint and a random path; ``stretch`` scales the bones, each a little its own."""
    random = np.random.default_rng(seed)
    start, end = random.normal(0, 0.5 * calm, (2, NUM_JOINTS, 3))
    start[0, 1], end[0, 1] = random.uniform(-3, 3, 2)
    t = np.linspace(0, 1, frames)[:, None, None]
    turned = rot.slerp(rot.from_axis_angle(start)[None], rot.from_axis_angle(end)[None], t)
    place = np.array([0.0, 0.95, 0.0]) + np.linspace(0, 1, frames)[:, None] * random.normal(0, 1, 3)
    skeleton = SMPL22
    if stretch != 1.0:
        own = random.uniform(0.97, 1.03, (NUM_JOINTS, 1)) * stretch
        skeleton = Skeleton(SMPL22.names, SMPL22.parents, (SMPL22.offsets * own).astype(np.float32))
    return Motion.from_rotations(place, turned, fps, skeleton)


@pytest.fixture(scope="session")
def make_motion() -> MakeMotion:
    return _wild

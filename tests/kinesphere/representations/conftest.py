"""Movement made by formula, so that these tests run without recordings."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX


def walk(frames: int = 60, turn: float = 0.02, seed: int = 0) -> Motion:
    """Somebody who walks on a curve: ``turn`` radians a frame to the left, 20 frames a second."""
    time = np.arange(frames) / 20.0
    rng = np.random.default_rng(seed)
    pose = rng.normal(0.0, 0.05, (1, 22, 3)) * np.sin(2.0 * time + rng.uniform(0, 6))[:, None, None]
    swing = np.sin(2 * np.pi * time)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        pose[:, JOINT_INDEX[f"{side}_hip"], 0] += -0.2 - 0.4 * sign * swing
        pose[:, JOINT_INDEX[f"{side}_knee"], 0] += 0.5 + 0.4 * sign * np.cos(2 * np.pi * time)
        pose[:, JOINT_INDEX[f"{side}_shoulder"], 2] += -1.2 * sign
        pose[:, JOINT_INDEX[f"{side}_elbow"], 1] += -sign * (0.6 + 0.2 * swing)
    yaw = turn * np.arange(frames)
    rotations = rot.from_axis_angle(pose)
    rotations[:, 0] = rot.multiply(rot.about_y(yaw), rotations[:, 0])
    path = np.cumsum(np.stack([np.sin(yaw), np.zeros(frames), np.cos(yaw)], -1) * 0.05, axis=0)
    path[:, 1] = 0.95 + 0.02 * swing
    return Motion.from_rotations(path, rotations, 20.0)


@pytest.fixture(scope="session")
def walker() -> Motion:
    return walk()

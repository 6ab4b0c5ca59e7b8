"""A synthetic body whose feet are planted while it walks: each toe stands still for half a step."""

from __future__ import annotations

import numpy as np

from kinesphere.motion import Motion
from kinesphere.rotations import from_axis_angle


def walking(frames: int, fps: float = 20.0) -> Motion:
    """A body that glides forward, swinging its legs and an arm."""
    time = np.arange(frames) / fps
    turns = np.zeros((frames, 22, 3), np.float32)
    turns[:, 1, 0] = 0.4 * np.sin(6 * time)
    turns[:, 2, 0] = -turns[:, 1, 0]
    turns[:, 4, 0] = 0.3 + 0.3 * np.cos(6 * time)
    turns[:, 16, 2] = -1.0 + 0.5 * np.sin(4 * time)
    turns[:, 0, 1] = 0.3 * np.sin(time)
    root = np.stack([0.1 * np.sin(2 * time), 0.95 + 0.02 * np.cos(12 * time), 0.8 * time], axis=1)
    return Motion.from_rotations(root, from_axis_angle(turns), fps)

"""A whole motion as hml263 features, one row a frame: what goes into the networks.

HumanML3D's extraction gives one row less than there are frames, because velocities look a frame ahead. A motion that
arrives in a call keeps all its frames here: the frame after the last is taken to go on as the last one moved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray

_VELOCITIES = ("root_yaw_velocity", "root_velocity", "joint_velocities")


def motion_features(motion: Motion) -> FloatArray:
    """[T,263] raw features of ``motion`` at 20 frames a second, on HumanML3D's body, its lowest joint on the floor."""
    return position_features(motion.resampled(hml263.FPS).positions)


def position_features(positions: NDArray[np.floating], floor: float | None = None) -> FloatArray:
    """Joint positions [T,22,3] at 20 frames a second, T from 1 -> [T,263].

    floor: height of the floor, metres; None: the lowest joint touches it. Raises InputError(``positions``).
    """
    if len(positions) == 0:
        raise InputError("positions", "has 0 frames, at least 1 is needed")
    if not hml263.has_uniform_bones(positions):
        positions = hml263.uniform_positions(positions)
    lowest = float(positions[..., 1].min()) if floor is None else floor
    grounded = positions - np.array([0.0, lowest, 0.0])
    going_on = 2.0 * grounded[-1:] - grounded[-2:-1] if len(grounded) > 1 else grounded
    return hml263.encode(np.concatenate([grounded, going_on]), retarget=False, ground=False)


def hold(features: FloatArray, frames: int) -> FloatArray:
    """``features`` [T,263] made ``frames`` long by standing still in the last pose."""
    missing = frames - len(features)
    if missing <= 0:
        return features
    still = features[-1].copy()
    for name in _VELOCITIES:
        still[hml263.LAYOUT[name]] = 0.0
    still[hml263.LAYOUT["contacts"]] = 1.0
    return np.concatenate([features, np.repeat(still[None], missing, axis=0)])

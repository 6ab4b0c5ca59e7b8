"""Physical plausibility: feet that skate, sink or float, and bodies that meet scenes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.skeleton import JOINT_INDEX

BoolArray = NDArray[np.bool_]
_FEET = (JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"])


def ground_contacts(positions: NDArray[np.floating], fps: float, height: float = 0.08, speed: float = 0.6) -> BoolArray:
    """Which foot stands on the ground at each frame, [T,22,3] metres -> bool [T,2] (left, right).

    A toe joint is in contact when it is below ``height`` metres above the lowest toe of the clip and moves
    horizontally slower than ``speed`` m/s. Needs at least 2 frames, else InputError.
    """
    if len(positions) < 2:
        raise InputError("positions", f"{len(positions)} frames, at least 2 are needed for contacts")
    feet = positions[:, _FEET]
    velocity = np.gradient(feet[..., [0, 2]], axis=0) * fps
    low = feet[..., 1] - feet[..., 1].min() < height
    return np.asarray(low & (np.linalg.norm(velocity, axis=-1) < speed))

"""HumanML3D .npy: joint positions [T,22,3] (``new_joints``) or features [T,263] (``new_joint_vecs``), 20 fps.

Guo et al. 2022, https://github.com/EricGuo5513/HumanML3D. The files carry no rate; the data set's is 20.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.errors import FormatError
from kinesphere.formats import arrays, limits
from kinesphere.motion import Motion
from kinesphere.skeleton import NUM_JOINTS, FloatArray

FPS: Final = 20.0


def read_positions(path: Path) -> FloatArray:
    """Joint positions [T,22,3] in metres from either kind. Raises FormatError."""
    return parse_positions(limits.read_bytes(path))


def parse_positions(data: bytes) -> FloatArray:
    """Joint positions [T,22,3] in metres from the bytes of either kind. Raises FormatError."""
    from kinesphere.representations import hml263

    array = arrays.parse_npy(data)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    width = hml263.LAYOUT.total
    if array.ndim == 2 and array.shape[1] == width:
        features = arrays.finite(array, "npy", (None, width))
        limits.check_frames(len(features), width)
        return hml263.decode(features.astype(np.float32))
    if array.ndim == 2 and array.shape[1] == NUM_JOINTS * 3:
        array = array.reshape(-1, NUM_JOINTS, 3)
    if array.ndim != 3 or array.shape[1:] != (NUM_JOINTS, 3):
        raise FormatError(
            "npy", f"has shape {list(array.shape)}, expected [T,22,3] joints or [T,{width}] features"
        )
    limits.check_frames(len(array), NUM_JOINTS * 3)
    return arrays.finite(array, "npy", (None, NUM_JOINTS, 3)).astype(np.float32)


def write_joints(motion: Motion, path: Path) -> None:
    """Write positions [T,22,3] at 20 fps."""
    np.save(path, motion.resampled(FPS).positions, allow_pickle=False)


def write_features(motion: Motion, path: Path) -> None:
    """Write features [T-1,263] at 20 fps, on HumanML3D's skeleton, grounded, starting at the origin and facing +Z.

    Raises InputError for a motion too short to have a velocity.
    """
    from kinesphere.representations import hml263

    np.save(path, hml263.encode(motion.resampled(FPS).positions), allow_pickle=False)

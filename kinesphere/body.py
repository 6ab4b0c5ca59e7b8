"""Where a body faces, read from its joints: used by drawing, metrics and probes alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from kinesphere.skeleton import JOINT_INDEX, FloatArray

_LEFT = (JOINT_INDEX["left_hip"], JOINT_INDEX["left_shoulder"])
_RIGHT = (JOINT_INDEX["right_hip"], JOINT_INDEX["right_shoulder"])


def facing(positions: NDArray[np.floating]) -> FloatArray:
    """Unit horizontal direction the body faces, [...,22,3] -> [...,3].

    Hips and shoulders both vote, as in HumanML3D's own preprocessing (Guo et al. 2022), so that a twisted torso or a
    raised leg alone does not turn the person. A body without a horizontal left-right axis faces +Z.
    """
    left = sum(positions[..., a, :] - positions[..., b, :] for a, b in zip(_LEFT, _RIGHT, strict=True))
    assert not isinstance(left, int)
    forward = np.stack([-left[..., 2], np.zeros_like(left[..., 0]), left[..., 0]], axis=-1)
    norm = np.linalg.norm(forward, axis=-1, keepdims=True)
    rest = np.array([0.0, 0.0, 1.0])
    return np.where(norm > 1e-6, forward / np.maximum(norm, 1e-6), rest).astype(np.float32)


def yaw(positions: NDArray[np.floating], smooth_frames: float = 0.0) -> FloatArray:
    """Heading in radians over time, unwrapped, [T,22,3] -> [T]; growing means turning left (+Z towards +X).

    smooth_frames: sigma of a Gaussian over time, 0 for none.
    """
    forward = facing(positions)
    angle = np.unwrap(np.arctan2(forward[:, 0], forward[:, 2]).astype(np.float64))
    if smooth_frames > 0:
        angle = gaussian_filter1d(angle, smooth_frames, mode="nearest")
    return angle.astype(np.float32)

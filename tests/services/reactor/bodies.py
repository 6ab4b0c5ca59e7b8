"""Bodies of other proportions than the reference body's, and how they move before a session."""

from __future__ import annotations

import numpy as np

from kinesphere.motion import Motion, forward_kinematics
from kinesphere.skeleton import JOINT_INDEX, SMPL22, FloatArray, Skeleton
from services.reactor import poses


def body(metres: float, **stretched: float) -> Skeleton:
    """Somebody of ``metres``, the reference body taken for 1.75 m; single joints may be farther from their parents
    (``left_elbow=1.2``)."""
    offsets = SMPL22.offsets * np.float32(metres / 1.75)
    for name, factor in stretched.items():
        offsets[JOINT_INDEX[name]] *= np.float32(factor)
    return Skeleton(SMPL22.names, SMPL22.parents, offsets)


# A child with long legs and short arms, and a tall adult with wide hips, long shins and arms.
CHILD = body(1.4, left_knee=1.06, right_knee=1.06, left_elbow=0.9, right_elbow=0.9, head=1.2)
TALL = body(
    2.0, left_hip=1.2, right_hip=1.2, left_ankle=1.08, right_ankle=1.08, left_wrist=1.15, right_wrist=1.15
)


def walked(skeleton: Skeleton, frames: int = 12, fps: float = 20.0) -> Motion:
    """Somebody who stands at (3, 1), the lowest joint on the floor, and glides along X at 0.4 m/s."""
    turned = np.tile(poses.standing()[None, 3:], (frames, 1)).reshape(frames, 22, 4)
    place = np.zeros((frames, 3), np.float32)
    place[:, 0], place[:, 2] = 3.0 + 0.4 / fps * np.arange(frames), 1.0
    place[:, 1] = -forward_kinematics(place, turned, skeleton)[0, :, 1].min()
    return Motion.from_rotations(place, turned, fps, skeleton)


def check_bones(positions: FloatArray, skeleton: Skeleton) -> None:
    """Every joint [T,22,3] is as far from its parent as on ``skeleton``."""
    lengths = np.linalg.norm(positions[:, 1:] - positions[:, list(SMPL22.parents[1:])], axis=-1)
    wanted = np.linalg.norm(skeleton.offsets[1:], axis=-1)
    np.testing.assert_allclose(lengths, np.tile(wanted, (len(lengths), 1)), atol=1e-4)

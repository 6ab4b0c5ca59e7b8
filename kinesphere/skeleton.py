"""The skeleton that everything in Kinesphere is expressed on: SMPL's first 22 joints, in SMPL order.

Frame of reference: Y up, metres, right-handed, a person at rest faces +Z, so the person's left is +X.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

JOINT_NAMES: Final[tuple[str, ...]] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
)  # fmt: skip
PARENTS: Final[tuple[int, ...]] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)
NUM_JOINTS: Final = len(JOINT_NAMES)
JOINT_INDEX: Final[dict[str, int]] = {name: index for index, name in enumerate(JOINT_NAMES)}
# For each joint the joint on the other side of the body; the spine maps to itself.
MIRROR: Final[tuple[int, ...]] = tuple(
    JOINT_INDEX[name.replace("left", "right") if "left" in name else name.replace("right", "left")]
    for name in JOINT_NAMES
)

# Directions of SMPL's neutral rest pose (T pose), parent to child, before scaling to the lengths below.
_REST_DIRECTIONS: Final = (
    (0.0, 0.0, 0.0), (0.0594, -0.0864, -0.0156), (-0.0594, -0.0864, -0.0156), (0.0, 0.1244, -0.0384),
    (0.0434, -0.3851, 0.0016), (-0.0434, -0.3851, 0.0016), (0.0, 0.1380, 0.0268), (-0.0170, -0.4235, -0.0360),
    (0.0170, -0.4235, -0.0360), (0.0, 0.0560, 0.0029), (0.0380, -0.0612, 0.1262), (-0.0380, -0.0612, 0.1262),
    (0.0, 0.2116, -0.0335), (0.0774, 0.1133, -0.0213), (-0.0774, 0.1133, -0.0213), (0.0, 0.0889, 0.0504),
    (0.1181, 0.0461, -0.0138), (-0.1181, 0.0461, -0.0138), (0.2577, -0.0150, -0.0271), (-0.2577, -0.0150, -0.0271),
    (0.2674, 0.0098, -0.0067), (-0.2674, 0.0098, -0.0067),
)  # fmt: skip

# Bone lengths in metres of the body that HumanML3D retargets every clip to; all published metrics assume it.
BONE_LENGTHS: Final[tuple[float, ...]] = (
    0.0, 0.10307, 0.10988, 0.13157, 0.39362, 0.39019, 0.14319, 0.43243, 0.42564, 0.05736, 0.14338, 0.14942, 0.21936,
    0.13749, 0.14338, 0.10304, 0.13161, 0.12298, 0.25684, 0.26309, 0.26601, 0.26988,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A joint hierarchy with its rest pose.

    names: J joint names. parents: J indices, -1 for the root, every parent before its child.
    offsets: [J,3] metres, each joint's place in its parent's frame at rest (the root's is zero).
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: FloatArray

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.names)

    def children(self, joint: int) -> tuple[int, ...]:
        """Indices of the joints that hang on ``joint``, in order."""
        return tuple(child for child, parent in enumerate(self.parents) if parent == joint)

    def rest_positions(self) -> FloatArray:
        """[J,3] joint positions of the rest pose with the root at the origin."""
        positions = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                positions[joint] = positions[parent] + self.offsets[joint]
        return positions


def _smpl22() -> Skeleton:
    directions = np.asarray(_REST_DIRECTIONS, dtype=np.float64)
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    offsets = directions / np.where(norms > 0, norms, 1.0) * np.asarray(BONE_LENGTHS)[:, None]
    return Skeleton(JOINT_NAMES, PARENTS, offsets.astype(np.float32))


SMPL22: Final[Skeleton] = _smpl22()

"""InterHuman's 262 numbers a frame and person (Liang et al., "InterGen", IJCV 2024, arXiv:2304.05684).

    positions   66   22 joints, metres, Y up, in the frame that person A starts in: at the origin, hips facing +Z
    velocities  66   to the next frame, metres a frame
    rotations   126  joints 1..21 in their parents' frames, 6 numbers each, as given; the pelvis' is not told
    contacts    4    left ankle, left foot, right ankle, right foot stand (slow and low; 0 or 1)

Each person is put on the ground alone; then person B is moved rigidly to where B stood beside A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.representations.layout import Layout
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS, FloatArray

Floats = NDArray[np.floating]

LAYOUT: Final = Layout(
    262,
    positions=3 * NUM_JOINTS,
    velocities=3 * NUM_JOINTS,
    rotations=6 * (NUM_JOINTS - 1),
    contacts=4,
)
CONTACT_JOINTS: Final = tuple(
    JOINT_INDEX[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")
)
CONTACT_THRESHOLD: Final = 0.001  # square metres a frame
CONTACT_HEIGHTS: Final = (0.12, 0.05, 0.12, 0.05)  # metres, below which an ankle or a foot can stand


@dataclass(frozen=True)
class Relation:
    """Where B starts, in A's frame: x, z in metres; yaw: B's direction, radians (positive to A's left)."""

    yaw: float
    x: float
    z: float


def encode(
    positions: Floats, rotations: Floats, other_positions: Floats, other_rotations: Floats
) -> tuple[FloatArray, FloatArray, Relation]:
    """Two people -> features [T-1,262] of A and of B, and where B starts beside A.

    positions: [T,22,3] metres, world, Y up. rotations: [T,21,6], joints 1..21 (``rotations.to_6d`` of a motion's
    ``rotations[:, 1:]``). The two ``other_`` arrays are B's. Raises InputError naming the array that has another shape.
    """
    frames = len(positions)
    for name, array, shape in (
        ("positions", positions, (frames, NUM_JOINTS, 3)),
        ("rotations", rotations, (frames, NUM_JOINTS - 1, 6)),
        ("other_positions", other_positions, (frames, NUM_JOINTS, 3)),
        ("other_rotations", other_rotations, (frames, NUM_JOINTS - 1, 6)),
    ):
        if array.shape != shape:
            raise InputError(name, f"has shape {list(array.shape)}, expected {list(shape)}")
        if not np.isfinite(array).all():
            raise InputError(name, "holds NaN or infinite values")
    if frames < 2:
        raise InputError("positions", f"has {frames} frames, at least 2 are needed")
    a_yaw, a_ground = _start(positions)
    b_yaw, b_ground = _start(other_positions)
    between = rot.rotate(rot.about_y(-a_yaw), b_ground - a_ground)
    relation = Relation(
        float(np.remainder(b_yaw - a_yaw + np.pi, 2 * np.pi) - np.pi), *between[[0, 2]].tolist()
    )
    none = Relation(0.0, 0.0, 0.0)
    first = _features(positions, rotations, a_yaw, a_ground, none)
    return first, _features(other_positions, other_rotations, b_yaw, b_ground, relation), relation


def decode(features: Floats) -> tuple[FloatArray, FloatArray]:
    """Features [T,262] -> joint positions [T,22,3] in A's frame and local rotations [T,21,4] of joints 1..21.

    Raises InputError(``features``) on another shape or NaN.
    """
    LAYOUT.check("features", features)
    positions = features[:, LAYOUT["positions"]].reshape(-1, NUM_JOINTS, 3)
    six = features[:, LAYOUT["rotations"]].reshape(-1, NUM_JOINTS - 1, 6)
    return positions.astype(np.float32), rot.from_6d(six.astype(np.float64)).astype(np.float32)


def _start(positions: Floats) -> tuple[float, Floats]:
    """Direction (radians about Y) and ground point [3] of the first frame."""
    first = positions[0].astype(np.float64)
    across = first[JOINT_INDEX["left_hip"]] - first[JOINT_INDEX["right_hip"]]
    return float(np.arctan2(-across[2], across[0])), first[0] * [1.0, 0.0, 1.0]


def _features(
    positions: Floats, rotations: Floats, yaw: float, ground: Floats, place: Relation
) -> FloatArray:
    own = positions.astype(np.float64) - ground
    own[..., 1] -= own[..., 1].min()
    own = rot.rotate(rot.about_y(place.yaw - yaw), own) + np.array([place.x, 0.0, place.z])
    steps = np.diff(own, axis=0)
    feet = list(CONTACT_JOINTS)
    slow = np.sum(steps[:, feet] ** 2, axis=-1) < CONTACT_THRESHOLD
    standing = slow & (own[:-1, feet, 1] < np.array(CONTACT_HEIGHTS))
    features = np.empty((len(own) - 1, LAYOUT.total), dtype=np.float32)
    for name, values in (
        ("positions", own[:-1]),
        ("velocities", steps),
        ("rotations", rotations[:-1]),
        ("contacts", standing),
    ):
        features[:, LAYOUT[name]] = values.reshape(len(features), -1)
    return features

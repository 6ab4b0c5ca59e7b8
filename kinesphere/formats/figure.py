"""The body that GLB files carry: a simple clothed figure, made from the skeleton's rest pose and skinned to it.

Limbs are tapered capsules that belong to one bone each (their round ends meet in the joints, so nothing collapses when
they bend); the trunk is one lofted surface whose weights pass from pelvis to chest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.formats.hierarchy import Float
from kinesphere.skeleton import JOINT_INDEX, SMPL22, Skeleton

AROUND: Final = 20  # vertices around a limb
_CAP: Final = 5  # rings in each round end
Vector = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of one colour. vertices, normals: [V,3] metres in the rest pose, the pelvis at the origin. faces: [F,3].
    joints: [V,4] indices of joints; weights: [V,4], each row summing to 1.
    """

    material: str
    vertices: Float
    normals: Float
    faces: NDArray[np.int64]
    joints: NDArray[np.int64]
    weights: Float


@dataclass(frozen=True, eq=False)
class Body:
    """What a GLB file animates: parts skinned to a skeleton whose first 22 joints are SMPL's."""

    skeleton: Skeleton
    parts: tuple[Part, ...]


# Linear base colours (red, green, blue) of the materials.
MATERIALS: Final[dict[str, Vector]] = {
    "shirt": (0.10, 0.26, 0.42),
    "trousers": (0.055, 0.065, 0.09),
    "skin": (0.72, 0.46, 0.33),
    "shoes": (0.62, 0.62, 0.60),
}


def build(skeleton: Skeleton = SMPL22) -> list[Part]:
    """The figure on a 22-joint skeleton; girths scale with its legs."""
    rest = skeleton.rest_positions().astype(np.float64)
    scale = float(
        np.linalg.norm(skeleton.offsets[JOINT_INDEX["left_knee"]])
        + np.linalg.norm(skeleton.offsets[JOINT_INDEX["left_ankle"]])
    ) / float(
        np.linalg.norm(SMPL22.offsets[JOINT_INDEX["left_knee"]])
        + np.linalg.norm(SMPL22.offsets[JOINT_INDEX["left_ankle"]])
    )
    parts = [_trunk(rest, scale)]

    def at(name: str, offset: Vector = (0.0, 0.0, 0.0)) -> Float:
        place: Float = rest[JOINT_INDEX[name]] + np.asarray(offset) * scale
        return place

    def limb(
        material: str, joint: str, start: Float, end: Float, radii: tuple[float, float], flat: float = 1.0
    ) -> None:
        parts.append(
            _capsule(material, JOINT_INDEX[joint], start, end, (radii[0] * scale, radii[1] * scale), flat)
        )

    # Seat: closes the trunk below and carries the tops of the thighs.
    limb(
        "trousers",
        "pelvis",
        at("left_hip", (-0.01, 0.02, 0.0)),
        at("right_hip", (0.01, 0.02, 0.0)),
        (0.095, 0.095),
    )
    limb("skin", "neck", at("neck", (0.0, -0.02, 0.0)), at("head", (0.0, 0.02, -0.015)), (0.052, 0.05))
    limb(
        "skin", "head", at("head", (0.0, 0.035, 0.022)), at("head", (0.0, 0.115, 0.01)), (0.076, 0.088), 1.12
    )
    limb("skin", "head", at("head", (0.0, 0.06, 0.092)), at("head", (0.0, 0.032, 0.112)), (0.008, 0.014))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        limb("shirt", f"{side}_collar", at(f"{side}_collar"), at(f"{side}_shoulder"), (0.062, 0.06))
        limb("shirt", f"{side}_shoulder", at(f"{side}_shoulder"), at(f"{side}_elbow"), (0.056, 0.043))
        limb("skin", f"{side}_elbow", at(f"{side}_elbow"), at(f"{side}_wrist"), (0.04, 0.027))
        tip = at(f"{side}_wrist", (sign * 0.135, 0.0, 0.01))
        limb("skin", f"{side}_wrist", at(f"{side}_wrist", (sign * 0.01, 0.0, 0.0)), tip, (0.026, 0.02), 1.7)
        thumb = at(f"{side}_wrist", (sign * 0.075, -0.01, 0.055))
        limb("skin", f"{side}_wrist", at(f"{side}_wrist", (sign * 0.03, 0.0, 0.015)), thumb, (0.014, 0.011))
        limb("trousers", f"{side}_hip", at(f"{side}_hip"), at(f"{side}_knee"), (0.088, 0.057))
        limb("trousers", f"{side}_knee", at(f"{side}_knee"), at(f"{side}_ankle"), (0.056, 0.037))
        heel = at(f"{side}_ankle", (0.0, -0.03, -0.025))
        ball = at(f"{side}_foot", (0.0, 0.005, 0.0))
        limb("shoes", f"{side}_ankle", heel, ball, (0.041, 0.036), 1.1)
        limb(
            "shoes",
            f"{side}_foot",
            ball,
            at(f"{side}_foot", (sign * 0.005, -0.002, 0.06)),
            (0.036, 0.028),
            1.2,
        )
    return parts


def _capsule(
    material: str, joint: int, start: Float, end: Float, radii: tuple[float, float], flat: float
) -> Part:
    """A tapered capsule from ``start`` to ``end``; ``flat`` widens it across and thins it the other way."""
    along = end - start
    length = float(np.linalg.norm(along))
    along = along / length
    # Across: sideways for limbs that hang or point ahead, forward for arms in the T pose.
    helper = np.array([1.0, 0.0, 0.0]) if abs(along[0]) < 0.7 else np.array([0.0, 0.0, 1.0])
    across = helper - along * np.dot(helper, along)
    across /= np.linalg.norm(across)
    third = np.cross(along, across)
    angles = np.linspace(0, np.pi / 2, _CAP + 1)
    heights = np.concatenate([-np.cos(angles) * radii[0], length + np.sin(angles) * radii[1]])
    girths = np.concatenate([np.sin(angles) * radii[0], np.cos(angles) * radii[1]])
    rings = [
        start + along * height + _ellipse(girth * flat, girth / flat) @ np.stack([across, third])
        for height, girth in zip(heights, girths, strict=True)
    ]
    vertices, faces = _loft(rings)
    count = len(vertices)
    joints = np.zeros((count, 4), dtype=np.int64)
    joints[:, 0] = joint
    weights = np.zeros((count, 4))
    weights[:, 0] = 1.0
    return Part(material, vertices, normals(vertices, faces), faces, joints, weights)


# The trunk, ring by ring: joint it is fixed to, height over it, half width, half depth, and how far forward (metres).
_TRUNK: Final = (
    ("pelvis", -0.075, 0.135, 0.095, -0.01),
    ("pelvis", -0.03, 0.152, 0.108, -0.01),
    ("pelvis", 0.04, 0.148, 0.104, 0.0),
    ("spine1", 0.0, 0.138, 0.1, 0.03),
    ("spine1", 0.07, 0.138, 0.1, 0.03),
    ("spine2", 0.0, 0.15, 0.108, 0.02),
    ("spine3", 0.03, 0.165, 0.115, 0.02),
    ("spine3", 0.09, 0.165, 0.112, 0.015),
    ("spine3", 0.135, 0.142, 0.096, 0.0),
    ("spine3", 0.175, 0.09, 0.07, -0.015),
    ("neck", -0.01, 0.056, 0.054, 0.0),
)


def _trunk(rest: Float, scale: float) -> Part:
    rings: list[Float] = [np.empty(0)]
    owners: list[int] = [0]
    for name, up, wide, deep, ahead in _TRUNK:
        joint = JOINT_INDEX[name]
        centre = rest[joint] + np.array([0.0, up, ahead]) * scale
        outline = _ellipse(wide * scale, deep * scale) @ np.array([[1.0, 0, 0], [0, 0, -1.0]])
        rings.append(centre + outline)
        owners.append(joint)
    # Close both ends with a ring of no size.
    rings[0], owners[0] = np.repeat(rings[1].mean(axis=0)[None], AROUND, axis=0), owners[1]
    rings.append(np.repeat(rings[-1].mean(axis=0)[None], AROUND, axis=0))
    owners.append(owners[-1])
    vertices, faces = _loft(rings)
    joints = np.zeros((len(vertices), 4), dtype=np.int64)
    weights = np.zeros((len(vertices), 4))
    for ring, owner in enumerate(owners):
        rows = slice(ring * AROUND, (ring + 1) * AROUND)
        shares: dict[int, float] = {}
        for neighbour in range(ring - 1, ring + 2):
            other = owners[min(max(neighbour, 0), len(owners) - 1)]
            shares[other] = shares.get(other, 0.0) + (0.5 if neighbour == ring else 0.25)
        for slot, (other, share) in enumerate(shares.items()):
            joints[rows, slot], weights[rows, slot] = other, share
        assert owner in shares
    return Part("shirt", vertices, normals(vertices, faces), faces, joints, weights)


def _ellipse(wide: float, deep: float) -> Float:
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    return np.stack([np.cos(turn) * wide, np.sin(turn) * deep], axis=1)


def _loft(rings: Sequence[Float]) -> tuple[Float, NDArray[np.int64]]:
    """Join rings of AROUND points each into triangles that face outwards."""
    ring = np.arange(len(rings) - 1)[:, None] * AROUND
    a = ring + np.arange(AROUND)
    b = ring + np.roll(np.arange(AROUND), -1)
    triangles = np.stack([a, b, b + AROUND, a, b + AROUND, a + AROUND], axis=-1).reshape(-1, 3)
    vertices: Float = np.concatenate(rings)
    corners = vertices[triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return vertices, triangles[area > 1e-12]


def normals(vertices: Float, faces: NDArray[np.int64]) -> Float:
    """Unit normals [V,3] of vertices [V,3], the mean of those of the faces [F,3] around them, by area."""
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # Rings of no size have several vertices at one place; they share what the faces around them say.
    _, same = np.unique(np.round(vertices, 6), axis=0, return_inverse=True)
    summed = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(summed, same.reshape(-1)[faces[:, corner]], normals)
    result = summed[same.reshape(-1)]
    length = np.linalg.norm(result, axis=1, keepdims=True)
    # A vertex of no face gets one too: glTF wants every normal to be of unit length.
    return np.where(length > 1e-12, result / np.maximum(length, 1e-12), np.array([0.0, 1.0, 0.0]))

"""From the landmarks that every rig has (hips, knees, shoulders ...) to SMPL's 22 joints.

Rigs put their trunk joints in very different places (a pelvis between the hips or above them, two to five spine joints,
collars anywhere between breastbone and shoulder), and HumanML3D's features read the directions of bones. So limbs are
taken over bone by bone, while the trunk is rebuilt with SMPL's own proportions: the orientations of pelvis and chest
are measured, the spine turns evenly from one to the other, and collars and neck swing as the rig's do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats.hierarchy import Float
from kinesphere.skeleton import JOINT_INDEX, SMPL22

SIDES: Final = ("left", "right")
LIMB_LANDMARKS: Final = ("hip", "knee", "ankle", "toe", "shoulder", "elbow", "wrist")
REQUIRED: Final = tuple(f"{side}_{part}" for side in SIDES for part in LIMB_LANDMARKS) + ("neck", "head")
# The landmark at the other end of each limb bone, and of each bone of the trunk that swings against the chest.
ABOVE: Final = {"knee": "hip", "ankle": "knee", "toe": "ankle", "elbow": "shoulder", "wrist": "elbow"}
SWINGS: Final = {"left_clavicle": "left_shoulder", "right_clavicle": "right_shoulder", "neck": "head"}
# Directions in the chest's frame of collar to shoulder and neck to head of people who stand at ease: the mean over
# HumanML3D. SMPL's own rest pose has the shoulders raised and the head upright, which nobody does.
_AT_EASE: Final = {
    "left_clavicle": (0.998, -0.07, 0.02),
    "right_clavicle": (-0.998, -0.07, 0.02),
    "neck": (0.0, 0.70, 0.714),
}
_REST: Final = SMPL22.rest_positions().astype(np.float64)
# The legs of the reference body: thigh and shin, the mean of both.
_LEG: Final = sum(
    float(np.linalg.norm(SMPL22.offsets[JOINT_INDEX[f"{side}_{part}"]])) / 2
    for side in SIDES
    for part in ("knee", "ankle")
)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """points: [T,3] metres, Y up, by landmark name. pelvis, chest: [T,4] world orientations wxyz, identity at rest
    (facing +Z). rest: directions at ease, in the chest's frame, of ``left_clavicle``, ``right_clavicle`` and ``neck``.
    still_clavicles: the source does not record how the shoulders rise with the arms.
    """

    points: Mapping[str, Float]
    pelvis: Float
    chest: Float
    rest: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    still_clavicles: bool = False


def frame(left_to: Float, up_to: Float) -> Float:
    """Orientations [T,4] whose X is ``left_to`` and whose Y is in the plane of both, towards ``up_to``. [T,3] each.

    Raises FormatError where the two are parallel.
    """
    x = _unit(left_to)
    z = np.cross(x, _unit(up_to))
    if np.min(np.linalg.norm(z, axis=-1)) < 1e-6:
        raise FormatError(
            "hierarchy", "the body's left and up are one direction, so where it faces cannot be read"
        )
    z = _unit(z)
    return rot.from_matrix(np.stack([x, np.cross(z, x), z], axis=-1)).astype(np.float64)


def smpl_joints(marks: Landmarks) -> Float:
    """[T,22,3] metres. Limbs keep the source's lengths and directions; the trunk is SMPL's, scaled with the legs."""
    missing = [name for name in REQUIRED if name not in marks.points]
    if missing:
        raise FormatError("hierarchy", f"no joint for {', '.join(missing)}")
    points = marks.points
    count = len(points["neck"])
    scale = _leg_length(points) / _LEG
    joints = np.zeros((count, len(_REST), 3))

    def put(name: str, parent: str, orientation: Float) -> None:
        offset = _offset(name) * scale
        joints[:, JOINT_INDEX[name]] = joints[:, JOINT_INDEX[parent]] + rot.rotate(orientation, offset)

    hips = (_REST[JOINT_INDEX["left_hip"]] + _REST[JOINT_INDEX["right_hip"]]) / 2
    middle = (points["left_hip"] + points["right_hip"]) / 2
    joints[:, 0] = middle - rot.rotate(marks.pelvis, hips * scale)
    put("spine1", "pelvis", marks.pelvis)
    put("spine2", "spine1", rot.slerp(marks.pelvis, marks.chest, 1 / 3))
    put("spine3", "spine2", rot.slerp(marks.pelvis, marks.chest, 2 / 3))
    put("neck", "spine3", marks.chest)
    neck = joints[:, JOINT_INDEX["neck"]]
    joints[:, JOINT_INDEX["head"]] = neck + scale * _swung(
        marks, "neck", points["head"] - points["neck"], "head"
    )
    for side in SIDES:
        put(f"{side}_hip", "pelvis", marks.pelvis)
        put(f"{side}_collar", "spine3", marks.chest)
        name, shoulder = f"{side}_clavicle", f"{side}_shoulder"
        inner = points.get(name)
        bone = (
            rot.rotate(marks.chest, np.asarray(_AT_EASE[name])) if inner is None else points[shoulder] - inner
        )
        if marks.still_clavicles:
            bone = _raised(marks, side, bone)
        collar = joints[:, JOINT_INDEX[f"{side}_collar"]]
        joints[:, JOINT_INDEX[shoulder]] = collar + scale * _swung(marks, name, bone, shoulder)
        for chain in (("hip", "knee", "ankle", "foot"), ("shoulder", "elbow", "wrist")):
            for above, below in pairwise(chain):
                bone = points[f"{side}_{_landmark(below)}"] - points[f"{side}_{_landmark(above)}"]
                start = joints[:, JOINT_INDEX[f"{side}_{above}"]]
                joints[:, JOINT_INDEX[f"{side}_{below}"]] = start + bone
    return joints


def _landmark(joint: str) -> str:
    return "toe" if joint == "foot" else joint


def _swung(marks: Landmarks, name: str, bone: Float, joint: str) -> Float:
    """[T,3] the bone to ``joint`` of the reference body, swung as far as ``bone`` [T,3] has swung from its ease."""
    ease = np.asarray(_AT_EASE[name])
    rest = np.asarray(marks.rest.get(name, (0.0, 1.0, 0.0) if name == "neck" else ease))
    local = rot.rotate(rot.inverse(marks.chest), bone)
    swing = rot.between(np.broadcast_to(rest, local.shape), local)
    length = float(np.linalg.norm(_offset(joint)))
    return rot.rotate(rot.multiply(marks.chest, swing), ease * length)


def _raised(marks: Landmarks, side: str, bone: Float) -> Float:
    """``bone`` [T,3], the collar, raised with the arm: beyond 30 degrees a third of what the arm rises.

    That is the rhythm of shoulder blade and upper arm (Inman et al. 1944, doi:10.2106/00004623-194426010-00001).
    """
    arm = _unit(
        rot.rotate(rot.inverse(marks.chest), marks.points[f"{side}_elbow"] - marks.points[f"{side}_shoulder"])
    )
    raised = np.clip((np.arccos(np.clip(-arm[:, 1], -1.0, 1.0)) - np.pi / 6) / 3, 0.0, np.pi / 6)
    sign = 1.0 if side == "left" else -1.0
    zero = np.zeros_like(raised)
    turn = np.stack([np.cos(raised / 2), zero, zero, sign * np.sin(raised / 2)], axis=-1)
    return rot.rotate(rot.multiply(rot.multiply(marks.chest, turn), rot.inverse(marks.chest)), bone)


def _offset(name: str) -> Float:
    offset: Float = SMPL22.offsets[JOINT_INDEX[name]].astype(np.float64)
    return offset


def _leg_length(points: Mapping[str, Float]) -> float:
    legs = [
        np.linalg.norm(points[f"{side}_{a}"] - points[f"{side}_{b}"], axis=1)
        for side in SIDES
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return float(sum(np.median(leg) for leg in legs) / 2)


def _unit(v: Float) -> Float:
    unit: Float = v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
    return unit

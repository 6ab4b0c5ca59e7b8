"""Tables that say where a rig keeps the landmarks of a body, in which unit, and which way is up.

The scales of the CMU conversions were measured against the same takes in ASF/AMC (see docs/formats.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats.hierarchy import Float, SourceHierarchy
from kinesphere.formats.landmarks import SIDES, Landmarks, frame

Direction = tuple[float, float, float]


@dataclass(frozen=True)
class Rig:
    """joints: source joint by landmark. metres: metres per file unit, None to be guessed from the length of the legs.

    pelvis, chest: the joints whose world rotation is the body's (rigs whose rest pose faces +Z with no rotation);
    None where orientations must be read off the landmarks. add_root_offset: the root's position channels are relative
    to its offset. rest: see ``Landmarks.rest``.
    """

    name: str
    joints: Mapping[str, str]
    metres: float | None
    pelvis: str | None = None
    chest: str | None = None
    add_root_offset: bool = False
    rest: Mapping[str, Direction] = field(default_factory=dict)

    def fits(self, hierarchy: SourceHierarchy) -> bool:
        return set(self.joints.values()) <= set(hierarchy.names)


def _sided(left: str, right: str, parts: Mapping[str, str], **trunk: str) -> dict[str, str]:
    """Landmark -> joint, from patterns that hold {} where the rig writes its side."""
    sided = {
        f"{side}_{part}": pattern.format(letter)
        for side, letter in zip(SIDES, (left, right), strict=True)
        for part, pattern in parts.items()
    }
    return sided | trunk


_DAZ: Final = _sided(
    "l",
    "r",
    {
        "hip": "{}Thigh",
        "knee": "{}Shin",
        "ankle": "{}Foot",
        "toe": "{}Foot_end",
        "clavicle": "{}Collar",
        "shoulder": "{}Shldr",
        "elbow": "{}ForeArm",
        "wrist": "{}Hand",
    },
    spine="abdomen",
    chest="chest",
    neck="neck",
    head="head",
)
BANDAI_NAMCO: Final = Rig(
    "bandai-namco",
    _sided(
        "L",
        "R",
        {
            "hip": "UpperLeg_{}",
            "knee": "LowerLeg_{}",
            "ankle": "Foot_{}",
            "toe": "Toes_{}",
            "clavicle": "Shoulder_{}",
            "shoulder": "UpperArm_{}",
            "elbow": "LowerArm_{}",
            "wrist": "Hand_{}",
        },
        spine="Spine",
        chest="Chest",
        neck="Neck",
        head="Head",
    ),
    0.01,
)
CMU_DAZ: Final = Rig("cmu-daz", _DAZ, 0.0102, pelvis="hip", chest="chest")
SALSA: Final = Rig("salsa-pairs", _DAZ, 1.31, pelvis="hip", chest="chest")
CMU_ICLONE: Final = Rig(
    "cmu-iclone",
    _sided(
        "L",
        "R",
        {
            "hip": "CC_Base_{}_Thigh",
            "knee": "CC_Base_{}_Calf",
            "ankle": "CC_Base_{}_Foot",
            "toe": "CC_Base_{}_ToeBase",
            "clavicle": "CC_Base_{}_Clavicle",
            "shoulder": "CC_Base_{}_Upperarm",
            "elbow": "CC_Base_{}_Forearm",
            "wrist": "CC_Base_{}_Hand",
        },
        spine="CC_Base_Waist",
        chest="CC_Base_Spine02",
        neck="CC_Base_NeckTwist01",
        head="CC_Base_Head",
    ),
    0.01,
    add_root_offset=True,
)
REACTIDLE: Final = Rig(
    "reactidle",
    _sided(
        "L",
        "R",
        {
            "hip": "thigh.{}",
            "knee": "shin.{}",
            "ankle": "foot.{}",
            "toe": "foot.{}_end",
            "clavicle": "shoulder.{}",
            "shoulder": "upper_arm.{}",
            "elbow": "forearm.{}",
            "wrist": "forearm.{}_end",
        },
        spine="spine.001",
        chest="spine.001",
        neck="neck",
        head="face",
    ),
    1.0,
    pelvis="pelvis",
    chest="spine.001",
    add_root_offset=True,
)
CMU_ASF: Final = Rig(
    "cmu-asf",
    _sided(
        "l",
        "r",
        {
            "hip": "{}hipjoint",
            "knee": "{}femur",
            "ankle": "{}tibia",
            "toe": "{}foot",
            "shoulder": "{}clavicle",
            "elbow": "{}humerus",
            "wrist": "{}wrist",
        },
        left_clavicle="thorax",
        right_clavicle="thorax",
        spine="lowerback",
        chest="upperback",
        neck="lowerneck",
        head="upperneck",
    ),
    None,
    pelvis="root",
    chest="thorax",
)
BVH_RIGS: Final = (BANDAI_NAMCO, CMU_ICLONE, REACTIDLE)


def of_hierarchy(hierarchy: SourceHierarchy) -> Rig:
    """The table that fits, else one made by matching names. Raises FormatError listing the landmarks not found."""
    for rig in BVH_RIGS:
        if rig.fits(hierarchy):
            return rig
    if CMU_DAZ.fits(hierarchy):
        # One rig in two units: Daz units of about a centimetre, and the salsa dancers scaled down to about a metre.
        leg = float(np.linalg.norm(hierarchy.offsets[hierarchy.index("lShin")]))
        return CMU_DAZ if leg > 5 else SALSA
    return by_names(hierarchy)


# Names that rigs give to landmarks, without side, prefix and punctuation; earlier ones win.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "hip": ("upleg", "thigh", "upperleg", "hip", "hipjoint", "femur", "legupper"),
    "knee": ("leg", "shin", "calf", "lowerleg", "knee", "lowleg", "leglower"),
    "ankle": ("foot", "ankle"),
    "toe": ("toebase", "toe", "toes", "ball", "footend", "ankleend"),
    "clavicle": ("shoulder", "clavicle", "collar"),
    "shoulder": ("arm", "upperarm", "uparm", "shldr", "shoulder"),
    "elbow": ("forearm", "lowerarm", "elbow", "lowarm"),
    "wrist": ("hand", "wrist"),
}
_TRUNK: Final[dict[str, tuple[str, ...]]] = {
    "spine": ("spine", "spine0", "spine1", "spine01", "abdomen", "chest", "torso", "waist", "lowerback"),
    "chest": ("spine3", "spine2", "spine02", "upperchest", "chest", "thorax", "spine1", "spine01", "torso", "spine"),
    "neck": ("neck", "neck1", "neck01", "lowerneck"),
    "head": ("head", "neckend", "headend"),
}


def by_names(hierarchy: SourceHierarchy) -> Rig:
    """A rig for any humanoid whose joints have usual names (Mixamo, Unreal, Rokoko, Xsens, SMPL ...)."""
    sided: dict[str, dict[str, str]] = {side: {} for side in SIDES}
    middle: dict[str, str] = {}
    for name in hierarchy.names:
        side, part = _split(name)
        (sided[side] if side else middle).setdefault(part, name)
    joints: dict[str, str] = {}
    for side in SIDES:
        # "LeftLeg" is a shin where there is a "LeftUpLeg" and "LeftShoulder" a collar where there is a "LeftArm".
        taken: set[str] = set()
        for part in ("hip", "knee", "ankle", "toe", "elbow", "wrist", "shoulder", "clavicle"):
            found = next((n for n in _NAMES[part] if n in sided[side] and n not in taken), None)
            if found is not None:
                taken.add(found)
                joints[f"{side}_{part}"] = sided[side][found]
    for part, names in _TRUNK.items():
        found = next((n for n in names if n in middle), None)
        if found is not None:
            joints[part] = middle[found]
    return Rig("generic", joints, None)


def _split(name: str) -> tuple[str, str]:
    """A joint's side ("" for the trunk) and its bare part, ``mixamorig:LeftUpLeg`` -> ("left", "upleg")."""
    bare = re.sub(r"^.*[:|]", "", name)
    bare = re.sub(r"^(mixamorig\d*|bip\d*|b_|def|j_bip_[clr]|hips_)[_\- ]?", "", bare, flags=re.IGNORECASE)
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", bare)]
    side = ""
    for mark, which in (("left", "left"), ("right", "right"), ("l", "left"), ("r", "right")):
        if mark in words:
            side = which
            words.remove(mark)
            break
    if not side:
        for which in SIDES:
            if words and words[0].startswith(which) and len(words[0]) > len(which):
                side, words[0] = which, words[0][len(which) :]
    return side, "".join(words)


def landmarks(rig: Rig, places: Mapping[str, tuple[Float, Float]], metres: float) -> Landmarks:
    """Landmarks in metres from the world transforms of the rig's joints (file units, Y up).

    Raises FormatError when the landmarks that orientations are read from coincide.
    """
    points = {mark: places[joint][0] * metres for mark, joint in rig.joints.items()}
    if rig.pelvis is not None:
        pelvis = _turn(places[rig.pelvis][1])
    else:
        hips = (points["left_hip"] + points["right_hip"]) / 2
        up = points["spine"] if "spine" in points else points["neck"]
        pelvis = frame(points["left_hip"] - points["right_hip"], _apart(up - hips, "hips and spine"))
    if rig.chest is not None:
        chest = _turn(places[rig.chest][1])
    else:
        inner = ("left_clavicle", "right_clavicle")
        width = points[inner[0]] - points[inner[1]] if inner[0] in points and inner[1] in points else None
        if width is None or np.median(np.linalg.norm(width, axis=1)) < 0.02:
            width = points["left_shoulder"] - points["right_shoulder"]
        hips = (points["left_hip"] + points["right_hip"]) / 2
        base = points.get("chest", hips)
        chest = frame(_apart(width, "the shoulders"), _apart(points["neck"] - base, "chest and neck"))
    return Landmarks(points, pelvis, chest, rig.rest)


def _turn(matrices: Float) -> Float:
    return rot.from_matrix(np.ascontiguousarray(matrices)).astype(np.float64)


def _apart(v: Float, what: str) -> Float:
    if np.min(np.linalg.norm(v, axis=1)) < 1e-3:
        raise FormatError("hierarchy", f"{what} coincide, so the body's orientation cannot be read")
    return v

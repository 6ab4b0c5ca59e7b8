"""Tables that say where a rig keeps the landmarks of a body, in which unit, and which way is up.

The scales of the CMU conversions were measured against the same takes in ASF/AMC (see docs/formats.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats.hierarchy import Float, SourceHierarchy
from kinesphere.formats.landmarks import ABOVE, SIDES, SWINGS, Landmarks, frame

Direction = tuple[float, float, float]


@dataclass(frozen=True)
class Rig:
    """joints: source joint by landmark. metres: metres per file unit, None to be guessed from the length of the legs.

    pelvis, chest: the joints whose world rotation is the body's (rigs whose rest pose faces +Z with no rotation);
    None where orientations must be read off the landmarks. rest: see ``Landmarks.rest``; left out where the rest pose
    tells. straight: landmarks that hang off their joint crooked at rest, with the direction the rotations assume.
    turns: rotation vectors in degrees, in the frame of the joint, that bring ``pelvis`` and ``chest`` (as read off the
    landmarks) and the feet's direction to SMPL's: a foot flat on the floor points 26 degrees down from ankle to toes.
    add_root_offset: the root's position channels are relative to its offset. calibration: the first frame is a pose
    held for calibration and not part of the take, "always" or "seldom" (then it is known by the leap that follows).
    """

    name: str
    joints: Mapping[str, str]
    metres: float | None
    pelvis: str | None = None
    chest: str | None = None
    rest: Mapping[str, Direction] = field(default_factory=dict)
    straight: Mapping[str, Direction] = field(default_factory=dict)
    turns: Mapping[str, Direction] = field(default_factory=dict)
    still_clavicles: bool = False
    add_root_offset: bool = False
    calibration: str = ""

    def fits(self, hierarchy: SourceHierarchy) -> bool:
        """Whether ``hierarchy`` has every joint of this table."""
        return set(self.joints.values()) <= set(hierarchy.names)


def _sided(left: str, right: str, parts: Mapping[str, str], **trunk: str) -> dict[str, str]:
    """Landmark -> joint, from patterns that hold {} where the rig writes its side."""
    sided = {
        f"{side}_{part}": pattern.format(letter)
        for side, letter in zip(SIDES, (left, right), strict=True)
        for part, pattern in parts.items()
    }
    return sided | trunk


def _both_feet(turn: Direction) -> dict[str, Direction]:
    return {"left_toe": turn, "right_toe": turn}


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
    rest={"left_clavicle": (0.975, -0.02, -0.2), "right_clavicle": (-0.975, -0.02, -0.2)},
    turns=_both_feet((0.0, -13.6, 0.0)),
)
# The forearms of this rig are bent forward at rest, yet it carries rotations recorded on straight ones.
_FOREARMS: Final[dict[str, Direction]] = {"left_wrist": (1.0, 0.0, 0.0), "right_wrist": (-1.0, 0.0, 0.0)}
CMU_DAZ: Final = Rig(
    "cmu-daz",
    _DAZ,
    0.0102,
    pelvis="hip",
    chest="chest",
    straight=_FOREARMS,
    turns=_both_feet((9.0, 0.0, 0.0)),
    still_clavicles=True,
    calibration="always",
)
SALSA: Final = replace(CMU_DAZ, name="salsa-pairs", metres=1.31, calibration="")
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
    0.0086,
    rest={
        "left_clavicle": (0.98, 0.0, -0.2),
        "right_clavicle": (-0.98, 0.0, -0.2),
        "neck": (0.0, 0.97, 0.22),
    },
    turns={"pelvis": (-9.5, 0.0, 0.0), "chest": (10.6, 0.0, 0.0)} | _both_feet((-12.5, 0.0, 0.0)),
    still_clavicles=True,
    add_root_offset=True,
    calibration="seldom",
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
    turns=_both_feet((4.0, 0.0, 0.0)),
    still_clavicles=True,
    add_root_offset=True,
)
_ACCLAIM_TRUNK: Final = {
    "left_clavicle": "thorax",
    "right_clavicle": "thorax",
    "spine": "lowerback",
    "chest": "upperback",
    "neck": "thorax",
    "head": "upperneck",
}
_ACCLAIM_FEET: Final[dict[str, Direction]] = {"left_toe": (9.6, 2.3, -1.3), "right_toe": (9.6, -2.3, 1.8)}
# Joints of an .asf are named after the bone that ends there.
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
        **_ACCLAIM_TRUNK,
    ),
    1.0,
    pelvis="root",
    chest="thorax",
    turns=_ACCLAIM_FEET,
    still_clavicles=True,
)
# The same skeleton written as BVH, where a joint is named after the bone that begins there.
CMU_BVH: Final = Rig(
    "cmu-bvh",
    _sided(
        "l",
        "r",
        {
            "hip": "{}femur",
            "knee": "{}tibia",
            "ankle": "{}foot",
            "toe": "{}toes",
            "clavicle": "{}clavicle",
            "shoulder": "{}humerus",
            "elbow": "{}radius",
            "wrist": "{}hand",
        },
        spine="upperback",
        chest="thorax",
        neck="lowerneck",
        head="head",
    ),
    0.0254 / 0.45,
    pelvis="hip",
    chest="thorax",
    turns=_ACCLAIM_FEET,
    still_clavicles=True,
)
BVH_RIGS: Final = (BANDAI_NAMCO, CMU_ICLONE, REACTIDLE, CMU_BVH)


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
    "ankle": ("ankle", "foot"),
    "toe": ("toebase", "toe", "toes", "ball", "foot", "footend", "ankleend"),
    "clavicle": ("shoulder", "clavicle", "collar"),
    "shoulder": ("arm", "upperarm", "uparm", "shldr", "shoulder"),
    "elbow": ("forearm", "lowerarm", "elbow", "lowarm"),
    "wrist": ("wrist", "hand", "forearmend", "lowerarmend", "elbowend"),
}
_TRUNK: Final[dict[str, tuple[str, ...]]] = {
    "spine": ("spine", "spine0", "spine1", "spine01", "abdomen", "chest", "torso", "waist", "lowerback"),
    "chest": (
        "spine3",
        "spine2",
        "spine02",
        "upperchest",
        "chest",
        "thorax",
        "spine1",
        "spine01",
        "torso",
        "spine",
    ),
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
    bare = re.sub(r"^(mixamorig\d*|character\d+|j_bip_|bip\d*|b_|def)[_\- ]?", "", bare, flags=re.IGNORECASE)
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", bare)]
    words = words[1:] if words[:1] == ["c"] else words
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


def landmarks(
    rig: Rig, places: Mapping[str, tuple[Float, Float]], rest: Mapping[str, Float], metres: float
) -> Landmarks:
    """Landmarks in metres from the world transforms of the rig's joints (file units, Y up).

    rest: [3] places of the joints in the rest pose. Raises FormatError when the landmarks that orientations are read
    from coincide.
    """
    points = {mark: places[joint][0] * metres for mark, joint in rig.joints.items()}
    for mark, direction in rig.straight.items():
        side, part = mark.split("_")
        above = f"{side}_{ABOVE[part]}"
        length = np.linalg.norm(points[mark] - points[above], axis=1, keepdims=True)
        points[mark] = points[above] + length * (places[rig.joints[above]][1] @ np.asarray(direction))
    for side in SIDES:
        toe, ankle = f"{side}_toe", f"{side}_ankle"
        if toe in rig.turns:
            joint = places[rig.joints[ankle]][1]
            turned = joint @ _vector(rig.turns[toe]) @ joint.transpose(0, 2, 1)
            points[toe] = (
                points[ankle] + np.matmul(turned, (points[toe] - points[ankle])[:, :, None])[:, :, 0]
            )
    hips = (points["left_hip"] + points["right_hip"]) / 2
    if rig.pelvis is not None:
        pelvis = _turn(places[rig.pelvis][1])
    else:
        up = points.get("spine", hips) - hips
        if np.min(np.linalg.norm(up, axis=1)) < 0.02:  # a spine that begins between the hips says nothing
            up = points["neck"] - hips
        across = _apart(points["left_hip"] - points["right_hip"], "the hips")
        pelvis = frame(across, _apart(up, "hips and neck"))
    swings = dict(rig.rest)
    if rig.chest is not None:
        chest = _turn(places[rig.chest][1])
        for mark, tip in SWINGS.items():
            if mark in rig.joints and mark not in swings:
                x, y, z = rest[rig.joints[tip]] - rest[rig.joints[mark]]
                swings[mark] = (float(x), float(y), float(z))
    else:
        inner = ("left_clavicle", "right_clavicle")
        width = points[inner[0]] - points[inner[1]] if inner[0] in points and inner[1] in points else None
        if width is None or np.median(np.linalg.norm(width, axis=1)) < 0.02:
            width = points["left_shoulder"] - points["right_shoulder"]
        base = points.get("chest", hips)
        if np.min(np.linalg.norm(points["neck"] - base, axis=1)) < 0.02:
            base = hips
        chest = frame(_apart(width, "the shoulders"), _apart(points["neck"] - base, "chest and neck"))
    if "pelvis" in rig.turns:
        pelvis = rot.multiply(pelvis, rot.from_matrix(_vector(rig.turns["pelvis"])))
    if "chest" in rig.turns:
        chest = rot.multiply(chest, rot.from_matrix(_vector(rig.turns["chest"])))
    return Landmarks(points, pelvis, chest, swings, rig.still_clavicles)


def _vector(degrees: Direction) -> Float:
    return np.asarray(Rotation.from_rotvec(degrees, degrees=True).as_matrix(), dtype=np.float64)


def _turn(matrices: Float) -> Float:
    return rot.from_matrix(np.ascontiguousarray(matrices)).astype(np.float64)


def _apart(v: Float, what: str) -> Float:
    if np.min(np.linalg.norm(v, axis=1)) < 1e-3:
        raise FormatError("hierarchy", f"{what} coincide, so the body's orientation cannot be read")
    return v

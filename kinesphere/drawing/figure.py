"""The drawn body: which capsules join which points, how thick, and in which colour.

Left limbs have one colour, right limbs another, the trunk a third, so that a reader can tell sides at any view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS, PARENTS, FloatArray

Side = Literal["left", "right", "middle"]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """Colours (0..255 RGB) of one person."""

    left: Colour
    right: Colour
    middle: Colour

    def of(self, side: Side) -> Colour:
        """The colour of a limb on ``side``, or of the trunk."""
        return {"left": self.left, "right": self.right, "middle": self.middle}[side]


# Left blue, right orange (told apart by colour-blind readers too); further people differ in the trunk.
PALETTES: Final = (
    Palette((38, 116, 196), (232, 114, 30), (112, 120, 134)),
    Palette((26, 150, 140), (196, 60, 92), (70, 74, 92)),
    Palette((108, 86, 190), (196, 150, 20), (150, 126, 110)),
    Palette((60, 140, 60), (170, 80, 160), (96, 110, 96)),
)


@dataclass(frozen=True)
class Capsule:
    """A tapered tube from point ``a`` (radius ``ra``) to point ``b`` (radius ``rb``), metres."""

    a: int
    b: int
    ra: float
    rb: float
    side: Side


# Joint -> radius in metres; roughly an adult's limbs.
_RADII: Final = {
    "pelvis": 0.105, "spine1": 0.1, "spine2": 0.105, "spine3": 0.11, "neck": 0.05, "head": 0.05,
    "hip": 0.085, "knee": 0.055, "ankle": 0.04, "foot": 0.03,
    "collar": 0.07, "shoulder": 0.055, "elbow": 0.04, "wrist": 0.032,
}  # fmt: skip
# Points added to SMPL's 22 so that a figure has a face, fingers and toes: crown, nose, left hand, right hand.
CROWN, NOSE, LEFT_HAND, RIGHT_HAND = range(NUM_JOINTS, NUM_JOINTS + 4)
HEAD_RADIUS: Final = 0.095


def _side(name: str) -> Side:
    return "left" if "left" in name else "right" if "right" in name else "middle"


@lru_cache(maxsize=1)
def capsules() -> tuple[Capsule, ...]:
    """The body's capsules over the 26 points of ``body_points``."""
    names = list(JOINT_INDEX)

    def radius(name: str) -> float:
        return _RADII[name.removeprefix("left_").removeprefix("right_")]

    limbs = [
        Capsule(parent, joint, radius(names[parent]), radius(names[joint]), _side(names[joint]))
        for joint, parent in enumerate(PARENTS)
        # Collar and hip links would lie inside the trunk's own tube at full width.
        if parent >= 0
    ]
    thin = {JOINT_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "collar")}
    limbs = [Capsule(c.a, c.b, 0.06, 0.06, c.side) if c.b in thin else c for c in limbs]
    return (
        *limbs,
        Capsule(JOINT_INDEX["head"], CROWN, HEAD_RADIUS * 0.8, HEAD_RADIUS, "middle"),
        Capsule(CROWN, NOSE, 0.03, 0.02, "middle"),
        Capsule(JOINT_INDEX["left_wrist"], LEFT_HAND, 0.034, 0.03, "left"),
        Capsule(JOINT_INDEX["right_wrist"], RIGHT_HAND, 0.034, 0.03, "right"),
    )


def body_points(positions: NDArray[np.floating]) -> FloatArray:
    """[T,22,3] joints -> [T,26,3]: the joints, then crown, nose, left and right finger tips."""
    if positions.ndim != 3 or positions.shape[1:] != (NUM_JOINTS, 3):
        raise InputError(
            "motion.positions", f"has shape {list(positions.shape)}, expected [T, {NUM_JOINTS}, 3]"
        )
    at = {name: positions[:, index] for name, index in JOINT_INDEX.items()}

    def unit(vector: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-6))

    up = unit(at["head"] - at["neck"])
    across = unit(at["left_shoulder"] - at["right_shoulder"])
    crown = at["head"] + 0.09 * up
    nose = crown + 0.115 * unit(np.cross(across, up)) - 0.01 * up
    hands = [
        at[f"{side}_wrist"] + 0.1 * unit(at[f"{side}_wrist"] - at[f"{side}_elbow"])
        for side in ("left", "right")
    ]
    return np.concatenate([positions, np.stack([crown, nose, *hands], axis=1)], axis=1).astype(np.float32)


def as_list(motions: Motion | Sequence[Motion]) -> list[Motion]:
    """One motion or several, as a list; raises InputError when there is none or a skeleton is not the 22 joints."""
    listed = [motions] if isinstance(motions, Motion) else list(motions)
    if not listed:
        raise InputError("motions", "at least 1 motion is needed")
    for motion in listed:
        if motion.num_frames == 0 or motion.positions.shape[1:] != (NUM_JOINTS, 3):
            raise InputError(
                "motions", f"only motions of {NUM_JOINTS} joints with at least 1 frame can be drawn"
            )
    return listed


def aligned(motions: Sequence[Motion], fps: float) -> list[FloatArray]:
    """Points of each motion on one clock: a list of [T,26,3], T that of the longest; shorter ones hold still.

    Positions are interpolated by a cubic (Catmull-Rom) curve, so a 20 fps motion looks smooth at 30.
    """
    seconds = max((motion.num_frames - 1) / motion.fps for motion in motions)
    clock = np.arange(int(np.floor(seconds * fps + 1e-6)) + 1) / fps
    result = []
    for motion in motions:
        points = body_points(motion.positions)
        at = np.clip(clock * motion.fps, 0, motion.num_frames - 1)
        low = np.minimum(np.floor(at + 1e-6).astype(int), max(motion.num_frames - 2, 0))
        t = (at - low).astype(np.float32)[:, None, None]
        last = motion.num_frames - 1
        p0, p1, p2, p3 = (points[np.clip(low + step, 0, last)] for step in (-1, 0, 1, 2))
        curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
        result.append(curve.astype(np.float32))
    return result


def across(points: Sequence[FloatArray], usual: float) -> float:
    """The azimuth (radians) that sees the first two people side by side, over time.

    Those who face each other do not hide each other then. Of the two such, the one nearer to ``usual``; ``usual`` for
    one person alone. points: [T,26,3] a person.
    """
    if len(points) < 2:
        return usual
    frames = min(len(body) for body in points)
    between = np.abs(points[1][:frames, 0] - points[0][:frames, 0])[:, [0, 2]]
    signs = np.sign(np.prod((points[1][:frames, 0] - points[0][:frames, 0])[:, [0, 2]], axis=1).sum() + 1e-9)
    x, z = between.mean(axis=0) * np.array([1.0, signs])
    side = float(np.arctan2(z, -x)) if abs(x) + abs(z) > 1e-3 else usual
    return side if np.cos(side - usual) >= 0 else side + np.pi

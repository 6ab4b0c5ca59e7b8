"""Inverse kinematics: joint positions -> SMPL's local rotations.

Positions leave a bone's twist about itself open. What is known about bodies closes the gap, one frame at a time, so a
stream that is solved piece by piece has no seams:

- pelvis and upper chest carry three bones each, which fix them (Kabsch's method; Kabsch 1976, Acta Cryst. A32:922);
- the spine between them turns evenly from one to the other;
- knees and elbows are hinges, so the plane that a limb bends in gives the twist of the thigh and the upper arm. As the
  limb straightens that plane fades; the foot's direction (legs) and the limb's habit, which is where its hinge
  usually points in a person who holds it so, take over continuously: the witnesses are added as vectors, each as
  long as it is trustworthy;
- everything else (neck, collars, ankles) takes the least turn from its parent, and joints without children
  (head, feet, wrists) stay as they rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.skeleton import JOINT_INDEX, JOINT_NAMES, NUM_JOINTS, SMPL22, FloatArray, Skeleton

Array = NDArray[np.floating]

_PELVIS: Final = JOINT_INDEX["pelvis"]
_CHEST: Final = JOINT_INDEX["spine3"]


def _unit(v: Array) -> Array:
    unit: Array = v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
    return unit


@dataclass(frozen=True)
class _Limb:
    """``upper``, ``hinge`` and ``end`` joints on ``trunk``; ``axis``: the hinge's at rest (T pose), positive bends.

    usual: a direction of the upper bone in the trunk's frame and the hinge's axis there. The axis at any other
    direction is guessed by the least swing from it, so it should lie amid the limb's reach. None: as at rest.
    tip: the joint whose direction from ``end`` tells the twist of a straight limb; -1: nothing does.
    """

    trunk: int
    upper: int
    hinge: int
    end: int
    axis: Array
    usual: tuple[Array, Array] | None = None
    tip: int = -1


def _leg(side: str) -> _Limb:
    hip, knee, ankle, foot = (JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot"))
    return _Limb(_PELVIS, hip, knee, ankle, np.array([1.0, 0.0, 0.0]), tip=foot)


def _arm(side: str) -> _Limb:
    shoulder, elbow, wrist = (JOINT_INDEX[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    # Fitted to the planes that bent elbows of recorded people lie in (CMU and Bandai-Namco: median error 10 and 15
    # degrees, 95th percentile 38 and 62; swung from the T pose 16 and 29, 93 and 75). With the arm ahead, low and a
    # little out, the forearm bends up and in.
    ahead, bends = np.array([0.394, -0.405, 0.825]), np.array([-0.409, 0.726, 0.552])
    axis = rot.cross(ahead, bends)
    if side == "right":
        ahead, axis = ahead * [-1.0, 1.0, 1.0], axis * [1.0, -1.0, -1.0]
    rest = np.array([0.0, -1.0 if side == "left" else 1.0, 0.0])
    return _Limb(_CHEST, shoulder, elbow, wrist, rest, (_unit(ahead), axis))


_LIMBS: Final = (_leg("left"), _leg("right"), _arm("left"), _arm("right"))
_SPINE: Final = (JOINT_INDEX["spine1"], JOINT_INDEX["spine2"])
# Joints that aim their only child by the least turn, once the limbs are solved.
_AIMED: Final = tuple(
    (JOINT_INDEX[joint], JOINT_INDEX[child])
    for joint, child in (("neck", "head"), ("left_ankle", "left_foot"), ("right_ankle", "right_foot"))
)
_LEAVES: Final = tuple(
    JOINT_INDEX[name] for name in ("head", "left_foot", "right_foot", "left_wrist", "right_wrist")
)
# Radians of bend between which the hinge's plane becomes the better witness of twist.
_BEND_FADE: Final = (np.radians(8.0), np.radians(40.0))
# A witness that speaks against the limb's habit (cosine of the twist between them) is noise.
_DOUBT_FADE: Final = (-0.95, -0.5)
# What the habit weighs beside a foot across the leg, which weighs 1.
_LEG_HABIT_WEIGHT: Final = 0.3
# Around the T pose (radians) an arm is held as at rest, palms down, by this many times the habit.
_REST_RADIUS, _REST_WEIGHT = 0.35, 4.0


def solve(positions: Array, skeleton: Skeleton = SMPL22) -> tuple[FloatArray, FloatArray]:
    """Root translation [T,3] and local rotations [T,22,4] (unit, wxyz, SMPL's) that put ``skeleton`` on ``positions``.

    positions: [T,22,3] metres, world, Y up. If their bone lengths are not the skeleton's, bone directions are kept and
    the lengths are the skeleton's. Forward kinematics then returns the positions, except for what the person's hip and
    collar angles differ from the skeleton's. Every frame is solved by itself.
    Raises InputError: ``positions`` of another shape or not finite; ``skeleton`` not SMPL's 22 joints.
    """
    if skeleton.names != JOINT_NAMES:
        raise InputError("skeleton", "only the 22-joint skeleton can be solved for")
    if positions.ndim != 3 or positions.shape[1:] != (NUM_JOINTS, 3):
        raise InputError("positions", f"has shape {list(positions.shape)}, expected [T, {NUM_JOINTS}, 3]")
    if not np.isfinite(positions).all():
        raise InputError("positions", "holds NaN or infinite values")
    solver = _Solver(np.asarray(positions, dtype=np.float64), skeleton)
    return solver.translation.astype(np.float32), solver.local().astype(np.float32)


class _Solver:
    """Walks from the pelvis outwards. ``world`` [T,22,4] and ``placed`` [T,22,3] are what is solved so far."""

    def __init__(self, positions: Array, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.offsets = skeleton.offsets.astype(np.float64)
        self.translation = positions[:, _PELVIS]
        self.targets = self._on_skeleton(positions)
        self.world = np.zeros((*positions.shape[:2], 4))
        self.placed = self.targets.copy()
        self._trunk()
        for limb in _LIMBS:
            collar = skeleton.parents[limb.upper]
            if collar != limb.trunk:
                self._aim(collar, limb.upper)
            self._limb(limb)
        for joint, child in _AIMED:
            self._aim(joint, child)
        for leaf in _LEAVES:
            self.world[:, leaf] = self.world[:, skeleton.parents[leaf]]

    def local(self) -> Array:
        parents = np.array(self.skeleton.parents)
        local = rot.multiply(rot.inverse(self.world[:, parents]), self.world)
        local[:, _PELVIS] = self.world[:, _PELVIS]
        return rot.normalize(local)

    def _on_skeleton(self, positions: Array) -> Array:
        """The positions with the skeleton's bone lengths; a bone of no length points as it does at rest."""
        targets = positions.copy()
        for joint, parent in enumerate(self.skeleton.parents):
            if parent >= 0:
                bone = positions[:, joint] - positions[:, parent]
                length = np.linalg.norm(bone, axis=-1, keepdims=True)
                want = float(np.linalg.norm(self.offsets[joint]))
                step = np.where(length > 1e-8, bone / np.maximum(length, 1e-8) * want, self.offsets[joint])
                targets[:, joint] = targets[:, parent] + step
        return targets

    def _trunk(self) -> None:
        self._fit(_PELVIS)
        chest = self._kabsch(_CHEST)
        for step, (joint, child) in enumerate(zip(_SPINE, (*_SPINE[1:], _CHEST), strict=True), 1):
            between = rot.slerp(self.world[:, _PELVIS], chest, step / (len(_SPINE) + 1))
            self._aim(joint, child, between)
        self._fit(_CHEST)

    def _kabsch(self, joint: int) -> Array:
        """The rotation of ``joint`` [T,4] that turns its bones at rest onto the targets' best (least squares)."""
        children = list(self.skeleton.children(joint))
        bones = self.targets[:, children] - self.targets[:, joint : joint + 1]
        lengths = np.linalg.norm(self.offsets[children], axis=-1)[:, None]
        u, _, vt = np.linalg.svd(np.einsum("tci,cj->tij", bones / lengths, self.offsets[children] / lengths))
        u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
        return rot.from_matrix(u @ vt)

    def _fit(self, joint: int) -> None:
        self.world[:, joint] = self._kabsch(joint)
        for child in self.skeleton.children(joint):
            self._place(joint, child)

    def _place(self, joint: int, child: int) -> None:
        self.placed[:, child] = self.placed[:, joint] + rot.rotate(self.world[:, joint], self.offsets[child])

    def _aim(self, joint: int, child: int, start: Array | None = None) -> None:
        """Turn ``joint`` from ``start`` (its parent's rotation by default) just so far that ``child`` is hit."""
        if start is None:
            start = self.world[:, self.skeleton.parents[joint]]
        # From where the joint came to lie: an error of the trunk's fit must not move hands and feet as well.
        direction = self.targets[:, child] - self.placed[:, joint]
        self.world[:, joint] = _swing(start, self.offsets[child], direction)
        self._place(joint, child)

    def _limb(self, limb: _Limb) -> None:
        """Thigh or upper arm, twisted as the witnesses say, then shin or forearm, turned about the hinge."""
        self._aim(limb.upper, limb.hinge)
        along = _unit(self.placed[:, limb.hinge] - self.placed[:, limb.upper])
        lower = _unit(self.targets[:, limb.end] - self.placed[:, limb.hinge])
        rest_along, rest_lower = _unit(self.offsets[limb.hinge]), _unit(self.offsets[limb.end])
        axis = _unit(limb.axis - np.sum(limb.axis * rest_along) * rest_along)
        now = rot.rotate(self.world[:, limb.upper], axis)
        habit = self._habit(limb, along, rest_along, axis, now)
        bend, plane = _hinge(limb.axis, rest_along, rest_lower, along, lower)
        doubt = _smoothstep(np.sum(plane * habit, axis=-1), *_DOUBT_FADE)
        known = (_smoothstep(bend, *_BEND_FADE) * doubt)[:, None]
        if limb.tip >= 0:
            tip = _unit(self.targets[:, limb.tip] - self.targets[:, limb.end])
            rest_side = rot.cross(_unit(self.offsets[limb.tip]), rest_along)
            toe_out = _signed_angle(rest_side, axis, rest_along)
            # As long as the part of the foot across the leg, and less if it points backwards.
            side = rot.rotate(_about(along, np.full(len(along), toe_out)), rot.cross(tip, along))
            trust = _smoothstep(np.sum(_unit(side) * habit, axis=-1), *_DOUBT_FADE)
            habit = _LEG_HABIT_WEIGHT * habit + trust[:, None] * side
        twist = _signed_angle(now, known * plane + (1.0 - known) * habit, along)
        upper = rot.multiply(_about(along, twist), self.world[:, limb.upper])
        self.world[:, limb.upper] = upper
        bent = rot.multiply(upper, _about(np.broadcast_to(limb.axis, along.shape), known[:, 0] * bend))
        self._aim(limb.hinge, limb.end, bent)

    def _habit(self, limb: _Limb, along: Array, rest_along: Array, axis: Array, now: Array) -> Array:
        """Where the hinge's axis usually points [T,3] when the upper bone points ``along``."""
        trunk = self.world[:, limb.trunk]
        inside = rot.rotate(rot.inverse(trunk), along)
        base, base_axis = limb.usual or (rest_along, axis)
        usual = rot.rotate(
            trunk, rot.rotate(rot.between(np.broadcast_to(base, inside.shape), inside), base_axis)
        )
        if limb.usual is None:
            return _unit(usual)
        apart = np.arccos(np.clip(inside @ rest_along, -1.0, 1.0))
        pull = _REST_WEIGHT * np.exp(-((apart / _REST_RADIUS) ** 2))
        return _unit(usual + pull[:, None] * now)


def _hinge(
    axis: Array, rest_along: Array, rest_lower: Array, along: Array, lower: Array
) -> tuple[Array, Array]:
    """How far a hinge is bent [T] and where its axis points [T,3], from the directions of both bones [T,3].

    A limb's bones do not lie in one plane at rest, so the bend solves
    rest_along . R(axis, bend) rest_lower = along . lower, and the axis comes with the frame that both bones span.
    """
    out = np.sum(rest_lower * axis) * axis
    flat = rest_lower - out
    swept = rot.cross(axis, flat)
    a, b, c = (float(np.sum(rest_along * part)) for part in (flat, swept, out))
    cosine = (np.sum(along * lower, axis=-1) - c) / np.hypot(a, b)
    bend = np.arctan2(b, a) + np.arccos(np.clip(cosine, -1.0, 1.0))
    bent = out + np.cos(bend)[:, None] * flat + np.sin(bend)[:, None] * swept
    # The axis keeps its angle to the plane of the two bones; both frames share ``along``.
    rest_normal, normal = rot.cross(rest_along, bent), rot.cross(along, lower)
    angle = _signed_angle(rest_normal, np.broadcast_to(axis, bent.shape), rest_along)
    side = rot.rotate(_about(along, angle), normal)
    return bend, _unit(side)


def _swing(start: Array, offset: Array, direction: Array) -> Array:
    """``start`` [T,4] followed by the least turn that brings ``offset`` [3] into ``direction`` [T,3]."""
    return np.asarray(
        rot.multiply(rot.between(rot.rotate(start, offset), direction), start), dtype=np.float64
    )


def _about(axis: Array, angle: Array) -> Array:
    """Quaternions [T,4] of ``angle`` [T] about unit ``axis`` [T,3]."""
    return np.concatenate([np.cos(angle / 2)[:, None], np.sin(angle / 2)[:, None] * axis], axis=-1)


def _signed_angle(a: Array, b: Array, about: Array) -> Array:
    """The angle from ``a`` to ``b``, both across ``about`` (unit), positive by the right hand."""
    sine = np.sum(rot.cross(a, b) * about, axis=-1)
    angle: Array = np.arctan2(sine, np.sum(a * b, axis=-1))
    return angle


def _smoothstep(x: Array, low: float, high: float) -> Array:
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    step: Array = t * t * (3.0 - 2.0 * t)
    return step

"""Legs that reach where their feet are wanted: two-bone inverse kinematics with the hip in its place."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.skeleton import JOINT_INDEX

Floats = NDArray[np.floating]

LEGS: Final = tuple(
    tuple(JOINT_INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot"))
    for side in ("left", "right")
)
TOES: Final = [leg[3] for leg in LEGS]

_STRAIGHT: Final = 0.92  # share of the leg's length from which it is stretched ever more reluctantly
_FORWARD_KNEE: Final = 0.5  # how strongly a straight leg that must bend follows its foot's direction


def put_toes(positions: Floats, wanted: Floats) -> Floats:
    """``positions`` [n,22,3] with the toes where ``wanted`` [n,22,3] has them.

    A network's bone lengths are not quite the skeleton's. Given the skeleton's lengths, every bone's error moves what
    hangs on it, and most of all the toes: they would sink and slide where the network had them stand.
    """
    result = positions.astype(np.float64)
    for leg in LEGS:
        move_foot(result, leg, wanted[:, leg[3]] - result[:, leg[3]])
    return result


def move_foot(positions: Floats, leg: tuple[int, ...], shift: Floats) -> None:
    """Move ankle and toe of [n,22,3] by ``shift`` [n,3] in place, as far as the leg reaches; the knee goes where
    both bones keep their length."""
    hip, knee, ankle, foot = (positions[:, joint] for joint in leg)
    thigh = np.linalg.norm(knee - hip, axis=-1, keepdims=True)
    shin = np.linalg.norm(ankle - knee, axis=-1, keepdims=True)
    moved = np.linalg.norm(shift, axis=-1, keepdims=True)
    before = ankle - hip
    after = before + shift
    length = np.linalg.norm(before, axis=-1, keepdims=True)
    reach = _reach(np.linalg.norm(after, axis=-1, keepdims=True), length, thigh + shin)
    axis = _unit(after)
    target = hip + axis * reach
    # The knee stays on the side where it was; a straight leg bends the way its foot points.
    side = _across(knee - hip, axis) + _FORWARD_KNEE * np.minimum(moved, 0.02) * _unit(
        _across(foot - ankle, axis)
    )
    along = (thigh**2 - shin**2 + reach**2) / (2.0 * reach)
    out = np.sqrt(np.maximum(thigh**2 - along**2, 0.0))
    bent = hip + axis * along + _unit(side) * out
    held = moved > 1e-6
    foot_shift = np.where(held, target - ankle, 0.0)
    positions[:, leg[1]] = np.where(held, bent, knee)
    positions[:, leg[2]] = ankle + foot_shift
    positions[:, leg[3]] = foot + foot_shift


def _reach(wanted: Floats, before: Floats, longest: Floats) -> Floats:
    """Distance from hip to ankle: as ``wanted``, but stretched beyond what it was only ever more reluctantly."""
    free = np.minimum(np.maximum(_STRAIGHT * longest, before), longest * (1.0 - 1e-5))
    room = np.maximum(longest - free, 1e-6)
    return np.where(
        wanted > free, free + room * (1.0 - np.exp(-np.maximum(wanted - free, 0.0) / room)), wanted
    )


def _across(v: Floats, axis: Floats) -> Floats:
    return np.asarray(v - np.sum(v * axis, axis=-1, keepdims=True) * axis)


def _unit(v: Floats) -> Floats:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))

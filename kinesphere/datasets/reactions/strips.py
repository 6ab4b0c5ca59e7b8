"""Pieces of recorded movement, and how they are put together: placed, slowed, held, joined, and their feet planted.

Everything is on the reference body at 20 frames a second, in a world with Y up and the floor at y = 0. Joins blend
rotations; where both pieces stand on a foot, the second is placed so that this foot stays where it is. At the end the
legs are bent so that no standing foot slides (after Kovar, Schreiner and Gleicher, "Footskate Cleanup for Motion
Capture Editing", SCA 2002).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.body import yaw
from kinesphere.datasets.kinematics import spans
from kinesphere.datasets.windows import FPS
from kinesphere.legs import LEGS, TOES, move_foot
from kinesphere.metrics.physics import ground_contacts
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX, FloatArray

Floats = NDArray[np.floating]
Planted = NDArray[np.bool_]

_STANDING: Final = (0.06, 0.45)  # metres above the lowest toe, metres a second: below both a foot stands
# Joints that sway while somebody stands; the legs follow by planting the feet.
_UPPER: Final = [
    index
    for name, index in JOINT_INDEX.items()
    if not any(p in name for p in ("hip", "knee", "ankle", "foot"))
]
_SWAY: Final = (0.03, 0.10)  # metres: the most that the root and a wrist sway
_WRISTS: Final = [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]


class Refused(Exception):
    """A draw that does not make a sample; the message says why in a few words, the same for all of one kind."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Movement and which feet stand on the floor: ``planted`` [T,2] (left, right)."""

    motion: Motion
    planted: Planted

    @property
    def frames(self) -> int:
        """T."""
        return self.motion.num_frames

    def toe(self, foot: int, frame: int) -> FloatArray:
        """[3] where the toe of ``foot`` (0 left, 1 right) is, metres."""
        place: FloatArray = self.motion.positions[frame, TOES[foot]]
        return place

    def heading(self, frame: int) -> float:
        """Which way the body faces, radians about Y; 0 is +Z, growing to the left."""
        return float(yaw(self.motion.positions[frame][None])[0])

    def cut(self, start: int, stop: int) -> Strip:
        """Frames ``start`` (included) to ``stop`` (left out)."""
        return Strip(self.motion.slice(start, stop), self.planted[start:stop])


def strip(motion: Motion) -> Strip:
    """The strip of a recording, its contacts read off its toes."""
    return Strip(motion, ground_contacts(motion.positions, FPS, *_STANDING))


def moved(piece: Strip, turn: float, shift: Floats) -> Strip:
    """Turned by ``turn`` radians about the world's vertical axis, then shifted by [3] metres."""
    return Strip(carried(piece.motion, turn, shift), piece.planted)


def carried(motion: Motion, turn: float, shift: Floats) -> Motion:
    """``moved`` for a motion."""
    quaternion, by = rot.about_y(turn).astype(np.float32), np.asarray(shift, dtype=np.float32)
    rotations = motion.rotations.copy()
    rotations[:, 0] = rot.multiply(quaternion, rotations[:, 0])
    return replace(
        motion,
        translation=rot.rotate(quaternion, motion.translation) + by,
        rotations=rotations,
        positions=rot.rotate(quaternion, motion.positions) + by,
    )


def sampled(piece: Strip, frames: Floats) -> Strip:
    """The piece at fractional ``frames``: another pace, or none."""
    nearest = np.clip(np.round(frames).astype(int), 0, piece.frames - 1)
    return Strip(piece.motion.sampled(frames), piece.planted[nearest])


def gaining(start: float, stop: float, *, frames: int = 8, slowest: float = 0.25) -> Floats:
    """Fractional frames from ``start`` to ``stop``: at ``slowest`` of the recorded pace first, at all of it after
    ``frames`` frames."""
    at = start + np.concatenate([[0.0], np.cumsum(np.linspace(slowest, 1.0, frames))])
    return np.concatenate([at, np.arange(at[-1] + 1.0, stop + 1e-6)])


def losing(start: float, stop: float, *, frames: int = 8, slowest: float = 0.25) -> Floats:
    """Fractional frames from ``start`` to ``stop``, the pace falling to ``slowest`` over the last ``frames`` frames."""
    return -gaining(-stop, -start, frames=frames, slowest=slowest)[::-1]


def held(piece: Strip, frame: int, count: int, idle: Motion, *, before: bool) -> Strip:
    """The pose at ``frame`` for ``count`` frames, swaying as ``idle`` (of at least ``count`` + 1 frames) does.

    before: the hold leads to the pose (its sway ends there), else it begins at the pose.
    """
    window = idle.slice(0, count + 1)
    at = count if before else 0
    part = slice(0, count) if before else slice(1, count + 1)
    root = np.linalg.norm(window.translation - window.translation[at], axis=-1).max()
    relative = window.positions[:, _WRISTS] - window.positions[:, :1]
    wrist = np.linalg.norm(relative - relative[at], axis=-1).max()
    share = float(min(1.0, _SWAY[0] / max(root, 1e-6), _SWAY[1] / max(wrist, 1e-6)))
    pose, pose_root = piece.motion.rotations[frame], piece.motion.translation[frame]
    change = rot.multiply(rot.inverse(window.rotations[at]), window.rotations[part])
    change = rot.slerp(np.broadcast_to(rot.IDENTITY, change.shape), change, share)
    rotations = np.repeat(pose[None], count, axis=0)
    rotations[:, _UPPER] = rot.multiply(pose[_UPPER], change[:, _UPPER])
    turn = rot.about_y(piece.heading(frame) - float(yaw(window.positions[at : at + 1])[0])).astype(np.float32)
    drift = rot.rotate(turn, window.translation[part] - window.translation[at]) * share
    motion = Motion.from_rotations(pose_root + drift, rotations, FPS)
    return Strip(motion, np.ones((count, 2), dtype=bool))


def then(first: Strip, second: Strip) -> Strip:
    """One after the other; the second begins where the first ends."""
    return _strip(
        np.concatenate([first.motion.translation, second.motion.translation]),
        np.concatenate([first.motion.rotations, second.motion.rotations]),
        np.concatenate([first.planted, second.planted]),
    )


def faded(first: Strip, second: Strip, overlap: int) -> Strip:
    """The last ``overlap`` frames of ``first`` blend into the first ones of ``second``; a foot stands where both do."""
    n = min(overlap, first.frames - 1, second.frames - 1)
    weight = (0.5 - 0.5 * np.cos(np.pi * (np.arange(n) + 1) / (n + 1))).astype(np.float32)
    a, b = first.motion, second.motion
    root = a.translation[-n:] * (1 - weight[:, None]) + b.translation[:n] * weight[:, None]
    turned = rot.slerp(a.rotations[-n:], b.rotations[:n], weight[:, None, None])
    return _strip(
        np.concatenate([a.translation[:-n], root, b.translation[n:]]),
        np.concatenate([a.rotations[:-n], turned, b.rotations[n:]]),
        np.concatenate([first.planted[:-n], first.planted[-n:] & second.planted[:n], second.planted[n:]]),
    )


def on_foot(first: Strip, second: Strip, foot: int, heading: float, overlap: int) -> Strip:
    """``second`` placed so that it faces ``heading`` at its first frame, and its ``foot`` stands where that of
    ``first`` stands in the middle of their overlap."""
    turned = moved(second, heading - second.heading(0), np.zeros(3))
    middle = min(overlap // 2, second.frames - 1)
    shift = first.toe(foot, first.frames - 1) - turned.toe(foot, middle)
    return moved(turned, 0.0, shift * np.array([1.0, 0.0, 1.0]))


def finished(piece: Strip) -> Motion:
    """The movement with its standing feet planted, solved for rotations again."""
    return Motion.from_positions(planted(piece.motion.positions, piece.planted), FPS)


def planted(positions: FloatArray, standing: Planted) -> FloatArray:
    """[T,22,3] whose toes keep their place while they stand ([T,2]), and do not sink below y = 0.

    Raises Refused when a foot would have to be moved by more than 0.25 m.
    """
    result = positions.astype(np.float64)
    for foot, leg in enumerate(LEGS):
        toe = result[:, leg[3]]
        known = np.zeros(len(result), dtype=bool)
        offset: Floats = np.zeros((len(result), 3))
        for start, stop in spans(standing[:, foot], close=1, least=3):
            anchor = toe[start:stop].mean(axis=0)
            offset[start:stop] = (anchor - toe[start:stop]) * np.array([1.0, 0.0, 1.0])
            known[start:stop] = True
        if known.any():
            offset = _between(offset, known)
        if np.abs(offset).max() > 0.25:
            raise Refused("a standing foot slides too far")
        offset[:, 1] = np.maximum(-toe[:, 1], 0.0)
        move_foot(result, leg, offset)
    return result.astype(np.float32)


def _between(values: Floats, known: NDArray[np.bool_]) -> Floats:
    """[T,3] with the rows that are not ``known`` filled: smoothly from one known row to the next."""
    at = np.flatnonzero(known)
    result = values.copy()
    result[: at[0]], result[at[-1] + 1 :] = values[at[0]], values[at[-1]]
    for a, b in zip(at[:-1], at[1:], strict=True):
        if b - a > 1:
            share = (0.5 - 0.5 * np.cos(np.pi * np.arange(1, b - a) / (b - a)))[:, None]
            result[a + 1 : b] = values[a] * (1 - share) + values[b] * share
    return result


def _strip(translation: FloatArray, rotations: FloatArray, standing: Planted) -> Strip:
    return Strip(Motion.from_rotations(translation, rotations, FPS), standing)

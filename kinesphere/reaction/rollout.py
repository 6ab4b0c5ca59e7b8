"""From the frames that have left to the next ones: the mathematics around the reactor's two graphs, without a server.

A segment is told in a frame of its own: ``primitive276``'s axes, but the origin is on the floor below the pelvis of the
first history frame, not in it. So a network knows how high a body is, and a chain of segments cannot sink slowly.

``Pose rows`` are primitive276 in the world, one row a frame, as they leave: their rotations are orthonormal and their
joints are what the rotations lead to on the project's skeleton, so bones keep their lengths however long a chain is.

The graphs are anything that is called with named arrays and gives named arrays (``Graph``): an ONNX Runtime session
here and in evaluation, batches of many sessions in a service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion, forward_kinematics
from kinesphere.reaction.features import (
    PARTNER,
    PARTNER_FRAMES,
    partner_window,
)
from kinesphere.representations import primitive276
from kinesphere.representations.primitive276 import HISTORY, LAYOUT, Frame
from kinesphere.scenes import Raster
from kinesphere.skeleton import NUM_JOINTS, FloatArray

Floats = NDArray[np.floating]
Graph = Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[Any]]]

FPS: Final = 20.0
LATENT: Final = 64
TEXT: Final = 384
FADE: Final = 0.7  # of what a body is off that is left after a frame
# The parts that lead from a frame to the next.
STEPS: Final = ("translation_delta", "orientation_delta", "joint_deltas")
_ROOT: Final = slice(LAYOUT["rotations"].start, LAYOUT["rotations"].start + 6)
_IDENTITY_6D: Final = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


def floor_frame(joints: Floats) -> Frame:
    """The frame of a segment whose first history frame has the joint positions ``joints`` [22,3] (world).

    Raises InputError(``joints``) if one hip is above the other, which leaves the direction open.
    """
    frame = primitive276.frame_of(joints)
    return Frame(frame.axes, frame.origin * np.array([1.0, 0.0, 1.0]))


def rows_of(translation: Floats, rotations: Floats) -> FloatArray:
    """World pose rows [T,276] of frames at 20 a second, T from 2: translation [T,3] m, local rotations [T,22,4] wxyz.

    What follows the last frame is not known: it is taken to go on as it came. Raises InputError(``history``) for fewer
    frames, ``motion.*`` as ``Motion.from_rotations`` does.
    """
    motion = Motion.from_rotations(translation, rotations, FPS)
    if motion.num_frames < HISTORY:
        raise InputError("history", f"has {motion.num_frames} frames, {HISTORY} are needed")
    rows = np.zeros((motion.num_frames, LAYOUT.total), dtype=np.float32)
    rows[:, LAYOUT["translation"]] = motion.translation
    rows[:, LAYOUT["rotations"]] = rot.to_6d(motion.rotations).reshape(len(rows), -1)
    rows[:, LAYOUT["joints"]] = motion.positions.reshape(len(rows), -1)
    rows = linked(rows)
    for name in STEPS:
        rows[-1, LAYOUT[name]] = rows[-2, LAYOUT[name]]
    return rows


def linked(rows: Floats) -> FloatArray:
    """A copy of pose rows [T,276] in which every step but the last is the one between the poses."""
    result = np.array(rows, dtype=np.float32)
    for pose, step in (("translation", "translation_delta"), ("joints", "joint_deltas")):
        result[:-1, LAYOUT[step]] = np.diff(rows[:, LAYOUT[pose]], axis=0)
    root = rot.matrix_from_6d(rows[:, _ROOT])
    turn = root[1:] @ root[:-1].swapaxes(-1, -2)
    result[:-1, LAYOUT["orientation_delta"]] = np.concatenate([turn[..., 0], turn[..., 1]], axis=-1)
    return result


def standing(row: Floats) -> FloatArray:
    """Pose rows [2,276] of a body that stands still in the pose of ``row`` [276]."""
    still = np.repeat(np.asarray(row, dtype=np.float32)[None], HISTORY, axis=0)
    for name in STEPS:
        still[:, LAYOUT[name]] = _IDENTITY_6D if name == "orientation_delta" else 0.0
    return still


def segment_history(rows: Floats, frame: Frame | None = None) -> tuple[FloatArray, Frame]:
    """The two newest of the world pose rows ``rows`` [T,276] as a graph's ``history`` [2,276], and the frame it is in:
    that of a new segment, or ``frame``, that of one which runs.

    Raises InputError(``history``) for fewer rows, ``joints`` as ``floor_frame`` does.
    """
    if len(rows) < HISTORY:
        raise InputError("history", f"has {len(rows)} frames, {HISTORY} are needed")
    newest = linked(rows[-HISTORY:])
    if frame is None:
        frame = floor_frame(newest[0, LAYOUT["joints"]].reshape(NUM_JOINTS, 3))
    return primitive276.to_canonical(newest, frame), frame


def carried(future: Floats, start: Floats, place: int, count: int, left: Floats) -> FloatArray:
    """``count`` rows of a graph's ``future`` [8,276] from ``place`` on, as they follow the frame that ``left`` [276].

    What has left is not quite what the rows go on from: a segment is made from frames that were foreseen and then
    corrected (``start`` [2,276]), and every correction decodes it anew. What the body is off there is carried along and
    dies away, so that it neither jumps nor stays behind. All are told in the segment's frame.
    """
    off = np.asarray(left) - (future[place - 1] if place else start[-1])
    for name in STEPS:
        off[LAYOUT[name]] = 0.0
    fading = FADE ** np.arange(1, count + 1, dtype=np.float32)
    rows: FloatArray = np.asarray(future[place : place + count], dtype=np.float32) + fading[:, None] * off
    return rows


def emit(future: Floats, frame: Frame) -> FloatArray:
    """World pose rows [n,276] of a graph's ``future`` [n,276] in ``frame``, as they leave."""
    return primitive276.to_world(sound(future), frame)


def sound(future: Floats) -> FloatArray:
    """A graph's ``future`` [n,276] as pose rows in its own frame; rows of several frames may be given together."""
    translation, rotations, _ = primitive276.decode(future)
    rows = np.array(future, dtype=np.float32)
    rows[:, LAYOUT["rotations"]] = rot.to_6d(rotations).reshape(len(rows), -1)
    rows[:, LAYOUT["joints"]] = forward_kinematics(translation, rotations).reshape(len(rows), -1)
    return rows


def poses(rows: Floats) -> Motion:
    """World pose rows [T,276] as a motion at 20 frames a second."""
    translation, rotations, _ = primitive276.decode(rows)
    return Motion.from_rotations(translation, rotations, FPS)


def on_the_floor(translation: FloatArray, joints: FloatArray) -> FloatArray:
    """Root translations [n,3] of bodies with world joints [n,22,3], lifted where a joint would be below the floor.

    Only what leaves is lifted. The networks go on from what they made: lifted bodies are none that they know.
    """
    lifted = translation.copy()
    lifted[:, 1] += np.maximum(0.0, -joints[..., 1].min(axis=1))
    return lifted


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a body reacts to.

    partner: [T,22,3] world joint positions at 20 frames a second; frame i was seen while the body was in its own frame
    i. goal: [3] world, metres. text: [384] unit vector. alpha: weights of the partner's and the scene's module.
    """

    partner: Floats | None = None
    scene: Raster | None = None
    goal: Floats | None = None
    text: Floats | None = None
    alpha: tuple[float, float] = (1.0, 1.0)

    def observed(self, frame: Frame, newest: int, late: int = 0) -> dict[str, FloatArray]:
        """The graphs' inputs at body frame ``newest``, told in ``frame``, without the cells around the body; the
        partner's last ``late`` frames have not arrived yet."""
        seen = np.zeros((0, NUM_JOINTS, 3)) if self.partner is None else self.partner[: newest + 1 - late]
        partner, mask = late_window(frame, seen, late)
        goal = np.zeros(4, dtype=np.float32)
        if self.goal is not None:
            goal[:3], goal[3] = (np.asarray(self.goal) - frame.origin) @ frame.axes, 1.0
        alpha = np.asarray(self.alpha, dtype=np.float32)
        return {"partner": partner, "partner_mask": mask, "goal": goal, "alpha": alpha}


def late_window(frame: Frame, seen: Floats, late: int = 0) -> tuple[FloatArray, FloatArray]:
    """``partner_window`` of a partner whose newest ``late`` frames are missing: their places stay empty, and what has
    been ``seen`` [P,22,3] keeps its own. Nothing that old is left: nobody is seen."""
    late = min(late, PARTNER_FRAMES)
    features = np.zeros((PARTNER_FRAMES, PARTNER.total), dtype=np.float32)
    mask = np.zeros(PARTNER_FRAMES, dtype=np.float32)
    if late < PARTNER_FRAMES:
        known = PARTNER_FRAMES - late
        features[:known], mask[:known] = partner_window(frame, seen, FPS, known)
    return features, mask

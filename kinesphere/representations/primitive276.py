"""The 276-number motion primitive of DART (Zhao, Li & Tang, "DartControl", ICLR 2025, arXiv:2410.05260).

A motion is a chain of short overlapping segments, HISTORY frames that are known and FUTURE frames that follow. Each is
told in a canonical frame: the origin is the pelvis of its first frame (height included), the axes follow the hips.

    translation        3    the body's translation, metres
    rotations          132  22 joints x 6: the pelvis in the canonical frame, the others in their parents'
    translation_delta  3    to the next frame
    orientation_delta  6    what turns the pelvis to the next frame's orientation, in the canonical frame
    joints             66   22 joint positions, metres
    joint_deltas       66   to the next frame

``KINESPHERE`` has this library's axes (Y up, X to the person's left, Z ahead) and rotations as matrix columns.
``DART`` has the paper's code's (Z up, X to the right, Y ahead) and matrix rows. T frames give T - 1 of features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations.layout import Layout
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS, FloatArray

Floats = NDArray[np.floating]

HISTORY: Final = 2
FUTURE: Final = 8
LAYOUT: Final = Layout(
    276,
    translation=3,
    rotations=6 * NUM_JOINTS,
    translation_delta=3,
    orientation_delta=6,
    joints=3 * NUM_JOINTS,
    joint_deltas=3 * NUM_JOINTS,
)
_LEFT_HIP, _RIGHT_HIP = JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]


@dataclass(frozen=True)
class Convention:
    """Which axis is up, and which two vectors of a rotation matrix ``rot6d`` lists."""

    up: Literal["y", "z"]
    rot6d: Literal["columns", "rows"]


KINESPHERE: Final = Convention("y", "columns")
DART: Final = Convention("z", "rows")


@dataclass(frozen=True, eq=False)
class Frame:
    """A canonical frame. axes: [3,3], columns are its axes in the world. origin: [3] metres, in the world."""

    axes: Floats
    origin: Floats


def frame_of(joints: Floats, convention: Convention = KINESPHERE) -> Frame:
    """The canonical frame of a segment that starts with the joint positions ``joints`` [22,3] (world).

    Raises InputError(``joints``) if one hip is above the other, which leaves the direction open.
    """
    up = np.array([0.0, 1.0, 0.0] if convention.up == "y" else [0.0, 0.0, 1.0])
    x = (joints[_LEFT_HIP] - joints[_RIGHT_HIP]).astype(np.float64) * (1.0 if convention.up == "y" else -1.0)
    x = x - np.sum(x * up) * up
    length = float(np.linalg.norm(x))
    if length < 1e-6:
        raise InputError("joints", "the hips are one above the other; the body faces nowhere")
    x /= length
    columns = (x, up, np.cross(x, up)) if convention.up == "y" else (x, np.cross(up, x), up)
    return Frame(np.stack(columns, axis=-1), joints[0].astype(np.float64))


def encode(
    translation: Floats,
    rotations: Floats,
    joints: Floats,
    *,
    pelvis_offset: Floats | None = None,
    convention: Convention = KINESPHERE,
) -> tuple[FloatArray, Frame]:
    """A stretch of movement in the canonical frame of its first frame: features [T-1,276] and that frame.

    translation: [T,3], rotations: [T,22,4] local (wxyz), joints: [T,22,3], all in the world, ``convention``'s axes.
    pelvis_offset: [3], the rest pelvis from the point that the body turns about; zero (the default) in this library,
    not in SMPL's own ``transl``.
    Raises InputError naming the array whose shape is wrong, or ``joints`` for fewer than 2 frames.
    """
    frames = len(joints)
    for name, array, shape in (
        ("translation", translation, (frames, 3)),
        ("rotations", rotations, (frames, NUM_JOINTS, 4)),
        ("joints", joints, (frames, NUM_JOINTS, 3)),
    ):
        if array.shape != shape:
            raise InputError(name, f"has shape {list(array.shape)}, expected {list(shape)}")
    if frames < 2:
        raise InputError("joints", f"has {frames} frames, at least 2 are needed")
    matrices = rot.to_matrix(np.asarray(rotations, dtype=np.float64))
    root = matrices[:, 0]
    features = np.empty((frames - 1, LAYOUT.total))

    def put(name: str, values: Floats) -> None:
        features[:, LAYOUT[name]] = values.reshape(frames - 1, -1)

    put("translation", translation[:-1])
    put("rotations", _to_6d(matrices[:-1], convention))
    put("translation_delta", np.diff(translation.astype(np.float64), axis=0))
    put("orientation_delta", _to_6d(root[1:] @ root[:-1].swapaxes(-1, -2), convention))
    put("joints", joints[:-1])
    put("joint_deltas", np.diff(joints.astype(np.float64), axis=0))
    frame = frame_of(joints[0], convention)
    return to_canonical(features, frame, pelvis_offset=pelvis_offset, convention=convention), frame


def to_canonical(
    features: Floats,
    frame: Frame,
    *,
    pelvis_offset: Floats | None = None,
    convention: Convention = KINESPHERE,
) -> FloatArray:
    """World features [T,276] -> the same in ``frame``."""
    back = frame.axes.T
    return _moved(features, back, -back @ frame.origin, pelvis_offset, convention)


def to_world(
    features: Floats,
    frame: Frame,
    *,
    pelvis_offset: Floats | None = None,
    convention: Convention = KINESPHERE,
) -> FloatArray:
    """Features [T,276] in ``frame`` -> the same in the world."""
    return _moved(features, frame.axes, frame.origin, pelvis_offset, convention)


def decode(
    features: Floats, convention: Convention = KINESPHERE
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Features [T,276] -> translation [T,3], local rotations [T,22,4] and joints [T,22,3], in the features' own frame.

    Rotations are made orthonormal; joints are what the features say, not what the rotations lead to.
    Raises InputError(``features``) on another shape or NaN.
    """
    LAYOUT.check("features", features)
    count = len(features)
    six = features[:, LAYOUT["rotations"]].reshape(count, NUM_JOINTS, 6).astype(np.float64)
    quaternions = rot.from_6d(six)
    if convention.rot6d == "rows":
        quaternions = rot.inverse(quaternions)
    translation = features[:, LAYOUT["translation"]]
    joints = features[:, LAYOUT["joints"]].reshape(count, NUM_JOINTS, 3)
    return translation.astype(np.float32), quaternions.astype(np.float32), joints.astype(np.float32)


def segments(motion: Motion) -> tuple[FloatArray, list[Frame]]:
    """Cut a motion into primitives [P,HISTORY+FUTURE,276], each in its own frame; neighbours share HISTORY frames.

    A rest that does not fill a primitive is left out. Raises InputError(``motion``) if not one fits: 11 frames are
    needed, then 8 for each more.
    """
    length = HISTORY + FUTURE
    if motion.num_frames <= length:
        raise InputError("motion", f"has {motion.num_frames} frames, a primitive needs {length + 1}")
    pieces = [
        encode(part.translation, part.rotations, part.positions)
        for start in range(0, motion.num_frames - length, FUTURE)
        for part in (motion.slice(start, start + length + 1),)
    ]
    return np.stack([features for features, _ in pieces]), [frame for _, frame in pieces]


def join(pieces: FloatArray, start: Frame) -> FloatArray:
    """Primitives [P,HISTORY+FUTURE,276] as a network rolls them out -> world features [HISTORY+P*FUTURE,276].

    Each primitive's frame is found from what came before it, so only the first one's is needed. Raises
    InputError(``pieces``) on another shape.
    """
    if pieces.ndim != 3 or pieces.shape[1:] != (HISTORY + FUTURE, LAYOUT.total):
        expected = f"[P, {HISTORY + FUTURE}, {LAYOUT.total}]"
        raise InputError("pieces", f"has shape {list(pieces.shape)}, expected {expected}")
    result = [to_world(pieces[0], start)]
    for piece in pieces[1:]:
        first = result[-1][-HISTORY, LAYOUT["joints"]].reshape(NUM_JOINTS, 3)
        result.append(to_world(piece, frame_of(first))[HISTORY:])
    return np.concatenate(result)


def _moved(
    features: Floats, turn: Floats, shift: Floats, pelvis_offset: Floats | None, convention: Convention
) -> FloatArray:
    """Features [T,276] after the rigid movement x -> turn x + shift."""
    LAYOUT.check("features", features)
    result = np.array(features, dtype=np.float64)
    offset = np.zeros(3) if pelvis_offset is None else np.asarray(pelvis_offset, dtype=np.float64)

    def part(name: str, width: int) -> Floats:
        view: Floats = result[:, LAYOUT[name]].reshape(len(result), -1, width)
        return view

    def put(name: str, values: Floats) -> None:
        result[:, LAYOUT[name]] = values.reshape(len(result), -1)

    # The body turns about its pelvis; its translation is measured ``offset`` before that.
    put("translation", (part("translation", 3) + offset) @ turn.T + shift - offset)
    put("joints", part("joints", 3) @ turn.T + shift)
    put("translation_delta", part("translation_delta", 3) @ turn.T)
    put("joint_deltas", part("joint_deltas", 3) @ turn.T)
    orientation = part("rotations", 6)[:, 0]
    result[:, 3:9] = _to_6d(turn @ _to_matrix(orientation, convention), convention)
    delta = _to_matrix(part("orientation_delta", 6)[:, 0], convention)
    put("orientation_delta", _to_6d(turn @ delta @ turn.T, convention))
    return result.astype(np.float32)


def _to_6d(matrices: Floats, convention: Convention) -> Floats:
    """[...,3,3] -> [...,6]."""
    m = matrices.swapaxes(-1, -2) if convention.rot6d == "columns" else matrices
    return m[..., :2, :].reshape(*matrices.shape[:-2], 6)


def _to_matrix(six: Floats, convention: Convention) -> Floats:
    """[...,6] -> [...,3,3], made orthonormal."""
    m = rot.matrix_from_6d(six)
    return m if convention.rot6d == "columns" else m.swapaxes(-1, -2)

"""DeepMimic motion files: JSON with 44 numbers a frame on the ``humanoid3d`` character.

Layout and attachment points follow https://github.com/xbpeng/DeepMimic (its README and characters/humanoid3d.txt):
frame duration, root position, then rotations as quaternions wxyz, knees and elbows as one angle about Z. The character
faces +X with its left at -Z.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats import limits
from kinesphere.formats.hierarchy import Float
from kinesphere.formats.landmarks import Landmarks
from kinesphere.motion import MAX_FPS, MIN_FPS

WIDTH: Final = 44
_MAX_BYTES: Final = 16 * 2**20
# name, parent, attachment point in the parent's frame (metres), numbers of its rotation (0 none, 1 hinge, 4 quaternion)
_JOINTS: Final = (
    ("chest", "root", (0.0, 0.236151, 0.0), 4),
    ("neck", "chest", (0.0, 0.223894, 0.0), 4),
    ("right_hip", "root", (0.0, 0.0, 0.084887), 4),
    ("right_knee", "right_hip", (0.0, -0.421546, 0.0), 1),
    ("right_ankle", "right_knee", (0.0, -0.409870, 0.0), 4),
    ("right_shoulder", "chest", (-0.02405, 0.24350, 0.18311), 4),
    ("right_elbow", "right_shoulder", (0.0, -0.274788, 0.0), 1),
    ("left_hip", "root", (0.0, 0.0, -0.084887), 4),
    ("left_knee", "left_hip", (0.0, -0.421546, 0.0), 1),
    ("left_ankle", "left_knee", (0.0, -0.409870, 0.0), 4),
    ("left_shoulder", "chest", (-0.02405, 0.24350, -0.18311), 4),
    ("left_elbow", "left_shoulder", (0.0, -0.274788, 0.0), 1),
    ("right_wrist", "right_elbow", (0.0, -0.258947, 0.0), 0),
    ("left_wrist", "left_elbow", (0.0, -0.258947, 0.0), 0),
    # The character has box feet and no head joint; these points are where SMPL's would be on it.
    ("right_toe", "right_ankle", (0.115, -0.055, 0.0), 0),
    ("left_toe", "left_ankle", (0.115, -0.055, 0.0), 0),
    ("head", "neck", (0.072, 0.071, 0.0), 0),
)


def read(path: Path) -> tuple[Landmarks, float]:
    """Landmarks (metres, Y up) and frames a second. Raises FormatError naming what is wrong."""
    return parse(limits.read_bytes(path))


def parse(data: bytes) -> tuple[Landmarks, float]:
    """Parse the bytes of a motion file. Raises FormatError naming what is wrong."""
    frames = _frames(data)
    durations = frames[:-1, 0] if len(frames) > 1 else frames[:, 0]
    step = float(np.median(durations))
    if not step > 0 or not MIN_FPS <= 1 / step <= MAX_FPS:
        raise FormatError(
            "Frames.duration", f"{step} s is outside {MIN_FPS:g} to {MAX_FPS:g} frames a second"
        )
    if np.any(durations < 0):
        raise FormatError("Frames.duration", "a frame lasts less than no time")
    if np.any(np.abs(durations - step) > 0.05 * step):
        frames = _even(frames, step)
    fps = 1 / step
    nearest = round(fps)
    return _landmarks(frames), float(nearest) if abs(fps - nearest) < 2e-3 * fps else fps


def _frames(data: bytes) -> Float:
    if len(data) > _MAX_BYTES:
        raise FormatError("file.size", f"{len(data)} bytes, at most {_MAX_BYTES} are read")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):  # RecursionError: brackets nested thousands deep
        raise FormatError("json", "is not a JSON document") from None
    frames = document.get("Frames") if isinstance(document, dict) else None
    if not isinstance(frames, list):
        raise FormatError("Frames", "is missing or no list")
    limits.check_frames(len(frames), WIDTH, "Frames")
    for number, frame in enumerate(frames):
        if not isinstance(frame, list) or len(frame) != WIDTH:
            raise FormatError("Frames", f"frame {number} does not hold {WIDTH} numbers")
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in frame):
            raise FormatError("Frames", f"frame {number} holds something that is not a number")
    try:
        values = np.array(frames, dtype=np.float64)
    except OverflowError:
        raise FormatError("Frames", "holds an absurdly large value") from None
    if not np.all(np.isfinite(values)) or np.any(np.abs(values) > limits.MAX_COORDINATE):
        raise FormatError("Frames", "holds NaN, infinite or absurdly large values")
    return values


def _even(frames: Float, step: float) -> Float:
    """Resample frames that last differently long to one every ``step`` seconds, linearly between neighbours."""
    times = np.concatenate([[0.0], np.cumsum(frames[:-1, 0])])
    count = int(min(times[-1] / step, 2 * limits.MAX_FRAMES)) + 1
    limits.check_frames(count, WIDTH, "Frames.duration")
    smooth = frames.copy()
    for start, width in _quaternions():
        smooth[:, start : start + width] = rot.continuous(smooth[:, start : start + width])
    grid = np.arange(count) * step
    return np.stack([np.interp(grid, times, column) for column in smooth.T], axis=1)


def _quaternions() -> list[tuple[int, int]]:
    columns, at = [(4, 4)], 8
    for _, _, _, width in _JOINTS:
        if width == 4:
            columns.append((at, width))
        at += width
    return columns


def _landmarks(frames: Float) -> Landmarks:
    count = len(frames)
    places: dict[str, Float] = {"root": frames[:, 1:4]}
    turns: dict[str, Float] = {"root": _unit(frames[:, 4:8], "root")}
    at = 8
    for name, parent, attachment, width in _JOINTS:
        places[name] = places[parent] + rot.rotate(turns[parent], np.asarray(attachment))
        if width == 4:
            local = _unit(frames[:, at : at + 4], name)
        elif width == 1:
            half = frames[:, at] / 2
            zero = np.zeros(count)
            local = np.stack([np.cos(half), zero, zero, np.sin(half)], axis=-1)
        else:
            turns[name] = turns[parent]
            continue
        turns[name] = rot.multiply(turns[parent], local)
        at += width
    # Forward +X becomes +Z and left -Z becomes +X: a quarter turn about the vertical.
    quarter = rot.about_y(-np.pi / 2)
    points = {name: rot.rotate(quarter, place) for name, place in places.items()}
    back = rot.inverse(quarter)
    pelvis = rot.multiply(rot.multiply(quarter, turns["root"]), back)
    chest = rot.multiply(rot.multiply(quarter, turns["chest"]), back)
    # The head point leans forward in the rest pose, so its direction at ease is SMPL's own.
    return Landmarks(points, pelvis, chest, {"neck": (0.0, 0.70, 0.714)}, still_clavicles=True)


def _unit(quaternions: Float, name: str) -> Float:
    if np.any(np.linalg.norm(quaternions, axis=1) < 0.5):
        raise FormatError("Frames", f"a quaternion of {name} is far from unit length")
    return rot.normalize(quaternions)

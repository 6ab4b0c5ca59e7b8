"""CSV for spreadsheets and notebooks: one row a frame, ``time`` in seconds, then ``joint.axis`` columns.

``joint.x joint.y joint.z`` are world positions in metres (Y up), ``joint.qw joint.qx joint.qy joint.qz`` rotations in
the parent's frame. A file without rotation columns is read too; inverse kinematics then finds them.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats import bvh, limits
from kinesphere.formats.hierarchy import Float
from kinesphere.motion import MAX_FPS, MIN_FPS, Motion
from kinesphere.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, SMPL22, Skeleton

_POSITIONS: Final = [f"{name}.{axis}" for name in JOINT_NAMES for axis in "xyz"]
_ROTATIONS: Final = [f"{name}.q{axis}" for name in JOINT_NAMES for axis in "wxyz"]
_MAX_HEADER: Final = 64 * 1024


def write(motion: Motion, path: Path) -> None:
    """Write ``motion``. Raises InputError for another skeleton than the 22 joints'."""
    out = io.StringIO()
    times = np.arange(motion.num_frames)[:, None] / motion.fps
    flat = (motion.positions.reshape(motion.num_frames, -1), motion.rotations.reshape(motion.num_frames, -1))
    header = ",".join(["time", *_POSITIONS, *_ROTATIONS])
    np.savetxt(
        out, np.concatenate([times, *flat], axis=1), fmt="%.7g", delimiter=",", header=header, comments=""
    )
    path.write_text(out.getvalue(), encoding="ascii")


def read(path: Path) -> tuple[Float, Float | None, float]:
    """Positions [T,22,3], rotations [T,22,4] if there, frames a second. Raises FormatError naming what is wrong."""
    return parse(limits.read_bytes(path))


def parse(data: bytes) -> tuple[Float, Float | None, float]:
    """Parse the bytes of a CSV file, as ``read`` does."""
    end = data.find(b"\n", 0, _MAX_HEADER)
    if end < 0:
        raise FormatError("csv.header", f"no line ends within the first {_MAX_HEADER} bytes")
    header = [
        name.strip().strip('"') for name in data[:end].decode("latin-1").removeprefix("\ufeff").split(",")
    ]
    if len(set(header)) != len(header):
        raise FormatError("csv.header", "names a column twice")
    missing = [name for name in ["time", *_POSITIONS] if name not in header]
    if missing:
        raise FormatError(
            "csv.header", f"has no {missing[0]!r}; 'time' and 'joint.x' to 'joint.z' are needed"
        )
    body = data[end:].replace(b",", b" ")
    values = bvh.numbers(body, "csv")
    if len(values) % len(header):
        raise FormatError("csv", f"{len(values)} numbers are no whole number of rows of {len(header)}")
    limits.check_frames(len(values) // len(header), len(header), "csv")
    rows = values.reshape(-1, len(header))
    at = {name: column for column, name in enumerate(header)}
    positions = rows[:, [at[name] for name in _POSITIONS]].reshape(-1, NUM_JOINTS, 3)
    rotations = None
    if all(name in at for name in _ROTATIONS):
        rotations = rows[:, [at[name] for name in _ROTATIONS]].reshape(-1, NUM_JOINTS, 4)
        if np.any(np.abs(np.linalg.norm(rotations, axis=-1) - 1) > 0.01):
            raise FormatError("csv", "a quaternion is not of unit length")
    return positions, rotations, frame_rate(rows[:, at["time"]], "csv.time")


def frame_rate(times: Float, field: str) -> float:
    """Frames a second of evenly spaced times in seconds. Raises FormatError naming ``field``."""
    if len(times) == 1:
        return 20.0
    steps = np.diff(times)
    step = float(times[-1] - times[0]) / len(steps)
    if not step > 0 or not MIN_FPS <= 1 / step <= MAX_FPS * 1.001:
        raise FormatError(field, f"does not grow at {MIN_FPS:g} to {MAX_FPS:g} frames a second")
    if np.any(np.abs(steps - step) > 0.02 * step + 1e-3):
        raise FormatError(field, "is not evenly spaced")
    return min(bvh.rate(step), MAX_FPS)


def skeleton_of(positions: Float, rotations: Float) -> Skeleton:
    """The skeleton on which local ``rotations`` [T,22,4] give ``positions`` [T,22,3], read off the first frame."""
    world = np.empty((NUM_JOINTS, 4))
    offsets = np.zeros((NUM_JOINTS, 3))
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            world[joint] = rotations[0, joint]
            continue
        offsets[joint] = rot.rotate(rot.inverse(world[parent]), positions[0, joint] - positions[0, parent])
        world[joint] = rot.multiply(world[parent], rotations[0, joint])
    return nearest(offsets)


def nearest(offsets: Float) -> Skeleton:
    """A 22-joint skeleton of these offsets [22,3]: the reference one where they are its to a tenth of a millimetre."""
    offsets = offsets.copy()
    offsets[0] = 0.0
    if np.max(np.abs(offsets - SMPL22.offsets)) < 1e-4:
        return SMPL22
    return Skeleton(JOINT_NAMES, PARENTS, offsets.astype(np.float32))

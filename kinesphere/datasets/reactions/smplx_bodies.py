"""SMPL-X bodies and occupancy grids as data sets publish them, brought to the reference body, Y up, on the floor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.datasets.windows import FPS
from kinesphere.errors import FormatError
from kinesphere.formats import arrays, limits, pickles
from kinesphere.motion import Motion
from kinesphere.scenes import DistanceField, Scene
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS

Floats = NDArray[np.floating]
Body = tuple[Floats, Floats, Floats]  # orientation [T,3], pose [T,63], translation [T,3]

_PELVIS: Final = np.array([0.0031, -0.3514, 0.0120])  # in SMPL-X's own coordinates, the mean body
_Z_UP: Final = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])  # (x, y, z) -> (x, z, -y)
_CELL: Final = 0.02  # metres, of the published occupancy grids; half as fine is enough here


def played(body: Body, rate: float) -> Motion:
    """The body at 20 frames a second, in the axes that it is published in."""
    orient, pose, transl = body
    limits.check_frames(len(orient), 69)
    turns = np.concatenate([orient.reshape(-1, 1, 3), pose.reshape(-1, NUM_JOINTS - 1, 3)], axis=1)
    return Motion.from_rotations(transl + _PELVIS, rot.from_axis_angle(turns), rate).resampled(FPS)


def upright(motions: list[Motion]) -> list[Motion]:
    """Turned so that Y is up, if Z is along the bodies, and set on the floor by their lowest joints (5th percentile)."""
    tall = np.mean([_tallness(motion) for motion in motions], axis=0)
    if abs(tall[2]) > 2 * abs(tall[1]):
        motions = [_turned(motion, _Z_UP) for motion in motions]
    lowest = [float(np.percentile(motion.positions[..., 1].min(axis=1), 5)) for motion in motions]
    return [_lifted(motion, -low) for motion, low in zip(motions, lowest, strict=True)]


def _tallness(motion: Motion) -> Floats:
    feet = motion.positions[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]].mean(axis=1)
    return np.asarray(np.median(motion.positions[:, JOINT_INDEX["head"]] - feet, axis=0))


def _turned(motion: Motion, turn: Floats) -> Motion:
    rotations = motion.rotations.copy()
    rotations[:, 0] = rot.multiply(turn.astype(np.float32), rotations[:, 0])
    return Motion.from_rotations(
        rot.rotate(turn, motion.translation.astype(np.float64)), rotations, motion.fps
    )


def _lifted(motion: Motion, height: float) -> Motion:
    by = np.array([0.0, height, 0.0], dtype=np.float32)
    return replace(motion, translation=motion.translation + by, positions=motion.positions + by)


def read_npz(path: Path) -> Body:
    """The body of an Inter-X .npz. Raises FormatError."""
    found = arrays.parse_npz(limits.read_bytes(path), ("root_orient", "pose_body", "trans"))
    return body_of(found, "root_orient", "pose_body", "trans")


def body_of(holder: Any, orient: str, pose: str, transl: str) -> Body:
    """The body in a dict of arrays of these names. Raises FormatError."""
    return checked(*(pickles.array(holder, name) for name in (orient, pose, transl)))


def checked(orient: NDArray[Any], pose: NDArray[Any], transl: NDArray[Any]) -> Body:
    """The three arrays with T frames each. Raises FormatError on other shapes, NaN and absurd values."""
    count = len(orient)
    width = 3 * (NUM_JOINTS - 1)
    return (
        arrays.finite(orient.reshape(count, -1), "orient", (count, 3)),
        arrays.finite(pose.reshape(len(pose), -1), "pose", (count, width)),
        arrays.finite(transl.reshape(len(transl), -1), "transl", (count, 3)),
    )


def read_frames(paths: list[Path]) -> Body:
    """The bodies of single frames, one after the other."""
    if not paths:
        raise FormatError("frames", "the two bodies share no frame")
    limits.check_frames(len(paths), 69)
    parts = [
        body_of(pickles.parse(limits.read_bytes(path)), "global_orient", "body_pose", "transl")
        for path in paths
    ]
    orient, pose, transl = (np.concatenate(part) for part in zip(*parts, strict=True))
    return orient, pose, transl


def read_camera(folder: Path) -> Floats:
    """[4,4] from the camera to the world of the scene. Raises FormatError when there is none."""
    for path in sorted(folder.glob("**/kinect12_to_world/*.json")):
        matrix = np.asarray(json.loads(path.read_text())["trans"], dtype=np.float64)
        return arrays.finite(matrix, "trans", (4, 4))
    raise FormatError("calibrations", f"{folder.name} has no kinect12_to_world")


def carried_by(body: Body, matrix: Floats) -> Body:
    """A body of SMPL-X parameters after a rigid movement [4,4]; its pelvis, not its origin, is what turns."""
    orient, pose, transl = body
    turn = rot.from_matrix(matrix[None, :3, :3])
    turned = rot.to_axis_angle(rot.multiply(turn, rot.from_axis_angle(orient)))
    return turned, pose, (transl + _PELVIS) @ matrix[:3, :3].T + matrix[:3, 3] - _PELVIS


def read_grid(folder: Path, name: str) -> Scene | None:
    """A published occupancy grid: cells of 2 cm about the origin, from the floor up; halved in fineness."""
    path = folder / f"{name}.npy"
    if not name.replace("_", "").replace("-", "").isalnum() or not path.is_file():
        return None
    cells = arrays.parse_npy(limits.read_bytes(path), "Scene")
    if cells.ndim != 3 or min(cells.shape) < 2:
        raise FormatError("Scene", f"has shape {list(cells.shape)}, a grid [x, y, z] is expected")
    x, y, z = (length // 2 for length in cells.shape)
    even = cells[: 2 * x, : 2 * y, : 2 * z].reshape(x, 2, y, 2, z, 2).astype(bool)
    coarse = np.asarray(even.any(axis=(1, 3, 5)))
    # Cells below the floor's surface are the floor itself, which a scene does not hold.
    coarse[:, 0] = False
    origin = np.array([-x * _CELL, 0.0, -z * _CELL])
    return Scene(name, field=DistanceField.from_occupancy(coarse, 2 * _CELL, origin))

"""AMASS and SMPL-X .npz: root translation and axis-angle poses, Z up.

Layout: https://github.com/nghorbani/amass (Mahmood et al. 2019, arXiv:1904.03278). A pose turns the body about its
pelvis, and ``trans`` is where the model's origin goes, so the pelvis is at ``trans`` plus its place in the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats import arrays, limits, table
from kinesphere.motion import MAX_FPS, MIN_FPS, Motion
from kinesphere.skeleton import NUM_JOINTS, SMPL22

RATE_NAMES: Final = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate")
# The pelvis of the neutral mean bodies in the models' own coordinates (Y up, metres).
_PELVIS_SMPL: Final = np.array([-0.0018, -0.2233, 0.0282])
_PELVIS_SMPLX: Final = np.array([0.0031, -0.3514, 0.0120])
# Numbers in a pose of SMPL, SMPL-H, SMPL-X, and of its body alone.
_WIDTHS: Final = {66: _PELVIS_SMPL, 72: _PELVIS_SMPL, 156: _PELVIS_SMPL, 165: _PELVIS_SMPLX}
_SMPLX_JOINTS: Final = 55
# Z up to Y up: (x, y, z) -> (x, z, -y).
_Y_UP: Final = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0, 0.0])
# Our own addition to files we write: the bone offsets [22,3], which betas cannot say without the model.
_OFFSETS: Final = "kinesphere_offsets"
_NAMES: Final = ("trans", "poses", "betas", _OFFSETS, *RATE_NAMES)


def read(path: Path) -> Motion:
    """Read an AMASS or SMPL-X .npz with its exact rotations. Raises FormatError naming the array that is wrong."""
    return parse(limits.read_bytes(path))


def parse(data: bytes) -> Motion:
    """Parse the bytes of an .npz. Raises FormatError naming the array that is wrong.

    The body is the reference skeleton unless we wrote the file: the models that turn ``betas`` into bone lengths are
    not free.
    """
    found = arrays.parse_npz(data, _NAMES)
    missing = [name for name in ("trans", "poses") if name not in found]
    if missing:
        raise FormatError("npz", f"has no {' and no '.join(missing)}: not an AMASS file")
    poses = arrays.finite(found["poses"], "npz.poses", (None, None))
    count, width = poses.shape
    if width not in _WIDTHS:
        raise FormatError(
            "npz.poses", f"has {width} numbers a frame; 66, 72, 156 (SMPL-H) and 165 (SMPL-X) are known"
        )
    limits.check_frames(count, width, "npz.poses")
    trans = arrays.finite(found["trans"], "npz.trans", (count, 3))
    local = rot.from_axis_angle(poses[:, : NUM_JOINTS * 3].reshape(count, NUM_JOINTS, 3))
    local[:, 0] = rot.multiply(_Y_UP, local[:, 0])
    place = rot.rotate(_Y_UP, trans + _WIDTHS[width])
    shape = found.get("betas")
    if shape is not None:
        shape = arrays.finite(shape.reshape(-1), "npz.betas", (None,)).astype(np.float32)
    skeleton = SMPL22
    if _OFFSETS in found:
        skeleton = table.nearest(arrays.finite(found[_OFFSETS], f"npz.{_OFFSETS}", (NUM_JOINTS, 3)))
    return Motion.from_rotations(place, local, _rate(found), skeleton, betas=shape)


def _rate(found: dict[str, NDArray[Any]]) -> float:
    for name in RATE_NAMES:
        if name in found:
            value = arrays.finite(found[name].reshape(-1), f"npz.{name}", (None,))
            if value.size != 1 or not MIN_FPS <= value[0] <= MAX_FPS:
                raise FormatError(
                    f"npz.{name}", f"is not one rate of {MIN_FPS:g} to {MAX_FPS:g} frames a second"
                )
            return float(value[0])
    raise FormatError("npz.mocap_frame_rate", "is missing, so the speed is unknown")


def write(motion: Motion, path: Path) -> None:
    """Write a neutral SMPL-X sequence of the mean shape as AMASS does: 55 joints (hands and face at rest), Z up."""
    count = motion.num_frames
    local = motion.rotations.astype(np.float64).copy()
    local[:, 0] = rot.multiply(rot.inverse(_Y_UP), local[:, 0])
    poses = np.zeros((count, _SMPLX_JOINTS * 3))
    poses[:, : NUM_JOINTS * 3] = rot.to_axis_angle(local).reshape(count, -1)
    trans = rot.rotate(rot.inverse(_Y_UP), motion.translation.astype(np.float64)) - _PELVIS_SMPLX
    betas = np.zeros(16) if motion.betas is None else np.resize(np.append(motion.betas, np.zeros(16)), 16)
    np.savez_compressed(
        path,
        gender=np.array("neutral"),
        surface_model_type=np.array("smplx"),
        mocap_framerate=np.array(motion.fps),
        mocap_frame_rate=np.array(motion.fps),
        mocap_time_length=np.array(motion.seconds),
        trans=trans,
        poses=poses,
        betas=betas.astype(np.float64),
        num_betas=np.array(16),
        root_orient=poses[:, :3],
        pose_body=poses[:, 3:66],
        pose_jaw=poses[:, 66:69],
        pose_eye=poses[:, 69:75],
        pose_hand=poses[:, 75:],
        kinesphere_offsets=motion.skeleton.offsets,
    )

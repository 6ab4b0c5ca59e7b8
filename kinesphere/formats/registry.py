"""Which file suffix is which format: the one list that readers, writers and help texts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.errors import FormatError, InputError
from kinesphere.formats import (
    amass,
    bvh,
    bvh_writer,
    glb,
    glb_reader,
    humanml3d,
    smplx_body,
    source,
    table,
)
from kinesphere.formats.hierarchy import Float, SourceHierarchy
from kinesphere.formats.source import SourceMotion
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, SMPL22, Skeleton


@dataclass(frozen=True)
class Format:
    """suffix: with the dot, lower case. read: a file to exact rotations (Motion) or to positions (SourceMotion)."""

    suffix: str
    title: str
    read: Callable[[Path], Motion | SourceMotion]
    write: Callable[[Motion, Path], None] | None = None


def _read_bvh(path: Path) -> Motion | SourceMotion:
    hierarchy = bvh.read(path)
    own = _own_bvh(hierarchy)
    return own if own is not None else source.from_bvh_hierarchy(hierarchy, path)


def _own_bvh(hierarchy: SourceHierarchy) -> Motion | None:
    """The exact motion of a BVH on the 22-joint hierarchy with identity rest (ours), else None."""
    ends = {name for name, channels in zip(hierarchy.names, hierarchy.channels, strict=True) if not channels}
    names = [name for name in hierarchy.names if name not in ends]
    if sorted(names) != sorted(JOINT_NAMES):
        return None
    at = [hierarchy.index(name) for name in JOINT_NAMES]
    above = [
        hierarchy.names[hierarchy.parents[joint]] if hierarchy.parents[joint] >= 0 else "" for joint in at
    ]
    ours = [JOINT_NAMES[parent] if parent >= 0 else "" for parent in PARENTS]
    moving = [name for joint in at[1:] for name in hierarchy.channels[joint] if name.endswith("position")]
    if above != ours or moving:
        return None
    offsets = hierarchy.offsets[at]
    # The rest pose must be the reference's (a T pose), or the rotations would mean something else.
    lengths = np.linalg.norm(offsets[1:], axis=1) * np.linalg.norm(SMPL22.offsets[1:], axis=1)
    if np.any(np.sum(offsets[1:] * SMPL22.offsets[1:], axis=1) < 0.9 * lengths):
        return None
    places = hierarchy.global_transforms(JOINT_NAMES)
    leg = float(np.linalg.norm(offsets[4]) + np.linalg.norm(offsets[7]))
    metres = 0.01 if leg > 10 else 1.0
    local = hierarchy.local_rotations(JOINT_NAMES)
    skeleton = table.nearest(offsets * metres)
    return Motion.from_rotations(places[JOINT_NAMES[0]][0] * metres, local, hierarchy.fps, skeleton)


def _read_csv(path: Path) -> Motion | SourceMotion:
    positions, rotations, fps = table.read(path)
    if rotations is None:
        return SourceMotion(positions.astype(np.float32), fps, "csv")
    return Motion.from_rotations(positions[:, 0], rotations, fps, table.skeleton_of(positions, rotations))


def _read_npy(path: Path) -> SourceMotion:
    return SourceMotion(humanml3d.read_positions(path), humanml3d.FPS, "humanml3d")


def _write_npy(motion: Motion, path: Path) -> None:
    if path.stem.endswith("263"):
        humanml3d.write_features(motion, path)
    else:
        humanml3d.write_joints(motion, path)


FORMATS: Final[dict[str, Format]] = {
    format.suffix: format
    for format in (
        Format(".bvh", "BVH", _read_bvh, bvh_writer.write),
        Format(".glb", "binary glTF 2.0, a skinned figure", glb_reader.read, glb.write),
        Format(".npz", "AMASS / SMPL-X parameters", amass.read, amass.write),
        Format(
            ".npy",
            "HumanML3D joints [T,22,3]; features [T,263] where the name ends in 263",
            _read_npy,
            _write_npy,
        ),
        Format(".csv", "CSV table of positions and rotations", _read_csv, table.write),
        Format(".amc", "ASF/AMC (the .asf beside it)", source.from_acclaim),
        Format(".txt", "DeepMimic", source.from_deepmimic),
        Format(".json", "DeepMimic", source.from_deepmimic),
    )
}


def load_positions(path: Path | str) -> SourceMotion:
    """Positions of SMPL's 22 joints in metres, Y up, from any supported file.

    Raises FormatError naming what is wrong with the file, or that the body in it is implausible.
    """
    found = _read(Path(path))
    if isinstance(found, Motion):
        return SourceMotion(found.positions, found.fps, "smpl")
    return found


def load_motion(path: Path | str, *, uniform: bool = False) -> Motion:
    """A motion from any supported file.

    Formats that hold rotations on our hierarchy keep them exactly; for others inverse kinematics finds rotations on a
    skeleton with the person's own limb lengths, or, with ``uniform``, on HumanML3D's. Raises FormatError.
    """
    found = _read(Path(path))
    try:
        if isinstance(found, Motion):
            if not uniform or found.skeleton is SMPL22:
                return found
            found = SourceMotion(found.positions, found.fps, "smpl")
        return _solved(found, uniform)
    except FormatError:
        raise
    except InputError as error:
        raise FormatError(error.field, error.reason) from error


def save_motion(motion: Motion, path: Path | str, *, body: Path | str | None = None) -> Path:
    """Write ``motion`` in the format that the suffix names; returns the path.

    body: a SMPL-X, SMPL-H or SMPL model file (.npz) whose mesh a .glb gets instead of the open figure.
    Raises InputError on an unknown suffix, or a body for another format; FormatError on a broken body.
    """
    path = Path(path)
    if body is not None and path.suffix.lower() != ".glb":
        raise InputError("body", f"only a .glb holds a mesh, not {path.name}")
    known = FORMATS.get(path.suffix.lower())
    if known is None or known.write is None:
        can = ", ".join(suffix for suffix, format in FORMATS.items() if format.write)
        raise InputError("path", f"{path.name} does not end in one of {can}")
    if motion.skeleton.names != JOINT_NAMES:
        raise InputError("motion.skeleton", f"files hold the {NUM_JOINTS} joints of SMPL")
    if body is not None:
        glb.write(motion, path, smplx_body.read(body, motion.betas))
    else:
        known.write(motion, path)
    return path


def _read(path: Path) -> Motion | SourceMotion:
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise FormatError("path", f"{path.name[-60:]!r} does not end in one of {', '.join(FORMATS)}")
    try:
        return known.read(path)
    except FormatError:
        raise
    except InputError as error:  # e.g. a frame rate that Motion does not take
        raise FormatError(error.field, error.reason) from error


def _solved(motion: SourceMotion, uniform: bool) -> Motion:
    from kinesphere.representations.hml263 import has_uniform_bones, uniform_positions

    positions = motion.positions
    if uniform:
        positions = uniform_positions(positions)
    skeleton = (
        SMPL22 if uniform or has_uniform_bones(positions) else native_skeleton(positions.astype(np.float64))
    )
    return Motion.from_positions(positions, motion.fps, skeleton)


def native_skeleton(positions: Float) -> Skeleton:
    """The reference rest pose with the bone lengths of [T,22,3] (their median over time)."""
    bones = np.linalg.norm(positions[:, 1:] - positions[:, list(PARENTS[1:])], axis=-1)
    lengths = np.median(bones, axis=0)
    reference = np.linalg.norm(SMPL22.offsets[1:], axis=1)
    if np.any(lengths < 1e-3):
        raise FormatError("body", "a bone has no length")
    offsets = SMPL22.offsets.astype(np.float64).copy()
    offsets[1:] *= (lengths / reference)[:, None]
    return Skeleton(JOINT_NAMES, PARENTS, offsets.astype(np.float32))

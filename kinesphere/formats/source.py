"""Positions of SMPL's 22 joints from any take: what the data pipeline reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.errors import FormatError
from kinesphere.formats import asf_amc, deepmimic, rigs
from kinesphere.formats.hierarchy import Float, SourceHierarchy
from kinesphere.formats.landmarks import REQUIRED, smpl_joints
from kinesphere.skeleton import JOINT_INDEX, FloatArray

# Metres: the shortest and longest bones a grown-up or a child may have; left and right differ by at most this factor.
_BONES: Final = {
    "thigh": ("hip", "knee", 0.25, 0.60),
    "shin": ("knee", "ankle", 0.25, 0.60),
    "upper arm": ("shoulder", "elbow", 0.15, 0.42),
    "forearm": ("elbow", "wrist", 0.14, 0.40),
}
_MAX_ASYMMETRY: Final = 1.3
_MAX_SPEED: Final = 15.0  # metres a second of the pelvis, a little over a sprinter's
_UNITS: Final = (1.0, 0.01, 0.001, 0.0254, asf_amc.INCH / 0.45, 0.1)


@dataclass(frozen=True, eq=False)
class SourceMotion:
    """positions: [T,22,3] metres, Y up, facing as recorded. rig: name of the source's rig. world: takes of the same
    ``world`` were recorded together and share one frame (two dancers); None for a take of its own.
    """

    positions: FloatArray
    fps: float
    rig: str
    world: str | None = None


def from_hierarchy(hierarchy: SourceHierarchy) -> SourceMotion:
    """Positions of a parsed BVH. Raises FormatError for rigs without the landmarks and for implausible bodies."""
    rig = rigs.of_hierarchy(hierarchy)
    missing = [mark for mark in REQUIRED if mark not in rig.joints]
    if missing:
        raise FormatError("hierarchy", f"no joint is recognised for {', '.join(missing)}")
    needed = set(rig.joints.values()) | {name for name in (rig.pelvis, rig.chest) if name}
    places = hierarchy.global_transforms(needed)
    if rig.add_root_offset:
        places = {name: (place + hierarchy.offsets[0], turn) for name, (place, turn) in places.items()}
    if rig.metres is None:
        places = _y_up(places, rig)
    metres = rig.metres if rig.metres is not None else _unit(places, rig)
    positions = smpl_joints(rigs.landmarks(rig, places, hierarchy.rest_positions(), metres))
    positions = positions[_lead(positions, hierarchy.fps, rig.calibration) :]
    check_body(positions, hierarchy.fps)
    return SourceMotion(positions.astype(np.float32), hierarchy.fps, rig.name)


def from_acclaim(amc: Path, asf: Path | None = None) -> SourceMotion:
    """Positions of an .amc (the .asf is looked for beside it). Raises FormatError."""
    skeleton, columns = asf_amc.read(amc, asf)
    places = asf_amc.global_transforms(skeleton, columns)
    missing = sorted(set(rigs.CMU_ASF.joints.values()) - places.keys())
    if missing:
        raise FormatError("hierarchy", f"the skeleton has no {', '.join(missing)}")
    positions = smpl_joints(rigs.landmarks(rigs.CMU_ASF, places, asf_amc.rest_positions(skeleton), 1.0))
    check_body(positions, asf_amc.FPS)
    return SourceMotion(positions.astype(np.float32), asf_amc.FPS, rigs.CMU_ASF.name)


def from_deepmimic(path: Path) -> SourceMotion:
    """Positions of a DeepMimic motion file. Raises FormatError."""
    marks, fps = deepmimic.read(path)
    positions = smpl_joints(marks)
    check_body(positions, fps)
    return SourceMotion(positions.astype(np.float32), fps, "deepmimic")


def from_bvh_hierarchy(hierarchy: SourceHierarchy, path: Path) -> SourceMotion:
    """Positions of any humanoid's BVH; ``path`` tells which dancers share a world. Raises FormatError."""
    motion = from_hierarchy(hierarchy)
    if motion.rig == rigs.SALSA.name:
        take = path.stem.removesuffix("_scaled").split("_")[-1]
        return SourceMotion(motion.positions, motion.fps, motion.rig, f"salsa-{take}")
    return motion


def check_body(positions: Float, fps: float) -> None:
    """Raise FormatError naming the bone unless the bones of [T,22,3] are of human size and the body moves like one."""
    if not np.all(np.isfinite(positions)):
        raise FormatError("positions", "NaN or infinite values")
    for bone, (above, below, low, high) in _BONES.items():
        lengths = [
            float(
                np.median(
                    np.linalg.norm(_joint(positions, side, above) - _joint(positions, side, below), axis=1)
                )
            )
            for side in ("left", "right")
        ]
        for side, length in zip(("left", "right"), lengths, strict=True):
            if not low <= length <= high:
                raise FormatError(
                    "body", f"the {side} {bone} is {length:.3g} m long, {low:g} to {high:g} m is plausible"
                )
        if max(lengths) > _MAX_ASYMMETRY * min(lengths):
            raise FormatError("body", f"the {bone}s are {lengths[0]:.3g} m and {lengths[1]:.3g} m long")
    if len(positions) > 1:
        step = max(1, round(fps / 10))  # over a tenth of a second, so that single noisy frames do not count
        moved = np.linalg.norm(positions[step:, 0] - positions[:-step, 0], axis=1) * fps / step
        if moved.size and moved.max() > _MAX_SPEED:
            raise FormatError(
                "body", f"the pelvis moves at {moved.max():.3g} m/s, at most {_MAX_SPEED:g} is plausible"
            )


def _lead(positions: Float, fps: float, calibration: str) -> int:
    """How many frames to drop before the take begins: calibration poses, from which the body leaps into the take."""
    if not calibration or len(positions) < 4:
        return 0
    steps = np.max(np.linalg.norm(np.diff(positions[:32], axis=0), axis=2), axis=1)
    pelvis = np.linalg.norm(np.diff(positions[:32, 0], axis=0), axis=1)
    early = np.flatnonzero((steps[:8] * fps > 30) | (pelvis[:8] * fps > _MAX_SPEED))
    lead = int(early[-1]) + 1 if early.size else 0
    if lead == 0 and steps[0] > 0.03 and steps[0] > 4 * np.max(steps[1:]):
        lead = 1
    return max(lead, 1) if calibration == "always" else lead


def _joint(positions: Float, side: str, part: str) -> Float:
    return positions[:, JOINT_INDEX[f"{side}_{part}"]]


def _y_up(places: dict[str, tuple[Float, Float]], rig: rigs.Rig) -> dict[str, tuple[Float, Float]]:
    """Turn Z-up files so that Y is up: the axis along which the head is above the ankles most of the time."""
    ankles = (places[rig.joints["left_ankle"]][0] + places[rig.joints["right_ankle"]][0]) / 2
    tall = np.median(places[rig.joints["head"]][0] - ankles, axis=0)
    if abs(tall[2]) > 2 * abs(tall[1]):
        turn = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
        return {name: (place @ turn.T, turn @ matrix) for name, (place, matrix) in places.items()}
    return places


def _unit(places: dict[str, tuple[Float, Float]], rig: rigs.Rig) -> float:
    """Metres per file unit: the usual unit that brings the legs (hip to ankle) nearest to 0.82 m."""

    def bone(a: str, b: str) -> float:
        return float(np.median(np.linalg.norm(places[rig.joints[a]][0] - places[rig.joints[b]][0], axis=1)))

    leg = bone("left_hip", "left_knee") + bone("left_knee", "left_ankle")
    if leg <= 0:
        raise FormatError("hierarchy.offset", "the left leg has no length")
    return min(_UNITS, key=lambda unit: abs(np.log(leg * unit / 0.82)))

"""Recorded climbing over boxes, with the boxes: ``demo_data/climb`` of the wheel ``holosoma-retargeting`` 0.1.0.

Each folder holds one take of 53 joint places (metres, Z up, 120 frames a second, rounded to the centimetre) and the boxes
in the same frame (``multi_boxes.obj``). Body and boxes are brought to the reference body's size by one factor.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter1d

from kinesphere.datasets import splits
from kinesphere.datasets.reactions.composed import Sample, said, seeded
from kinesphere.datasets.reactions.parallel import Progress, in_order
from kinesphere.datasets.reactions.recorded import windows
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS, resample
from kinesphere.errors import FormatError, InputError
from kinesphere.formats import arrays, limits
from kinesphere.formats.hierarchy import Float
from kinesphere.formats.landmarks import Landmarks, frame, smpl_joints
from kinesphere.formats.source import check_body
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.scenes import Scene, meshes
from kinesphere.skeleton import FloatArray

RATE: Final = 120.0
JOINTS: Final = 53
_SMOOTH: Final = 4.0  # frames at 120 a second: places are rounded to a centimetre, which would shake
# Where each landmark is among the 53 joints (the wheel's ``MOCAP_DEMO_JOINTS``).
_LANDMARKS: Final = {
    "neck": 3, "head": 4, "left_clavicle": 5, "left_shoulder": 6, "left_elbow": 7, "left_wrist": 8,
    "right_clavicle": 24, "right_shoulder": 25, "right_elbow": 26, "right_wrist": 27,
    "left_hip": 43, "left_knee": 44, "left_ankle": 45, "left_toe": 46,
    "right_hip": 47, "right_knee": 48, "right_ankle": 49, "right_toe": 50,
}  # fmt: skip
_SPINE: Final = 1
_CLIMBED: Final = 0.25  # metres that the pelvis rises or falls over a window
_UP = ("[climb] up onto the box", "[step] up onto the boxes", "[get] up on the box")
_DOWN = ("[climb] down from the box", "[step] down to the floor", "[get] off the box")
_OVER = ("[climb] over the boxes", "[move] over the boxes", "[step] from box to box")
_CRAWL = (
    "[crawl] over the boxes",
    "[creep] over the boxes on hands and feet",
    "[move] over the boxes on all fours",
)
_LOW: Final = 0.6  # metres from the lowest joint to the pelvis: below it somebody goes on all fours
_MOST_BYTES: Final = 32 * 2**20


def find(roots: list[Path], cache: Path) -> list[Path]:
    """The takes' folders under ``roots``: unpacked, or in the wheel, whose part is then unpacked into ``cache``."""
    found = [path.parent for root in roots for path in sorted(root.glob("**/climb/*/multi_boxes.obj"))]
    for root in roots:
        wheels = [root] if root.suffix == ".whl" else sorted(root.glob("holosoma_retargeting-*.whl"))
        for wheel in wheels:
            found += _unpacked(wheel, cache)
    return found


def _unpacked(wheel: Path, cache: Path) -> list[Path]:
    """The joint places and boxes of every take in the wheel, as files under ``cache``. Raises FormatError."""
    folders: set[Path] = set()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for part in archive.infolist():
                above, _, name = part.filename.rpartition("/")
                take = above.rpartition("/")[2]
                if "/demo_data/climb/" not in part.filename or name.startswith("."):
                    continue
                if not (name.endswith(".npy") or name == "multi_boxes.obj") or part.file_size > _MOST_BYTES:
                    continue
                if not take.replace("_", "").isalnum():
                    continue
                folder = cache / "climb" / take
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(archive.read(part))
                folders.add(folder)
    except zipfile.BadZipFile as error:
        raise FormatError("raw", f"{wheel.name} is no wheel: {error}") from error
    return sorted(folders)


def load_climbs(
    folders: list[Path], *, limit: int | None = None, jobs: int = 1, progress: Progress | None = None
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """Windows of every take with its boxes, and (take, reason) for those that are refused."""
    dealt = splits.assign((folder.name, "climb") for folder in folders)
    work = [(folder, dealt[folder.name]) for folder in folders][:limit]
    made = in_order(_take, work, jobs, progress)
    refused = [
        (f"climb/{folder.name}", reason)
        for (folder, _), (_, reason) in zip(work, made, strict=True)
        if reason
    ]
    return [sample for samples, _ in made for sample in samples], refused


def _take(job: tuple[Path, Split]) -> tuple[list[Sample], str]:
    folder, split = job
    try:
        motion, scene = read(folder)
    except (InputError, ValueError, OSError) as error:
        return [], str(error) or type(error).__name__
    samples = []
    for start, stop in windows(motion.num_frames, overlapping=split == "train"):
        part = motion.slice(start, stop)
        words = _words(part)
        name = f"climb/{folder.name}/{start}-{stop}"
        x, y, z = (float(value) for value in part.translation[-1])
        samples.append(
            Sample(
                name,
                f"climb/{folder.name}",
                "climb",
                split,
                part,
                None,
                said(words, seeded(name)),
                goal=(x, y, z),
                scene=scene,
                origin="recorded",
            )
        )
    return samples, ""


def _words(part: Motion) -> tuple[str, ...]:
    """What somebody does who moves over boxes, by how high the pelvis is and how it rises."""
    rise = float(part.translation[-1, 1] - part.translation[0, 1])
    height = float(np.median(part.translation[:, 1] - part.positions[..., 1].min(axis=1)))
    if rise > _CLIMBED:
        return _UP
    if rise < -_CLIMBED:
        return _DOWN
    return _CRAWL if height < _LOW else _OVER


def read(folder: Path) -> tuple[Motion, Scene]:
    """The take in a folder, at 20 frames a second on the reference body, and its boxes. Raises FormatError."""
    files = sorted(folder.glob("*.npy"))
    if len(files) != 1:
        raise FormatError("folder", f"{folder.name} holds {len(files)} .npy files, one is expected")
    joints = arrays.finite(arrays.parse_npy(limits.read_bytes(files[0])), "npy", (None, JOINTS, 3))
    limits.check_frames(len(joints), JOINTS * 3)
    body = smpl22(joints)
    check_body(body, RATE)
    own = resample(body, RATE)
    uniform = hml263.uniform_positions(own)
    scale = float(np.linalg.norm(uniform[0, 0]) / max(float(np.linalg.norm(own[0, 0])), 1e-6))
    mesh = meshes.load(folder / "multi_boxes.obj", up="z")
    smaller = meshes.Mesh(mesh.vertices * scale, mesh.faces)
    scene = Scene(f"climb-{folder.name}", field=meshes.field(smaller, margin=0.2))
    return Motion.from_positions(uniform, FPS), scene


def smpl22(joints: Float) -> FloatArray:
    """SMPL's 22 joints [T,22,3] (Y up) from the 53 (Z up), smoothed over the centimetres that they are rounded to.

    Raises FormatError on bodies whose hips or shoulders cannot be read.
    """
    smooth = gaussian_filter1d(np.asarray(joints, dtype=np.float64), _SMOOTH, axis=0, mode="nearest")
    turned = np.stack([smooth[..., 0], smooth[..., 2], -smooth[..., 1]], axis=-1)
    points = {name: turned[:, index] for name, index in _LANDMARKS.items()}
    hips = (points["left_hip"] + points["right_hip"]) / 2
    pelvis = frame(points["left_hip"] - points["right_hip"], turned[:, _SPINE] - hips)
    chest = frame(points["left_shoulder"] - points["right_shoulder"], points["neck"] - turned[:, _SPINE])
    return smpl_joints(Landmarks(points, pelvis, chest)).astype(np.float32)

"""Every frame of a built data set as joints and true rotations: what motion primitives are cut from.

The data set holds hml263, whose rotations are not a body's (see ``kinesphere.representations.hml263``). Its positions
are, so the project's inverse kinematics runs over them once; the result is cached beside the data set.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from kinesphere import rotations as rot
from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.skeleton import NUM_JOINTS, FloatArray


class Poses:
    """Frames in the order of the data set's features, each clip from the origin facing +Z, the floor at y = 0.

    joints: [N,22,3] metres, float32, forward kinematics of the rotations. rotations: [N,22,6] local, 6D (two columns),
    float16, whose rounding turns a joint by 0.03 degrees at most.
    """

    def __init__(self, dataset: ClipDataset) -> None:
        digest = hashlib.sha256((dataset.path / "clips.jsonl").read_bytes()).hexdigest()[:16]
        cache = dataset.path / "cache"
        files = [cache / f"poses-{digest}-{name}.npy" for name in ("joints", "rotations")]
        if not all(file.exists() for file in files):
            cache.mkdir(parents=True, exist_ok=True)
            _solve_all(dataset, files[0], files[1])
        self.joints: NDArray[np.float32] = np.load(files[0], mmap_mode="r")
        self.rotations: NDArray[np.float16] = np.load(files[1], mmap_mode="r")

    def clip(self, clip: Clip) -> tuple[FloatArray, FloatArray]:
        """Joints [T,22,3] and local 6D rotations [T,22,6] of a clip, copies in float32."""
        rows = slice(clip.offset, clip.offset + clip.frames)
        return np.array(self.joints[rows]), self.rotations[rows].astype(np.float32)


def _solve_all(dataset: ClipDataset, joints_file: Path, rotations_file: Path) -> None:
    frames = max(clip.offset + clip.frames for clip in dataset.clips)
    joints = np.zeros((frames, NUM_JOINTS, 3), np.float32)
    rotations = np.zeros((frames, NUM_JOINTS, 6), np.float16)
    for clip in track(dataset.clips, description="inverse kinematics"):
        motion = Motion.from_positions(hml263.decode(dataset.features(clip)), hml263.FPS)
        rows = slice(clip.offset, clip.offset + clip.frames)
        joints[rows] = motion.positions
        rotations[rows] = rot.to_6d(motion.rotations)
    for file, array in ((joints_file, joints), (rotations_file, rotations)):
        partial = file.with_suffix(".partial")
        with partial.open("wb") as out:
            np.save(out, array)
        partial.replace(file)

"""Small data sets of synthetic takes (arms swinging while a body walks), for training tests: no recorded motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinesphere.datasets.captions import Caption
from kinesphere.datasets.clips import Clip
from kinesphere.datasets.reactions import build
from kinesphere.datasets.reactions.composed import Sample
from kinesphere.datasets.splits import Split
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.rotations import about_y, from_axis_angle, multiply, rotate
from kinesphere.scenes import Box, Scene
from kinesphere.skeleton import JOINT_INDEX


def swinging_motion(frames: int, side: str, speed: float, rng: np.random.Generator) -> Motion:
    """A body gliding forward at ``speed`` m/s and swinging the arm on ``side``."""
    time = np.arange(frames) / 20.0
    turns = np.zeros((frames, 22, 3), np.float32)
    swing = 0.8 * np.sin(2 * np.pi * (0.5 + rng.random()) * time)
    turns[:, JOINT_INDEX[f"{side}_shoulder"], 2] = swing
    turns[:, JOINT_INDEX["left_hip"], 0] = 0.3 * np.sin(6 * time)
    turns[:, JOINT_INDEX["right_hip"], 0] = -0.3 * np.sin(6 * time)
    root = np.stack([np.zeros(frames), np.full(frames, 0.95), speed * time], axis=1)
    return Motion.from_rotations(root, from_axis_angle(turns), 20.0)


def write_dataset(folder: Path, clips: int = 48, seed: int = 0) -> Path:
    """A built data set of ``clips`` clips of 2 to 5 s in ``folder``; a sixth of them validation, a sixth test."""
    rng = np.random.default_rng(seed)
    rows, lines, offset = [], [], 0
    for i in range(clips):
        side, speed = ("left", "right")[i % 2], float(rng.uniform(0, 1.5))
        features = hml263.encode(swinging_motion(int(rng.integers(40, 100)), side, speed, rng).positions)
        caption = f"a person swings the {side} arm" + (" while walking" if speed > 0.7 else "")
        clip = Clip(
            id=f"clip{i:03d}", take=f"take{i:03d}", source="synthetic", split=("val", "test", *["train"] * 4)[i % 6],
            mirrored=False, offset=offset, frames=len(features), seconds=len(features) / 20.0,
            captions=(Caption(caption, "reading"), Caption(f"swing your {side} arm", "reading")),
            reading=f"Swing the {side} arm.",
        )  # fmt: skip
        rows.append(features)
        lines.append(clip.to_json())
        offset += len(features)
    everything = np.concatenate(rows).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clips.jsonl").write_text("\n".join(lines) + "\n")
    for name, array in {"hml263": everything, "mean": everything.mean(0), "std": everything.std(0)}.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def write_reactions(folder: Path, samples: int = 12, seed: int = 0) -> Path:
    """A built reaction data set in ``folder``: every third sample walks up to a box, in the others a partner swings an
    arm and the agent, two metres away and facing it, swings the same one half a second later."""
    rng = np.random.default_rng(seed)
    splits: tuple[Split, ...] = ("train", "train", "val", "test")
    made = []
    for i in range(samples):
        side, split = ("left", "right")[i % 2], splits[i // 3 % 4]
        motion = swinging_motion(60, side, 0.5, rng)
        late = motion.slice(0, 50)
        turned = multiply(about_y(np.full(50, np.pi)), motion.rotations[10:, 0])
        facing = motion.rotations[10:].copy()
        facing[:, 0] = turned
        path = rotate(about_y(np.full(50, np.pi)), motion.translation[10:]) + [0.0, 0.0, 2.0]
        partner = Motion.from_rotations(path.astype(np.float32), facing, 20.0)
        scene = Scene(f"box{i}", (Box((0.0, 0.25, 2.0), (0.5, 0.5, 0.5)),)) if i % 3 == 0 else None
        made.append(
            Sample(
                id=f"sample{i:02d}", take=f"take{i:02d}", situation="swing", split=split, agent=late,
                partner=None if scene else partner, text=(f"swing the {side} arm back",), onset=5,
                goal=(0.0, 0.9, 1.2) if scene else None, scene=scene,
            )
        )  # fmt: skip
    build.write(made, folder)
    return folder

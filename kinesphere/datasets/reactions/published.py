"""Inter-X, InterHuman, EgoBody, LINGO and TRUMANS as their authors publish them: recorded reactions, not composed ones.

Looked for under each root, by what lies in it:

    Inter-X     motions/NAME/P1.npz and P2.npz (SMPL-X, 120 fps), texts/NAME.txt, splits/*.txt, annots/interaction_order.pkl
    InterHuman  motions/ID.pkl (person1, person2; 59.94 fps), annots/ID.txt, split/*.txt
    EgoBody     smplx_interactee*/ and smplx_camera_wearer*/ RECORDING/body_idx_N/results/frame_N/000.pkl (30 fps),
                calibrations/RECORDING/**/kinect12_to_world/SCENE.json, data_splits.csv
    LINGO       human_pose.npy, human_orient.npy, transl_aligned.npy, start_idx.npy, end_idx.npy, text_aug.pkl,
                scene_name.pkl, Scene/NAME.npy (30 fps)
    TRUMANS     smplx_result/NAME_smplx_results.pkl, Actions/NAME.txt, Scene/NAME.npy (30 fps)

SMPL-X parameters are played on the reference body. Which axis is up is read off the bodies: the data sets differ in it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinesphere.datasets import splits
from kinesphere.datasets.reactions.composed import Sample
from kinesphere.datasets.reactions.recorded import windows
from kinesphere.datasets.reactions.smplx_bodies import (
    Body,
    body_of,
    carried_by,
    checked,
    played,
    read_camera,
    read_frames,
    read_grid,
    read_npz,
    upright,
)
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.errors import FormatError, InputError
from kinesphere.formats import limits, pickles
from kinesphere.scenes import Scene

_LEAST: Final = 40  # frames: shorter segments of the scene data sets are kept from 2 s on
_MEETING: Final = ("interact with the other person", "a person interacts with another person")
_SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")


def load_published(roots: list[Path]) -> tuple[list[Sample], list[tuple[str, str]]]:
    """Samples of every published data set under ``roots``, and (file, reason) of what is refused in them."""
    samples: list[Sample] = []
    refused: list[tuple[str, str]] = []
    for root in roots:
        for reader in (_inter_x, _inter_human, _ego_body, _lingo, _trumans):
            for name, made in reader(root):
                try:
                    samples += made() if callable(made) else made
                except (InputError, ValueError, OSError, KeyError, IndexError) as error:
                    refused.append((name, str(error) or type(error).__name__))
    return samples, refused


Found = Iterator[tuple[str, Any]]  # a name, and a function that reads what it names


def _inter_x(root: Path) -> Found:
    order_file = root / "annots" / "interaction_order.pkl"
    order: Any = pickles.parse(limits.read_bytes(order_file)) if order_file.is_file() else {}
    listed = _listed(root / "splits")
    for folder in sorted((root / "motions").glob("*/")):
        if not (folder / "P1.npz").is_file() or not (folder / "P2.npz").is_file():
            continue

        def read(folder: Path = folder) -> list[Sample]:
            bodies = [read_npz(folder / f"P{number}.npz") for number in (1, 2)]
            # 0: the first acts, so the second reacts. Where it is not said, both do.
            actor = order.get(folder.name) if isinstance(order, dict) else None
            roles = [(1, 0)] if actor == 0 else [(0, 1)] if actor == 1 else [(0, 1), (1, 0)]
            text = _lines(root / "texts" / f"{folder.name}.txt")
            split = listed.get(folder.name, "train")
            return _pairs(f"inter-x/{folder.name}", bodies, 120.0, roles, text, split)

        yield f"inter-x/{folder.name}", read


def _inter_human(root: Path) -> Found:
    listed = _listed(root / "split") or _listed(root)
    for path in sorted((root / "motions").glob("*.pkl")):

        def read(path: Path = path) -> list[Sample]:
            both = pickles.parse(limits.read_bytes(path))
            if not isinstance(both, dict):
                raise FormatError("pickle", "is no InterHuman motion")
            bodies = [
                body_of(both.get(f"person{number}"), "root_orient", "pose_body", "trans") for number in (1, 2)
            ]
            rate = float(both.get("mocap_framerate", 59.94))
            text = _lines(root / "annots" / f"{path.stem}.txt")
            split = listed.get(path.stem, "train")
            return _pairs(f"inter-human/{path.stem}", bodies, rate, [(0, 1), (1, 0)], text, split)

        yield f"inter-human/{path.stem}", read


def _ego_body(root: Path) -> Found:
    listed: dict[str, Split] = {}
    table = root / "data_splits.csv"
    if table.is_file():
        with table.open(newline="") as lines:
            for row in csv.DictReader(lines):
                listed |= {str(row[split]): split for split in _SPLITS if row.get(split)}
    recordings: dict[str, list[Path]] = {}
    for body in sorted(root.glob("smplx_*/*/body_idx_*")):
        recordings.setdefault(body.parent.name, []).append(body)
    for name, folders in sorted(recordings.items()):
        if len(folders) != 2:
            continue

        def read(name: str = name, folders: list[Path] = folders) -> list[Sample]:
            frames = [
                {path.parent.name: path for path in folder.glob("results/frame_*/000.pkl")}
                for folder in folders
            ]
            shared = sorted(set(frames[0]) & set(frames[1]))
            bodies = [read_frames([of[frame] for frame in shared]) for of in frames]
            camera = read_camera(root / "calibrations" / name)
            bodies = [carried_by(body, camera) for body in bodies]
            return _pairs(
                f"ego-body/{name}", bodies, 30.0, [(0, 1), (1, 0)], _MEETING, listed.get(name, "train")
            )

        yield f"ego-body/{name}", read


def _lingo(root: Path) -> Found:
    names = ("human_orient", "human_pose", "transl_aligned", "start_idx", "end_idx")
    if not all((root / f"{name}.npy").is_file() for name in names) or not (root / "text_aug.pkl").is_file():
        return
    # Gigabytes: only what a segment needs is read.
    orient, pose, transl, starts, ends = (
        np.load(root / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
    )
    texts = pickles.parse(limits.read_bytes(root / "text_aug.pkl"))
    scene_file = root / "scene_name.pkl"
    scenes = pickles.parse(limits.read_bytes(scene_file)) if scene_file.is_file() else None
    for number, (start, stop) in enumerate(zip(starts.ravel(), ends.ravel(), strict=True)):

        def read(number: int = number, start: int = int(start), stop: int = int(stop)) -> list[Sample]:
            if not 0 <= start < stop <= len(pose):
                raise FormatError("start_idx", f"{start} to {stop} is outside the {len(pose)} frames")
            part = slice(start, stop)
            body = checked(orient[part], pose[part], transl[part])
            said = texts[number]
            text = tuple(str(one) for one in said) if isinstance(said, list | tuple) else (str(said),)
            place = None if scenes is None else read_grid(root / "Scene", str(scenes[start]))
            # A scene and its mirror image (published too) fall into one split.
            group = str(scenes[start]).removesuffix("_mirror") if scenes is not None else str(number)
            return _alone(f"lingo/{number}", body, text, place, group)

        yield f"lingo/{number}", read


def _trumans(root: Path) -> Found:
    for path in sorted((root / "smplx_result").glob("*_smplx_results.pkl")):
        name = path.stem.removesuffix("_smplx_results")

        def read(path: Path = path, name: str = name) -> list[Sample]:
            body = body_of(pickles.parse(limits.read_bytes(path)), "global_orient", "body_pose", "transl")
            place = read_grid(root / "Scene", name.partition("@")[0])
            samples: list[Sample] = []
            for number, (start, stop, text) in enumerate(
                _actions(root / "Actions" / f"{name}.txt", len(body[0]))
            ):
                part = (body[0][start:stop], body[1][start:stop], body[2][start:stop])
                samples += _alone(f"trumans/{name}/{number}", part, (text,), place, name.partition("@")[0])
            return samples

        yield f"trumans/{name}", read


def _pairs(
    name: str,
    bodies: list[Body],
    rate: float,
    roles: list[tuple[int, int]],
    text: tuple[str, ...],
    split: Split,
) -> list[Sample]:
    """Windows of two people; roles: (who reacts, who acts)."""
    frames = min(len(orient) for orient, _, _ in bodies)
    motions = upright([played((o[:frames], p[:frames], t[:frames]), rate) for o, p, t in bodies])
    found = []
    for start, stop in windows(motions[0].num_frames, overlapping=False):
        for agent, partner in roles:
            found.append(
                Sample(
                    f"{name}/{start}-{stop}-{agent}",
                    name,
                    name.partition("/")[0],
                    split,
                    motions[agent].slice(start, stop),
                    motions[partner].slice(start, stop),
                    text or _MEETING,
                    origin="recorded",
                )
            )
    return found


def _alone(name: str, body: Body, text: tuple[str, ...], scene: Scene | None, group: str) -> list[Sample]:
    """One segment among things, cut to 10 s; the end of its way is its goal."""
    motion = upright([played(body, 30.0)])[0]
    motion = motion.slice(0, min(motion.num_frames, 200))
    if motion.num_frames < _LEAST:
        raise FormatError("frames", f"{motion.num_frames / FPS:.1f} s, at least {_LEAST / FPS:g} s are used")
    x, y, z = (float(value) for value in motion.translation[-1])
    kind = name.partition("/")[0]
    split = splits.of_share(f"{kind} {group}")
    return [
        Sample(name, name, kind, split, motion, None, text, goal=(x, y, z), scene=scene, origin="recorded")
    ]


def _actions(path: Path, frames: int) -> list[tuple[int, int, str]]:
    """Lines ``start end words`` in frames; without the file, the whole as one."""
    if not path.is_file():
        return [(0, frames, "move about the room")]
    found = []
    for line in _lines(path):
        parts = line.split(maxsplit=2)
        if len(parts) == 3 and parts[0].isdigit() and parts[1].isdigit():
            start, stop = int(parts[0]), min(int(parts[1]), frames)
            if start < stop:
                found.append((start, stop, parts[2]))
    return found


def _listed(folder: Path) -> dict[str, Split]:
    """Split of every name in train.txt, val.txt and test.txt of a folder."""
    return {name: split for split in _SPLITS for name in _lines(folder / f"{split}.txt")}


def _lines(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    text = path.read_text(encoding="utf-8", errors="replace")
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))

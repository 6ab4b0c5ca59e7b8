"""The takes of every source, with their words: archives or folders in, a list of ``Take`` out.

Known layouts, looked for under each given root: ``cmu/``, ``bandai-namco/``, ``deepmimic/``, ``reactidle/`` (or the
``.tar.xz`` archives of these), HumanML3D as published (``new_joint_vecs/``, ``texts/``, ``train.txt``) and KIT-ML as
published (``new_joints/``, ``texts/``, ``train.txt``; 21 joints, 12.5 fps, millimetres).
"""

from __future__ import annotations

import csv
import json
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.datasets import labels
from kinesphere.datasets.labels import Label
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS, resample
from kinesphere.errors import FormatError, InputError
from kinesphere.formats import arrays, humanml3d, limits, load_positions
from kinesphere.formats.hierarchy import Float
from kinesphere.skeleton import FloatArray


@dataclass(frozen=True)
class Written:
    """A sentence by a person about the seconds start to end of a take; an infinite end is that of the take.

    mirrored: it speaks of the mirror image.
    """

    start: float
    end: float
    text: str
    mirrored: bool = False


@dataclass(frozen=True)
class Take:
    """One file. group: the recording it belongs to (see ``splits``). kind: its content, for dealing out splits.
    rank: which version of a recording it is (0 the best); val and test keep only the best.
    """

    id: str
    source: str
    path: Path
    group: str
    kind: str
    label: Label = Label()
    written: tuple[Written, ...] = ()
    rank: int = 0
    split: Split | None = None
    mirror: bool = True
    then: Path | None = None  # a second file, joined to the first (see ``composites``)


def unpack(roots: list[Path], cache: Path) -> list[Path]:
    """Replaces roots that hold ``.tar.xz`` archives by folders with their contents under ``cache``."""
    found = []
    for root in roots:
        archives = (
            sorted(root.glob("*.tar.xz"))
            if root.is_dir()
            else [root]
            if root.name.endswith(".tar.xz")
            else []
        )
        if not archives:
            found.append(root)
        for archive in archives:
            stamp = f"{archive.name} {archive.stat().st_size}"
            target = cache / archive.name.removesuffix(".tar.xz")
            mark = target / ".complete"
            if not mark.is_file() or mark.read_text() != stamp:
                target.mkdir(parents=True, exist_ok=True)
                with tarfile.open(archive) as bundle:
                    bundle.extractall(target, filter="data")
                mark.write_text(stamp)
            found.append(target)
    return found


def enumerate_takes(roots: list[Path]) -> list[Take]:
    """All takes under ``roots``, in a stable order. Raises InputError(``raw``) when there are none."""
    takes: list[Take] = []
    written = _references(roots)
    for root in roots:
        takes += _bandai(root)
        takes += _cmu(root, written)
        takes += _simple(root, "deepmimic", "deepmimic/*.txt", "deepmimic")
        takes += _simple(root, "reactidle", "reactidle/*.bvh", "other")
        takes += _published(root)
    if not takes:
        raise InputError("raw", f"no known data under {', '.join(map(str, roots))}")
    return sorted({take.id: take for take in takes}.values(), key=lambda take: take.id)


def load(take: Take) -> FloatArray:
    """Positions [T,22,3] at 20 fps, metres, Y up. Raises FormatError or InputError when the file is refused."""
    if take.source == "humanml3d":
        return humanml3d.read_positions(take.path)
    if take.source == "kit":
        joints = arrays.parse_npy(limits.read_bytes(take.path))
        limits.check_frames(len(joints), 63)
        return resample(kit_joints(arrays.finite(joints, "npy", (None, 21, 3))), 12.5)
    motion = load_positions(take.path)
    # One file's header says 30 fps, but all of these were recorded at 120 (CMU) and the movement agrees.
    fps = 120.0 if take.path.parent.name == "bvh-daz" else motion.fps
    return resample(without_rest_pose(motion.positions), fps)


def without_rest_pose(positions: FloatArray) -> FloatArray:
    """Drops the frames at the start that are no part of the movement: a T pose that many converters put in front, and
    that their smoothing lets fade over four or five frames.

    Relative to the pelvis some joint then leaps by 0.15 m and more in the first step; the steps that are at least four
    times what comes later go with it.
    """
    if len(positions) < 20:
        return positions
    relative = positions[:20] - positions[:20, :1]
    steps = np.linalg.norm(np.diff(relative, axis=0), axis=-1).max(axis=1)
    usual = max(float(np.median(steps[8:])), 0.005)
    if steps[0] < 0.15 or steps[0] < 6 * usual:
        return positions
    calm = np.flatnonzero(steps < 4 * usual)
    return positions[int(calm[0]) :] if len(calm) else positions


def _bandai(root: Path) -> Iterator[Take]:
    for path in sorted(root.glob("bandai-namco/dataset-*/data/*.bvh")):
        try:
            label = labels.bandai(path.stem)
            kind = "bandai " + path.stem.split("_")[1]
        except (KeyError, ValueError):
            label, kind = Label(), "bandai other"
        yield Take(f"bandai/{path.stem}", "bandai-namco", path, f"bandai/{path.stem}", kind, label)


_CMU_FOLDERS: Final = (
    ("asf-amc", "*.amc"),
    ("bvh-daz", "*.bvh"),
    ("bvh-iclone", "*.bvh"),
    ("salsa-pairs", "*.bvh"),
)


def _cmu(root: Path, written: dict[str, list[Written]]) -> Iterator[Take]:
    index = _cmu_index(root / "cmu" / "cmu-mocap-index.csv")
    for rank, (folder, pattern) in enumerate(_CMU_FOLDERS):
        for path in sorted((root / "cmu" / folder).glob(pattern)):
            parts = path.stem.removesuffix("_scaled").split("_")
            group, words, label = (
                f"cmu/{path.stem}",
                written.get(path.stem, []),
                labels.named(path.stem, "other"),
            )
            if len(parts) == 2 and all(part.isdigit() for part in parts):
                clip = f"{int(parts[0]):02d}_{int(parts[1]):02d}"
                group = f"cmu/salsa_{parts[1]}" if folder == "salsa-pairs" else f"cmu/{clip}"
                label, words = labels.cmu(index.get(clip, "")), written.get(clip, [])
            kind = "cmu " + (label.templates[0] if label.templates else parts[0])
            yield Take(
                f"{folder}/{path.stem}",
                "cmu",
                path,
                group,
                kind,
                label,
                tuple(words),
                0 if rank == 3 else rank,
            )


def _cmu_index(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        return {row[0].strip(): row[1] for row in csv.reader(lines) if len(row) > 1 and "_" in row[0]}


def _references(roots: list[Path]) -> dict[str, list[Written]]:
    """HumanML3D's captions of CMU takes, by CMU clip id, timed from the take's start."""
    found: dict[str, list[Written]] = {}
    for root in roots:
        for table in root.glob("humanml3d/**/index.csv"):
            sentences = next(iter(root.glob("humanml3d/**/captions.json")), None)
            if sentences is None:
                continue
            captions: dict[str, list[list[float | str]]] = json.loads(sentences.read_text())
            with table.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    if "/CMU/" in row["source_path"]:
                        _join(row, captions, found)
    return found


def _join(
    row: dict[str, str], captions: dict[str, list[list[float | str]]], found: dict[str, list[Written]]
) -> None:
    clip = Path(row["source_path"]).stem.removesuffix("_poses")
    number = Path(row["new_name"]).stem
    begin, finish = int(row["start_frame"]) / FPS, int(row["end_frame"]) / FPS
    for key, mirrored in ((number, False), (f"M{number}", True)):
        for start, end, text in captions.get(key, []):
            first, last = begin + float(start), begin + float(end) if float(end) > 0 else finish
            found.setdefault(clip, []).append(Written(first, last, str(text), mirrored))


def _simple(root: Path, source: str, pattern: str, table: str) -> Iterator[Take]:
    for path in sorted(root.glob(pattern)):
        if path.stem.upper().startswith("LICENSE"):
            continue
        label = labels.named(path.stem if table == "deepmimic" else "idle", table)
        # DeepMimic has one take of each kind; all are for training.
        yield Take(
            f"{source}/{path.stem}",
            source,
            path,
            f"{source}/{path.stem}",
            f"{source} {path.stem[:14]}",
            label,
        )


def _published(root: Path) -> Iterator[Take]:
    """HumanML3D and KIT-ML as their authors publish them; their own splits are kept."""
    if not (root / "texts").is_dir():
        return
    kit = not any((root / "new_joint_vecs").glob("0[0-9][0-9][0-9][0-9][0-9].npy"))
    folder = root / ("new_joints" if kit else "new_joint_vecs")
    source = "kit" if kit else "humanml3d"
    splits: dict[str, Split] = {}
    names: tuple[Split, ...] = ("train", "val", "test")
    for split in names:
        listing = root / f"{split}.txt"
        for line in listing.read_text().split() if listing.is_file() else ():
            splits[line] = split
    for name, split in sorted(splits.items()):
        path, text = folder / f"{name}.npy", root / "texts" / f"{name}.txt"
        if path.is_file() and text.is_file():
            group = f"{source}/{name.removeprefix('M')}"
            written = tuple(_sentences(text))
            # Both publish mirrored copies (M...) with words of their own.
            yield Take(
                f"{source}/{name}", source, path, group, source, Label(), written, 0, split, mirror=False
            )


def _sentences(path: Path) -> Iterator[Written]:
    """Lines ``words#tagged words#start#end`` in seconds; 0 and 0 (or NaN) mean the whole clip."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        parts = line.split("#")
        if len(parts) != 4 or not parts[0].strip():
            continue
        try:
            start, end = float(parts[2]), float(parts[3])
        except ValueError:
            continue
        if not (math.isfinite(start) and math.isfinite(end)) or end <= 0:
            start, end = 0.0, math.inf
        if start < end:
            yield Written(start, end, parts[0].strip())


# KIT-ML's 21 joints, those of the Master Motor Map (Terlemez et al. 2014): root, BP, BT, BLN, BUN, LS, LE, LW, RS, RE, RW,
# LH, LK, LA, LMrot, LF, RH, RK, RA, RMrot, RF. For each SMPL joint the ones whose mean it is.
_KIT: Final = (
    (0,), (11,), (16,), (0, 1), (12,), (17,), (1,), (13,), (18,), (2,), (15,), (20,), (3,), (3, 5), (3, 8), (4,), (5,),
    (8,), (6,), (9,), (7,), (10,),
)  # fmt: skip
_KIT_HIPS: Final = (11, 16)
_KIT_ANKLES: Final = (13, 18)
_KIT_TOES: Final = (15, 20)


def kit_joints(joints: Float) -> FloatArray:
    """KIT-ML's joints [T,21,3] in millimetres -> SMPL's [T,22,3] in metres. Raises FormatError on other shapes.

    The published joints are the original's seen in a mirror where a turn of the axes was written as their exchange; the
    words are not. So it is asked on which side of the hips the toes point ahead, and a mirrored body is mirrored back.
    """
    if joints.ndim != 3 or joints.shape[1:] != (21, 3):
        raise FormatError("joints", f"has shape {list(joints.shape)}, KIT-ML's is [T,21,3]")
    across = joints[:, _KIT_HIPS[0]] - joints[:, _KIT_HIPS[1]]
    ahead = np.stack([-across[:, 2], across[:, 0]], axis=1)  # to the front of a body whose left is ``across``
    toes = (joints[:, list(_KIT_TOES)] - joints[:, list(_KIT_ANKLES)]).mean(axis=1)[:, [0, 2]]
    if float(np.median(np.sum(ahead * toes, axis=1))) < 0:
        joints = joints * np.array([-1.0, 1.0, 1.0])
    return np.stack([joints[:, list(of)].mean(axis=1) for of in _KIT], axis=1).astype(np.float32) / 1000.0

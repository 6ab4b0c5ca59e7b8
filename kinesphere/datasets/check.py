"""``kinesphere data check``: every file under a folder is read and measured, or refused with its reason.

The measures say what a reader can get wrong without failing: unit (limb lengths), the order and signs of rotations
(limbs that stretch), which way is up, which side is left, where the floor is and how fast time runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.body import facing
from kinesphere.errors import InputError
from kinesphere.formats import FORMATS, SourceMotion, load_positions
from kinesphere.skeleton import JOINT_INDEX as J

# Files that come with motion and hold none; the first pattern that fits gives the reason.
_NO_MOTION: Final = (
    ("*.asf", "a skeleton, read together with the .amc files beside it"),
    ("*.pkl", "a pickle can run code when it is opened, so none is read"),
    ("mean.npy", "statistics of a data set, no motion"),
    ("std.npy", "statistics of a data set, no motion"),
    ("*index.csv", "a table of words, joined to the takes"),
    ("captions.json", "sentences, joined to the takes"),
    ("license*", "terms"),
    ("*.md", "notes and terms"),
    *((f"{name}.txt", "a list of names") for name in ("train", "val", "test", "train_val", "all")),
    *((f"{name}_label.txt", "a list of labels") for name in ("content", "style")),
)
# Of files that belong to no known layout, so many are opened to say why; more of them are another data set.
_MOST_OPENED: Final = 100
_LIMBS: Final = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


@dataclass(frozen=True)
class Measures:
    """What a take's joints [T,22,3] say about how it was read; lengths in metres.

    leg, arm: hip to ankle and shoulder to wrist along the bones, mean of both sides. stretch: the most that a limb bone
    departs from its median length. floor: height of the lower foot, 10th percentile. tall: height of the head over
    that foot, 90th percentile. toes: share of frames in which the toes point to the half where the body faces; it is
    near 0 where left and right, or up and down, are swapped. top_speed: of the pelvis over a tenth of a second, m/s.
    along: mean cosine between facing and travel while the pelvis moves at 0.5 m/s or more, 0 where it never does.
    """

    rig: str
    fps: float
    frames: int
    seconds: float
    leg: float
    arm: float
    stretch: float
    floor: float
    tall: float
    toes: float
    top_speed: float
    along: float


@dataclass(frozen=True)
class FileCheck:
    """path: as found. measures: of a file that was read. reason: why another was not, naming the field."""

    path: Path
    measures: Measures | None
    reason: str = ""


def measure(motion: SourceMotion) -> Measures:
    """The measures of a take that was read."""
    p = motion.positions.astype(np.float64)

    def bone(side: str, above: str, below: str) -> NDArray[np.float64]:
        lengths: NDArray[np.float64] = np.linalg.norm(
            p[:, J[f"{side}_{above}"]] - p[:, J[f"{side}_{below}"]], axis=1
        )
        return lengths

    bones = {(side, a, b): bone(side, a, b) for side in ("left", "right") for a, b in _LIMBS}
    middle = {name: float(np.median(lengths)) for name, lengths in bones.items()}
    feet = p[:, [J[f"{side}_{part}"] for side in ("left", "right") for part in ("ankle", "foot")]]
    lowest = feet[..., 1].min(axis=1)
    forward = facing(p).astype(np.float64)
    toes = feet[:, [1, 3]] - feet[:, [0, 2]]
    ahead = np.sum(toes.mean(axis=1) * forward, axis=1) > 0
    step = min(max(1, round(motion.fps / 10)), max(len(p) - 1, 1))
    moved = (p[step:, 0] - p[:-step, 0]) * motion.fps / step
    speed = np.linalg.norm(moved, axis=1)
    fast = speed >= 0.5
    along = np.sum(moved * forward[: len(moved)], axis=1)[fast] / speed[fast]
    return Measures(
        rig=motion.rig,
        fps=motion.fps,
        frames=len(p),
        seconds=len(p) / motion.fps,
        leg=sum(value for (_, a, _), value in middle.items() if a in ("hip", "knee")) / 2,
        arm=sum(value for (_, a, _), value in middle.items() if a in ("shoulder", "elbow")) / 2,
        stretch=max(float(np.abs(lengths - middle[name]).max()) for name, lengths in bones.items()),
        floor=float(np.percentile(lowest, 10)),
        tall=float(np.percentile(p[:, J["head"], 1] - lowest, 90)),
        toes=float(np.mean(ahead)),
        top_speed=float(speed.max()) if speed.size else 0.0,
        along=float(along.mean()) if along.size else 0.0,
    )


def no_motion(path: Path) -> str:
    """Why a file of this name is none to be read as motion; empty where it may be one."""
    reason = next((reason for pattern, reason in _NO_MOTION if fnmatch(path.name.lower(), pattern)), "")
    if not reason and path.suffix.lower() not in FORMATS:
        reason = f"{path.suffix or 'no suffix'} is no motion format that is read"
    return reason


def check_file(path: Path) -> FileCheck:
    """Read and measure one file; the reason is given where it is refused. Never raises on the file's account."""
    reason = no_motion(path)
    if reason:
        return FileCheck(path, None, reason)
    try:
        return FileCheck(path, measure(load_positions(path)))
    except InputError as error:
        return FileCheck(path, None, str(error))


def check_files(
    paths: Iterable[Path], *, workers: int = 1, progress: Callable[[int, int], None] | None = None
) -> list[FileCheck]:
    """Check files, in their order; ``progress`` is called with (files done, files in all)."""
    paths = list(paths)
    found: list[FileCheck] = []
    if workers <= 1:
        for path in paths:
            found.append(check_file(path))
            if progress:
                progress(len(found), len(paths))
        return found
    with ProcessPoolExecutor(workers) as pool:
        for result in pool.map(check_file, paths, chunksize=4):
            found.append(result)
            if progress:
                progress(len(found), len(paths))
    return found


def files_under(roots: Iterable[Path]) -> list[Path]:
    """Every file under the folders ``roots``, hidden ones left out, sorted. Raises InputError(``raw``) if there is none."""
    found = {
        path
        for root in roots
        for path in (root.rglob("*") if root.is_dir() else [root])
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }
    if not found:
        raise InputError("raw", "there is no file to check")
    return sorted(found)


def not_taken(roots: Iterable[Path], taken: Collection[Path]) -> list[tuple[str, str]]:
    """(file, reason) of every file under ``roots`` that is none of the takes ``taken``: what it is, or why it is left out."""
    others = []
    opened = 0
    for root in roots:
        for path in files_under([root]):
            if path in taken:
                continue
            reason = no_motion(path)
            if not reason and opened < _MOST_OPENED:
                opened += 1
                reason = check_file(path).reason
            name = str(path.relative_to(root)) if root.is_dir() else path.name
            others.append((name, reason or "readable, but in no layout that is taken for training"))
    return others


def rows(found: Iterable[FileCheck]) -> list[tuple[str, ...]]:
    """One line a rig: files, hours, rates, then the least and greatest of each measure."""
    by_rig: dict[str, list[Measures]] = {}
    for file in found:
        if file.measures is not None:
            by_rig.setdefault(file.measures.rig, []).append(file.measures)
    lines: list[tuple[str, ...]] = []
    for rig, measures in sorted(by_rig.items()):

        def span(name: str, digits: int, of: list[Measures] = measures) -> str:
            values = [float(getattr(each, name)) for each in of]
            return f"{min(values):.{digits}f}..{max(values):.{digits}f}"

        rates = " ".join(f"{fps:g}" for fps in sorted({each.fps for each in measures}))
        hours = sum(each.seconds for each in measures) / 3600
        lines.append(
            (
                rig,
                str(len(measures)),
                f"{hours:.2f}",
                rates,
                span("leg", 2),
                span("arm", 2),
                span("stretch", 3),
            )
            + (span("floor", 2), span("tall", 2), span("toes", 2))
        )
    return lines

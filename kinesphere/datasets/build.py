"""``kinesphere data build``: from motion files to clips, features, statistics and a report, in parallel and resumably."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets import sources, splits
from kinesphere.datasets.captions import captions
from kinesphere.datasets.check import not_taken
from kinesphere.datasets.clips import Clip
from kinesphere.datasets.composites import compose, join
from kinesphere.datasets.events import Event, find_events
from kinesphere.datasets.grammar import swap_sides
from kinesphere.datasets.kinematics import Span
from kinesphere.datasets.labels import Label
from kinesphere.datasets.reading import Reading, read
from kinesphere.datasets.sources import Take, Written
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS, close_ups, cut, fit
from kinesphere.errors import InputError
from kinesphere.representations import hml263
from kinesphere.skeleton import MIRROR, FloatArray

Progress = Callable[[int, int], None]
# Modules that do not decide what a take becomes: changes elsewhere make its cached clips stale.
_OUTSIDE: Final = ("report.py", "build.py", "clips.py", "splits.py", "composites.py", "check.py")
_PARTS: Final = (
    "root_yaw_velocity", "root_velocity", "root_height", "joint_positions", "joint_rotations", "joint_velocities", "contacts",
)  # fmt: skip
_BASE_WEIGHT: Final = {"composite": 0.6, "reactidle": 0.5}


@dataclass(frozen=True)
class BuildResult:
    """clips: how many were written. refused: (take or window, reason). reused: takes taken from the cache."""

    out: Path
    clips: int
    seconds: float
    refused: tuple[tuple[str, str], ...]
    reused: int


def build(
    raw: list[Path], out: Path, *, fraction: float = 1.0, limit: int | None = None, workers: int = 2,
    progress: Progress | None = None,
) -> BuildResult:  # fmt: skip
    """Builds the data set of all takes under ``raw`` (folders or archives) into the folder ``out``.

    fraction: of the takes, chosen by hash, splits being those of the whole. limit: at most so many takes. progress is
    called with (takes done, takes in all). Takes whose file and code have not changed come from ``out/.cache``; an
    interrupted build goes on where it stopped. Raises InputError when there is nothing to build from.
    """
    if not 0 < fraction <= 1:
        raise InputError("fraction", f"{fraction} is outside 0 to 1")
    roots = sources.unpack(raw, out / ".cache" / "archives")
    takes = sources.enumerate_takes(roots)
    others = not_taken(roots, {take.path for take in takes})
    dealt = splits.assign((take.group, take.kind) for take in takes)
    takes += compose(takes, dealt)
    best: dict[str, int] = {}
    for take in takes:
        best[take.group] = min(take.rank, best.get(take.group, take.rank))
    if fraction < 1:
        takes = [take for take in takes if _share(take.id) < fraction]
    takes = takes[:limit]
    cache = out / ".cache" / "takes"
    cache.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Take, Split, Path]] = []
    for take in takes:
        split = take.split or dealt[take.group]
        if split != "train" and take.rank > best[take.group]:
            continue
        jobs.append((take, split, cache / _key(take, split)))
    reused = sum(_finished(stem) for _, _, stem in jobs)
    _run([job for job in jobs if not _finished(job[2])], workers, reused, len(jobs), progress)
    result = _assemble([stem for _, _, stem in jobs], out, reused)
    (out / "others.json").write_text(json.dumps(others, indent=1))
    return result


def _run(
    jobs: list[tuple[Take, Split, Path]], workers: int, done: int, total: int, progress: Progress | None
) -> None:
    if progress:
        progress(done, total)
    if workers <= 1 or len(jobs) < 4:
        for job in jobs:
            process_take(*job)
            done += 1
            if progress:
                progress(done, total)
        return
    # Long files first, so that no worker sits alone at the end.
    jobs = sorted(jobs, key=lambda job: -job[0].path.stat().st_size)
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(process_take, *job) for job in jobs]
        for future in as_completed(futures):
            future.result()
            done += 1
            if progress:
                progress(done, total)


def process_take(take: Take, split: Split, stem: Path) -> None:
    """Writes ``stem``.npy (features of all clips of the take) and ``stem``.json (their records, or why refused)."""
    records: list[dict[str, Any]] = []
    parts: list[FloatArray] = []
    refused: list[tuple[str, str]] = []
    try:
        positions = hml263.uniform_positions(sources.load(take))
        if take.then is not None:
            second = hml263.uniform_positions(sources.load(replace(take, path=take.then)))
            positions = join(positions, second)
    except (InputError, ValueError, KeyError, IndexError, OSError) as error:
        refused.append((take.id, str(error) or type(error).__name__))
        positions = np.zeros((0, 22, 3), dtype=np.float32)
    if len(positions) >= 8:
        events = find_events(positions, FPS, gait=take.label.gait)
        more = split == "train" and take.source not in ("reactidle", "composite")
        take = replace(take, written=_timed(take.written, len(positions) / FPS))
        described = sorted({(round(words.start * FPS), round(words.end * FPS)) for words in take.written})
        windows = cut(len(positions), events, more=more, described=described)
        shown: list[tuple[Span, Event | None]] = [(window, None) for window in windows]
        if more:
            shown += close_ups(len(positions), events, windows)
        for number, ((start, stop), event) in enumerate(shown):
            for mirrored in (False, True) if take.mirror else (take.id.rpartition("/")[2].startswith("M"),):
                name = f"{take.id}/{start}-{stop}" + ("-mirror" if mirrored and take.mirror else "")
                try:
                    made = _clip(take, split, name, positions[start:stop], start, mirrored, event)
                except (InputError, ValueError) as error:
                    refused.append((name, str(error)))
                    continue
                if made is None:
                    continue
                clip, features = made
                # Overlapping extras count half.
                records.append(
                    {
                        **clip,
                        "weight": _BASE_WEIGHT.get(take.source, 1.0)
                        * (1.0 if start == 0 and number == 0 else 0.6),
                    }
                )
                parts.append(features)
    elif not refused:
        refused.append((take.id, f"has {len(positions)} frames at 20 fps, at least 8 are needed"))
    features = np.concatenate(parts) if parts else np.zeros((0, 263), dtype=np.float32)
    partial = stem.with_suffix(".npy.partial")
    with partial.open("wb") as file:
        np.save(file, features)
    partial.replace(stem.with_suffix(".npy"))
    # The record is written last: its presence says that the take is done.
    partial.write_text(json.dumps({"take": take.id, "clips": records, "refused": refused}))
    partial.replace(stem.with_suffix(".json"))


def _clip(
    take: Take,
    split: Split,
    name: str,
    positions: FloatArray,
    start: int,
    mirrored: bool,
    event: Event | None,
) -> tuple[dict[str, Any], FloatArray] | None:
    """One clip's record and features. event: what a close-up was cut for; it is described by its joints alone, and
    there is no clip (None) when they do not show it.
    """
    seen = fit(positions)
    if mirrored and take.mirror:
        seen = mirror(seen)
    seen = hml263.canonicalize(seen)
    label = take.label if event is None else Label(gait=take.label.gait)
    reading = read(seen, FPS, gait=label.gait, activity=label.activity)
    if event is not None and all(beat.kind != event.kind for beat in reading.beats):
        return None
    said = _written(take.written, start / FPS, (start + len(positions)) / FPS, mirrored and take.mirror)
    found = captions(label, reading, said, mirrored=mirrored and take.mirror, seed=name)
    features = hml263.encode(seen)
    record = {
        "id": name, "take": take.group, "source": take.source, "split": split, "mirrored": mirrored, "frames": len(features),
        "seconds": len(features) / FPS, "captions": [{"text": c.text, "kind": c.kind} for c in found], "reading": reading.text,
        "topic": topic(reading),
    }  # fmt: skip
    return record, features


def mirror(positions: NDArray[np.float32]) -> FloatArray:
    """[T,22,3] seen in a mirror: left and right joints change places."""
    return np.ascontiguousarray(positions[:, list(MIRROR)] * np.array([-1, 1, 1], dtype=np.float32))


def _timed(written: tuple[Written, ...], length: float) -> tuple[Written, ...]:
    """Sentences about the whole take (their end is infinite) end where it does, after ``length`` seconds."""
    return tuple(replace(words, end=length) if words.end == math.inf else words for words in written)


def _written(written: tuple[Written, ...], start: float, stop: float, mirrored: bool) -> list[str]:
    """Sentences about these seconds: the two spans must share most of both."""
    texts = []
    for words in written:
        shared = min(words.end, stop) - max(words.start, start)
        if shared >= 0.6 * (words.end - words.start) and shared >= 0.6 * (stop - start):
            texts.append(swap_sides(words.text) if words.mirrored != mirrored else words.text)
    return list(dict.fromkeys(texts))


def topic(reading: Reading) -> str:
    """The clip's main event in a word or two, sides left out."""
    weights = {
        "inverted": 9,
        "lie": 8,
        "jump": 7,
        "kick": 7,
        "wave": 6,
        "bow": 5,
        "turn": 5,
        "run": 4,
        "sit": 4,
        "walk": 4,
        "raise": 3,
    }
    main = max(reading.beats, key=lambda event: weights.get(event.kind, 1))
    return f"{main.kind} {main.way}".strip() if main.kind in ("walk", "run") else main.kind


def _assemble(stems: list[Path], out: Path, reused: int) -> BuildResult:
    clips: list[Clip] = []
    refused: list[tuple[str, str]] = []
    files: list[Path] = []
    offset = 0
    for stem in stems:
        record = json.loads(stem.with_suffix(".json").read_text())
        # A pair of gestures that does not fit together is a try that failed, not a file that is refused.
        refused += [(name, reason) for name, reason in record["refused"] if not name.startswith("composite/")]
        if record["clips"]:
            files.append(stem.with_suffix(".npy"))
        for fields in record["clips"]:
            clips.append(Clip.from_json(json.dumps({**fields, "offset": offset})))
            offset += fields["frames"]
    if not clips:
        raise InputError(
            "raw", f"no take could be used; the first reason: {refused[0] if refused else 'none'}"
        )
    clips = _weighted(clips)
    rows = np.lib.format.open_memmap(out / "hml263.npy.partial", "w+", np.float32, (offset, 263))
    at = 0
    for path in files:
        part = np.load(path)
        rows[at : at + len(part)] = part
        at += len(part)
    rows.flush()
    mean, std = statistics(rows, clips)
    del rows
    (out / "hml263.npy.partial").replace(out / "hml263.npy")
    np.save(out / "mean.npy", mean)
    np.save(out / "std.npy", std)
    lines = out / "clips.jsonl.partial"
    lines.write_text("".join(clip.to_json() + "\n" for clip in clips), encoding="utf-8")
    lines.replace(out / "clips.jsonl")
    (out / "refused.json").write_text(json.dumps(refused, indent=1))
    return BuildResult(out, len(clips), sum(clip.seconds for clip in clips), tuple(refused), reused)


def _weighted(clips: list[Clip]) -> list[Clip]:
    """Weights that bring rare topics forward: inversely to the root of a topic's count, within 0.5 to 4."""
    counts = Counter(clip.topic for clip in clips if clip.split == "train")
    usual = float(np.median(list(counts.values()))) if counts else 1.0
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for clip in clips:
        groups[clip.take].add(clip.id.rpartition("/")[0])
    weighted = []
    for clip in clips:
        lift = float(np.clip((usual / max(counts[clip.topic], 1)) ** 0.5, 0.5, 4.0))
        # Versions of one recording share its weight in part.
        versions = len(groups[clip.take]) ** 0.5 if not clip.take.startswith("cmu/salsa") else 1.0
        weighted.append(replace(clip, weight=round(clip.weight * lift / versions, 3)))
    return weighted


def statistics(rows: NDArray[np.float32], clips: list[Clip]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation [263] of the train split; as in HumanML3D, the deviation is averaged within each of the
    layout's parts (Guo et al. 2022), so that no near-constant dimension is blown up.
    """
    total, squares, count = np.zeros(263), np.zeros(263), 0
    for clip in clips:
        if clip.split == "train":
            part = rows[clip.offset : clip.offset + clip.frames].astype(np.float64)
            total += part.sum(axis=0)
            squares += np.square(part).sum(axis=0)
            count += len(part)
    if count == 0:
        total, squares, count = rows.sum(axis=0), np.square(rows).sum(axis=0), len(rows)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    for name in _PARTS:
        columns = hml263.LAYOUT[name]
        std[columns] = max(float(std[columns].mean()), 1e-6)
    return mean.astype(np.float32), std.astype(np.float32)


@lru_cache(maxsize=8)
def code_version(suffix: str) -> str:
    """A hash over the code that a take of this file ending passes through."""
    package = Path(__file__).resolve().parents[1]
    readers = {".bvh": ["bvh.py", "hierarchy.py"], ".amc": ["asf_amc.py"], ".txt": ["deepmimic.py"]}.get(
        suffix, []
    )
    paths = [package / "representations" / "hml263.py", package / "rotations.py", package / "skeleton.py"]
    paths += [package / "formats" / name for name in ("rigs.py", "landmarks.py", "source.py", *readers)]
    paths += [path for path in (package / "datasets").glob("*.py") if path.name not in _OUTSIDE]
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _key(take: Take, split: Split) -> str:
    state = os.stat(take.path)
    code = code_version(take.path.suffix.lower())
    words = f"{take.id} {take.label} {take.written} {take.then} {split} {state.st_size} {state.st_mtime_ns} {code}"
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def _finished(stem: Path) -> bool:
    return stem.with_suffix(".json").is_file()


def _share(name: str) -> float:
    return int(hashlib.sha256(f"fraction {name}".encode()).hexdigest()[:8], 16) / 2**32


def forget(out: Path) -> None:
    """Drops the cache of ``out``; the next build starts afresh."""
    shutil.rmtree(out / ".cache", ignore_errors=True)

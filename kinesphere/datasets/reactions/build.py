"""``kinesphere data reactions``: from motion files to reactions, deterministic for a seed, with a report."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinesphere.datasets import sources
from kinesphere.datasets.grammar import swap_sides
from kinesphere.datasets.reactions import climbing
from kinesphere.datasets.reactions.composed import Sample, compose_all
from kinesphere.datasets.reactions.composed import tasks as composing
from kinesphere.datasets.reactions.dataset import WIDTH, Reaction, to_rows
from kinesphere.datasets.reactions.library import load_entries
from kinesphere.datasets.reactions.parallel import Progress
from kinesphere.datasets.reactions.placed import make_rooms, place_all
from kinesphere.datasets.reactions.placed import tasks as placing
from kinesphere.datasets.reactions.recorded import load_pairs
from kinesphere.errors import InputError
from kinesphere.scenes import store
from kinesphere.skeleton import FloatArray


@dataclass(frozen=True)
class BuildResult:
    """items: reactions written, mirrored ones included. refused: (what, reason, how often)."""

    out: Path
    items: int
    seconds: float
    refused: tuple[tuple[str, str, int], ...]


def build(
    raw: list[Path],
    out: Path,
    *,
    seed: int = 0,
    limit: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> BuildResult:
    """Builds the reaction data set of the takes under ``raw`` (folders or archives) into the folder ``out``.

    limit: at most so many takes of a kind, and samples of a situation and split. progress is called with (done, in
    all). The same files, seed and limit give the same bytes whatever ``jobs`` is. Raises InputError(``raw``) when
    nothing can be made.
    """
    out.mkdir(parents=True, exist_ok=True)
    roots = sources.unpack(raw, out / ".cache" / "archives")
    shares = _Shares(progress)
    entries, unread = load_entries(roots, limit=limit, jobs=jobs, progress=shares.of(0.25))
    pairs, unpaired = load_pairs(roots, limit=limit, jobs=jobs, progress=shares.of(0.05))
    composed, refused = compose_all(entries, composing(seed, limit), jobs, progress=shares.of(0.55))
    placed, unplaced = place_all(
        entries, make_rooms(roots, seed), placing(seed, limit), jobs, progress=shares.of(0.15)
    )
    folders = climbing.find(roots, out / ".cache")
    climbs, unclimbed = climbing.load_climbs(folders, limit=limit, jobs=jobs)
    counted = Counter(dict.fromkeys(unread + unpaired + unclimbed, 1)) + refused + unplaced
    samples = pairs + composed + placed + climbs
    if not samples:
        reason = next(iter(counted), ("", "no takes of two people, or of gestures and walks"))[1]
        raise InputError("raw", f"no reaction could be made; the first reason: {reason}")
    items = write(samples, out)
    rows = tuple((what, reason, times) for (what, reason), times in counted.most_common())
    (out / "refused.json").write_text(json.dumps(rows, indent=1))
    return BuildResult(out, len(items), sum(item.seconds for item in items), rows)


class _Shares:
    """One progress over several pieces of work, told in thousandths of the whole."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._begun = 0.0

    def of(self, share: float) -> Progress | None:
        """Progress of the next piece, which is ``share`` of the whole."""
        begun, tell = self._begun, self._progress
        self._begun += share
        if tell is None:
            return None
        return lambda done, total: tell(round(1000 * (begun + share * done / max(total, 1))), 1000)


def write(samples: list[Sample], out: Path) -> list[Reaction]:
    """Writes the samples, each plain and mirrored, into the folder ``out``; earlier contents are replaced at the end."""
    bodies: list[FloatArray] = []
    at = 0

    def stored(rows: FloatArray) -> int:
        nonlocal at
        bodies.append(rows)
        at += len(rows)
        return at - len(rows)

    items: list[Reaction] = []
    (out / "scenes").mkdir(parents=True, exist_ok=True)
    scenes: set[str] = set()
    for sample in samples:
        rows = (stored(to_rows(sample.agent)), stored(to_rows(sample.partner)) if sample.partner else -1)
        if sample.scene is not None and sample.scene.id not in scenes:
            scenes.add(sample.scene.id)
            store.save(sample.scene, out / "scenes" / f"{sample.scene.id}.npz")
        items += [_item(sample, rows, mirrored) for mirrored in (False, True)]
    block = np.concatenate(bodies) if bodies else np.zeros((0, WIDTH), dtype=np.float32)
    with (out / "bodies.npy.partial").open("wb") as file:
        np.save(file, block)
    lines = out / "reactions.jsonl.partial"
    lines.write_text("".join(item.to_json() + "\n" for item in items), encoding="utf-8")
    (out / "bodies.npy.partial").replace(out / "bodies.npy")
    lines.replace(out / "reactions.jsonl")
    return items


def _item(sample: Sample, rows: tuple[int, int], mirrored: bool) -> Reaction:
    goal = sample.goal
    if goal is not None and mirrored:
        goal = (-goal[0], goal[1], goal[2])
    return Reaction(
        id=sample.id + ("-mirror" if mirrored else ""),
        take=sample.take,
        situation=sample.situation,
        origin=sample.origin,
        split=sample.split,
        mirrored=mirrored,
        frames=sample.agent.num_frames,
        text=tuple(swap_sides(text) for text in sample.text) if mirrored else sample.text,
        onset=sample.onset,
        scene=None if sample.scene is None else sample.scene.id,
        rows=rows,
        answer=sample.answer,
        goal=goal,
    )

"""The reaction tables: held-out reactions gone on with by the reactor's graphs, beside what was recorded.

People and things, recorded and composed reactions have a table each. Every repeat draws one of each reaction's texts,
and new noise; all systems get the same. What the columns mean is told in docs/reactions.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.datasets.reactions.dataset import Reaction, ReactionDataset
from kinesphere.datasets.splits import Split
from kinesphere.errors import InputError
from kinesphere.evaluation.answers import Answer
from kinesphere.evaluation.embedders import Evaluator
from kinesphere.evaluation.reacting import Reactor, Trial, joints_of, reactors, shuffled, trial
from kinesphere.evaluation.reaction_scores import PAIRS, POOL, SCENES, embedded_scores, pools_of, scores
from kinesphere.evaluation.t2m import Row
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray

_UNIT: Final = 16  # frames: what the evaluator judges is cut to whole blocks, as in the text-to-motion table
_LEAST: Final = 2 * _UNIT + 1  # frames of a trial
Sentences = Callable[[list[str]], FloatArray]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """per_situation: reactions of each situation, at most. repeats: times that texts and noise are drawn. wanted: names
    of systems, beside ``real`` and ``shuffled``; empty for all."""

    split: Split = "test"
    per_situation: int = 16
    repeats: int = 3
    seed: int = 0
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """name: "people, composed" and so on. rows: "real" first. counts: reactions of each situation. notes: what a figure
    that is missing is missing for. answers: situation -> system -> its answers, of all repeats."""

    name: str
    columns: tuple[str, ...]
    rows: list[Row]
    counts: dict[str, int]
    notes: list[str] = field(default_factory=list)
    answers: dict[str, dict[str, list[Answer]]] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True, eq=False)
class Result:
    """tables; settings: what was run; drawn: situation -> a trial and what the first system made of it."""

    tables: list[Table]
    settings: dict[str, str | int | float]
    drawn: dict[str, tuple[Trial, FloatArray, str]] = field(default_factory=dict)


def run_reaction(
    data: ReactionDataset,
    models: Path,
    evaluator: Evaluator,
    sentences: Sentences,
    options: Options = Options(),
    ablations: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Evaluate the graphs in ``models`` and those of ``ablations`` (name -> models folder) on held-out reactions.

    sentences: texts -> [N,384] unit vectors, as the graphs were trained with (``TextEncoder.sentence``).
    progress(what, done, total) counts frames. Raises InputError(``split``) when no reaction is long enough,
    (``systems``) for a name that is none, (``models``) where a graph is missing.
    """
    groups = _groups(data, options)
    people, things = reactors(models, ablations or {})
    kinds = {scenes: _wanted(found, options) for scenes, found in ((False, people), (True, things))}
    for name in options.wanted:
        if not any(name == system.name for systems in kinds.values() for system in systems):
            raise InputError("systems", f"{name!r} is none of those that can be run")
    work = _Work(progress, sum(
        sum(each.frames for each in trials) * (options.repeats if system.varied else 1)
        for (scenes, _), trials in groups.items()
        for system in kinds[scenes]
    ))  # fmt: skip
    tables, drawn = [], dict[str, tuple[Trial, FloatArray, str]]()
    for (scenes, origin), trials in groups.items():
        name = f"{'things' if scenes else 'people'}, {origin}"
        first = sentences([trials[0].item.text[0]])[0]
        timed = [system.timed(trials[0], first) for system in kinds[scenes]]
        table, seen = _table(name, trials, timed, evaluator, sentences, options, work)
        tables.append(table)
        drawn |= seen
    settings: dict[str, str | int | float] = {
        "evaluator": evaluator.name, "split": options.split, "per_situation": options.per_situation,
        "repeats": options.repeats, "pool": POOL, "seed": options.seed,
    }  # fmt: skip
    return Result(tables, settings, drawn)


def _wanted(systems: list[Reactor], options: Options) -> list[Reactor]:
    return [system for system in systems if not options.wanted or system.name in options.wanted]


def _groups(data: ReactionDataset, options: Options) -> dict[tuple[bool, str], list[Trial]]:
    """Trials of people and among things, composed and recorded apart; a deterministic choice of each situation's."""
    situations: dict[str, list[Reaction]] = {}
    for item in data.split(options.split):
        situations.setdefault(item.situation, []).append(item)
    groups: dict[tuple[bool, str], list[Trial]] = {}
    for items in situations.values():
        order = np.random.default_rng(options.seed).permutation(len(items))[: options.per_situation]
        for index in sorted(order):
            found = trial(data, items[index])
            if found.frames >= _LEAST:
                groups.setdefault((found.partner is None, found.item.origin), []).append(found)
    if not groups:
        raise InputError("split", f"'{options.split}' has no reaction of {_LEAST} frames or more")
    return dict(sorted(groups.items()))


class _Work:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def told(self, what: str) -> Callable[[int], None]:
        return lambda count: self._tell(what, self._done + count)

    def done(self, what: str, count: int) -> None:
        self._done += count
        self._tell(what, self._done)

    def _tell(self, what: str, done: int) -> None:
        if self._progress is not None:
            self._progress(what, min(done, self._total), self._total)


def _table(
    name: str,
    trials: list[Trial],
    systems: list[Reactor],
    evaluator: Evaluator,
    sentences: Sentences,
    options: Options,
    work: _Work,
) -> tuple[Table, dict[str, tuple[Trial, FloatArray, str]]]:
    columns = PAIRS if trials[0].partner is not None else SCENES
    names = ["real", "shuffled", *(system.name for system in systems)]
    counts: dict[str, int] = {}
    for each in trials:
        counts[each.item.situation] = counts.get(each.item.situation, 0) + 1
    rows = {row: Row(row, {metric: [] for metric in columns}) for row in names}
    table = Table(name, columns, list(rows.values()), counts)
    real = evaluator.motions([_features(joints_of(each.rows)) for each in trials])
    drawn: dict[str, tuple[Trial, FloatArray, str]] = {}
    pools: list[list[int]] = []
    for repeat in range(options.repeats):
        rng = np.random.default_rng([options.seed, repeat])
        texts = [str(rng.choice(each.item.text)) for each in trials]
        pools = pools_of(texts, rng)
        said, features = evaluator.texts(texts), sentences(texts)
        made = {"real": [each.rows for each in trials], "shuffled": shuffled(trials, repeat)}
        for system in systems:
            if repeat == 0 or system.varied:
                seed = options.seed * 1000 + repeat
                made[system.name] = system.react(trials, features, seed, work.told(system.name))
                work.done(system.name, sum(each.frames for each in trials))
        for row, motions in made.items():
            joints = [joints_of(motion) for motion in motions]
            embedded = real if row == "real" else evaluator.motions([_features(each) for each in joints])
            _add(rows[row], embedded_scores(said, embedded, real, pools))
            answers = table.answers if columns is PAIRS else None
            _add(rows[row], scores(row, trials, joints, answers))
        if repeat == 0 and systems:
            for each, motion, text in zip(trials, made[systems[0].name], texts, strict=True):
                if each.item.situation not in drawn and not each.item.mirrored:
                    drawn[each.item.situation] = each, motion, text
    for system in systems:
        if system.latency is not None:
            rows[system.name].values["latency"] = [system.latency]
    if not pools:
        table.notes.append(
            f"no R-precision: fewer than {POOL} different texts to choose among, so that it would say nothing"
        )
    table.notes.extend(
        f"{system.name}: 1 repeat" for system in systems if not system.varied and options.repeats > 1
    )
    return table, drawn


def _features(joints: FloatArray) -> FloatArray:
    """[T,22,3] -> hml263 features as the evaluator takes them."""
    features = hml263.encode(joints)
    return features[: len(features) // _UNIT * _UNIT]


def _add(row: Row, found: Mapping[str, float]) -> None:
    for metric, value in found.items():
        if not math.isnan(value):
            row.values[metric].append(value)

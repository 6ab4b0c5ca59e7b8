"""The text-to-motion table: real motion, generating systems and baselines, each metric with its 95 % interval.

Protocol of HumanML3D (Guo et al. 2022): for each repeat every test clip gets one of its captions at random, every
system a motion of the same length for it; ranking within batches of 32. The first rows (real, shuffled captions,
nearest neighbour) say what the numbers of the others mean on this data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.splits import Split
from kinesphere.errors import InputError
from kinesphere.evaluation.embedders import Evaluator
from kinesphere.evaluation.systems import System
from kinesphere.metrics import physics
from kinesphere.metrics.t2m import HUMANML3D, Protocol, confidence, multimodality, score
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray

METRICS: Final = (
    "r_precision_1", "r_precision_2", "r_precision_3", "fid", "mm_dist", "diversity", "multimodality", "skating",
)  # fmt: skip
_UNIT: Final = 16  # frames in a token block: lengths are cut to whole blocks for every system alike


@dataclass(frozen=True)
class Options:
    """repeats: passes over the test clips with newly drawn captions and batches. generations: how many of them let the
    systems generate anew; later repeats take the motions of an earlier one (fewer means faster and an interval that is
    too narrow; reported in the table's settings). limit: at most so many clips, 0 for all. multimodality_texts: texts
    that varied systems answer ``multimodality_motions`` times, 0 to leave the metric out (published: 100 texts, 30
    motions). cache: folder in which generated motion is kept, so that a run that was stopped goes on.
    """

    split: Split = "test"
    repeats: int = 20
    generations: int = 20
    limit: int = 0
    multimodality_texts: int = 20
    multimodality_motions: int = 30
    seed: int = 0
    cache: Path | None = None
    protocol: Protocol = HUMANML3D


@dataclass
class Row:
    """One system: metric -> one value a repeat. made: motions that it made in this run, in ``seconds``."""

    name: str
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    made: int = 0
    seconds: float = 0.0

    def interval(self, metric: str) -> tuple[float, float] | None:
        """Mean and half width of the 95 % interval; None when the metric was not computed."""
        values = self.values[metric]
        return confidence(values) if values else None


@dataclass(frozen=True)
class Table:
    """rows in the order of the systems, "real" first. settings: what was run, for the report."""

    rows: list[Row]
    settings: dict[str, str | int | float]

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)


Progress = Callable[[str, int, int], None]


def run_t2m(
    dataset: ClipDataset,
    systems: Sequence[System],
    evaluator: Evaluator,
    options: Options = Options(),
    progress: Progress | None = None,
) -> Table:
    """Evaluate ``systems`` on a split. Rows "real" and "shuffled captions" are added by themselves.

    progress(what, done, total) is called as work goes on. Raises InputError when the split has fewer clips than a batch
    or a system returns other lengths than asked for.
    """
    if options.repeats < 1 or options.generations < 1:
        raise InputError("repeats", "at least 1 repeat and 1 generation are needed")
    if options.multimodality_texts and options.multimodality_motions < options.protocol.multimodality_pairs:
        raise InputError(
            "multimodality_motions",
            f"at least {options.protocol.multimodality_pairs} are needed for its pairs",
        )
    clips = _clips(dataset, options)
    protocol = replace(
        options.protocol,
        diversity_pairs=min(
            options.protocol.diversity_pairs, len(clips) // options.protocol.batch * options.protocol.batch
        ),
    )
    lengths = [clip.frames // _UNIT * _UNIT for clip in clips]
    real = [dataset.features(clip)[:length] for clip, length in zip(clips, lengths, strict=True)]
    real_embeddings = evaluator.motions(real)
    real_skating = _skating(real)
    rows = [Row("real"), Row("shuffled captions"), *(Row(system.name) for system in systems)]
    drawn: dict[int, tuple[list[str], FloatArray]] = {}
    kept: dict[tuple[str, int], tuple[FloatArray, float]] = {}
    total = options.repeats * (len(systems) + 1)
    for repeat in range(options.repeats):
        generation = repeat % options.generations
        rng = np.random.default_rng([options.seed, repeat])
        if generation not in drawn:
            captions_rng = np.random.default_rng([options.seed, 7, generation])
            said = [_caption(clip, captions_rng) for clip in clips]
            drawn[generation] = said, evaluator.texts(said)
        texts, text_embeddings = drawn[generation]
        order = rng.permutation(len(clips))
        others = np.roll(order, 1)
        _add(
            rows[0],
            text_embeddings[order],
            real_embeddings[order],
            real_embeddings[order],
            protocol,
            repeat,
            real_skating,
        )
        _add(
            rows[1],
            text_embeddings[order],
            real_embeddings[others],
            real_embeddings[order],
            protocol,
            repeat,
            real_skating,
        )
        if progress:
            progress("real", repeat * (len(systems) + 1) + 1, total)
        for index, system in enumerate(systems):
            row = rows[2 + index]
            if (system.name, generation) not in kept:
                seed = options.seed * 1000 + generation
                motions = _generated(row, system, texts, lengths, seed, _file(options, system, generation))
                kept[system.name, generation] = evaluator.motions(motions), _skating(motions)
            embeddings, skating = kept[system.name, generation]
            _add(
                row,
                text_embeddings[order],
                embeddings[order],
                real_embeddings[order],
                protocol,
                repeat,
                skating,
            )
            if progress:
                progress(system.name, repeat * (len(systems) + 1) + index + 2, total)
    if options.multimodality_texts:
        for index, system in enumerate(systems):
            if system.varied:
                _multimodality(rows[2 + index], system, clips, lengths, evaluator, options)
                if progress:
                    progress(f"{system.name}: multimodality", total, total)
    settings: dict[str, str | int | float] = {
        "evaluator": evaluator.name,
        "split": options.split,
        "clips": len(clips),
        "repeats": options.repeats,
        "generations": min(options.generations, options.repeats),
        "batch": protocol.batch,
        "diversity_pairs": protocol.diversity_pairs,
        "multimodality_texts": min(options.multimodality_texts, len(clips)),
        "multimodality_motions": options.multimodality_motions,
        "seed": options.seed,
    }
    return Table(rows, settings)


def _clips(dataset: ClipDataset, options: Options) -> list[Clip]:
    clips = [clip for clip in dataset.split(options.split) if clip.captions and clip.frames >= 2 * _UNIT]
    if options.limit and options.limit < len(clips):
        chosen = np.random.default_rng(options.seed).permutation(len(clips))[: options.limit]
        clips = [clips[index] for index in sorted(chosen)]
    if len(clips) < options.protocol.batch:
        raise InputError(
            "split", f"'{options.split}' has {len(clips)} usable clips, at least {options.protocol.batch}"
        )
    return clips


def _caption(clip: Clip, rng: np.random.Generator) -> str:
    return clip.captions[int(rng.integers(len(clip.captions)))].text


def _add(
    row: Row,
    text: FloatArray,
    motion: FloatArray,
    real: FloatArray,
    protocol: Protocol,
    repeat: int,
    skating: float,
) -> None:
    scores = score(text, motion, real, protocol=protocol, seed=repeat)
    for rank, value in enumerate(scores.r_precision, start=1):
        row.values[f"r_precision_{rank}"].append(value)
    row.values["fid"].append(scores.fid)
    row.values["mm_dist"].append(scores.mm_dist)
    row.values["diversity"].append(scores.diversity)
    row.values["skating"].append(skating)


def _skating(motions: Sequence[FloatArray]) -> float:
    return float(np.mean([physics.skating_ratio(hml263.decode(motion)) for motion in motions]))


def _file(options: Options, system: System, generation: int) -> Path | None:
    if options.cache is None:
        return None
    name = "".join(character if character.isalnum() else "-" for character in system.name)
    return options.cache / f"{name}-{options.split}-{options.limit}-{options.seed}-{generation}.npz"


def _generated(
    row: Row, system: System, texts: Sequence[str], lengths: Sequence[int], seed: int, file: Path | None
) -> list[FloatArray]:
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            if list(stored["texts"]) == list(texts):
                borders = np.cumsum(stored["lengths"])[:-1]
                return list(np.split(stored["motions"], borders))
    started = time.perf_counter()
    motions = [np.asarray(motion, dtype=np.float32) for motion in system.generate(texts, lengths, seed)]
    row.seconds += time.perf_counter() - started
    row.made += len(motions)
    if [len(motion) for motion in motions] != list(lengths) or any(
        motion.shape[1:] != (263,) for motion in motions
    ):
        raise InputError("systems", f"'{system.name}' returned other shapes than the [length, 263] asked for")
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez(part, texts=np.array(texts), lengths=np.array(lengths), motions=np.concatenate(motions))
        part.replace(file)
    return motions


def _multimodality(
    row: Row,
    system: System,
    clips: Sequence[Clip],
    lengths: Sequence[int],
    evaluator: Evaluator,
    options: Options,
) -> None:
    """Each of some texts several times over; the pairs drawn anew for each repeat."""
    rng = np.random.default_rng([options.seed, 11])
    chosen = rng.permutation(len(clips))[: options.multimodality_texts]
    texts = [_caption(clips[index], rng) for index in chosen]
    asked = [lengths[index] for index in chosen]
    embedded = []
    for again in range(options.multimodality_motions):
        seed = options.seed * 1000 + 500 + again
        file = _file(options, System(f"{system.name} mm", system.generate), again)
        embedded.append(evaluator.motions(_generated(row, system, texts, asked, seed, file)))
    stacked = np.stack(embedded, axis=1)
    row.values["multimodality"] = [
        multimodality(stacked, options.protocol.multimodality_pairs, options.seed + repeat)
        for repeat in range(options.repeats)
    ]

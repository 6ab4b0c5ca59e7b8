"""``kinesphere eval t2m`` and ``kinesphere eval probes``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kinesphere.cli.data import OUT_OPTION
from kinesphere.cli.output import emit, json_option, progress
from kinesphere.errors import InputError

if TYPE_CHECKING:
    from kinesphere.evaluation.systems import System

SYSTEMS = ("generated", "direct", "nearest")
ADDRESS = click.option(
    "--address", metavar="HOST:PORT", default="", envvar="KINESPHERE_PLANNER_ADDRESS", help="Planner service."
)
RESULTS = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results"),
    show_default=True,
    help="Folder.",
)


@click.group(name="eval", short_help="Measure the shipped system: t2m, probes.")
def evaluate() -> None:
    """Measure the system that the services run."""


@evaluate.command(short_help="The text-to-motion table.")
@OUT_OPTION
@click.option("--models", type=click.Path(path_type=Path), help="Where the evaluator lies [models].")
@click.option(
    "--systems", default=",".join(SYSTEMS), show_default=True, help="Rows beside real and shuffled."
)
@click.option("--repeats", type=click.IntRange(1, 100), default=20, show_default=True)
@click.option(
    "--generations", type=click.IntRange(1, 100), default=20, show_default=True,
    help="Repeats that generate anew; fewer is faster and the interval too narrow.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(0), default=0, show_default=True, help="At most so many clips; 0: all."
)
@click.option("--multimodality-texts", type=click.IntRange(0), default=20, show_default=True)
@click.option("--split", type=click.Choice(("test", "val")), default="test", show_default=True)
@ADDRESS
@RESULTS
@json_option
def t2m(
    folder: Path, models: Path | None, systems: str, repeats: int, generations: int, limit: int,
    multimodality_texts: int, split: str, address: str, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """R@1/2/3, FID, MM-Dist, diversity, multimodality and skating of what the services make of the test captions.

    Rows: real motion, captions shuffled, the services (`generated`), the services with direct token decoding
    (`direct`), the training clip with the nearest caption (`nearest`). Writes t2m.json, t2m.md and t2m.png. A run
    that was stopped goes on: what was generated is kept in .cache/eval.
    """
    wanted = _systems(systems)
    from kinesphere.cli.stack import default_models
    from kinesphere.datasets.clips import ClipDataset
    from kinesphere.evaluation import report
    from kinesphere.evaluation.embedders import OnnxEvaluator
    from kinesphere.evaluation.t2m import Options, run_t2m
    from kinesphere.text import TextEncoder

    dataset, encoder = ClipDataset(folder), TextEncoder()
    evaluator = OnnxEvaluator(models or default_models(), encoder)
    options = Options(
        split="val" if split == "val" else "test",
        repeats=repeats,
        generations=generations,
        limit=limit,
        multimodality_texts=multimodality_texts,
        cache=Path(".cache/eval") / fingerprint(models or default_models(), address),
    )
    assert options.cache is not None
    options.cache.mkdir(parents=True, exist_ok=True)
    with _planner(address, needed=bool({"generated", "direct"} & set(wanted)), as_json=as_json) as planner:
        rows = [_system(name, planner, dataset, encoder) for name in wanted]
        with progress("Evaluating", 1.0, as_json=as_json) as advance:
            table = run_t2m(
                dataset, rows, evaluator, options, lambda what, done, total: advance(done / max(total, 1))
            )
    paths = report.save(table, out)
    emit(report.as_json(table), [report.markdown(table), *map(str, paths)], as_json=as_json)


@evaluate.command(short_help="Sentences whose meaning reads off the joints.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=4, show_default=True, help="Motions for each sentence."
)
@click.option("--decoder", type=click.Choice(("diffusion", "direct")), default="diffusion", show_default=True)
@ADDRESS
@RESULTS
@json_option
def probes(seeds: int, decoder: str, address: str, out: Path, as_json: bool) -> None:
    """Ask the services for movements whose meaning can be read off the joints, and count how often they obey.

    Writes probes.json.
    """
    from kinesphere.cli.served import Served
    from kinesphere.evaluation.run_probes import run_probes
    from kinesphere.evaluation.systems import System

    with _planner(address, needed=True, as_json=as_json) as planner:
        system = System("generated" if decoder == "diffusion" else "direct", Served(planner, decoder))
        with progress("Probing", seeds, as_json=as_json) as advance:
            result = run_probes(system, seeds=seeds, progress=lambda what, done, total: advance(done))
    path = result.save(out / ("probes.json" if decoder == "diffusion" else "probes-direct.json"))
    if not as_json:
        result.show()
    kinds = {kind: round(rate, 4) for kind, rate in result.by_kind().items()}
    lines = [f"{result.rate:.1%} of {len(result.results)} sentences, {seeds} seeds each  {path}"]
    emit(
        {"rate": result.rate, "sentences": len(result.results), "kinds": kinds, "file": path},
        lines,
        as_json=as_json,
    )


def fingerprint(models: Path, address: str) -> str:
    """A name for what the services generate with: other weights, or other servers, must not find its motions."""
    digest = hashlib.sha256(address.encode())
    for path in sorted(models.glob("*/*/model.onnx")):
        digest.update(str(path.relative_to(models)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _systems(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in SYSTEMS:
            raise InputError("systems", f"{name!r} is unknown; choose from {', '.join(SYSTEMS)}")
    return names


@contextmanager
def _planner(address: str, *, needed: bool, as_json: bool) -> Iterator[str]:
    """The planner's address, with services started for this command where none listen."""
    if not needed:
        yield ""
        return
    from kinesphere.cli.services import addresses

    with addresses(address, "", as_json=as_json) as (planner, _):
        yield planner


def _system(name: str, planner: str, dataset: object, encoder: object) -> System:
    from kinesphere.cli.served import Served
    from kinesphere.datasets.clips import ClipDataset
    from kinesphere.evaluation.systems import NearestNeighbour, System
    from kinesphere.text import TextEncoder

    if name == "nearest":
        assert isinstance(dataset, ClipDataset)
        assert isinstance(encoder, TextEncoder)
        return System("nearest neighbour by text", NearestNeighbour(dataset, encoder), varied=False)
    if name == "direct":
        return System("this system, direct token decoding", Served(planner, "direct"))
    return System("this system", Served(planner, "diffusion"))

"""``kinesphere eval``: t2m and probes; reaction has a file of its own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kinesphere.cli.data import OUT_OPTION
from kinesphere.cli.evaluate_reaction import reaction
from kinesphere.cli.output import emit, json_option, progress
from kinesphere.errors import InputError

if TYPE_CHECKING:
    from kinesphere.cli.served import Plans
    from kinesphere.cli.services import Addresses
    from kinesphere.datasets.clips import ClipDataset
    from kinesphere.evaluation.systems import System
    from kinesphere.text import TextEncoder

SYSTEMS = ("generated", "direct", "nearest")
CACHE = Path(".cache/eval")
ADDRESS = click.option(
    "--address", metavar="HOST:PORT", default="", envvar="KINESPHERE_PLANNER_ADDRESS", help="Planner service."
)
DECODER_ADDRESS = click.option(
    "--decoder-address",
    metavar="HOST:PORT",
    default="",
    envvar="KINESPHERE_DECODER_ADDRESS",
    help="Decoder service, which the planner at --address uses.",
)
RESULTS = click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("benchmarks/results"),
    show_default=True,
    help="Folder.",
)


@click.group(name="eval", short_help="Measure the shipped system: t2m, probes, reaction.")
def evaluate() -> None:
    """Measure the system that the services run."""


evaluate.add_command(reaction)


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
@click.option(
    "--multimodality-texts", type=click.IntRange(0), default=20, show_default=True,
    help="Sentences answered 30 times each; 0 leaves multimodality out.",
)  # fmt: skip
@click.option("--split", type=click.Choice(("test", "val")), default="test", show_default=True)
@ADDRESS
@DECODER_ADDRESS
@RESULTS
@json_option
def t2m(
    folder: Path, models: Path | None, systems: str, repeats: int, generations: int, limit: int,
    multimodality_texts: int, split: str, address: str, decoder_address: str, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """R@1/2/3, FID, MM-Dist, diversity, multimodality and skating of what the services make of the test captions.

    Rows: real motion, captions shuffled, the services (`generated`), the same plans with direct token decoding
    (`direct`), the training clip with the nearest caption (`nearest`). Writes t2m.json, t2m.md and t2m.png. A run
    that was stopped goes on: what was generated is kept in .cache/eval.
    """
    wanted = _systems(systems)
    from kinesphere.cli.served import Plans
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
        cache=CACHE / fingerprint(models or default_models(), address),
    )
    assert options.cache is not None
    options.cache.mkdir(parents=True, exist_ok=True)
    needed = bool({"generated", "direct"} & set(wanted))
    with _services(address, decoder_address, needed=needed, as_json=as_json) as found:
        plans, steps = Plans(options.cache / "plans.jsonl"), _Steps()
        rows = [_system(name, found, plans, dataset, encoder, steps) for name in wanted]
        with progress("Evaluating", 1.0, as_json=as_json) as steps.show:
            table = run_t2m(dataset, rows, evaluator, options, steps.step)
    paths = report.save(table, out)
    if not as_json:
        report.show(table)
    emit(report.as_json(table), [str(path) for path in paths], as_json=as_json)


@evaluate.command(short_help="Sentences whose meaning reads off the joints.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=4, show_default=True, help="Motions for each sentence."
)
@click.option("--decoder", type=click.Choice(("diffusion", "direct")), default="diffusion", show_default=True)
@ADDRESS
@DECODER_ADDRESS
@RESULTS
@json_option
def probes(seeds: int, decoder: str, address: str, decoder_address: str, out: Path, as_json: bool) -> None:
    """Ask the services for movements whose meaning can be read off the joints, and count how often they obey.

    Writes probes.json.
    """
    from kinesphere.cli.served import Served
    from kinesphere.evaluation.run_probes import run_probes
    from kinesphere.evaluation.systems import System

    with _services(address, decoder_address, needed=True, as_json=as_json) as found:
        assert found is not None
        system = System(
            "generated" if decoder == "diffusion" else "direct", Served(found.planner, found.decoder, decoder)
        )
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


class _Steps:
    """How far an evaluation is: whole steps, and how much of the motion of the one under way is made."""

    def __init__(self) -> None:
        self.show: Callable[[float], None] = lambda share: None
        self._done, self._total = 0, 1

    def step(self, what: str, done: int, total: int) -> None:
        self._done, self._total = done, max(total, 1)
        self.motion(0, 1)

    def motion(self, made: int, wanted: int) -> None:
        self.show((self._done + made / wanted) / self._total)


def fingerprint(models: Path, address: str) -> str:
    """A name for what motion is generated with: other weights, settings, code or servers must not find its motions."""
    digest = hashlib.sha256(address.encode())
    for name, value in sorted(os.environ.items()):
        if name.startswith("KINESPHERE_") and name != "KINESPHERE_MODELS":  # the services' settings
            digest.update(f"{name}={value}".encode())
    services = Path(__file__).resolve().parents[2] / "services"
    code = [path for name in ("decoder", "planner") for path in (services / name).rglob("*.py")]
    for path in sorted([*models.glob("*/*/model.onnx"), *code]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _systems(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in SYSTEMS:
            raise InputError("systems", f"{name!r} is unknown; choose from {', '.join(SYSTEMS)}")
    return names


@contextmanager
def _services(address: str, decoder: str, *, needed: bool, as_json: bool) -> Iterator[Addresses | None]:
    """Where the services listen; started for this command where none do. None when not ``needed``."""
    if not needed:
        yield None
        return
    from kinesphere.cli.services import addresses

    with addresses(address, decoder=decoder, as_json=as_json) as found:
        yield found


def _system(
    name: str,
    services: Addresses | None,
    plans: Plans,
    dataset: ClipDataset,
    encoder: TextEncoder,
    steps: _Steps,
) -> System:
    from kinesphere.cli.served import Served
    from kinesphere.evaluation.systems import NearestNeighbour, System

    if name == "nearest":
        captions = NearestNeighbour(dataset, encoder, cache=CACHE)
        return System("nearest neighbour by text", captions, varied=False)
    assert services is not None
    if name == "direct":
        served = Served(services.planner, services.decoder, "direct", plans=plans, progress=steps.motion)
        return System("this system, direct token decoding", served)
    served = Served(services.planner, services.decoder, "diffusion", plans=plans, progress=steps.motion)
    return System("this system", served)

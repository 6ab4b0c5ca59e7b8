"""``kinesphere data reactions``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import click

from kinesphere.cli.output import emit, json_option, progress, table

DEFAULT_OUT: Final = Path(".data/reactions")


@click.command(short_help="Turn motion archives into two-person reactions and movement in rooms.")
@click.argument("raw", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT, show_default=True, help="The data set."
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes [one for each core].")
@click.option("--limit", type=click.IntRange(1), help="At most so many takes and samples of each kind.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another set of draws.")
@click.option("--pictures", is_flag=True, help="Draw one sample of every situation.")
@json_option
def reactions(
    raw: tuple[Path, ...],
    out: Path,
    jobs: int | None,
    limit: int | None,
    seed: int,
    pictures: bool,
    as_json: bool,
) -> None:
    """Build the reaction data set from the takes in the folders RAW (unpacked, or .tar.xz archives).

    Recorded pairs (CMU's salsa dancers) are cut into windows, both roles. The other situations are composed of
    single-person takes: a wave is waved back, an approach stepped away from, a way shown is gone. Each reaction says
    which of the two it is; splits follow the takes. Draws in which bodies touch or feet slide are refused and counted.
    """
    from kinesphere.datasets.reactions.build import build
    from kinesphere.datasets.reactions.report import draw_samples, write_report

    began = time.monotonic()
    with progress("Building reactions", 1000.0, as_json=as_json) as advance:
        made = build(
            list(raw),
            out,
            seed=seed,
            limit=limit,
            jobs=jobs or len(os.sched_getaffinity(0)),
            progress=lambda done, total: advance(done),
        )
    summary = write_report(out)
    drawn = draw_samples(out) if pictures else []
    took = time.monotonic() - began
    rows = [
        (
            name,
            about["origin"],
            *(str(about[split]) for split in ("train", "val", "test")),
            f"{about['seconds']:.1f}",
        )
        for name, about in summary["situations"].items()
    ]
    lines = [
        *table(("situation", "origin", "train", "val", "test", "s each"), rows),
        "",
        f"{made.out}  {made.items} reactions, {made.seconds / 3600:.2f} h, in {took:.0f} s",
        f"{made.out / 'report.json'}  counts, measures, and how often draws were refused and why; plots in report.png",
        *([f"{made.out / 'pictures'}  one sample of every situation"] if drawn else []),
    ]
    emit({"out": made.out, "took": round(took, 1), **summary}, lines, as_json=as_json)

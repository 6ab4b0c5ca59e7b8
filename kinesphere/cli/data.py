"""``kinesphere data build``, ``data check``, ``data stats`` and ``data reactions``."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import click

from kinesphere.cli.data_reactions import reactions
from kinesphere.cli.output import emit, json_option, progress, table

DEFAULT_OUT: Final = Path(".data/kinesphere")
OUT_OPTION = click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path),
    default=DEFAULT_OUT,
    show_default=True,
    help="The data set.",
)


@click.group(short_help="Build the training data set, or say what is in it.")
def data() -> None:
    """Build the training data set, check the files it is made from, or say what is in it."""


data.add_command(reactions)


@data.command(short_help="Turn motion archives into clips with captions.")
@click.argument("raw", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@OUT_OPTION
@click.option(
    "--fraction", type=float, default=1.0, show_default=True, help="Share of the takes, above 0 to 1."
)
@click.option("--limit", type=click.IntRange(1), help="At most so many takes.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes [one for each core].")
@json_option
def build(
    raw: tuple[Path, ...],
    folder: Path,
    fraction: float,
    limit: int | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Turn the takes in the folders RAW (unpacked, or .tar.xz archives) into the data set.

    Knows CMU, Bandai Namco, DeepMimic and ReActIdle, and HumanML3D and KIT-ML as published. Takes that have not
    changed since the last build are not read again; an interrupted build goes on where it stopped.
    """
    from kinesphere.datasets.build import build as run
    from kinesphere.datasets.report import write_report

    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    with progress("Building clips", 1.0, as_json=as_json) as advance:
        made = run(
            list(raw),
            folder,
            fraction=fraction,
            limit=limit,
            workers=workers or len(os.sched_getaffinity(0)),
            progress=lambda done, total: advance(done / max(total, 1)),
        )
    write_report(folder)
    took = time.monotonic() - began
    lines = [
        f"{made.out}  {made.clips} clips, {made.seconds / 3600:.2f} h, in {took:.0f} s"
        f" ({made.reused} takes unchanged, {len(made.refused)} refused)",
        f"{made.out / 'report.html'}  counts, words, plots, and why files were refused",
    ]
    emit(
        {
            "out": made.out, "clips": made.clips, "hours": round(made.seconds / 3600, 3), "reused": made.reused,
            "refused": [{"what": what, "reason": reason} for what, reason in made.refused],
            "took": round(took, 1),
        },
        lines,
        as_json=as_json,
    )  # fmt: skip


@data.command(short_help="Read and measure every motion file, or say why not.")
@click.argument("raw", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--workers", type=click.IntRange(1, 256), help="Processes [one for each core].")
@json_option
def check(raw: tuple[Path, ...], workers: int | None, as_json: bool) -> None:
    """Read every file under the folders RAW and measure what a reader can get wrong.

    By rig: frame rates, limb lengths and how far they stretch, the floor under the feet, the height of the head, the
    share of frames whose toes point ahead (near 0 where left and right are swapped). Then the files that are refused.
    """
    from dataclasses import asdict

    from kinesphere.datasets import check as checking

    paths = checking.files_under(raw)
    with progress("Reading files", float(len(paths)), as_json=as_json) as advance:
        found = checking.check_files(
            paths,
            workers=workers or len(os.sched_getaffinity(0)),
            progress=lambda done, total: advance(done),
        )
    refused = [(file.path, file.reason) for file in found if file.measures is None]
    header = (
        "rig",
        "files",
        "hours",
        "fps",
        "leg m",
        "arm m",
        "stretch m",
        "floor m",
        "head m",
        "toes ahead",
    )
    lines = [
        *table(header, checking.rows(found)),
        "",
        f"{len(found) - len(refused)} files read, {len(refused)} not:",
        *(f"  {path}: {reason}" for path, reason in refused),
    ]
    emit(
        {
            "read": [
                {"path": file.path, **asdict(file.measures)} for file in found if file.measures is not None
            ],
            "refused": [{"path": path, "reason": reason} for path, reason in refused],
        },
        lines,
        as_json=as_json,
    )


@data.command(short_help="Say what the data set holds.")
@OUT_OPTION
@json_option
def stats(folder: Path, as_json: bool) -> None:
    """Count what the data set holds: clips and hours by split, source and topic, captions, words, refused files."""
    from kinesphere.datasets.clips import ClipDataset
    from kinesphere.datasets.report import summarise

    found = summarise(ClipDataset(folder))
    lines = [
        f"{found['clips']} clips of {found['takes']} takes, {found['hours']:.2f} h"
        f" ({found['hours_not_mirrored']:.2f} h without mirrored copies)",
        "",
    ]
    for group in ("splits", "sources", "topics"):
        rows = [(name, f"{row['clips']}", f"{row['hours']:.2f}") for name, row in found[group].items()]
        lines += [*table((group, "clips", "hours"), rows[:15]), ""]
    captions = found["captions"]
    kinds = ", ".join(f"{kind} {count}" for kind, count in captions["kinds"].items())
    lines += [
        f"{captions['count']} captions ({kinds}), {captions['distinct']} different,"
        f" {captions['words_mean']:.1f} words each, vocabulary {captions['vocabulary']}",
        f"{len(found['refused'])} refused" + (": " if found["refused"] else ""),
        *(f"  {count} x {reason}" for reason, count in list(found["refusals"].items())[:10]),
    ]
    emit(found, lines, as_json=as_json)

"""``kinesphere data build`` and ``kinesphere data stats``."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Final

import click

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
    """Build the training data set, or say what is in it."""


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
    took = time.monotonic() - began
    lines = [
        f"{made.out}  {made.clips} clips, {made.seconds / 3600:.2f} h, in {took:.0f} s"
        f" ({made.reused} takes unchanged, {len(made.refused)} refused; reasons in refused.json)"
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


@data.command(short_help="Say what the data set holds.")
@OUT_OPTION
@json_option
def stats(folder: Path, as_json: bool) -> None:
    """Count what the data set holds: clips and hours by split and by source, captions by kind, topics, words."""
    from kinesphere.datasets.clips import ClipDataset

    clips = ClipDataset(folder).clips
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for key in ("split", "source"):
        names = Counter(str(getattr(clip, key)) for clip in clips)
        groups[key] = {
            name: {
                "clips": count,
                "hours": round(sum(c.seconds for c in clips if str(getattr(c, key)) == name) / 3600, 3),
                "takes": len({clip.take for clip in clips if str(getattr(clip, key)) == name}),
            }
            for name, count in names.most_common()
        }
    captions = Counter(caption.kind for clip in clips for caption in clip.captions)
    words = Counter(
        word for clip in clips for caption in clip.captions for word in caption.text.lower().split()
    )
    topics = Counter(clip.topic for clip in clips)
    lines: list[str] = []
    for key, group in groups.items():
        rows = [
            (name, f"{row['clips']:.0f}", f"{row['hours']:.2f}", f"{row['takes']:.0f}")
            for name, row in group.items()
        ]
        lines += [*table((key, "clips", "hours", "takes"), rows), ""]
    lines += [
        "captions  " + ", ".join(f"{kind} {count}" for kind, count in captions.most_common()),
        f"words     {len(words)} different",
        "topics    " + ", ".join(f"{topic} {count}" for topic, count in topics.most_common(12)),
    ]
    emit(
        {
            "data": folder, "clips": len(clips), **groups, "captions": dict(captions), "vocabulary": len(words),
            "topics": dict(topics.most_common()),
        },
        lines,
        as_json=as_json,
    )  # fmt: skip

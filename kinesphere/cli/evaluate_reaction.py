"""``kinesphere eval reaction``."""

from __future__ import annotations

from pathlib import Path

import click

from kinesphere.cli.output import emit, json_option, progress
from kinesphere.errors import InputError

RESULTS = Path("benchmarks/results")


@click.command(short_help="The reaction tables.")
@click.option(
    "--data", "folder", type=click.Path(path_type=Path), default=Path(".data/reactions"), show_default=True,
    help="The data set.",
)  # fmt: skip
@click.option("--models", type=click.Path(path_type=Path), help="Where the graphs lie [models].")
@click.option("--systems", default="", help="Rows beside real and shuffled, by name [all].")
@click.option(
    "--ablation", "ablations", metavar="NAME=DIR", multiple=True,
    help="Another models folder, whose reactor_segment is run; may be given again.",
)  # fmt: skip
@click.option(
    "--per-situation", type=click.IntRange(1), default=16, show_default=True,
    help="Reactions of each situation, at most.",
)  # fmt: skip
@click.option(
    "--repeats", type=click.IntRange(1, 100), default=3, show_default=True,
    help="Times that texts and noise are drawn.",
)  # fmt: skip
@click.option("--split", type=click.Choice(("test", "val")), default="test", show_default=True)
@click.option("--pictures", type=click.Path(path_type=Path), help="Draw a reaction of each situation here.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True, help="Folder."
)
@json_option
def reaction(
    folder: Path, models: Path | None, systems: str, ablations: tuple[str, ...], per_situation: int, repeats: int,
    split: str, pictures: Path | None, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Go on with held-out reactions from two frames, and judge what the agent does.

    FID, R-precision, MM-Dist, latency; whether and how soon the partner is answered; facing, distance, overlap; among
    things, collision, goal and contact; skating and jerk. Rows: the real agents, real agents of other reactions
    (shuffled), refined segments as they are served (segment+FWSR), segments alone, a new segment for every frame
    (slide), the prior without its modules, and without the goal. Recorded and composed reactions have tables of their
    own. Writes reaction.json, reaction.md and reaction.png.
    """
    others = dict(_named(each) for each in ablations)
    from kinesphere.cli.stack import default_models
    from kinesphere.datasets.reactions.dataset import ReactionDataset
    from kinesphere.evaluation import reaction_report as report
    from kinesphere.evaluation.embedders import OnnxEvaluator
    from kinesphere.evaluation.reaction import Options, run_reaction
    from kinesphere.text import TextEncoder

    data, encoder, place = ReactionDataset(folder), TextEncoder(), models or default_models()
    options = Options(
        split="val" if split == "val" else "test",
        per_situation=per_situation,
        repeats=repeats,
        wanted=tuple(dict.fromkeys(part.strip() for part in systems.split(",") if part.strip())),
    )
    with progress("Evaluating", 1.0, as_json=as_json) as advance:
        result = run_reaction(
            data,
            place,
            OnnxEvaluator(place, encoder),
            encoder.sentence,
            options,
            others,
            lambda what, done, total: advance(done / max(total, 1)),
        )
    paths = [*report.save(result, out)]
    if pictures is not None:
        from kinesphere.evaluation.reaction_pictures import draw

        paths += draw(result, pictures)
    if not as_json:
        report.show(result)
    emit(report.as_json(result), [str(path) for path in paths], as_json=as_json)


def _named(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name.strip() or not folder.strip():
        raise InputError("ablation", f"{text!r} is not NAME=DIR")
    return name.strip(), Path(folder.strip())

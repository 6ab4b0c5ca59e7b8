"""Pictures of evaluated reactions: the real agent above, what the networks made below, in the same world."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from kinesphere.datasets.windows import FPS
from kinesphere.drawing.contact_sheet import contact_sheet
from kinesphere.evaluation.reacting import Trial
from kinesphere.evaluation.reaction import Result
from kinesphere.motion import Motion
from kinesphere.reaction.rollout import poses
from kinesphere.skeleton import FloatArray

POSES = 8


def draw(result: Result, folder: Path | str) -> list[Path]:
    """Write SITUATION.png for each situation that was evaluated; returns the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for situation, (trial, made, text) in sorted(result.drawn.items()):
        written.append(_pair(trial, made, text, folder / f"{situation}.png"))
    return written


def _pair(trial: Trial, made: FloatArray, text: str, path: Path) -> Path:
    with TemporaryDirectory() as scratch:
        rows = [
            _sheet(trial, rows, f"{who}: {text}", Path(scratch) / f"{who}.png")
            for who, rows in (("real", trial.rows), ("made", made))
        ]
    together = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)))
    for place, row in enumerate(rows):
        together.paste(row, (0, place * rows[0].height))
    together.save(path, format="PNG")
    return path


def _sheet(trial: Trial, rows: FloatArray, title: str, path: Path) -> Image.Image:
    people = [poses(rows)]
    if trial.partner is not None:
        people.append(Motion.from_positions(trial.partner, FPS))
    about = f"{trial.item.situation}, {trial.item.origin}"
    if trial.onset is not None:
        about += f", cue at {trial.onset / FPS:.2f} s"
    contact_sheet(
        people, path, title, poses=POSES, labels=[about], together=True, scene=trial.scene,
        names=("agent", "partner")[: len(people)],
    )  # fmt: skip
    with Image.open(path) as picture:
        return picture.convert("RGB")

"""Learning curves of the training runs: ``python -m benchmarks.learning_curves [RUNS] [PICTURE.png] [NAMES]``.

Reads what training writes to ``RUN/metrics.jsonl`` (one JSON object a line: step, seconds, and losses or ``val/...``)
and draws a panel for each run of the recipes that ship (``small``): the training loss, and one figure of held-out
clips on the right axis. NAMES: a pattern of other runs (``sft_*``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Stage (the beginning of a run's name) -> the figure of held-out clips that says most, and its name for people.
HELD_OUT: Final[dict[str, tuple[str, str]]] = {
    "evaluator": ("val/R@3", "R@3 (higher is better)"),
    "tokenizer": ("val/MPJPE_mm", "joint error, mm"),
    "vae": ("val/MPJPE_mm", "joint error, mm"),
    "decoder": ("val/MPJPE_mm", "joint error, mm"),
    "sft": ("val/motion_loss", "loss of motion tokens"),
    "prior_vae": ("val/MPJPE_mm", "joint error, mm"),
    "prior": ("val/frechet", "Frechet distance"),
    "hhi": ("val/frechet", "Frechet distance"),
    "hsi": ("val/pelvis_end_mm", "pelvis off at the end, mm"),
    "fwsr": ("val/MPJPE_mm", "joint error, mm"),
}
LOSS, VALIDATION = "#2674c4", "#e8721e"
Curve = list[tuple[int, float]]


def read(folder: Path) -> dict[str, Curve]:
    """Name -> (step, value) in order. A run that went back to a checkpoint keeps its last word on each step."""
    found: dict[str, dict[int, float]] = {}
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        for name, value in values.items():
            if name not in ("step", "seconds"):
                found.setdefault(name, {})[values["step"]] = value
    return {name: sorted(points.items()) for name, points in found.items()}


def held_out(stage: str, curves: dict[str, Curve]) -> tuple[Curve, str]:
    """The stage's figure, or the first of held-out clips that the run has; empty without one."""
    name, label = HELD_OUT.get(stage, ("", ""))
    if name in curves:
        return curves[name], label
    other = next((each for each in curves if each.startswith("val/")), "")
    return curves.get(other, []), other.removeprefix("val/")


def smoothed(curve: Curve, weight: float = 0.8) -> Curve:
    """Exponential mean, so that the noise of single batches does not hide the trend."""
    result: Curve = []
    mean, total = 0.0, 0.0
    for step, value in curve:
        mean, total = weight * mean + (1 - weight) * value, weight * total + (1 - weight)
        result.append((step, mean / total))
    return result


def draw(runs: Path, path: Path, names: str = "*_small") -> list[str]:
    """Write the picture of the runs that ``names`` matches; returns which they are."""
    folders = sorted(
        (folder for folder in runs.glob(names) if (folder / "metrics.jsonl").is_file()),
        key=lambda folder: (*(stage not in folder.name for stage in HELD_OUT), folder.name),
    )
    if not folders:
        raise SystemExit(f"{runs} holds no {names}/metrics.jsonl: `kinesphere train STAGE` writes them")
    columns, rows = min(3, len(folders)), -(-len(folders) // 3)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for empty in panels[len(folders) :]:
        empty.remove()
    for axes, folder in zip(panels, folders, strict=False):
        curves = read(folder)
        loss = curves.get("loss", [])
        axes.plot(*zip(*loss, strict=True), color=LOSS, alpha=0.25, linewidth=0.8)
        axes.plot(*zip(*smoothed(loss), strict=True), color=LOSS, label="training loss")
        axes.set_title(folder.name.replace("_", " "), fontsize=11)
        axes.set_xlabel("step")
        # The first steps' losses are many times the last ones'.
        late = sorted(value for _, value in loss[len(loss) // 20 :])
        axes.set_ylim(0, 1.15 * late[int(0.99 * (len(late) - 1))])
        axes.tick_params(axis="y", labelcolor=LOSS)
        axes.spines["top"].set_visible(False)
        # "prior_vae" before "prior": the longest that fits.
        stage = max((each for each in HELD_OUT if folder.name.startswith(each)), key=len, default="")
        curve, label = held_out(stage, curves)
        if curve:
            right = axes.twinx()
            right.plot(*zip(*curve, strict=True), color=VALIDATION, marker="o", markersize=3)
            right.set_ylabel(label, color=VALIDATION)
            right.tick_params(axis="y", labelcolor=VALIDATION)
            right.set_ylim(bottom=0)
            right.spines["top"].set_visible(False)
        axes.set_ylabel("training loss", color=LOSS)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, format="png")
    return [folder.name for folder in folders]


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    target = Path(given.get(1, "docs/pictures/learning_curves.png"))
    print(", ".join(draw(Path(given.get(0, "runs")), target, given.get(2, "*_small"))), "->", target)

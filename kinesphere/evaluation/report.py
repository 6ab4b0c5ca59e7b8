"""Tables and plots of evaluation results: on the terminal, as JSON, as PNG."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table as RichTable

from kinesphere.evaluation.bars import draw_bars
from kinesphere.evaluation.t2m import METRICS, Row, Table

# Heading, and whether larger is better (None: closer to real is better).
_HEADINGS: Final[dict[str, tuple[str, bool | None]]] = {
    "r_precision_1": ("R@1", True),
    "r_precision_2": ("R@2", True),
    "r_precision_3": ("R@3", True),
    "fid": ("FID", False),
    "mm_dist": ("MM-Dist", False),
    "diversity": ("Diversity", None),
    "multimodality": ("MultiMod.", True),
    "skating": ("Skating", False),
}
_ARROWS: Final = {True: "up", False: "down", None: "as real"}


def as_json(table: Table) -> dict[str, Any]:
    """Settings and rows: motions made in this run and their rate, metric -> {mean, interval, values}."""
    return {"settings": table.settings, "rows": [_row_json(row) for row in table.rows]}


def _row_json(row: Row) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for metric in METRICS:
        interval = row.interval(metric)
        if interval is not None:
            metrics[metric] = {"mean": interval[0], "interval": interval[1], "values": row.values[metric]}
    about: dict[str, Any] = {"name": row.name, "made": row.made, "seconds": round(row.seconds, 1)}
    if row.made:
        about["motions_per_minute"] = round(60 * row.made / row.seconds, 1)
    return {**about, "metrics": metrics}


def save(table: Table, folder: Path | str, name: str = "t2m") -> tuple[Path, Path, Path]:
    """Write NAME.json, NAME.md (the table for a README) and NAME.png; returns the three paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data, text, picture = (folder / f"{name}.{suffix}" for suffix in ("json", "md", "png"))
    data.write_text(json.dumps(as_json(table), indent=1) + "\n", encoding="utf-8")
    text.write_text(markdown(table), encoding="utf-8")
    plot(table, picture)
    return data, text, picture


def markdown(table: Table) -> str:
    """The table in Markdown, mean and half width of the 95 % interval."""
    lines = [
        "| | "
        + " | ".join(f"{heading} ({_ARROWS[better]})" for heading, better in _HEADINGS.values())
        + " |",
        "|---|" + "---|" * len(_HEADINGS),
    ]
    for row in table.rows:
        lines.append(f"| {row.name} | " + " | ".join(_cell(row, metric) for metric in _HEADINGS) + " |")
    return "\n".join([*lines, "", f"Mean and 95 % interval; {_about(table)}.", ""])


def _cell(row: Row, metric: str) -> str:
    interval = row.interval(metric)
    if interval is None:
        return "-"
    mean, half = interval
    digits = 3 if metric.startswith("r_") or metric == "skating" or abs(mean) < 10 else 1
    return f"{mean:.{digits}f} ±{half:.{digits}f}"


def show(table: Table, console: Console | None = None) -> None:
    """Print the table."""
    console = console or Console()
    # Systems side by side: eight metrics in a row do not fit a terminal of 80 columns.
    grid = RichTable(title="Text to motion", caption=_about(table))
    grid.add_column("", no_wrap=True)
    for row in table.rows:
        grid.add_column(row.name, justify="right")
    for metric, (heading, better) in _HEADINGS.items():
        grid.add_row(
            f"{heading}\n({_ARROWS[better]})",
            *(_cell(row, metric).replace(" ±", "\n±") for row in table.rows),
        )
    console.print(grid)


def _about(table: Table) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in table.settings.items())


def plot(table: Table, path: Path | str) -> Path:
    """Bars of each metric with their intervals; a dashed line marks real motion."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    metrics = ("r_precision_1", "r_precision_3", "fid", "mm_dist", "diversity", "skating")
    figure = Figure(figsize=(13, 1.6 + 0.42 * len(table.rows) * 2), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(2, 3, sharey=True).flat, metrics, strict=True):
        heading, better = _HEADINGS[metric]
        draw_bars(axes, table.rows, metric, f"{heading} ({_ARROWS[better]})")
    path = Path(path)
    figure.savefig(path, dpi=110, format="png")
    return path

"""The reaction tables: on the terminal, as JSON, in Markdown, and as a plot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table as RichTable

from kinesphere.evaluation.answers import Answer
from kinesphere.evaluation.bars import draw_bars
from kinesphere.evaluation.reaction import Result, Table
from kinesphere.evaluation.reaction_scores import summary
from kinesphere.evaluation.t2m import Row

# Heading, digits, and whether larger is better (None: closer to real is better).
_HEADINGS: Final[dict[str, tuple[str, int, bool | None]]] = {
    "fid": ("FID", 3, False),
    "r_precision_3": ("R@3", 3, True),
    "mm_dist": ("MM-Dist", 3, False),
    "accuracy": ("answered", 3, True),
    "delay": ("answer after, ms", 0, None),
    "early": ("before the cue", 3, False),
    "facing": ("facing error, deg", 1, False),
    "distance": ("distance error, m", 3, False),
    "overlap": ("overlap, frames", 3, False),
    "overlap_mm": ("overlap, mm", 2, False),
    "goal_distance": ("to goal, m", 3, False),
    "reached": ("goal reached", 3, True),
    "collision": ("collision, frames", 3, False),
    "collision_mm": ("collision, mm", 2, False),
    "contact": ("foot contact", 3, None),
    "skating": ("skating", 3, None),
    "jerk": ("jerk, m/s3", 0, None),
    "jerk_borders": ("jerk at borders", 0, None),
    "jerk_inside": ("jerk inside", 0, None),
    "latency": ("ms a frame", 2, False),
}
_ARROWS: Final = {True: "up", False: "down", None: "as real"}
_PLOTTED: Final = {
    "people, composed": (
        "fid", "r_precision_3", "accuracy", "delay", "facing", "overlap", "skating", "jerk_borders",
    ),
    "things, composed": ("fid", "goal_distance", "collision", "jerk_borders"),
}  # fmt: skip


def as_json(result: Result) -> dict[str, Any]:
    """Settings and tables; a metric that is not known is null, and ``notes`` say why."""
    return {"settings": result.settings, "tables": [_table_json(table) for table in result.tables]}


def _table_json(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "reactions": sum(table.counts.values()),
        "counts": table.counts,
        "notes": table.notes,
        "rows": [
            {"name": row.name, "metrics": {metric: _metric_json(row, metric) for metric in table.columns}}
            for row in table.rows
        ],
        "situations": {
            situation: {
                system: {"answers": len(given), **{k: round(v, 4) for k, v in summary(given).items()}}
                for system, given in systems.items()
            }
            for situation, systems in table.answers.items()
        },
    }


def _metric_json(row: Row, metric: str) -> dict[str, Any] | None:
    interval = row.interval(metric)
    if interval is None:
        return None
    values = [round(value, 5) for value in row.values[metric]]
    return {"mean": round(interval[0], 5), "interval": round(interval[1], 5), "values": values}


def save(result: Result, folder: Path | str, name: str = "reaction") -> tuple[Path, Path, Path]:
    """Write NAME.json, NAME.md and NAME.png; returns the three paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data, text, picture = (folder / f"{name}.{suffix}" for suffix in ("json", "md", "png"))
    data.write_text(json.dumps(as_json(result), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    text.write_text(markdown(result), encoding="utf-8")
    plot(result, picture)
    return data, text, picture


def markdown(result: Result) -> str:
    """All tables in Markdown, mean and half width of the 95 % interval; systems side by side."""
    lines: list[str] = []
    for table in result.tables:
        names = [row.name for row in table.rows]
        lines += [f"**{_title(table)}**", "", f"| | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
        for metric in _shown(table):
            cells = " | ".join(_cell(row, metric) for row in table.rows)
            lines.append(f"| {_heading(metric)} | {cells} |")
        lines += ["", _about(table), ""]
        if table.answers:
            lines += [
                "Answered (median time after the cue in ms), by situation:",
                "",
                f"| | {' | '.join(names)} |",
                "|---|" + "---:|" * len(names),
                *(f"| {' | '.join([name, *cells])} |" for name, cells in _by_situation(table)),
                "",
            ]
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in result.settings.items())
    return "\n".join([*lines, f"Mean and 95 % interval; {told}.", ""])


def show(result: Result, console: Console | None = None) -> None:
    """Print all tables."""
    console = console or Console()
    for table in result.tables:
        _print(console, _title(table), table, [
            (_heading(metric), [_cell(row, metric).replace(" ±", "\n±") for row in table.rows])
            for metric in _shown(table)
        ], _about(table))  # fmt: skip
        if table.answers:
            title = "Answered (median time after the cue in ms), by situation"
            _print(console, title, table, _by_situation(table), "")


def _print(
    console: Console, title: str, table: Table, lines: Sequence[tuple[str, list[str]]], caption: str
) -> None:
    grid = RichTable(title=title, caption=caption)
    grid.add_column("")
    for row in table.rows:
        grid.add_column(row.name, justify="right")
    for name, cells in lines:
        grid.add_row(name, *cells)
    console.print(grid)


def _shown(table: Table) -> list[str]:
    return [metric for metric in table.columns if any(row.values[metric] for row in table.rows)]


def _title(table: Table) -> str:
    count = sum(table.counts.values())
    return f"{table.name[0].upper()}{table.name[1:]}: {count} reaction{'s' if count > 1 else ''}"


def _heading(metric: str) -> str:
    heading, _, better = _HEADINGS[metric]
    return f"{heading} ({_ARROWS[better]})"


def _about(table: Table) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in table.counts.items())
    return "; ".join([counts, *table.notes]) + "."


def _cell(row: Row, metric: str) -> str:
    interval = row.interval(metric)
    if interval is None:
        return "-"
    mean, half = interval
    digits = _HEADINGS[metric][1]
    alone = len(row.values[metric]) == 1
    return f"{mean:.{digits}f}" if alone else f"{mean:.{digits}f} ±{half:.{digits}f}"


def _by_situation(table: Table) -> list[tuple[str, list[str]]]:
    return [
        (situation, [_answered(systems.get(row.name, [])) for row in table.rows])
        for situation, systems in table.answers.items()
    ]


def _answered(given: Sequence[Answer]) -> str:
    scores = summary(given)
    if not scores:
        return "-"
    return f"{scores['accuracy']:.2f}" + (f" ({scores['delay']:.0f})" if "delay" in scores else "")


def plot(result: Result, path: Path | str) -> Path:
    """Bars of the main figures of composed reactions with their intervals; a dashed line marks the real agents."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = [
        (table, metric)
        for table in result.tables
        for metric in _PLOTTED.get(table.name, ())
        if any(row.values[metric] for row in table.rows)
    ]
    count = -(-max(len(panels), 1) // 4)
    most = max((len(table.rows) for table, _ in panels), default=1)
    figure = Figure(figsize=(15, count * (0.9 + 0.3 * most)), layout="constrained")
    FigureCanvasAgg(figure)
    places = list(figure.subplots(count, 4, squeeze=False).flat)
    for axes, (table, metric) in zip(places, panels, strict=False):
        title = f"{table.name.split(',')[0]}: {_heading(metric)}"
        draw_bars(axes, table.rows, metric, title, _HEADINGS[metric][1])
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    path = Path(path)
    figure.savefig(path, dpi=100, format="png")
    return path

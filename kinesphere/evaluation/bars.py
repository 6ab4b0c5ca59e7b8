"""Bars of one figure of several systems, as the tables' plots show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kinesphere.evaluation.t2m import Row

_COLOURS: Final = ("#70788a", "#b8bec9", "#2674c4", "#e8721e", "#1a968c", "#6c56be", "#c49614", "#a83a50")


def draw_bars(axes: Any, rows: Sequence[Row], metric: str, title: str, digits: int = 3) -> None:
    """Means with their intervals into matplotlib's ``axes``, the first row at the top; a dashed line marks its mean.

    The title ends where the axes do, so that a long one is not cut off at the picture's edge.
    """
    for place, row in enumerate(rows):
        interval = row.interval(metric)
        if interval is None:
            continue
        mean, half = interval
        axes.barh(place, mean, xerr=half, color=_COLOURS[place % len(_COLOURS)], capsize=3, height=0.7)
        axes.annotate(
            f"{mean:.{digits}f}", (mean + half, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    first = rows[0].interval(metric)
    if first is not None:
        axes.axvline(first[0], color="#333333", linestyle="--", linewidth=0.8)
    axes.set_title(title, fontsize=9, loc="right")
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.2)
    axes.spines[["top", "right"]].set_visible(False)

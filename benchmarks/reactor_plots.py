"""Plots of the reactor's benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator

from benchmarks.reactor_load import QUANTILES

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
AIM_ONE_MS = 10.0


def draw(result: dict[str, Any], path: Path) -> None:
    """Latencies of each run as distributions, and p99 over the number of sessions."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    _distributions(left, result)
    _capacities(right, result)
    _saved(figure, path)


def _distributions(axes: Axes, result: dict[str, Any]) -> None:
    runs = [row for row in result["runs"] if row.get("quantiles_ms")]
    for row, colour in zip(runs, COLOURS, strict=False):
        label = f"{row['sessions']} × {row['fps']:g} fps: p50 {row['p50_ms']:.1f}, p99 {row['p99_ms']:.1f} ms"
        axes.plot(row["quantiles_ms"], QUANTILES, color=colour, label=label)
    axes.axhline(99, color="0.8", lw=0.8, zorder=0)
    for limit in (AIM_ONE_MS, result["limit_ms"]):
        axes.axvline(limit, color="0.5", ls=":", lw=1)
        axes.text(limit, 40, f" {limit:g} ms", color="0.4", fontsize=8)
    axes.set_xscale("log")
    _milliseconds(axes.xaxis)
    axes.set(
        xlabel="partner's frame in to agent's frame out, ms", ylabel="share of frames, %", ylim=(0, 100.5),
        title="Latency (sessions × their rate)",
    )  # fmt: skip
    if runs:
        axes.legend(loc="lower right", framealpha=1, edgecolor="none", fontsize=8)


def _milliseconds(axis: Axis) -> None:
    """Ticks of a logarithmic axis that can be read."""
    axis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FormatStrFormatter("%g"))


def _capacities(axes: Axes, result: dict[str, Any]) -> None:
    for found, colour in zip(result["capacity"], COLOURS, strict=False):
        rows = [row for row in found["tried"] if "refused" not in row]
        counts = [row["sessions"] for row in rows]
        label = f"{found['fps']:g} fps: {found['carried']} carried"
        axes.plot(counts, [row["p99_ms"] for row in rows], "o-", color=colour, ms=4, label=f"{label}, p99")
        axes.plot(counts, [row["p50_ms"] for row in rows], "--", color=colour, lw=0.9, label="p50")
        axes.axvline(found["admitted"], color=colour, ls="-.", lw=0.9, label=f"{found['admitted']} admitted")
    axes.axhline(result["limit_ms"], color="0.5", ls=":", lw=1)
    axes.set_yscale("log")
    _milliseconds(axes.yaxis)
    axes.set(
        xlabel="sessions",
        ylabel="ms",
        title=f"Sessions that {result['machine']['cores']} cores carry, client included",
    )
    if result["capacity"]:
        axes.legend(frameon=False, fontsize=8)


def draw_soak(result: dict[str, Any], path: Path) -> None:
    """Latency and memory over time."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    minutes = np.array([window["until"] for window in result["windows"]]) / 60
    for key, colour in (("p50_ms", COLOURS[0]), ("p99_ms", COLOURS[1])):
        left.plot(minutes, [window[key] for window in result["windows"]], "o-", ms=3, color=colour,
                  label=f"{key[:3]}, windows of {result['window_seconds']:g} s")  # fmt: skip
    left.set(xlabel="minutes", ylabel="ms", title=result["title"])
    for key, colour, name in (
        ("replica_mb", COLOURS[0], "replica"),
        ("valkey_mb", COLOURS[2], "Valkey"),
    ):
        slope = result["slopes"][key]
        right.plot(minutes, [window[key] for window in result["windows"]], "o-", ms=3, color=colour,
                   label=f"{name}: {slope['an_hour']:+.1f} ± {slope['error']:.1f} MB an hour")  # fmt: skip
    for axes in (left, right):
        axes.axvspan(0, result["settled_seconds"] / 60, color="0.92", zorder=0, label="settling, not counted")
        axes.legend(frameon=False, fontsize=8)
    right.set(xlabel="minutes", ylabel="resident memory, MB", title="Memory")
    for axes in (left, right):
        axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend above the lines
    _saved(figure, path)


def _saved(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)

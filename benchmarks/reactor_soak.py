"""The reactor for a long time near its capacity: neither its latency nor its memory may drift.

    python -m benchmarks.reactor_soak [--seconds 600] [--fps 10] [--share 0.8] [--sessions N] [--output FILE.json]

Runs ``share`` of the sessions that ``python -m benchmarks.reactor --capacity FPS`` found (or ``--sessions``) through
gRPC and a real Valkey, and tells p50, p99 and the resident memory of replica and Valkey every 30 seconds, with a plot.

What grows because it is still being filled is no leak: a session keeps its newest frames, in the replica for 65 s and
in the store up to a number that is set to 60 s here. So the first 90 s settle and are left out; drift is the slope of a
line through the windows after them, with its standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks import reactor_plots
from benchmarks.machine import machine
from benchmarks.reactor_load import (
    RESULTS,
    ROOT,
    WARM_SECONDS,
    Heard,
    Process,
    Replica,
    session,
    stack,
    summary,
)
from kinesphere.v1 import reactor_pb2_grpc

WINDOW_SECONDS = 30.0
SETTLE_SECONDS = 90.0
SAMPLE_SECONDS = 2.0
KEPT_SECONDS = 60
COLUMNS = ("until", "frames_a_second", "p50_ms", "p99_ms", "max_ms", "replica_mb", "valkey_mb")


async def soak(
    replica: Replica, valkey: Process, sessions: int, fps: float, seconds: float
) -> list[dict[str, Any]]:
    """A row for each window of ``WINDOW_SECONDS``."""
    heard = [Heard() for _ in range(sessions)]
    memory: list[tuple[float, float, float]] = []

    async def watch() -> None:
        while True:
            memory.append((time.monotonic(), replica.megabytes(), valkey.megabytes()))
            await asyncio.sleep(SAMPLE_SECONDS)

    async with grpc.aio.insecure_channel(replica.address) as channel:
        stub = reactor_pb2_grpc.ReactorServiceStub(channel)
        watching = asyncio.create_task(watch())
        began = time.monotonic() + WARM_SECONDS
        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(heard):
                group.create_task(session(stub, fps, seconds, number / sessions / fps, each))
        watching.cancel()
    times = np.concatenate([each.times for each in heard]) - began
    latencies = np.concatenate([each.latencies for each in heard])
    samples = np.array(memory)
    rows = []
    for start in np.arange(0.0, seconds - WINDOW_SECONDS / 2, WINDOW_SECONDS):
        stop = start + WINDOW_SECONDS
        inside = latencies[(times >= start) & (times < stop)]
        mean = samples[(samples[:, 0] >= began + start) & (samples[:, 0] < began + stop)].mean(axis=0)
        row = {"until": stop, "frames_a_second": round(len(inside) / WINDOW_SECONDS / sessions, 2)}
        rows.append(row | summary(inside) | {"replica_mb": mean[1], "valkey_mb": mean[2]})
    return rows


def slope(windows: list[dict[str, Any]], key: str) -> dict[str, float]:
    """Change an hour of a window's figure, by a straight line, and its standard error."""
    hours = np.array([window["until"] for window in windows]) / 3600
    values = np.array([window[key] for window in windows])
    if len(hours) < 3:
        return {"an_hour": float("nan"), "error": float("nan")}
    away = hours - hours.mean()
    steep = float(away @ values / (away @ away))
    rest = values - values.mean() - steep * away
    error = float(np.sqrt(rest @ rest / (len(hours) - 2) / (away @ away)))
    return {"an_hour": round(steep, 2), "error": round(error, 2)}


def carried(file: Path, fps: float) -> int:
    """The capacity at ``fps`` that ``benchmarks.reactor`` has found."""
    found = json.loads(file.read_text()).get("capacity", []) if file.exists() else []
    for entry in found:
        if entry["fps"] == fps:
            return int(entry["carried"])
    raise SystemExit(
        f"{file} has no capacity at {fps:g} fps: run benchmarks.reactor --capacity, or give --sessions"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--fps", type=float, default=10)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--sessions", type=int)
    parser.add_argument("--output", type=Path, default=RESULTS / "reactor_soak.json")
    arguments = parser.parse_args()
    sessions = arguments.sessions
    if sessions is None:
        sessions = max(1, int(arguments.share * carried(RESULTS / "reactor.json", arguments.fps)))
    result: dict[str, Any] = {
        "machine": machine(), "sessions": sessions, "fps": arguments.fps, "window_seconds": WINDOW_SECONDS,
        "settled_seconds": SETTLE_SECONDS, "title": f"{sessions} sessions at {arguments.fps:g} fps",
    }  # fmt: skip
    with stack(arguments.models) as made:
        replica = made.replica(target_load=100, frames_kept=max(100, round(KEPT_SECONDS * arguments.fps)))
        result["windows"] = uvloop.run(soak(replica, made.valkey, sessions, arguments.fps, arguments.seconds))
    settled = [window for window in result["windows"] if window["until"] > SETTLE_SECONDS]
    result["slopes"] = {key: slope(settled, key) for key in ("p50_ms", "p99_ms", "replica_mb", "valkey_mb")}
    show(result)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    reactor_plots.draw_soak(result, arguments.output.with_suffix(".png"))
    print(f"saved {arguments.output} and its plot")


def show(result: dict[str, Any]) -> None:
    table = Table(*COLUMNS, title=result["title"])
    for window in result["windows"]:
        table.add_row(*(f"{window[column]:.1f}" for column in COLUMNS))
    console = Console(width=120)
    console.print(table)
    for key, drift in result["slopes"].items():
        console.print(f"{key}: {drift['an_hour']:+.2f} ± {drift['error']:.2f} an hour")


if __name__ == "__main__":
    main()

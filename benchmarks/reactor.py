"""The reactor through gRPC and a real Valkey: how soon the agent answers, and how many sessions fit.

    python -m benchmarks.reactor [--models models] [--seconds 20] [--runs 1x30 8x20 16x20 32x10] [--output FILE.json]
    python -m benchmarks.reactor --capacity 10 20    also find the most sessions at each of these rates
    python -m benchmarks.reactor --kill 8            also kill the serving replica under so many sessions
    python -m benchmarks.reactor --untrained ...     with small random networks of the right shapes

A run of NxF has N sessions at F frames a second, each with a partner who is seen at F frames a second. Latency is from
the client's sending a partner's frame to its getting the first frame of the agent that answers it. Processor time is
the replica's own; the client's, in one process beside it on the same processors, is told too. How idle the machine was
before is part of the result: on a busy one the figures are upper bounds.

The capacity of a rate is found twice. ``carried``: the most sessions whose p99 stays below the limit, every session
having been let in. ``admitted``: how many a replica with its own settings lets in, one after another. The plot,
``reactor.png`` beside the result, has the distribution of latencies of each run, and p99 over sessions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
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
    Heard,
    Replica,
    Stack,
    measure,
    partner,
    session,
    stack,
    summary,
)
from kinesphere.reaction_client import AgentFrame, AsyncReactionClient
from kinesphere.v1 import reactor_pb2_grpc

LIMIT_MS = 50.0
SHORT_SECONDS = 6.0
LONG_SECONDS = 600.0
FIRST = 8  # sessions that a search begins with
MOST = 256
NEAR = 0.08  # a search ends when what is carried and what is not are so near each other
ON_TIME = 0.97  # of the frames that should leave
OPEN = {"target_load": 100}  # every session is let in


def good(row: dict[str, Any]) -> bool:
    """Whether all sessions of a run were served as they should be."""
    return (
        "refused" not in row
        and row["p99_ms"] < LIMIT_MS
        and row["frames_a_second"] >= ON_TIME * row["fps"]
        and row["held"] == 0
    )


def carried(replica: Replica, fps: float, seconds: float) -> dict[str, Any]:
    """The most sessions at ``fps``: doubled until they are too many, halved in between, confirmed by a longer run."""
    tried: dict[int, dict[str, Any]] = {}

    def fits(sessions: int, seconds: float = SHORT_SECONDS) -> bool:
        tried[sessions] = uvloop.run(measure(replica, sessions, fps, seconds))
        show(tried[sessions])
        return good(tried[sessions])

    low, high = 0, FIRST
    while high <= MOST and fits(high):
        low, high = high, 2 * high
    while high - low > max(1, NEAR * high):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    # A short run may have been lucky.
    while low and not fits(low, seconds):
        low = min(low - 1, int((1 - NEAR) * low))
    return {"fps": fps, "carried": low, "tried": [tried[count] for count in sorted(tried)]}


async def admitted(replica: Replica, fps: float, most: int) -> dict[str, Any]:
    """How many sessions are let in, four a second, before one is refused; and their latencies from then on."""
    heard: list[Heard] = []
    tasks: list[asyncio.Task[None]] = []
    async with grpc.aio.insecure_channel(replica.address) as channel:
        stub = reactor_pb2_grpc.ReactorServiceStub(channel)
        while len(tasks) < most and not any(task.done() for task in tasks):
            heard.append(Heard())
            tasks.append(asyncio.create_task(session(stub, fps, LONG_SECONDS, 0.0, heard[-1])))
            await asyncio.sleep(0.25)
        count = sum(not task.done() for task in tasks)
        since = time.monotonic()
        await asyncio.sleep(SHORT_SECONDS)
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            refused = isinstance(ended, grpc.aio.AioRpcError) and (
                ended.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            )
            if isinstance(ended, Exception) and not refused:
                raise ended
    late = [
        value for each in heard for value, at in zip(each.latencies, each.times, strict=True) if at > since
    ]
    return {"admitted": count, "admitted_p99_ms": summary(np.array(late))["p99_ms"]}


def capacity(made: Stack, fps: float, seconds: float) -> dict[str, Any]:
    """``carried`` and ``admitted`` at one rate, and how those that were let in fared."""
    found = carried(made.replica(**OPEN), fps, seconds)
    made.replicas.pop().end()
    replica = made.replica()
    found |= uvloop.run(admitted(replica, fps, MOST))
    made.replicas.pop().end()
    console.print(
        f"at {fps:g} fps: {found['carried']} carried; {found['admitted']} admitted, "
        f"with a p99 of {found['admitted_p99_ms']} ms"
    )
    return found


async def killed(first: Replica, second: Replica, sessions: int) -> dict[str, Any]:
    """SIGKILL of the first under ``sessions`` sessions at 20 fps: the longest time without a frame."""
    async with AsyncReactionClient([first.address, second.address]) as client:
        times: list[list[float]] = [[] for _ in range(sessions)]
        sequences: list[list[int]] = [[] for _ in range(sessions)]

        async def run(number: int) -> None:
            name = await client.create(seed=number)
            async with client.react(name) as reaction:

                async def play() -> None:
                    while not enough.is_set():
                        reaction.see(partner(time.monotonic()))
                        await asyncio.sleep(0.05)
                    reaction.finish()

                playing = asyncio.create_task(play())
                async for answer in reaction:
                    if isinstance(answer, AgentFrame):
                        times[number].append(time.monotonic())
                        sequences[number].append(answer.sequence)
                await playing

        enough = asyncio.Event()
        running = [asyncio.create_task(run(number)) for number in range(sessions)]
        await asyncio.sleep(3)
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait)
        died = time.monotonic()
        await asyncio.sleep(3)
        enough.set()
        await asyncio.gather(*running)
    gaps = [min(t for t in each if t > died) - max(t for t in each if t <= died) for each in times]
    wrong = sum(each != list(range(len(each))) for each in sequences)
    return {
        "killed_under": sessions,
        "longest_gap_ms": round(max(gaps) * 1000),
        "sessions_with_a_wrong_frame": wrong,
    }


def untrained(folder: Path) -> Path:
    from services.trainer.reactor_graphs import export_untrained

    export_untrained(folder)
    return folder


console = Console(width=170)


def show(row: dict[str, Any]) -> None:
    shown = {key: value for key, value in row.items() if key != "quantiles_ms"}
    table = Table(*shown)
    table.add_row(*(str(value) for value in shown.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--seconds", type=float, default=20, help="of a run; of a search's short ones 6")
    parser.add_argument("--runs", nargs="*", default=["1x30", "8x20", "16x20", "32x10"])
    parser.add_argument("--capacity", nargs="*", type=float, default=[], metavar="FPS")
    parser.add_argument("--kill", type=int, default=0, metavar="SESSIONS")
    parser.add_argument("--output", type=Path, default=RESULTS / "reactor.json")
    arguments = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "limit_ms": LIMIT_MS, "runs": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        stack(untrained(Path(folder)) if arguments.untrained else arguments.models) as made,
    ):
        if arguments.runs:
            replica = made.replica(**OPEN)
            for run in arguments.runs:
                sessions, fps = run.split("x")
                row = uvloop.run(measure(replica, int(sessions), float(fps), arguments.seconds))
                result["runs"].append(row)
                show(row)
            made.replicas.pop().end()
        result["capacity"] = [capacity(made, fps, arguments.seconds) for fps in arguments.capacity]
        if arguments.kill:
            result["killed"] = uvloop.run(killed(made.replica(), made.replica(), arguments.kill))
            show(result["killed"])
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    reactor_plots.draw(result, arguments.output.with_suffix(".png"))
    console.print(f"saved {arguments.output} and its plot")


if __name__ == "__main__":
    main()

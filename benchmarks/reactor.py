"""The reactor through gRPC and a real Valkey: how soon the agent answers, and how many sessions fit.

    python -m benchmarks.reactor [--models models] [--seconds 20] [--runs 1x30 8x20 32x10] [--output FILE.json]
    python -m benchmarks.reactor --kill 8 ...        also kill the serving replica under so many sessions
    python -m benchmarks.reactor --untrained ...     with random weights of the shipped size's shapes

A run of NxF has N sessions at F frames a second, each with a partner who is seen at F frames a second. Latency is from
the client's sending a partner's frame to its getting the first frame of the agent that answers it, in one client
process beside the server's. Processor time is the replica's own. How idle the machine was before is part of the
result: on a busy one the figures are upper bounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.machine import idle_share, machine
from kinesphere.cli.stack import HOST, Ports, serving, valkey_binary
from kinesphere.motion import forward_kinematics
from kinesphere.reaction_client import AgentFrame, AsyncReactionClient
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import reactor_pb2_grpc
from services.reactor import poses

ROOT = Path(__file__).resolve().parents[1]
WARM_SECONDS = 2.0
TICKS = os.sysconf("SC_CLK_TCK")


class Replica:
    """``python -m services.reactor`` on a free port."""

    def __init__(self, models: Path, valkey: str) -> None:
        self.address = f"{HOST}:{Ports.free().planner}"
        env = os.environ | {
            "KINESPHERE_REACTOR_PORT": self.address.rpartition(":")[2], "KINESPHERE_MODELS": str(models),
            "KINESPHERE_REDIS_URL": valkey, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "KINESPHERE_LOG_LEVEL": "warning",
        }  # fmt: skip
        self.process = subprocess.Popen([sys.executable, "-m", "services.reactor"], env=env)
        while not serving(self.address):
            if self.process.poll() is not None:
                raise SystemExit("the reactor did not start")
            time.sleep(0.1)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def megabytes(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def partner(seconds: float) -> FloatArray:
    """[22,3] of somebody two metres ahead who sways."""
    joints = forward_kinematics(*poses.split(poses.standing()[None]))[0]
    return joints + np.array([0.2 * np.sin(2 * seconds), 0, 2], np.float32)


async def session(stub: Any, fps: float, seconds: float, phase: float) -> tuple[list[float], int, int]:
    """Latencies after warming up; frames that came, and frames that were held."""
    made = await stub.CreateSession(pb.CreateSessionRequest(session=pb.Session(fps=fps, seed=1)))
    call = stub.React()
    await call.write(pb.ReactRequest(start=pb.ReactStart(name=made.session.name)))
    sent: dict[int, float] = {}
    latencies: list[float] = []
    counts = {"frames": 0, "held": 0}
    loop = asyncio.get_running_loop()
    began = time.monotonic() + phase

    async def read() -> None:
        async for response in call:
            now = time.monotonic()
            if response.HasField("frame"):
                at = sent.pop(response.frame.partner_index, None)
                if now > began + WARM_SECONDS:
                    counts["frames"] += 1
                    if at is not None:
                        latencies.append(now - at)
            elif response.event.kind == pb.REACTION_EVENT_KIND_FRAMES_HELD:
                counts["held"] += response.event.count

    reading = loop.create_task(read())
    for index in range(int((seconds + WARM_SECONDS) * fps)):
        await asyncio.sleep(began + index / fps - time.monotonic())
        frame = pb.PartnerFrame(index=index, seconds=time.monotonic(), positions=partner(index / fps).ravel())
        sent[index] = time.monotonic()
        try:
            await call.write(pb.ReactRequest(partner=frame))
        except asyncio.InvalidStateError:  # refused: the reader knows why
            await reading
            raise
    await call.done_writing()
    await reading
    await stub.CloseSession(pb.CloseSessionRequest(name=made.session.name))
    return latencies, counts["frames"], counts["held"]


async def measure(replica: Replica, sessions: int, fps: float, seconds: float) -> dict[str, Any]:
    async with grpc.aio.insecure_channel(replica.address) as channel:
        stub = reactor_pb2_grpc.ReactorServiceStub(channel)
        idle, cpu, began = idle_share(), replica.cpu_seconds(), time.monotonic()
        try:
            answers = await asyncio.gather(
                *(session(stub, fps, seconds, number / sessions / fps) for number in range(sessions))
            )
        except grpc.aio.AioRpcError as error:
            return {"sessions": sessions, "fps": fps, "refused": error.details()}
        used = replica.cpu_seconds() - cpu
        wall = time.monotonic() - began
        described = await stub.Describe(pb.ReactorServiceDescribeRequest())
        assert described.sessions_running == 0
    times = np.concatenate([answer[0] for answer in answers]) * 1000
    frames = sum(answer[1] for answer in answers)
    return {
        "sessions": sessions, "fps": fps, "idle_before": round(idle, 2),
        "frames_a_second": round(frames / seconds / sessions, 2),
        "p50_ms": round(float(np.percentile(times, 50)), 2), "p99_ms": round(float(np.percentile(times, 99)), 2),
        "max_ms": round(float(times.max()), 2), "held": sum(answer[2] for answer in answers),
        "cpu_share": round(used / wall, 3), "cpu_ms_a_frame": round(used / (sessions * fps * wall) * 1000, 3),
        "memory_mb": round(replica.megabytes()),
    }  # fmt: skip


async def killed(first: Replica, second: Replica, sessions: int) -> dict[str, Any]:
    """SIGKILL of the first under ``sessions`` sessions at 20 fps: the longest time without a frame."""
    async with AsyncReactionClient([first.address, second.address]) as client:
        times: list[list[float]] = [[] for _ in range(sessions)]
        sequences: list[list[int]] = [[] for _ in range(sessions)]

        async def run(number: int) -> None:
            name = await client.create(seed=number)
            async with client.react(name) as reaction:

                async def show() -> None:
                    while not enough.is_set():
                        reaction.see(partner(time.monotonic()))
                        await asyncio.sleep(0.05)
                    reaction.finish()

                showing = asyncio.create_task(show())
                async for answer in reaction:
                    if isinstance(answer, AgentFrame):
                        times[number].append(time.monotonic())
                        sequences[number].append(answer.sequence)
                await showing

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--runs", nargs="*", default=["1x30", "8x20", "16x20", "32x10"])
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "reactor.json")
    arguments = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        models = untrained(Path(folder)) if arguments.untrained else arguments.models
        port = Ports.free().planner
        options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
        valkey = subprocess.Popen([str(valkey_binary()), *options], stdout=subprocess.DEVNULL)
        replicas = [Replica(models, f"redis://{HOST}:{port}/0")]
        try:
            rows = []
            for run in arguments.runs:
                sessions, fps = run.split("x")
                rows.append(uvloop.run(measure(replicas[0], int(sessions), float(fps), arguments.seconds)))
                show(rows[-1:])
            if arguments.kill:
                replicas.append(Replica(models, f"redis://{HOST}:{port}/0"))
                rows.append(uvloop.run(killed(*replicas, arguments.kill)))
                show(rows[-1:])
        finally:
            for each in (*(replica.process for replica in replicas), valkey):
                each.kill()
                each.wait()
    arguments.output.write_text(json.dumps({"machine": before, "runs": rows}, indent=1) + "\n")


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()

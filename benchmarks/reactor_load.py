"""What the reactor's benchmarks share: a store, replicas, and partners that are played to them.

The client is one process beside the server's and shares its processors, so it is kept cheap: movements are made before,
a frame costs it two numbers and a message. What it takes is part of the result.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.machine import idle_share
from kinesphere.cli.stack import HOST, Ports, serving, valkey_binary
from kinesphere.motion import forward_kinematics
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import reactor_pb2_grpc
from services.reactor import poses

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
WARM_SECONDS = 2.0  # of every session, that are not counted
QUANTILES = (*range(99), 99, 99.5, 99.9, 100)
_TICKS = os.sysconf("SC_CLK_TCK")
_SWAY = 64  # frames of the partner's movement


class Process:
    """A child whose cost can be asked for."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def megabytes(self) -> float:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Replica(Process):
    """``python -m services.reactor`` on a free port. settings: of the reactor, ``target_load=100`` for instance."""

    def __init__(self, models: Path, valkey: str, **settings: object) -> None:
        self.address = f"{HOST}:{Ports.free().planner}"
        env = os.environ | {
            "KINESPHERE_REACTOR_PORT": self.address.rpartition(":")[2], "KINESPHERE_MODELS": str(models),
            "KINESPHERE_REDIS_URL": valkey, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "KINESPHERE_LOG_LEVEL": "warning",
        }  # fmt: skip
        env |= {f"KINESPHERE_REACTOR_{name.upper()}": str(value) for name, value in settings.items()}
        super().__init__(subprocess.Popen([sys.executable, "-m", "services.reactor"], env=env))
        while not serving(self.address):
            if self.process.poll() is not None:
                raise SystemExit("the reactor did not start")
            time.sleep(0.1)


@dataclass
class Stack:
    """A Valkey without a disk, and the replicas that share it."""

    models: Path
    valkey: Process
    url: str
    replicas: list[Replica] = field(default_factory=list)

    def replica(self, **settings: object) -> Replica:
        """One replica more."""
        self.replicas.append(Replica(self.models, self.url, **settings))
        return self.replicas[-1]


@contextlib.contextmanager
def stack(models: Path) -> Iterator[Stack]:
    """A running store; it and all replicas end with the block."""
    port = Ports.free().planner
    options = ["--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no"]
    valkey = Process(subprocess.Popen([str(valkey_binary()), *options], stdout=subprocess.DEVNULL))
    made = Stack(models, valkey, f"redis://{HOST}:{port}/0")
    try:
        yield made
    finally:
        for each in (*made.replicas, valkey):
            each.end()


def partner(seconds: float) -> FloatArray:
    """[22,3] of somebody two metres ahead who sways."""
    joints: FloatArray = forward_kinematics(*poses.split(poses.standing()[None]))[0]
    joints += np.array([0.2 * np.sin(2 * seconds), 0, 2], np.float32)
    return joints


@cache
def _swaying() -> tuple[list[float], ...]:
    """Positions of ``partner`` over a period, pi seconds."""
    return tuple(partner(at).ravel().tolist() for at in np.arange(_SWAY) * np.pi / _SWAY)


def movement() -> list[pb.ReactRequest]:
    """A period of swaying as messages, to be sent again and again."""
    return [pb.ReactRequest(partner=pb.PartnerFrame(positions=positions)) for positions in _swaying()]


@dataclass
class Heard:
    """What came of one session. latencies: seconds, and when each was taken; answers to warming up left out."""

    latencies: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    frames: int = 0
    held: int = 0


async def session(stub: Any, fps: float, seconds: float, phase: float, heard: Heard) -> None:
    """One partner seen at the session's rate for ``seconds`` after warming up, ``phase`` seconds later than others.

    Raises grpc.aio.AioRpcError, RESOURCE_EXHAUSTED where it is refused.
    """
    requests = movement()
    made = await stub.CreateSession(pb.CreateSessionRequest(session=pb.Session(fps=fps, seed=1)))
    call = stub.React()
    await call.write(pb.ReactRequest(start=pb.ReactStart(name=made.session.name)))
    await call.read()  # the header: it has been let in
    sent: dict[int, float] = {}
    began = time.monotonic() + phase

    async def read() -> None:
        while (response := await call.read()) is not grpc.aio.EOF:
            now = time.monotonic()
            if response.HasField("frame"):
                at = sent.pop(response.frame.partner_index, None)
                if now > began + WARM_SECONDS:
                    heard.frames += 1
                    if at is not None:
                        heard.latencies.append(now - at)
                        heard.times.append(now)
            elif response.event.kind == pb.REACTION_EVENT_KIND_FRAMES_HELD:
                heard.held += response.event.count

    reading = asyncio.create_task(read())
    try:
        for index in range(int((seconds + WARM_SECONDS) * fps)):
            await asyncio.sleep(began + index / fps - time.monotonic())
            request = requests[int(index / fps / np.pi * _SWAY) % _SWAY]
            request.partner.seconds = sent[index] = time.monotonic()
            request.partner.index = index
            if index > 100:  # what was never answered, a newer frame having come first
                sent.pop(index - 100, None)
            await call.write(request)
        await call.done_writing()
    except asyncio.InvalidStateError:  # the call has ended: the reader knows why
        await reading
        raise
    except BaseException:
        reading.cancel()
        raise
    await reading
    await stub.CloseSession(pb.CloseSessionRequest(name=made.session.name))


async def measure(replica: Replica, sessions: int, fps: float, seconds: float) -> dict[str, Any]:
    """``sessions`` at once, their frames spread evenly over a period. Latencies in milliseconds."""
    heard = [Heard() for _ in range(sessions)]
    async with grpc.aio.insecure_channel(replica.address) as channel:
        stub = reactor_pb2_grpc.ReactorServiceStub(channel)
        idle, cpu, began = idle_share(), replica.cpu_seconds(), time.monotonic()
        own = time.process_time()
        refused = ""
        try:
            async with asyncio.TaskGroup() as group:
                for number, each in enumerate(heard):
                    group.create_task(session(stub, fps, seconds, number / sessions / fps, each))
        except* grpc.aio.AioRpcError as errors:
            refused = str(errors.exceptions[0])
        if refused:
            return {"sessions": sessions, "fps": fps, "refused": refused}
        wall = time.monotonic() - began
        used, own = replica.cpu_seconds() - cpu, time.process_time() - own
    row = {"sessions": sessions, "fps": fps, "idle_before": round(idle, 2)}
    row["frames_a_second"] = round(sum(each.frames for each in heard) / seconds / sessions, 2)
    row |= summary(np.concatenate([each.latencies for each in heard]))
    return row | {
        "held": sum(each.held for each in heard),
        "cpu_share": round(used / wall, 3), "cpu_ms_a_frame": round(used / (sessions * fps * wall) * 1000, 3),
        "client_cpu_share": round(own / wall, 3), "memory_mb": round(replica.megabytes()),
    }  # fmt: skip


def summary(latencies: FloatArray) -> dict[str, Any]:
    """p50, p99 and maximum in milliseconds, and the quantiles that a curve is drawn from."""
    if not len(latencies):
        return {"p50_ms": float("nan"), "p99_ms": float("nan"), "max_ms": float("nan"), "quantiles_ms": []}
    curve = np.percentile(latencies * 1000, QUANTILES).round(2).tolist()
    return {
        "p50_ms": curve[QUANTILES.index(50)], "p99_ms": curve[QUANTILES.index(99)], "max_ms": curve[-1],
        "quantiles_ms": curve,
    }  # fmt: skip

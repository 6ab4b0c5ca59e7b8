"""``kinesphere up`` starts everything, survives a service's death, and leaves nothing behind however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kinesphere.cli.stack import HOST, SERVICES, Ports, listening, serving

pytestmark = pytest.mark.slow
READY = 300.0


def children(pid: int) -> set[int]:
    """Ids of the processes that ``pid`` has started, and of theirs."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | children(child)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


@contextmanager
def running(ports: Ports, models: Path, log: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """``kinesphere up`` when it has said that all is ready, with what it said. Its stderr goes to ``log``."""
    options = [f"--{name}-port={getattr(ports, name)}" for name in (*SERVICES, "valkey")]
    command = [sys.executable, "-m", "kinesphere.cli", "up", "--json", f"--models={models}"]
    with log.open("w") as stderr:
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"`up` ended with {process.wait(60)} and said: {log.read_text()}"
        said = json.loads(line)
        assert said["ready"] is True
        yield process, said
    finally:
        process.kill()
        process.wait()


def test_killed_it_leaves_nothing_behind(models: Path, tmp_path: Path) -> None:
    ports = Ports.free()
    with running(ports, models, tmp_path / "up.log") as (process, said):
        assert said["planner"] == f"{HOST}:{ports.planner}"
        assert all(serving(f"{HOST}:{ports.of(name)}") for name in SERVICES)
        family = children(process.pid)
        assert len(family) == 5
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert eventually(lambda: not any(map(alive, family)))
    assert eventually(lambda: not any(listening(HOST, ports.of(name)) for name in SERVICES))


def test_a_killed_service_comes_back_and_ctrl_c_ends_everything(models: Path, tmp_path: Path) -> None:
    ports = Ports.free()
    with running(ports, models, tmp_path / "up.log") as (process, _):
        before = children(process.pid)
        (victim,) = [pid for pid in before if "services.decoder" in Path(f"/proc/{pid}/cmdline").read_text()]
        os.kill(victim, signal.SIGKILL)
        assert eventually(
            lambda: victim not in children(process.pid) and len(children(process.pid)) == 5, READY
        )
        assert eventually(lambda: serving(f"{HOST}:{ports.decoder}"), READY)
        assert len(children(process.pid) & before) == 4
        family = children(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, (tmp_path / "up.log").read_text()
        assert not any(map(alive, family))
        assert "Traceback" not in (tmp_path / "up.log").read_text()

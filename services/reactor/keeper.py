"""Keeps running sessions in the store, and goes on without it for a while when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog

from kinesphere.v1 import reactor_pb2 as pb
from services.common.errors import UpstreamError
from services.reactor.errors import ConflictError
from services.reactor.live import Live
from services.reactor.meters import Meters
from services.reactor.store import APART, CLOSED, TAKEN, UNKNOWN, Commit, Store, StoreError

log = structlog.get_logger(__name__)
_PING_SECONDS: Final = 0.1


class Keeper:
    """Used from one event loop; ``run`` is a task.

    changed: called with a session whose settings somebody has changed in the store.
    """

    def __init__(
        self, store: Store, memory_only: float, meters: Meters, changed: Callable[[Live], None]
    ) -> None:
        self._store = store
        self._memory_only = memory_only
        self._meters = meters
        self._changed = changed
        self._lost_at: float | None = None
        self._apart: dict[str, Live] = {}  # sessions that the store lacks
        self._work = asyncio.Event()

    @property
    def available(self) -> bool:
        return self._lost_at is None

    async def commit(self, lives: list[Live], ticks: list[Commit]) -> list[bool]:
        """Store the ticks; which of the frames may leave. Sessions that are no longer ours end.

        Never raises for the store's sake: without it frames leave all the same.
        """
        leave = [not live.ended for live in lives]
        kept = [
            (live, tick) for live, tick in zip(lives, ticks, strict=True) if live.stored and not live.ended
        ]
        if not kept:
            return leave
        try:
            answers = await self._commit([tick for _, tick in kept])
        except StoreError as error:
            self._lose(str(error) or type(error).__name__)
            for live, _ in kept:
                self._set_apart(live)
            return leave
        refused: set[str] = set()
        for (live, _), answer in zip(kept, answers, strict=True):
            if answer in (TAKEN, CLOSED):
                live.end(_taken_over() if answer == TAKEN else None)
                refused.add(live.id)
            elif answer in (UNKNOWN, APART):
                self._set_apart(live)
            elif answer != live.settings.version:
                self._changed(live)
        return [may and live.id not in refused for may, live in zip(leave, lives, strict=True)]

    async def _commit(self, ticks: list[Commit]) -> list[int]:
        """Ask again where this process has slept over the answer: its sessions may be another's by now, and without
        asking they would go on here as well. Raises one of StoreError."""
        began = monotonic()
        try:
            return await self._store.commit(ticks)
        except StoreError:
            if monotonic() - began <= self._store.patience:
                raise
            log.warning("slept over a commit", seconds=round(monotonic() - began, 3))
            return await self._store.commit(ticks)

    async def run(self) -> None:
        """Put sessions back once the store answers."""
        while True:
            await self._work.wait()
            if self._lost_at is not None:
                if not await self._store.ping():
                    if monotonic() - self._lost_at > self._memory_only:
                        self._give_up()
                    await asyncio.sleep(_PING_SECONDS)
                    continue
                log.info("store answers again", seconds=round(monotonic() - self._lost_at, 3))
                self._lost_at = None
                self._meters.memory_only.set(0)
            for id, live in list(self._apart.items()):
                try:
                    await self._restore(live)
                except (UpstreamError, *StoreError) as error:
                    self._lose(str(error))
                    break
                self._apart.pop(id, None)
            if not self._apart and self._lost_at is None:
                self._work.clear()

    async def _restore(self, live: Live) -> None:
        """Bring the store up to the session's newest frame."""
        while not live.ended and live.last is not None:
            last = live.last
            answer = await self._store.restore(last, live.settings)
            if answer in (TAKEN, CLOSED):
                live.end(_taken_over() if answer == TAKEN else None)
                return
            await self._store.append(live.id, [(frame.sequence, frame.stored) for frame in live.ring])
            if live.last is last:  # none has left meanwhile
                live.stored = True
                live.events.note(pb.REACTION_EVENT_KIND_STORED_AGAIN)
                return

    def _set_apart(self, live: Live) -> None:
        live.stored = False
        live.events.note(pb.REACTION_EVENT_KIND_MEMORY_ONLY, detail=f"for at most {self._memory_only:g} s")
        self._apart[live.id] = live
        self._work.set()

    def _lose(self, reason: str) -> None:
        if self._lost_at is None:
            log.warning("store does not answer, sessions go on in memory", reason=reason)
            self._lost_at = monotonic()
            self._meters.memory_only.set(1)
        self._work.set()

    def _give_up(self) -> None:
        for live in self._apart.values():
            live.end(UpstreamError(f"the session store has not answered for {self._memory_only:g} s"))
        self._apart.clear()


def _taken_over() -> ConflictError:
    return ConflictError("another call has taken the session over")

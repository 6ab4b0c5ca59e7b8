"""What one replica runs: sessions are opened here when a React call comes, and rest again when it ends."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final

import numpy as np
import structlog

from kinesphere.text import FEATURE_WIDTH
from kinesphere.v1 import reactor_pb2 as pb
from services.common.errors import PreconditionError, UpstreamError
from services.common.runtime import ModelRuntime
from services.reactor.agent import Conditions
from services.reactor.capacity import Capacity
from services.reactor.clock import OutputClock
from services.reactor.drafting import Drafter
from services.reactor.errors import ConflictError, NoCapacityError, NotFoundError
from services.reactor.keeper import Keeper
from services.reactor.live import Live
from services.reactor.meters import Meters
from services.reactor.networks import Networks
from services.reactor.sessions import Sessions
from services.reactor.settings import ReactorSettings
from services.reactor.store import Lease, Store
from services.reactor.ticking import Ticker

log = structlog.get_logger(__name__)
_RETRY_SECONDS: Final = 1.0  # what a refused client is asked to wait


class Replica:
    """``async with`` measures the capacity and starts the tasks; leaving it lets go of every session."""

    def __init__(
        self,
        settings: ReactorSettings,
        runtime: ModelRuntime,
        store: Store,
        sessions: Sessions,
        meters: Meters,
    ) -> None:
        self._settings = settings
        self._store = store
        self._sessions = sessions
        self._meters = meters
        self._networks = Networks(runtime, settings.max_rows)
        self._capacity = Capacity(settings.model_workers, settings.target_load)
        self._drafter = Drafter(self._networks, settings.lead_frames)
        self.keeper = Keeper(store, settings.memory_only_seconds, meters, self._reload)
        self._ticker = Ticker(self._networks, self._drafter, self.keeper, self._capacity, meters)
        self._missing: PreconditionError | None = None
        self._opening: list[float] = []  # rates of sessions that are on their way in
        self._tasks: set[asyncio.Task[None]] = set()
        meters.watch(lambda: len(self._ticker.lives), self.load)

    async def __aenter__(self) -> Replica:
        rest = Conditions(np.zeros(FEATURE_WIDTH, np.float32), np.ones(2, np.float32))
        try:
            await self._capacity.measure(self._networks, rest)
        except PreconditionError as error:
            log.warning("model missing", reason=error.message)
            self._missing = error
        else:
            log.info("measured", sessions_at_10_fps=self.room(10.0), sessions_at_20_fps=self.room(20.0))
        for task in (self._ticker.run(), self._drafter.run(), self.keeper.run()):
            self._spawn(task)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*list(self._tasks), return_exceptions=True)

    @property
    def running(self) -> int:
        return len(self._ticker.lives)

    def load(self) -> float:
        """Share of the measured capacity that running sessions take."""
        return self._capacity.load((live.fps, len(live.partners)) for live in self._ticker.lives.values())

    def room(self, fps: float) -> int:
        """How many sessions at ``fps`` with one partner would fit, were there no others."""
        counts = range(1, self._settings.max_sessions + 1)
        return bisect_right(counts, 1.0, key=lambda count: self._capacity.load([(fps, 1)] * count))

    def get(self, id: str) -> Live | None:
        """The session, if it runs here."""
        live = self._ticker.lives.get(id)
        return live if live is not None and not live.ended else None

    @asynccontextmanager
    async def running_session(self, id: str, *, take_over: bool) -> AsyncIterator[Live]:
        """Run the session while the block lasts.

        Raises NotFoundError, NoCapacityError, ConflictError (another call runs it), UpstreamError (no store),
        PreconditionError (no networks).
        """
        live = await self._open(id, take_over=take_over)
        try:
            yield live
        finally:
            await asyncio.shield(self._close(live))

    def arrived(self, live: Live, frame: pb.PartnerFrame) -> None:
        """A partner's frame has come."""
        live.arrived(frame, monotonic())
        self._ticker.wake()

    async def change(self, live: Live, asked: pb.SessionChange) -> None:
        """A change that came with the session's own stream; without the store it is kept here."""
        try:
            await self._sessions.apply(live.id, asked)
        except UpstreamError:
            stored = await self._sessions.applied(live.settings, asked)
            live.change(stored, *await self._sessions.opened(stored))
            live.events.note(pb.REACTION_EVENT_KIND_CHANGED)

    async def rest(self, live: Live) -> None:
        """Make no more frames of the session; those under way have left when this returns."""
        live.end()
        self._drafter.forget(live)
        if self._ticker.lives.get(live.id) is live:
            del self._ticker.lives[live.id]
        await self._ticker.settled()

    async def _open(self, id: str, *, take_over: bool) -> Live:
        if self._missing is not None:
            raise self._missing
        stored, _, _ = await self._store.read(id)
        fps = pb.Session.FromString(stored.settings).fps
        self._admit(fps, id)
        self._opening.append(fps)
        try:
            lease = await self._acquire(id, take_over=take_over)
            try:
                live = await self._made(id, lease)
            except BaseException:
                await self._release(id, lease.fence)
                raise
            former = self._ticker.lives.pop(id, None)
            if former is not None:  # its own call will find that it has ended
                former.end(ConflictError("another call has taken the session over"))
            live.clock = OutputClock(live.fps, monotonic())
            self._ticker.lives[id] = live
        finally:
            self._opening.remove(fps)
        self._ticker.wake()
        return live

    async def _made(self, id: str, lease: Lease) -> Live:
        """The session ready for its next tick."""
        settings, scene = await self._sessions.opened(lease.stored)
        live = Live(id, lease, settings, scene, self._kept(settings.fps))
        if lease.abandoned:
            live.events.note(pb.REACTION_EVENT_KIND_TAKEN_OVER)
        # What the last owner had drafted died with it.
        if live.agent.left <= self._settings.lead_frames:
            await self._drafter.make([live])
        return live

    async def _close(self, live: Live) -> None:
        await self.rest(live)
        await self._release(live.id, live.fence)

    async def _release(self, id: str, fence: int) -> None:
        with contextlib.suppress(UpstreamError):  # the lease runs out by itself
            await self._store.release(id, fence)

    async def _acquire(self, id: str, *, take_over: bool) -> Lease:
        # A replica that has died no longer renews its lease; one that lives does.
        until = monotonic() + 2 * self._settings.lease_seconds
        while True:
            lease = await self._store.acquire(id, force=take_over)
            if isinstance(lease, Lease):
                return lease
            if monotonic() > until:
                raise ConflictError("another call runs this session", retry_after=_RETRY_SECONDS)
            await asyncio.sleep(min(lease, 0.02) + 0.001)

    def _admit(self, fps: float, id: str) -> None:
        known = [(live.fps, len(live.partners)) for other, live in self._ticker.lives.items() if other != id]
        known += [(rate, 1) for rate in self._opening]
        if len(known) >= self._settings.max_sessions or self._capacity.load([*known, (fps, 1)]) > 1.0:
            self._meters.refused.inc()
            raise NoCapacityError(
                f"{len(known)} sessions run here, one more would slow them down", retry_after=_RETRY_SECONDS
            )

    def _kept(self, fps: float) -> int:
        """Frames in memory: enough to fill the store again after the longest time without it."""
        return round((self._settings.memory_only_seconds + 5.0) * fps)

    def _reload(self, live: Live) -> None:
        """Somebody has changed the session's settings."""
        if not live.reloading:
            live.reloading = True
            self._spawn(self._change(live))

    async def _change(self, live: Live) -> None:
        try:
            stored, _, _ = await self._store.read(live.id)
            live.change(stored, *await self._sessions.opened(stored))
            live.events.note(pb.REACTION_EVENT_KIND_CHANGED)
        except (NotFoundError, UpstreamError) as error:
            log.warning("settings not read", session=live.id, reason=error.message)
        finally:
            live.reloading = False

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

"""Segments made ahead of need: those that are needed first, a few rows a call, beside the ticks.

A call of one row takes half as long as one of eight. So what is asked for waits for others as long as it can afford
to: sessions share calls however their segments lie in time, and a segment knows the newest frames before it. Calls
begin right after a tick, when the loop is most likely to be free until the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

import structlog

from services.common.errors import ServiceError
from services.reactor.agent import Draft
from services.reactor.live import Live
from services.reactor.networks import Networks
from services.reactor.partners import View
from services.reactor.poses import MODEL_FPS

log = structlog.get_logger(__name__)
_ROWS: Final = 8  # of one call: a longer one would let those wait that are needed next
_PAUSE_SECONDS: Final = 0.05  # after a call that failed
_SPARE_SECONDS: Final = 0.1  # before a segment is needed, at which its call begins at the latest,
_SPARE_CALLS: Final = 3.0  # and no later than so many times what calls have taken lately
_NEXT_TICK: Final = 0.05  # seconds by which somebody has ticked again; a lone session at 10 fps has to spare
_FOLLOW: Final = 0.2  # weight of the newest call in the running mean


class Drafter:
    """Used from one event loop; ``run`` is a task."""

    def __init__(self, networks: Networks, lead: int) -> None:
        self._networks = networks
        self._lead = lead
        self._wanted: dict[Live, float] = {}  # when each needs its segment
        self._asked = asyncio.Event()
        self._call_seconds = 0.0

    def look(self, lives: Iterable[Live], now: float) -> None:
        """After a tick of ``lives``: note those that will soon need a segment, and begin when it is time."""
        for live in lives:
            agent = live.agent
            if agent.following is None and agent.left <= self._lead and not (live.drafting or live.ended):
                live.drafting = True
                self._wanted[live] = now + seconds_left(agent.left, live.fps)
        if self._time(now):
            self._asked.set()

    def forget(self, live: Live) -> None:
        """The session has ended here."""
        self._wanted.pop(live, None)

    async def make(self, lives: list[Live]) -> None:
        """The following segment of each of ``lives``. Raises what the model runtime does."""
        asked: list[tuple[Live, Draft, View]] = []
        for live in lives:
            view = live.partners.view(live.agent.poses[1, :3], monotonic())
            asked.append((live, live.agent.draft(live.conditions.scene), view))
        inputs = [
            live.agent.segment_inputs(draft, view.windows, live.conditions) for live, draft, view in asked
        ]
        answers = await self._networks.segment(inputs)
        for (live, draft, view), (latent, future) in zip(asked, answers, strict=True):
            live.agent.begin(draft, latent, future, view.weights)

    async def run(self) -> None:
        while True:
            await self._asked.wait()
            batch: list[Live] = []
            for live in sorted(self._wanted, key=self._wanted.__getitem__):
                if batch and sum(map(_rows, [*batch, live])) > _ROWS:
                    break
                batch.append(live)
            for live in batch:
                del self._wanted[live]
            began = monotonic()
            await self._guarded([live for live in batch if not live.ended])
            now = monotonic()
            self._call_seconds += _FOLLOW * (now - began - self._call_seconds)
            for live in batch:
                live.drafting = False
            if not self._time(now):
                self._asked.clear()

    def _time(self, now: float) -> bool:
        """Whether a call should begin: it is full, or somebody could not wait for the next tick."""
        spare = max(_SPARE_SECONDS, _SPARE_CALLS * self._call_seconds)
        return sum(map(_rows, self._wanted)) >= _ROWS or any(
            needed - spare - min(live.clock.period, _NEXT_TICK) <= now
            for live, needed in self._wanted.items()
        )

    async def _guarded(self, lives: list[Live]) -> None:
        """``make``; where it fails for a fault of ours each session is tried alone, so that a bad one fails alone."""
        try:
            if lives:
                await self.make(lives)
        except ServiceError as error:  # they ask again at their next tick
            log.warning("segments failed", sessions=len(lives), reason=error.message)
            await asyncio.sleep(_PAUSE_SECONDS)
        except Exception as error:
            log.error("segments failed", sessions=len(lives), exc_info=error)
            if len(lives) == 1:
                lives[0].end(error)
                return
            for live in lives:
                await self._guarded([live])


def seconds_left(frames: int, fps: float) -> float:
    """How long ``frames`` more of the model last a session that has just ticked: until the tick that finds none."""
    return (int(frames * fps / MODEL_FPS + 1e-6) + 1) / fps


def _rows(live: Live) -> int:
    return max(1, len(live.partners))

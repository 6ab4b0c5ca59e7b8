"""Segments made ahead of need: those that are needed first, a few rows a call, beside the ticks."""

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

log = structlog.get_logger(__name__)
_ROWS: Final = 8  # of one call: a longer one would let those wait that are needed next
_PAUSE_SECONDS: Final = 0.05  # after a call that failed


class Drafter:
    """Used from one event loop; ``run`` is a task."""

    def __init__(self, networks: Networks, lead: int) -> None:
        self._networks = networks
        self._lead = lead
        self._wanted: set[Live] = set()
        self._asked = asyncio.Event()

    def look(self, lives: Iterable[Live]) -> None:
        """Ask for the segments of those that will soon need one."""
        for live in lives:
            agent = live.agent
            if agent.following is None and agent.left <= self._lead and not live.drafting:
                live.drafting = True
                self._wanted.add(live)
                self._asked.set()

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
            for live in sorted(self._wanted, key=lambda live: live.agent.left / live.fps):
                if batch and sum(max(1, len(each.partners)) for each in [*batch, live]) > _ROWS:
                    break
                batch.append(live)
            self._wanted.difference_update(batch)
            if not self._wanted:
                self._asked.clear()
            await self._guarded([live for live in batch if not live.ended])
            for live in batch:
                live.drafting = False

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

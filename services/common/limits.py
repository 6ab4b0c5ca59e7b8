"""Admission: a bounded number of calls run, a bounded number wait, one more is refused at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.common.errors import QueueFullError

_SMOOTHING = 0.1  # weight of the newest call in the mean that retry delays are computed from


class Admission:
    """First come, first served. Used from one event loop only."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.max_running = max_running
        self.max_waiting = max_waiting
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_seconds = 0.1

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[float]:
        """Hold a place while the block runs; gives the seconds waited. Raises QueueFullError without waiting."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        await self._enter(loop)
        started = loop.time()
        try:
            yield started - asked
        finally:
            self._mean_seconds += _SMOOTHING * (loop.time() - started - self._mean_seconds)
            self._leave()

    def retry_after(self) -> float:
        """Seconds until a place is likely to be free: what is ahead, divided by what runs at once; 0.05 to 30."""
        ahead = self.running + self.waiting
        return min(30.0, max(0.05, self._mean_seconds * ahead / self.max_running))

    async def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.running < self.max_running and not self._waiting:
            self.running += 1
            return
        if len(self._waiting) >= self.max_waiting:
            raise QueueFullError(
                f"{self.running} calls run and {self.waiting} wait, no more are taken",
                retry_after=self.retry_after(),
            )
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place was handed over just as the caller gave up
            else:
                self._waiting.remove(turn)
            raise

    def _leave(self) -> None:
        """Give the place to the first that still waits; ``running`` stays the same then."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

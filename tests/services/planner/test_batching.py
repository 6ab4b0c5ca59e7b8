"""The batcher on a model that never ends: rows and places are given back the moment a caller leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing

import numpy as np
import pytest

from kinesphere.skeleton import FloatArray
from services.common.errors import QueueFullError, UpstreamError
from services.planner.batching import Batcher
from services.planner.generation import Ended, Ending, Event
from services.planner.grammar import IdArray
from services.planner.sampling import Sampler


class Endless:
    """A language model with one logit, 2 ms a step."""

    name, max_length, width = "endless", 1_000_000, 1

    def __init__(self, max_rows: int, fails_at: int = 1_000_000) -> None:
        self.max_rows, self._fails_at = max_rows, fails_at
        self.open: set[int] = set()
        self.fed = 0
        self._steps = 0

    def embed(self, ids: Sequence[int]) -> FloatArray:
        return np.zeros((len(ids), 1), np.float32)

    def prefill(self, embeds: FloatArray) -> tuple[int, FloatArray]:
        assert len(self.open) < self.max_rows
        row = max(self.open, default=0) + 1
        self.open.add(row)
        return row, np.zeros(2, np.float32)

    def step(self, tokens: Mapping[int, int]) -> dict[int, FloatArray]:
        assert tokens.keys() == self.open
        self._steps += 1
        if self._steps == self._fails_at:
            raise ArithmeticError("the graph broke")
        time.sleep(0.002)
        self.fed += len(tokens)
        return {row: np.zeros(2, np.float32) for row in tokens}

    def release(self, row: int) -> None:
        self.open.remove(row)


class Babble:
    """A writer and its grammar: any token, every token an event, the end after ``count``."""

    temperature, ending = None, Ending.LIMIT

    def __init__(self, count: int = 1_000_000) -> None:
        self._left = count
        self.grammar = self

    @property
    def finished(self) -> bool:
        return self._left <= 0

    def allowed(self) -> IdArray:
        return np.arange(2)

    def advance(self, token: int) -> None:
        self._left -= 1

    def write(self, token: int) -> list[Event]:
        self.advance(token)
        return []


PROMPT = np.zeros((3, 1), np.float32)


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def ask(batcher: Batcher, count: int = 1_000_000, *, goes_on: bool = False) -> Event:
    async with aclosing(batcher.write(PROMPT, Babble(count), Sampler(), goes_on=goes_on)) as events:
        async for event in events:
            last = event
    return last


async def test_a_caller_who_leaves_gives_the_row_to_the_next() -> None:
    model = Endless(max_rows=2)
    async with Batcher(model, max_waiting=4) as batcher:
        callers = [asyncio.create_task(ask(batcher)) for _ in range(3)]
        await until(lambda: batcher.running == 2 and batcher.waiting == 1)
        callers[0].cancel()
        await until(lambda: batcher.running == 2 and batcher.waiting == 0)
        for caller in callers:
            caller.cancel()
        await until(lambda: batcher.running == 0)
        assert model.open == set()
        fed = model.fed
        await asyncio.sleep(0.05)
        assert model.fed == fed  # nobody asks, nothing runs


async def test_those_who_left_while_waiting_hold_no_place() -> None:
    async with Batcher(Endless(max_rows=1), max_waiting=2) as batcher:
        running = asyncio.create_task(ask(batcher))
        await until(lambda: batcher.running == 1)
        waiting = [asyncio.create_task(ask(batcher)) for _ in range(2)]
        await until(lambda: batcher.waiting == 2)
        with pytest.raises(QueueFullError) as refused:
            await asyncio.wait_for(ask(batcher), 0.5)
        assert refused.value.retry_after
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        late = asyncio.create_task(ask(batcher, count=3))
        await until(lambda: batcher.waiting >= 1)
        running.cancel()
        assert await asyncio.wait_for(late, 10) == Ended(Ending.LIMIT, 3)


async def test_without_a_queue_free_rows_are_taken_and_a_request_goes_on() -> None:
    async with Batcher(Endless(max_rows=1), max_waiting=0) as batcher:
        assert await ask(batcher, count=3) == Ended(Ending.LIMIT, 3)
        running = asyncio.create_task(ask(batcher))
        await until(lambda: batcher.running == 1)
        with pytest.raises(QueueFullError):
            await ask(batcher)
        next_pass = asyncio.create_task(ask(batcher, count=4, goes_on=True))
        await until(lambda: batcher.waiting == 1)
        running.cancel()
        assert await asyncio.wait_for(next_pass, 10) == Ended(Ending.LIMIT, 4)


async def test_a_step_that_fails_ends_its_rows_and_nothing_else() -> None:
    model = Endless(max_rows=2, fails_at=20)
    async with Batcher(model) as batcher:
        results = await asyncio.gather(*(ask(batcher) for _ in range(2)), return_exceptions=True)
        assert [type(result) for result in results] == [RuntimeError] * 2
        assert model.open == set()
        assert await ask(batcher, count=5) == Ended(Ending.LIMIT, 5)


async def test_shutting_down_tells_those_who_wait() -> None:
    async with Batcher(Endless(max_rows=1)) as batcher:
        callers = [asyncio.create_task(ask(batcher)) for _ in range(2)]
        await until(lambda: batcher.running == 1 and batcher.waiting == 1)
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(result) for result in results] == [UpstreamError] * 2

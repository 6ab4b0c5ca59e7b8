"""How much a replica takes on, and when segments are made: what keeps the running sessions on time."""

from __future__ import annotations

import asyncio
from time import monotonic, thread_time
from types import SimpleNamespace
from typing import Any

import pytest

from services.reactor.capacity import Capacity, Cost
from services.reactor.drafting import Drafter, seconds_left


def test_load_grows_with_sessions_and_rates() -> None:
    capacity = Capacity(2, 0.8)
    capacity._frame, capacity._segment = Cost(0.002, 0.0005), Cost(0.01, 0.002)
    # By hand, one session at 20 fps: the loop 20 x 2.5 ms = 0.05; segments 2.5 rows of 2 ms, in calls of 10 ms that
    # 1.125 share = 0.027.
    assert capacity.load([(20, 1)]) == pytest.approx(0.05 / 0.8)
    assert capacity.load([]) == 0
    # 40 sessions: a busy loop's 100 ticks a second x 2 ms + 800 x 0.5 ms = 0.6; segments 100 rows, 6 a call = 0.367.
    assert capacity.load([(20, 1)] * 40) == pytest.approx(0.6 / 0.8)
    loads = [capacity.load([(20, 1)] * count) for count in range(1, 40)]
    assert loads == sorted(loads)
    assert capacity.load([(60, 1)]) > capacity.load([(30, 1)]) > capacity.load([(20, 1)])
    assert capacity.load([(20, 3)]) > capacity.load([(20, 1)])


def test_what_the_loop_really_takes_counts() -> None:
    capacity = Capacity(2, 0.8)
    capacity._frame = Cost(0.0, 0.001)
    capacity._rehearsed = capacity._spent = 0.001
    before = capacity.load([(20, 1)])
    capacity.ticked(1, 0)
    for _ in range(100):
        until = thread_time() + 0.003
        while thread_time() < until:
            pass
        capacity.ticked(1, 0)
    assert 2.0 * before < capacity.load([(20, 1)]) < 5.0 * before


def test_nobody_is_let_in_where_most_frames_are_late() -> None:
    capacity = Capacity(2, 0.8)
    for late in (0, 2):  # of eight
        for _ in range(200):
            capacity.ticked(8, late)
        assert capacity.load([(20, 1)]) < 0.7
    for _ in range(200):
        capacity.ticked(8, 6)
    assert capacity.load([(20, 1)]) > 1
    capacity._late_at -= 60.0  # a minute later
    assert capacity.load([(20, 1)]) < 0.1


def test_how_long_a_segment_lasts() -> None:
    # The model makes 20 a second: at 10 fps a tick takes two of them, at 30 fps two of three take one.
    assert [seconds_left(left, 10) for left in (4, 2, 0)] == pytest.approx([0.3, 0.2, 0.1])
    assert [seconds_left(left, 20) for left in (3, 0)] == pytest.approx([0.2, 0.05])
    assert seconds_left(3, 30) == pytest.approx(5 / 30)


async def test_segments_wait_for_each_other_as_long_as_they_can() -> None:
    made: list[list[Any]] = []

    class Noting(Drafter):
        async def make(self, lives: list[Any]) -> None:
            made.append(lives)

    async def done() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    drafter = Noting(None, 3)  # type: ignore[arg-type]
    running = asyncio.create_task(drafter.run())
    now, first, second = monotonic(), _live(3), _live(3)
    drafter.look([_live(4)], now)  # needs none yet
    drafter.look([first], now)  # within 200 ms
    await done()
    assert made == []
    drafter.look([second], now + 0.03)
    await done()
    assert made == []
    drafter.look([], now + 0.06)  # 140 ms are left to the first, another tick would leave it less than 100
    await done()
    assert made == [[first, second]]
    many = [_live(3) for _ in range(9)]
    drafter.look(many, now + 1.0)  # more than a call's worth: one call now, the last waits
    await done()
    assert made[1:] == [many[:8]]
    drafter.forget(many[8])
    drafter.look([], now + 9.0)
    await done()
    assert len(made) == 2
    running.cancel()


class _Live:
    """What a drafter looks at of a session."""

    def __init__(self, left: int, fps: float = 20.0) -> None:
        self.agent = SimpleNamespace(following=None, left=left)
        self.clock = SimpleNamespace(period=1 / fps)
        self.fps, self.partners = fps, [0]
        self.drafting = self.ended = False


def _live(left: int) -> Any:
    return _Live(left)

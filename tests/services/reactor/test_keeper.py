"""A store that does not answer in time: gone, or only this replica asleep."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from services.common.metrics import Metrics
from services.reactor.errors import ConflictError
from services.reactor.keeper import Keeper
from services.reactor.meters import Meters
from services.reactor.store import TAKEN, Commit


class _Store:
    """Fails the first commit after ``seconds``; says ``then`` to the second."""

    patience = 0.05

    def __init__(self, seconds: float, then: int) -> None:
        self.seconds, self.then, self.calls = seconds, then, 0

    async def commit(self, ticks: list[Commit]) -> list[int]:
        self.calls += 1
        if self.calls == 1:
            time.sleep(self.seconds)  # noqa: ASYNC251  the whole process, as SIGSTOP holds it up
            raise TimeoutError
        return [self.then] * len(ticks)


def _live() -> Any:
    live = SimpleNamespace(
        id="one", ended=False, stored=True, error=None, settings=SimpleNamespace(version=1)
    )
    live.events = SimpleNamespace(note=lambda *_, **__: None)

    def end(error: Exception | None) -> None:
        live.ended, live.error = True, error

    live.end = end
    return live


@pytest.mark.parametrize(
    ("slept", "then", "calls", "leaves", "stored"),
    [
        (0.0, 1, 1, True, False),  # the store is gone: the session goes on in memory
        (0.1, 1, 2, True, True),  # it was we who slept, and the session is still ours
        (0.1, TAKEN, 2, False, True),  # it is another's: nothing leaves
    ],
)
async def test_a_replica_that_slept_asks_again(
    slept: float, then: int, calls: int, leaves: bool, stored: bool
) -> None:
    store, live = _Store(slept, then), _live()
    keeper = Keeper(store, 60.0, Meters(Metrics()), lambda _: None)  # type: ignore[arg-type]
    assert await keeper.commit([live], [Commit("one", 1, 0, b"", b"")]) == [leaves]
    assert (store.calls, live.stored, keeper.available) == (calls, stored, stored)
    assert isinstance(live.error, ConflictError) == (then == TAKEN)

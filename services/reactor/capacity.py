"""How many sessions this replica carries, by what their work has been measured to cost here.

A session costs ticks (our own arithmetic and a row of the refinement graph) and, every eight frames, a row of the
segment graph. Ticks run one after the other; segments beside them; both share the processors. The fullest of the three
decides. One session more than fits is refused: the others would be slowed down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final

import numpy as np

from kinesphere.representations.primitive276 import FUTURE
from services.reactor.agent import Agent, Conditions
from services.reactor.networks import Networks
from services.reactor.poses import MODEL_FPS

_ROWS: Final = (1, 8)  # batch sizes that are timed
_TRIES: Final = 5
_TICK_SECONDS: Final = 1e-3  # of our own work for a frame, until it is measured
_FOLLOW: Final = 0.02  # weight of the newest tick in the running mean


@dataclass(frozen=True)
class Cost:
    """Seconds of a model call: ``call + row * rows``."""

    call: float
    row: float


class Capacity:
    """Fed by ``measure`` once and ``ticked`` always; asked by ``load``."""

    def __init__(self, cpus: int, target: float) -> None:
        self._cpus = cpus
        self._target = target
        self._refine = self._segment = Cost(0.0, 0.0)
        self._tick_seconds = _TICK_SECONDS

    async def measure(self, networks: Networks, conditions: Conditions) -> None:
        """Time both graphs at two batch sizes, warm."""
        agent = Agent(0)
        draft = agent.draft(None)
        segment = agent.segment_inputs(draft, [], conditions)
        ((latent, future),) = await networks.segment([segment])
        agent.begin(draft, latent, future, np.ones(1, np.float32))
        agent.turn_over()
        refine = agent.refine_inputs([], conditions)
        self._segment = await _timed(lambda rows: networks.segment([segment] * rows))
        self._refine = await _timed(lambda rows: networks.refine([refine] * rows))

    def ticked(self, frames: int, seconds: float) -> None:
        """A tick of ``frames`` took ``seconds`` of our own work, model and store left out."""
        self._tick_seconds += _FOLLOW * (seconds / frames - self._tick_seconds)

    def load(self, sessions: Iterable[tuple[float, int]]) -> float:
        """Share of this replica that sessions take, each told by its rate and its number of partners; 1 is full."""
        known = [(fps, max(1, partners)) for fps, partners in sessions]
        if not known:
            return 0.0
        # A rate above the model's interpolates between refinements; one below refines once a frame.
        refines = [(min(fps, MODEL_FPS), partners) for fps, partners in known]
        ours = sum(fps for fps, _ in known) * self._tick_seconds
        calls = max(fps for fps, _ in refines) * self._refine.call
        ticks = ours + calls + sum(fps * partners for fps, partners in refines) * self._refine.row
        a_second = MODEL_FPS / FUTURE
        # Segments fall due at different moments, and are rarely asked for together.
        segments = a_second * sum(self._segment.call + partners * self._segment.row for _, partners in known)
        return max(ticks, segments, (ticks + segments) / self._cpus) / self._target


async def _timed(call: Callable[[int], Awaitable[object]]) -> Cost:
    best = []
    for rows in _ROWS:
        seconds = []
        for _ in range(_TRIES):
            began = monotonic()
            await call(rows)
            seconds.append(monotonic() - began)
        best.append(sorted(seconds)[_TRIES // 2])
    row = max(0.0, (best[1] - best[0]) / (_ROWS[1] - _ROWS[0]))
    return Cost(max(0.0, best[0] - row * _ROWS[0]), row)

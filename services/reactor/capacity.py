"""How many sessions this replica carries, by what their work has been measured to cost here.

Three things can be full: the event loop, which every frame takes for its arithmetic and for the talk with the store and
the client; the segment graph, which runs beside it every eight frames; and the processors that both share. One session
more than fits is refused: the others would be slowed down.

Costs are measured at start, by a rehearsal that also warms up all that a tick runs. The talk cannot be rehearsed: what
it adds is learned from the processor time that the loop takes while sessions run. Where others use the machine so much
that most frames are late, there is no room either, whatever was measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from math import exp
from time import monotonic, thread_time
from typing import Final

import numpy as np

from kinesphere.motion import forward_kinematics
from kinesphere.reaction.features import PARTNER_FRAMES
from kinesphere.representations.primitive276 import FUTURE
from kinesphere.skeleton import FloatArray
from services.reactor import poses, state
from services.reactor.agent import Agent, Conditions, advance
from services.reactor.live import published
from services.reactor.networks import Networks
from services.reactor.poses import MODEL_FPS

_ROWS: Final = (1, 8)  # batch sizes that are timed
_TRIES: Final = 5
_TALK: Final = 2.0  # what the loop takes for a frame over what was rehearsed, until it is measured
_FOLLOW: Final = 0.02  # weight of the newest tick in the running means
_BUSY_TICKS: Final = 100.0  # a second, at most: a busy loop takes those together that fall due meanwhile
_PARTNER: Final = 0.5  # of a frame's cost that each partner after the first adds
_GATHER_SECONDS: Final = 0.05  # for which segments wait for others to share their call with
_SHARED_ROWS: Final = 8
_LATE_SHARE: Final = (
    0.5  # of the newest frames that left later than they should by a period: there is no room
)
_LATE_FOLLOW: Final = 0.005  # weight of the newest frame in that share
_LATE_FORGET: Final = 5.0  # seconds after which it counts for a third


@dataclass(frozen=True)
class Cost:
    """Seconds of a call: ``call + row * rows``."""

    call: float
    row: float

    def of(self, rows: float) -> float:
        return self.call + self.row * rows


class Capacity:
    """Fed by ``measure`` once and ``ticked`` always; asked by ``load``. Used from the event loop's thread."""

    def __init__(self, cpus: int, target: float) -> None:
        self._cpus = cpus
        self._target = target
        self._segment = self._frame = Cost(0.0, 0.0)
        self._rehearsed = self._spent = 0.0  # running means: what a tick should take, and what the loop takes
        self._marked: float | None = None
        self._late, self._late_at = 0.0, monotonic()

    async def measure(self, networks: Networks, conditions: Conditions) -> None:
        """Rehearse segments and ticks at two batch sizes. Raises what the model runtime does."""
        agents = [Agent(number) for number in range(_ROWS[-1])]
        seen = [np.repeat(_stander()[None], PARTNER_FRAMES, axis=0)]
        drafts = [agent.draft(None) for agent in agents]
        asked = [
            agent.segment_inputs(draft, seen, conditions) for agent, draft in zip(agents, drafts, strict=True)
        ]
        self._segment = await _timed(lambda rows: networks.segment(asked[:rows]), monotonic)
        one = np.ones(1, np.float32)
        for agent, draft, answer in zip(agents, drafts, await networks.segment(asked), strict=True):
            agent.begin(draft, *answer, one)

        async def tick(rows: int) -> None:
            some = agents[:rows]
            for agent in some:
                agent.turn_over()
            futures = await networks.refine([agent.refine_inputs(seen, conditions) for agent in some])
            for agent, future in zip(some, futures, strict=True):
                agent.refined(future, one)
            advance(some, [1] * rows)
            for agent in some:
                if agent.segment is not None:
                    agent.segment.place = 0  # the same frame again
                published(0, MODEL_FPS, agent.poses[1], seen[0][-1], 0, 0.0).message.SerializeToString()
                state.pack(agent.state(), [])

        self._frame = await _timed(tick, thread_time)
        self._rehearsed = self._frame.of(1)
        self._spent = _TALK * self._rehearsed

    def ticked(self, frames: int, late: int) -> None:
        """A tick of so many frames is over; ``late`` of them left a period or more after their beats."""
        spent = thread_time()
        if self._marked is not None:
            self._rehearsed += _FOLLOW * (self._frame.of(frames) - self._rehearsed)
            self._spent += _FOLLOW * (spent - self._marked - self._spent)
        self._marked = spent
        weight = min(1.0, _LATE_FOLLOW * frames)
        self._late, self._late_at = (1 - weight) * self._lateness() + weight * late / frames, monotonic()

    def load(self, sessions: Iterable[tuple[float, int]]) -> float:
        """Share of this replica that sessions take, each told by its rate and its number of partners; 1 is full."""
        known = [(fps, max(1, partners)) for fps, partners in sessions]
        if not known:
            return 0.0
        talk = max(1.0, self._spent / self._rehearsed) if self._rehearsed else 1.0
        frames = sum(fps for fps, _ in known)
        rows = sum(fps * (1.0 + _PARTNER * (partners - 1)) for fps, partners in known)
        loop = talk * (self._frame.call * min(frames, _BUSY_TICKS) + self._frame.row * rows)
        drafts = MODEL_FPS / FUTURE * sum(partners for _, partners in known)
        calls = drafts / min(_SHARED_ROWS, 1.0 + drafts * _GATHER_SECONDS)
        segments = self._segment.call * calls + self._segment.row * drafts
        return (
            max(loop, segments, (loop + segments) / self._cpus, self._lateness() / _LATE_SHARE) / self._target
        )

    def _lateness(self) -> float:
        """Share of the newest frames that left late."""
        return self._late * exp((self._late_at - monotonic()) / _LATE_FORGET)


def _stander() -> FloatArray:
    """[22,3] of somebody two metres ahead."""
    joints: FloatArray = forward_kinematics(*poses.split(poses.standing()[None]))[0]
    joints[:, 2] += 2.0
    return joints


async def _timed(call: Callable[[int], Awaitable[object]], clock: Callable[[], float]) -> Cost:
    """The best of some tries: what it takes when nothing else runs."""
    best = []
    for rows in _ROWS:
        seconds = []
        for _ in range(_TRIES):
            began = clock()
            await call(rows)
            seconds.append(clock() - began)
        best.append(min(seconds))
    row = max(0.0, (best[1] - best[0]) / (_ROWS[1] - _ROWS[0]))
    return Cost(max(0.0, best[0] - row * _ROWS[0]), row)

"""The tick: all sessions whose frame is due, earliest first, in one model call and one trip to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Final

import numpy as np
import structlog

from kinesphere.motion import forward_kinematics
from kinesphere.representations.primitive276 import LAYOUT
from kinesphere.skeleton import NUM_JOINTS, FloatArray
from kinesphere.v1 import reactor_pb2 as pb
from services.common.errors import ServiceError
from services.reactor import poses
from services.reactor.agent import advance, steps_for
from services.reactor.capacity import Capacity
from services.reactor.drafting import Drafter
from services.reactor.keeper import Keeper
from services.reactor.live import Live, Published, published
from services.reactor.meters import Meters
from services.reactor.networks import Networks

log = structlog.get_logger(__name__)
_TOGETHER: Final = 0.001  # seconds: those that are due so soon are taken along
_IDLE: Final = 1.0
_JOINTS, _ROOT = LAYOUT["joints"], LAYOUT["translation"]


class Ticker:
    """Used from one event loop; ``run`` is a task. ``lives`` are the sessions that run here, by ID."""

    def __init__(
        self, networks: Networks, drafter: Drafter, keeper: Keeper, capacity: Capacity, meters: Meters
    ) -> None:
        self.lives: dict[str, Live] = {}
        self._networks = networks
        self._drafter = drafter
        self._keeper = keeper
        self._capacity = capacity
        self._meters = meters
        self._woken = asyncio.Event()
        self._ticking = asyncio.Lock()

    def wake(self) -> None:
        """Look at the clocks again: a frame has come, or a session."""
        self._woken.set()

    async def settled(self) -> None:
        """Return when no tick is under way."""
        async with self._ticking:
            pass

    async def run(self) -> None:
        while True:
            now = monotonic()
            running = [live for live in self.lives.values() if not live.ended]
            due = sorted(
                (live for live in running if live.clock.due <= now + _TOGETHER),
                key=lambda live: live.clock.due,
            )
            if due:
                async with self._ticking:
                    await self._guarded(due)
                await asyncio.sleep(0)  # those whose frames have come in are heard first, however late we are
                continue
            self._woken.clear()
            wait = min((live.clock.due for live in running), default=now + _IDLE) - now
            try:
                async with asyncio.timeout(max(0.0, wait)):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def _guarded(self, due: list[Live]) -> None:
        """A tick; where it fails each session is tried alone, so that a bad one fails alone."""
        try:
            await self._tick(due)
        except Exception as error:
            log.error("tick failed", sessions=len(due), exc_info=error)
            if len(due) == 1:
                due[0].end(error)
                return
            for live in due:
                await self._guarded([live])

    async def _tick(self, due: list[Live]) -> None:
        now = monotonic()
        steps, places = zip(
            *(steps_for(live.sequence, live.fps, live.agent.frames) for live in due), strict=True
        )
        modelled = await self._refine(due, steps, now)
        began = monotonic()
        for live, held in zip(due, advance([live.agent for live in due], steps), strict=True):
            if held:
                live.events.note(pb.REACTION_EVENT_KIND_FRAMES_HELD, count=held)
        self._drafter.look(due)
        frames = _frames(due, np.array(places, np.float32), monotonic())
        commits = [live.commit(frame.stored) for live, frame in zip(due, frames, strict=True)]
        committing = monotonic()
        leaving = await self._keeper.commit(due, commits)
        left = monotonic()
        for live, frame, commit, leaves in zip(due, frames, commits, leaving, strict=True):
            if leaves:
                live.publish(frame, commit, left)
            seen = live.view.newest
            if seen is not None and seen is not live.answered:
                live.answered = seen
                self._meters.answered.observe(left - seen.arrival)
            self._meters.late.observe(max(0.0, left - live.clock.beat))
            live.clock.left(left)
        self._meters.frames.inc(len(due))
        self._capacity.ticked(
            len(due), (began - now - modelled) + (committing - began) + (monotonic() - left)
        )

    async def _refine(self, due: list[Live], steps: Iterable[int], now: float) -> float:
        """Correct the segments of those that need a new frame; gives the seconds that the model took.

        Who is late by more than a frame goes on with what was foreseen, so that the others are not late too.
        """
        asked = []
        for live, count in zip(due, steps, strict=True):
            live.view = live.partners.view(live.agent.poses[1, :3], now)
            if count > 0 and live.agent.turn_over() and now - live.clock.beat < live.clock.period:
                asked.append(live)
        if not asked:
            return 0.0
        inputs = [live.agent.refine_inputs(live.view.windows, live.conditions) for live in asked]
        began = monotonic()
        try:
            futures = await self._networks.refine(inputs)
        except ServiceError as error:
            log.warning("refinement failed", sessions=len(asked), reason=error.message)
            return monotonic() - began
        took = monotonic() - began
        for live, future in zip(asked, futures, strict=True):
            live.agent.refined(future, live.view.weights)
        return took


def _frames(due: list[Live], places: FloatArray, now: float) -> list[Published]:
    """The clients' frames: where each lies between the model's last two."""
    made = np.stack([live.agent.poses[1] for live in due])
    rows = np.stack([live.agent.rows[1] for live in due])
    # A pose that was lifted onto the floor takes its joints along.
    joints = rows[:, _JOINTS].reshape(-1, NUM_JOINTS, 3) + (made[:, :3] - rows[:, _ROOT])[:, None]
    if len(between := np.flatnonzero(places < 1.0 - 1e-6)):
        first = np.stack([due[place].agent.poses[0] for place in between])
        made[between] = poses.between(first, made[between], places[between])
        joints[between] = forward_kinematics(*poses.split(made[between]))
    frames = []
    for live, pose, place in zip(due, made, joints, strict=True):
        seen = live.view.newest
        index, age = (seen.index, now - seen.arrival) if seen is not None else (-1, 0.0)
        frames.append(published(live.sequence, live.fps, *live.body.worn(pose, place), index, age))
    return frames

"""A recorded partner played live to a reactor, as if a tracker saw it now, and what the agent did.

async with AsyncReactionClient() as client:
    played = await play(client, on_the_floor(load_motion("partner.bvh")), intent="wave back")
played.agent                                   # a Motion in the partner's own world
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.body import yaw
from kinesphere.datasets.reactions.strips import carried
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.reaction_call import AgentEvent, AgentFrame, Reaction
from kinesphere.reaction_client import AsyncReactionClient
from kinesphere.skeleton import FloatArray
from kinesphere.wire import ServiceError

MIN_FPS, MAX_FPS = 10.0, 60.0
MIN_DISTANCE, MAX_DISTANCE = 0.3, 20.0  # metres: bodies touch; nobody sees anybody
MAX_SECONDS: Final = 600.0
DISTANCE: Final = 2.0
_ANSWER_SECONDS: Final = 0.25  # that the answer to the last frame is waited for


@dataclass(frozen=True, eq=False)
class Place:
    """Where somebody stands: heading in radians (0 faces +Z, growing to the left) and the point on the floor [3]."""

    heading: float
    origin: NDArray[np.float64]

    @classmethod
    def facing(cls, partner: Motion, distance: float) -> Place:
        """``distance`` metres (pelvis to pelvis) in front of where ``partner`` first stands and faces, facing it."""
        ahead = float(yaw(partner.positions[:1])[0])
        root = partner.positions[0, 0].astype(np.float64)
        away = distance * np.array([np.sin(ahead), 0.0, np.cos(ahead)])
        return cls(ahead + np.pi, np.array([root[0], 0.0, root[2]]) + away)

    def seen(self, motion: Motion) -> Motion:
        """A motion of the world as who stands here sees it: from the origin, facing +Z."""
        return carried(motion, -self.heading, rot.rotate(rot.about_y(-self.heading), -self.origin))

    def put(self, motion: Motion) -> Motion:
        """The way back: a motion that began at the origin, facing +Z, begins here."""
        return carried(motion, self.heading, self.origin)


@dataclass(frozen=True, eq=False)
class Played:
    """What came of it. agent: in the partner's world, its first frame the first that answers the partner.

    frames, events: all that came, in the agent's own world. latencies: seconds [n], from handing over a frame of the
    partner to receiving the first of the agent's that answers it. left_out: beats for which the service, held up, sent
    no frame; the agent's movement is that much shorter than the partner's. reconnects: how often a replica was left.
    """

    agent: Motion
    frames: tuple[AgentFrame, ...]
    events: tuple[AgentEvent, ...]
    latencies: FloatArray
    left_out: int
    reconnects: int

    def happened(self) -> dict[str, int]:
        """How often each kind of event happened, by its name."""
        counts: Counter[str] = Counter()
        for event in self.events:
            counts[event.kind] += event.count
        return dict(sorted(counts.items()))


def on_the_floor(motion: Motion) -> Motion:
    """The motion raised or lowered so that its lowest joint is at y = 0 once."""
    return carried(motion, 0.0, np.array([0.0, -float(motion.positions[..., 1].min()), 0.0]))


def live_rate(fps: float) -> float:
    """The rate at which a recording at ``fps`` is played: its own within 10 to 60 frames a second."""
    return min(max(fps, MIN_FPS), MAX_FPS)


def check(partner: Motion, fps: float | None, distance: float) -> None:
    """Raise InputError naming ``partner`` (too long), ``fps`` or ``distance``."""
    if partner.seconds > MAX_SECONDS:
        raise InputError("partner", f"lasts {partner.seconds:.0f} s, at most {MAX_SECONDS:g} s are played")
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        raise InputError("fps", f"is {fps:g}, must be {MIN_FPS:g} to {MAX_FPS:g}")
    if not MIN_DISTANCE <= distance <= MAX_DISTANCE:
        raise InputError("distance", f"is {distance:g} m, must be {MIN_DISTANCE:g} to {MAX_DISTANCE:g}")


async def play(
    client: AsyncReactionClient,
    partner: Motion,
    *,
    intent: str = "",
    fps: float | None = None,
    distance: float = DISTANCE,
    seed: int | None = None,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Played:
    """Send ``partner`` at its own rate (within 10 to 60) in real time, and collect what the agent does meanwhile.

    partner: on the floor, y = 0. The agent stands ``distance`` metres in front of its start, facing it. fps: frames a
    second of the agent, by default the partner's. progress: is told how many seconds have been sent.
    Raises InputError as ``check`` and the service do, ServiceError on any other failure.
    """
    check(partner, fps, distance)
    place = Place.facing(partner, distance)
    seen = place.seen(partner).resampled(live_rate(partner.fps))
    rate = seen.fps if fps is None else fps
    name = await client.create(intent=intent, fps=rate, seed=seed)
    try:
        async with client.react(name) as reaction:
            stream = _Stream(reaction, seen, progress)
            await stream.run()
    finally:
        with contextlib.suppress(ServiceError):
            await client.end(name)
    answers = [frame for frame in stream.frames if frame.partner_index >= 0]
    if not answers:
        raise ServiceError("UNAVAILABLE", "no frame of the agent answered the partner's")
    agent = Motion.from_rotations(
        np.stack([frame.translation for frame in answers]),
        np.stack([frame.rotations for frame in answers]),
        rate,
    )
    beats = round((stream.times[-1] - stream.times[0]) * rate) + 1
    return Played(
        place.put(agent),
        tuple(stream.frames),
        tuple(stream.events),
        np.array(stream.latencies, np.float32),
        max(0, beats - len(stream.frames)),
        reaction.reconnects,
    )


class _Stream:
    """One React call: a partner's frames go in as time goes by, the agent's are collected."""

    def __init__(self, reaction: Reaction, partner: Motion, progress: Callable[[float], None]) -> None:
        self.frames: list[AgentFrame] = []
        self.events: list[AgentEvent] = []
        self.times: list[float] = []
        self.latencies: list[float] = []
        self._reaction = reaction
        self._partner = partner
        self._progress = progress
        self._sent: dict[int, float] = {}
        self._complete = asyncio.Event()

    async def run(self) -> None:
        """Return when the partner has been sent and answered. Raises ServiceError when the session ends before."""
        sending: asyncio.Task[None] | None = None
        try:
            async for answer in self._reaction:
                if isinstance(answer, AgentEvent):
                    self.events.append(answer)
                    continue
                self._add(answer, time.monotonic())
                # The agent's clock runs from its first frame on: the partner begins with the second.
                sending = sending or asyncio.create_task(self._send())
            if sending is None or not sending.done():
                raise ServiceError("ABORTED", "the session was ended before the partner")
        finally:
            if sending is not None:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await sending

    def _add(self, frame: AgentFrame, now: float) -> None:
        self.frames.append(frame)
        self.times.append(now)
        sent = self._sent.pop(frame.partner_index, None)
        if sent is not None:
            self.latencies.append(now - sent)
        if frame.partner_index == self._partner.num_frames - 1:
            self._complete.set()

    async def _send(self) -> None:
        began = time.monotonic()
        for index, positions in enumerate(self._partner.positions):
            await asyncio.sleep(began + index / self._partner.fps - time.monotonic())
            self._sent[index] = time.monotonic()
            self._reaction.see(positions)
            self._progress((index + 1) / self._partner.fps)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), _ANSWER_SECONDS)
        self._reaction.finish()

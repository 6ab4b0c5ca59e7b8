"""A session while it runs here: its agent, its partners, its clock, and the frames that have left."""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

import numpy as np

from kinesphere.motion import forward_kinematics
from kinesphere.scenes import Raster
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import motion_pb2
from kinesphere.v1 import reactor_pb2 as pb
from services.common import convert
from services.reactor import poses, state
from services.reactor.agent import Agent, Conditions
from services.reactor.body import Body
from services.reactor.clock import OutputClock
from services.reactor.events import Events
from services.reactor.partners import Partners, View
from services.reactor.store import Commit, Lease, Stored
from services.reactor.track import Seen

_FRAME: Final = struct.Struct("<qf")  # partner's index and age, before the pose


@dataclass(frozen=True, eq=False)
class Published:
    """A frame that has left: as it lies in the store, and as it is sent."""

    sequence: int
    stored: bytes
    message: pb.ReactionFrame


class Live:
    """Made when a replica takes the session, dropped when it lets go of it. Used from one event loop."""

    def __init__(self, id: str, lease: Lease, settings: pb.Session, scene: Raster | None, kept: int) -> None:
        stored = lease.stored
        self.id, self.fence = id, lease.fence
        self.events = Events()
        self.body = Body.of_session(settings)
        self.partners = Partners(self.events, self.body.scale)
        self.sequence = stored.next
        self.fps = settings.fps
        self.clock = OutputClock(settings.fps, monotonic())
        self.stored = True  # False: the store lacks the newest frames
        self.drafting = self.reloading = False
        self.ended = False
        self.error: Exception | None = None
        self.ring: deque[Published] = deque(maxlen=kept)
        self.last: Commit | None = None
        self.answered: Seen | None = None
        self.outbox: list[pb.ReactionEvent] = []
        self.view = View([], np.ones(1, np.float32), None, [])
        self._waiters: list[asyncio.Future[None]] = []
        self.change(stored, settings, scene)
        if stored.state:
            agent, partners = state.unpack(stored.state)
            self.agent = Agent.resumed(settings.seed, agent, scene)
            self.partners.restore(partners, monotonic())
        else:
            self.agent = Agent(settings.seed)

    def change(self, stored: Stored, settings: pb.Session, scene: Raster | None) -> None:
        """Take over what the session's settings have become. scene: in the units of its body."""
        self.settings = replace(stored, state=b"")
        place = None
        if settings.HasField("goal"):
            goal = settings.goal
            place = np.array([goal.x, goal.y, goal.z], np.float32) / np.float32(self.body.scale)
        self.conditions = Conditions(
            np.frombuffer(stored.text, np.float32),
            np.array([settings.interaction.people, settings.interaction.scene], np.float32),
            place,
            scene,
        )

    def arrived(self, frame: pb.PartnerFrame, now: float) -> None:
        """A partner's frame has come."""
        if self.partners.add(frame, now):
            self.clock.arrived(now)

    def commit(self, frame: bytes) -> Commit:
        """What the store is told of the frame that is about to leave."""
        data = state.pack(self.agent.state(), self.view.partners)
        return Commit(self.id, self.fence, self.sequence, data, frame)

    def publish(self, frame: Published, commit: Commit, now: float) -> None:
        """The frame leaves."""
        self.last = commit
        self.outbox.extend(self.events.due(self.sequence, now))
        self.ring.append(frame)
        self.sequence += 1
        self.tell()

    def end(self, error: Exception | None = None) -> None:
        """No more frames: the session is closed, or ``error`` says why not here."""
        if not self.ended:
            self.ended, self.error = True, error
            self.tell()

    async def news(self) -> None:
        """Return when a frame has left, the session has ended, or ``tell`` was called."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def tell(self) -> None:
        """Wake those that wait for news."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():  # its caller may have left
                waiter.set_result(None)

    def after(self, sequence: int) -> list[Published] | None:
        """The frames that have left from ``sequence`` on; None when the first of them is no longer in memory."""
        missing = self.sequence - sequence
        if missing > len(self.ring):
            return None
        return [self.ring[place] for place in range(len(self.ring) - missing, len(self.ring))]


def published(
    sequence: int, fps: float, pose: FloatArray, joints: FloatArray, index: int, age: float
) -> Published:
    """The frame of a pose [91] and its joints [22,3], which answers the partner's frame ``index``, ``age`` s old."""
    stored = _FRAME.pack(index, age) + np.ascontiguousarray(pose, "<f4").tobytes()
    return Published(sequence, stored, _message(sequence, fps, pose, joints, index, age))


def replayed(frames: list[tuple[int, bytes]], fps: float, body: Body) -> list[pb.ReactionFrame]:
    """Frames of a body from the store as they were sent."""
    if not frames:
        return []
    known = np.stack([np.frombuffer(data, "<f4", poses.SIZE, _FRAME.size) for _, data in frames])
    joints = forward_kinematics(*poses.split(known), body.skeleton)
    return [
        _message(sequence, fps, pose, place, *_FRAME.unpack_from(data))
        for (sequence, data), pose, place in zip(frames, known, joints, strict=True)
    ]


def _message(
    sequence: int, fps: float, pose: FloatArray, joints: FloatArray, index: int, age: float
) -> pb.ReactionFrame:
    chunk = motion_pb2.MotionChunk(start_frame=sequence, start_seconds=sequence / fps, num_frames=1)
    convert.pack(chunk, translation=pose[:3], rotations=pose[3:], positions=joints)
    return pb.ReactionFrame(sequence=sequence, motion=chunk, partner_index=index, partner_age_seconds=age)

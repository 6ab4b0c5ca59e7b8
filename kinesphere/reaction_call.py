"""One React call of the client, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from kinesphere import wire
from kinesphere.channels import open_aio_channel
from kinesphere.errors import InputError
from kinesphere.skeleton import NUM_JOINTS, FloatArray
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import reactor_pb2_grpc
from kinesphere.wire import ServiceError

_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.enable_retries", 0),
)
# The replica has died or drains; or it died while a message was being written, which grpc.aio calls INTERNAL.
_MOVING: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL)
_WAITING_FRAMES: Final = 8  # that are kept while there is no connection: older ones are of no use
_PAUSE_SECONDS: Final = 0.02  # when every replica has been tried


@dataclass(frozen=True, eq=False)
class AgentFrame:
    """A frame of the agent: translation [3], local rotations [22,4] (wxyz) and joint positions [22,3]; metres, world.

    sequence counts from 0 over the whole session. partner_index: the partner's frame that it answers, -1 for none;
    partner_age_seconds: from that one's arrival at the replica to this one's leaving. message: as it came, for who
    passes it on.
    """

    sequence: int
    seconds: float
    translation: FloatArray
    rotations: FloatArray
    positions: FloatArray
    partner_index: int
    partner_age_seconds: float
    message: pb.ReactionFrame


@dataclass(frozen=True)
class AgentEvent:
    """Something that happened. kind: as ``ReactionEventKind`` without its prefix (``PARTNER_SILENT``)."""

    kind: str
    sequence: int
    person_id: str
    count: int
    total: int
    detail: str


class Connection:
    """Channels to every replica, of which one is in use."""

    def __init__(self, addresses: tuple[str, ...], timeout: float) -> None:
        self.timeout = timeout
        self._channels = [open_aio_channel(address, *_OPTIONS) for address in addresses]
        self._stubs: list[Any] = [reactor_pb2_grpc.ReactorServiceStub(channel) for channel in self._channels]
        self._current = 0
        self._tried = 0

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    def stub(self) -> tuple[int, Any]:
        """The replica in use, by its place in the list, and its stub."""
        return self._current, self._stubs[self._current]

    def warm(self) -> None:
        """Connect to every replica now, so that changing over costs no handshake."""
        for channel in self._channels:
            channel.get_state(try_to_connect=True)

    async def leave(self, place: int) -> None:
        """Use another replica than the one at ``place``; pauses once all have been tried in vain."""
        if self._current == place:  # else somebody has changed over already
            self._current = (place + 1) % len(self._stubs)
            self._tried += 1
        if self._tried >= len(self._stubs):
            await asyncio.sleep(_PAUSE_SECONDS)

    def works(self) -> None:
        """The replica in use has answered."""
        self._tried = 0

    def moves_on(self, error: grpc.aio.AioRpcError) -> bool:
        """Whether another replica may do what this one did not."""
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            failure = wire.translate(error)
            return isinstance(failure, ServiceError) and failure.reason == "NO_CAPACITY"
        return error.code() in _MOVING

    async def call(self, method: str, request: Any) -> Any:
        """A call with one answer, by a replica that is there. Raises InputError and ServiceError."""
        until = time.monotonic() + self.timeout
        unavailable: grpc.aio.AioRpcError | None = None
        while True:
            place, stub = self.stub()
            left = max(0.1, until - time.monotonic())
            try:
                answer = await getattr(stub, method)(request, timeout=left)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and unavailable is not None:
                    # The time went into trying again: why it had to says more than that it is over.
                    raise wire.translate(unavailable) from None
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                    raise wire.translate(error) from None
                unavailable = error
                await self.leave(place)
            else:
                self.works()
                return answer


class Reaction:
    """A running session: ``see`` partners' frames, iterate over the agent's frames and events.

    When the replica dies the next one goes on; every frame comes once, in order.
    """

    def __init__(self, connection: Connection, name: str, next_sequence: int | None) -> None:
        self.header: pb.ReactionHeader | None = None
        self.reconnects = 0
        self._connection = connection
        self._name = name
        self._next = next_sequence
        self._indices: dict[str, int] = {}
        self._frames: deque[pb.PartnerFrame] = deque(maxlen=_WAITING_FRAMES)
        self._changes: deque[pb.SessionChange] = deque()
        self._asked = asyncio.Event()
        self._finishing = False
        self._call: Any = None
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._connection.warm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._hang_up()

    def see(
        self,
        positions: NDArray[np.floating],
        *,
        person_id: str = "",
        index: int | None = None,
        seconds: float | None = None,
    ) -> int:
        """A partner's frame: joint positions [22,3] in the agent's world, metres. Returns its number.

        index: counted here unless given. seconds: when it was taken, by a clock that runs as time does; now unless
        given. Raises InputError(``partner.positions``) on another shape.
        """
        joints = np.asarray(positions, dtype=np.float32)
        if joints.shape != (NUM_JOINTS, 3):
            raise InputError("partner.positions", f"has shape {list(joints.shape)}, expected [22, 3]")
        number = self._indices.get(person_id, 0) if index is None else index
        self._indices[person_id] = number + 1
        taken = time.monotonic() if seconds is None else seconds
        frame = pb.PartnerFrame(person_id=person_id, index=number, seconds=taken, positions=joints.ravel())
        self._frames.append(frame)
        self._asked.set()
        return number

    def change(self, **fields: Any) -> None:
        """From the next frame on, change ``intent``, ``interaction``, ``scene``, ``goal`` or ``clear_goal``."""
        self._changes.append(pb.SessionChange(**fields))
        self._asked.set()

    def finish(self) -> None:
        """No more frames will come: the iteration ends with what has been made until then. The session rests."""
        self._finishing = True
        self._asked.set()

    async def __aiter__(self) -> AsyncIterator[AgentFrame | AgentEvent]:
        until: float | None = None
        while True:
            place, stub = self._connection.stub()
            try:
                async for response in self._open(stub):
                    until = None
                    self._connection.works()
                    part = response.WhichOneof("part")
                    if part == "header":
                        self.header = response.header
                        self._next = response.header.first_sequence
                    elif part == "frame":
                        self._next = response.frame.sequence + 1
                        yield frame_of(response.frame)
                    elif part == "event":
                        yield event_of(response.event)
                    else:
                        return
            except grpc.aio.AioRpcError as error:
                until = until or time.monotonic() + self._connection.timeout
                if not self._connection.moves_on(error) or time.monotonic() > until:
                    raise wire.translate(error) from None
            # A stream that ends without a status was cut.
            await self._hang_up()
            self.reconnects += 1
            await self._connection.leave(place)

    def _open(self, stub: Any) -> Any:
        start = pb.ReactStart(name=self._name, next_sequence=self._next, take_over=self.header is not None)
        self._call = stub.React()
        self._writer = asyncio.create_task(self._write(self._call, pb.ReactRequest(start=start)))
        return self._call

    async def _hang_up(self) -> None:
        writer, call, self._writer, self._call = self._writer, self._call, None, None
        if call is not None:
            call.cancel()
        if writer is not None:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer

    async def _write(self, call: Any, start: pb.ReactRequest) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # whoever reads is told
            await call.write(start)
            while True:
                while self._changes:  # told again on the next connection if this one breaks
                    await call.write(pb.ReactRequest(change=self._changes[0]))
                    self._changes.popleft()
                while self._frames:
                    await call.write(pb.ReactRequest(partner=self._frames.popleft()))
                if self._finishing:
                    await call.done_writing()
                    return
                self._asked.clear()
                await self._asked.wait()


def frame_of(message: pb.ReactionFrame) -> AgentFrame:
    motion = message.motion
    return AgentFrame(
        message.sequence,
        motion.start_seconds,
        np.array(motion.translation, np.float32),
        np.array(motion.rotations, np.float32).reshape(NUM_JOINTS, 4),
        np.array(motion.positions, np.float32).reshape(NUM_JOINTS, 3),
        message.partner_index,
        message.partner_age_seconds,
        message,
    )


def event_of(message: pb.ReactionEvent) -> AgentEvent:
    kind = pb.ReactionEventKind.Name(message.kind).removeprefix("REACTION_EVENT_KIND_")
    return AgentEvent(kind, message.sequence, message.person_id, message.count, message.total, message.detail)

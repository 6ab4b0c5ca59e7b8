"""Clients of the reactor: partners' frames in, the agent's frames out, through a replica's death.

    async with AsyncReactionClient(["10.0.0.1:50055", "10.0.0.2:50055"]) as client:
        name = await client.create(intent="wave back", fps=30)
        async with client.react(name) as reaction:
            reaction.see(positions)                    # [22,3], whenever a frame is known
            async for answer in reaction:              # AgentFrame or AgentEvent
                ...

``ReactionClient`` says the same without ``async`` and ``await``. Bad input raises ``InputError``, every other failure
``ServiceError``. Importing this needs the ``client`` extra.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import grpc
import numpy as np
from numpy.typing import NDArray

from kinesphere import wire
from kinesphere.channels import address_of
from kinesphere.motion import Motion
from kinesphere.reaction_call import AgentEvent, AgentFrame, Connection, Reaction, frame_of
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import scene_pb2
from kinesphere.wire import ServiceError

__all__ = ["AgentEvent", "AgentFrame", "AsyncReactionClient", "Reaction", "ServiceError"]

DEFAULT_TIMEOUT: Final = 30.0


class AsyncReactionClient:
    """addresses: ``host:port`` of every replica; the default is that of ``kinesphere up``. timeout: seconds, of calls
    with one answer, and for which a stream looks for a replica that takes it."""

    def __init__(self, addresses: Sequence[str] = (), *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.timeout = timeout
        self._connection = Connection(tuple(addresses) or (address_of("reactor"),), timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        await self._connection.close()

    async def create(
        self,
        *,
        intent: str = "",
        fps: float = 0.0,
        people: float = 1.0,
        surroundings: float = 1.0,
        goal: Sequence[float] | None = None,
        scene: scene_pb2.Scene | None = None,
        seed: int | None = None,
        history: Motion | None = None,
    ) -> str:
        """The name of a new session. fps: 10 to 60, 0 for 20. people, surroundings: weights, 0 to 2. goal: [3]."""
        session = pb.Session(
            intent=intent, fps=fps, seed=seed, scene=scene, goal=point(goal),
            interaction=pb.Interaction(people=people, scene=surroundings),
        )  # fmt: skip
        request = pb.CreateSessionRequest(
            session=session, history=wire.to_proto(history) if history is not None else None
        )
        return str((await self._connection.call("CreateSession", request)).session.name)

    async def get(self, name: str) -> pb.Session:
        """The session as it is now."""
        answer: pb.GetSessionResponse = await self._connection.call(
            "GetSession", pb.GetSessionRequest(name=name)
        )
        return answer.session

    async def update(self, name: str, **fields: Any) -> pb.Session:
        """Change ``intent``, ``interaction``, ``scene`` or ``goal``; None takes a field back to its default."""
        given = {key: value for key, value in fields.items() if value is not None}
        request = pb.UpdateSessionRequest(session=pb.Session(name=name, **given))
        request.update_mask.paths.extend(fields)
        answer: pb.UpdateSessionResponse = await self._connection.call("UpdateSession", request)
        return answer.session

    async def end(self, name: str) -> int:
        """Close the session; how many frames it made."""
        answer = await self._connection.call("CloseSession", pb.CloseSessionRequest(name=name))
        return int(answer.num_frames)

    async def sessions(self) -> AsyncIterator[pb.Session]:
        """All sessions, in the order of their names."""
        token = ""
        while True:
            page = await self._connection.call("ListSessions", pb.ListSessionsRequest(page_token=token))
            for session in page.sessions:
                yield session
            token = page.next_page_token
            if not token:
                return

    def react(self, name: str, *, next_sequence: int | None = None) -> Reaction:
        """Run the session: an async context manager. next_sequence: the first frame wanted; None: the next new one."""
        return Reaction(self._connection, name, next_sequence)

    async def subscribe(self, name: str, from_sequence: int | None = None) -> AsyncIterator[AgentFrame]:
        """The session's frames from ``from_sequence`` on (None: the next new one), until it is closed.

        Goes on with another replica when one fails.
        """
        following = from_sequence
        connection, until = self._connection, None
        loop = asyncio.get_running_loop()
        while True:
            request = pb.SubscribeRequest(name=name, from_sequence=following)
            place, stub = connection.stub()
            try:
                async for response in stub.Subscribe(request):
                    until = None
                    connection.works()
                    part = response.WhichOneof("part")
                    if part == "header":
                        following = response.header.first_sequence
                    elif part == "frame":
                        following = response.frame.sequence + 1
                        yield frame_of(response.frame)
                    else:
                        return
            except grpc.aio.AioRpcError as error:
                until = until or loop.time() + self.timeout
                if not connection.moves_on(error) or loop.time() > until:
                    raise wire.translate(error) from None
                await connection.leave(place)


def point(place: Sequence[float] | NDArray[np.floating] | None) -> scene_pb2.Point | None:
    """[3] metres as the API's message."""
    if place is None:
        return None
    x, y, z = (float(value) for value in place)
    return scene_pb2.Point(x=x, y=y, z=z)

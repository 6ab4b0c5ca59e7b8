"""ReactorService: RPCs to domain calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from kinesphere.errors import InputError
from kinesphere.representations.primitive276 import FUTURE
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import reactor_pb2_grpc, status_pb2
from services.common.errors import PreconditionError
from services.common.runtime import ModelRuntime
from services.reactor.body import Body
from services.reactor.errors import OutOfRangeError
from services.reactor.live import Live
from services.reactor.networks import REFINE, SEGMENT
from services.reactor.poses import MODEL_FPS
from services.reactor.replica import Replica
from services.reactor.sessions import DEFAULT_PAGE, Sessions, id_of
from services.reactor.settings import ReactorSettings
from services.reactor.store import Store
from services.reactor.streams import Frames, Sender

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]


class ReactorServicer(reactor_pb2_grpc.ReactorServiceServicer):
    def __init__(
        self,
        settings: ReactorSettings,
        runtime: ModelRuntime,
        store: Store,
        sessions: Sessions,
        replica: Replica,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._store = store
        self._sessions = sessions
        self._replica = replica
        self._frames = Frames(store, replica)

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: Context
    ) -> pb.CreateSessionResponse:
        return pb.CreateSessionResponse(session=await self._sessions.create(request))

    async def React(
        self, request_iterator: AsyncIterator[pb.ReactRequest], context: Context
    ) -> AsyncIterator[pb.ReactResponse]:
        start = await _start(request_iterator)
        id = id_of(start.name)
        async with self._replica.running_session(id, take_over=start.take_over) as live:
            now = live.sequence
            first = start.next_sequence if start.HasField("next_sequence") else now
            if first > now:
                raise OutOfRangeError(f"frame {first} does not exist yet, the next one is {now}")
            sender = Sender(self._settings, id, live.fps, live.body, first)
            yield pb.ReactResponse(header=sender.header)
            reading = asyncio.create_task(self._read(live, request_iterator))
            reading.add_done_callback(lambda _: live.tell())
            try:
                async for frame in self._frames.kept(id, live.fps, live.body, first, now):
                    sender.count()
                    yield pb.ReactResponse(frame=frame)
                async for response in sender.reactions(live, now, reading):
                    yield response
                if reading.done():
                    reading.result()  # raises what was wrong with the client's message
                await self._replica.rest(live)
                async for response in sender.reactions(live, first + sender.sent, reading):
                    yield response
            finally:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await reading
            yield pb.ReactResponse(status=sender.status())

    async def Subscribe(
        self, request: pb.SubscribeRequest, context: Context
    ) -> AsyncIterator[pb.SubscribeResponse]:
        session = await self._sessions.get(id_of(request.name))
        first = request.from_sequence if request.HasField("from_sequence") else session.next_sequence
        if not session.oldest_sequence <= first <= session.next_sequence:
            raise OutOfRangeError(
                f"frames {session.oldest_sequence} to {session.next_sequence - 1} are kept, not {first}"
            )
        body = Body.of_session(session)
        sender = Sender(self._settings, id_of(request.name), session.fps, body, first)
        yield pb.SubscribeResponse(header=sender.header)
        async for frame in self._frames.all(id_of(request.name), session.fps, body, first):
            sender.count()
            yield pb.SubscribeResponse(frame=frame)
        yield pb.SubscribeResponse(status=sender.status())

    async def GetSession(self, request: pb.GetSessionRequest, context: Context) -> pb.GetSessionResponse:
        return pb.GetSessionResponse(session=await self._sessions.get(id_of(request.name)))

    async def UpdateSession(
        self, request: pb.UpdateSessionRequest, context: Context
    ) -> pb.UpdateSessionResponse:
        session = await self._sessions.update(request.session, request.update_mask.paths)
        return pb.UpdateSessionResponse(session=session)

    async def CloseSession(
        self, request: pb.CloseSessionRequest, context: Context
    ) -> pb.CloseSessionResponse:
        return pb.CloseSessionResponse(num_frames=await self._store.end(id_of(request.name)))

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        sessions, token = await self._sessions.page(request.page_token, request.page_size or DEFAULT_PAGE)
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=token)

    async def Describe(
        self, request: pb.ReactorServiceDescribeRequest, context: Context
    ) -> pb.ReactorServiceDescribeResponse:
        models = []
        for name in (SEGMENT, REFINE):
            with contextlib.suppress(PreconditionError):
                model = await self._runtime.describe(name)
                models.append(
                    status_pb2.ModelInfo(name=model.name, version=model.version, sha256=model.sha256)
                )
        return pb.ReactorServiceDescribeResponse(
            model_fps=MODEL_FPS,
            segment_frames=FUTURE,
            sessions_running=self._replica.running,
            load=self._replica.load(),
            store_available=self._replica.keeper.available,
            models=models,
        )

    async def _read(self, live: Live, requests: AsyncIterator[pb.ReactRequest]) -> None:
        """What the client sends, until it closes its side."""
        async for request in requests:
            part = request.WhichOneof("part")
            if part == "partner":
                self._replica.arrived(live, request.partner)
            elif part == "change":
                await self._replica.change(live, request.change)
            else:
                raise InputError("start", "is only sent once, as the first message")


async def _start(requests: AsyncIterator[pb.ReactRequest]) -> pb.ReactStart:
    async for request in requests:
        if request.WhichOneof("part") == "start":
            return request.start
        break
    raise InputError("start", "is required as the first message")

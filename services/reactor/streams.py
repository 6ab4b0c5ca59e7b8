"""A session's frames as streams: to the client that runs it, and to everybody who listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Final

from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import status_pb2
from services.common import convert
from services.reactor.body import Body
from services.reactor.errors import OutOfRangeError
from services.reactor.live import Live, replayed
from services.reactor.poses import MODEL_FPS
from services.reactor.replica import Replica
from services.reactor.sessions import name_of
from services.reactor.settings import ReactorSettings
from services.reactor.store import Store

_PAGE: Final = 250  # frames that are read from the store at a time
_WAIT_SECONDS: Final = 0.25  # for a frame of a session that another replica runs


class Frames:
    """Reads a session's frames wherever they are: in this replica's memory, or in the store."""

    def __init__(self, store: Store, replica: Replica) -> None:
        self._store = store
        self._replica = replica

    async def kept(
        self, id: str, fps: float, body: Body, start: int, stop: int
    ) -> AsyncIterator[pb.ReactionFrame]:
        """Frames ``start`` to ``stop`` - 1 from the store. Raises OutOfRangeError when one is no longer kept."""
        while start < stop:
            page = await self._store.frames(id, start, min(_PAGE, stop - start))
            if not page or page[0][0] != start:
                raise _gone(start)
            for frame in replayed(page, fps, body):
                yield frame
            start += len(page)

    async def all(self, id: str, fps: float, body: Body, start: int) -> AsyncIterator[pb.ReactionFrame]:
        """Frames from ``start`` on, as they are made, until the session is closed.

        Raises OutOfRangeError when a slow reader wants a frame that is no longer kept, NotFoundError when the session
        has expired.
        """
        while True:
            live = self._replica.get(id)
            near = live.after(start) if live is not None and start <= live.sequence else None
            if live is not None and near is not None:
                for frame in near:
                    yield frame.message
                    start += 1
                if not near:
                    await live.news()
                continue
            page = await self._store.frames(id, start, _PAGE)
            if not page:
                page = await self._store.frames(id, start, _PAGE, wait=_WAIT_SECONDS)
            if not page:
                if await self._store.closed(id) is not None:
                    return
                await self._store.read(id)
                continue
            if page[0][0] != start:
                raise _gone(start)
            for message in replayed(page, fps, body):
                yield message
            start += len(page)


class Sender:
    """Counts what a stream has sent; makes its first and its last message."""

    def __init__(self, settings: ReactorSettings, id: str, fps: float, body: Body, first: int) -> None:
        self.header = pb.ReactionHeader(
            motion=convert.header_to_proto(fps, skeleton=body.skeleton),
            session=name_of(id),
            first_sequence=first,
            model_fps=MODEL_FPS,
            interpolation_seconds=interpolation_seconds(fps),
            frames_kept=settings.frames_kept,
            memory_only_seconds=settings.memory_only_seconds,
        )
        self._fps = fps
        self._began = time.perf_counter()
        self._first: float | None = None
        self.sent = 0

    def count(self) -> None:
        """A frame goes out."""
        if self._first is None:
            self._first = time.perf_counter() - self._began
        self.sent += 1

    async def reactions(
        self, live: Live, start: int, until: asyncio.Future[None]
    ) -> AsyncIterator[pb.ReactResponse]:
        """Frames from ``start`` on and events, as they happen, until the session ends here or ``until`` is done
        (``live.tell`` makes it look). Raises what ended the session, and OutOfRangeError for a reader too slow."""
        while True:
            events, live.outbox = live.outbox, []
            for event in events:
                yield pb.ReactResponse(event=event)
            frames = live.after(start)
            if frames is None:
                raise _gone(start)
            for frame in frames:
                self.count()
                yield pb.ReactResponse(frame=frame.message)
                start += 1
            if live.error is not None:
                raise live.error
            if live.ended or until.done():
                return
            if not frames and not events:
                await live.news()

    def status(self) -> status_pb2.StreamStatus:
        return status_pb2.StreamStatus(
            finish_reason=status_pb2.FINISH_REASON_COMPLETE,
            num_frames=self.sent,
            seconds=self.sent / self._fps,
            first_frame_seconds=self._first or 0.0,
            total_seconds=time.perf_counter() - self._began,
        )


def interpolation_seconds(fps: float) -> float:
    """How much later than the model's frames their effect shows at ``fps``, at most.

    A client's frame between two of the model's shows the later one in part; the whole of it shows up to (q-1)/q of a
    model frame later, where p/q is the model's rate divided by the client's.
    """
    ratio = Fraction(MODEL_FPS / fps).limit_denominator(100_000)
    return (ratio.denominator - 1) / ratio.denominator / MODEL_FPS


def _gone(sequence: int) -> OutOfRangeError:
    return OutOfRangeError(f"frame {sequence} is no longer kept")

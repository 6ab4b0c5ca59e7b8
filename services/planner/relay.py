"""The decoder service's side of a Generate call: blocks go out as they are planned, frames come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import structlog

from kinesphere.v1 import decoder_pb2, motion_pb2, tokens_pb2
from services.common.errors import UpstreamError
from services.planner.generation import Block

if TYPE_CHECKING:
    from kinesphere.v1.decoder_pb2_grpc import DecoderServiceAsyncStub

log = structlog.get_logger(__name__)
_WIDTHS = {"translation": 3, "rotations": 88, "positions": 66}


class DecoderCall:
    """One Decode stream. ``send`` and ``close`` from one task, ``messages`` from another; ``cancel`` from any."""

    def __init__(
        self,
        stub: DecoderServiceAsyncStub,
        start: decoder_pb2.DecodeStart,
        *,
        timeout: float,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._requests: asyncio.Queue[decoder_pb2.DecoderServiceDecodeRequest | None] = asyncio.Queue()
        self._requests.put_nowait(decoder_pb2.DecoderServiceDecodeRequest(start=start))
        self._call: Any = stub.Decode(self._outgoing(), timeout=timeout, metadata=metadata)

    def send(self, block: Block) -> None:
        """Pass one block on; it is on its way when this returns, not yet decoded."""
        tokens = tokens_pb2.MotionTokens(blocks=[to_proto(block)])
        self._requests.put_nowait(decoder_pb2.DecoderServiceDecodeRequest(tokens=tokens))

    def close(self) -> None:
        """No more blocks will come."""
        self._requests.put_nowait(None)

    def cancel(self) -> None:
        self._call.cancel()

    async def messages(self) -> AsyncIterator[decoder_pb2.DecoderServiceDecodeResponse]:
        """Header, chunks, status. Raises UpstreamError without a decoder, grpc.aio.AioRpcError when it refuses."""
        with answering("decoder"):
            async for message in self._call:
                yield message

    async def _outgoing(self) -> AsyncIterator[decoder_pb2.DecoderServiceDecodeRequest]:
        while (request := await self._requests.get()) is not None:
            yield request


@contextmanager
def answering(name: str) -> Iterator[None]:
    """Says which service is missing. Raises UpstreamError when the one called in the block is down or goes down."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        # A write that was under way when the connection broke is told as a fault of gRPC's own.
        broken = error.code() is grpc.StatusCode.INTERNAL and "execute_batch" in (error.details() or "")
        if not broken and error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            raise
        log.warning("upstream does not answer", service=name, details=error.details())
        raise UpstreamError(f"the {name} service does not answer", retry_after=1.0) from error


def to_proto(block: Block) -> tokens_pb2.TokenBlock:
    return tokens_pb2.TokenBlock(semantic=block.semantic, detail=block.details)


def cut_chunk(chunk: motion_pb2.MotionChunk, frames: int) -> motion_pb2.MotionChunk:
    """The first ``frames`` frames of a chunk (all, when it has no more)."""
    if chunk.num_frames <= frames:
        return chunk
    cut = motion_pb2.MotionChunk(
        start_frame=chunk.start_frame, start_seconds=chunk.start_seconds, num_frames=frames
    )
    for name, width in _WIDTHS.items():
        getattr(cut, name).extend(getattr(chunk, name)[: frames * width])
    return cut

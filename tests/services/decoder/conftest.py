"""A real decoder server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kinesphere import wire
from kinesphere.motion import Motion
from kinesphere.v1 import decoder_pb2 as pb
from kinesphere.v1 import decoder_pb2_grpc, motion_pb2, status_pb2
from services.common import convert
from services.common.metrics import Metrics
from services.common.server import Server
from services.decoder.__main__ import build
from services.decoder.settings import DecoderSettings


@dataclass
class Decoded:
    header: motion_pb2.MotionHeader
    chunks: list[motion_pb2.MotionChunk]
    status: status_pb2.StreamStatus

    @property
    def motion(self) -> Motion:
        return wire.motion_of(self.header, self.chunks)


class Decoder:
    """What a test asks of the server."""

    def __init__(self, channel: grpc.aio.Channel, server: Server) -> None:
        self.server = server
        self.stub: Any = decoder_pb2_grpc.DecoderServiceStub(channel)

    async def parts(self, requests: Iterable[pb.DecoderServiceDecodeRequest]) -> list[Any]:
        """All answers. A call that the server ends while grpc.aio's client is still writing can lose its status (it
        becomes INTERNAL, "Failed execute_batch"): such a call is made again."""
        requests = list(requests)
        while True:
            try:
                return [answer async for answer in self.stub.Decode(iter(requests), timeout=120)]
            except grpc.aio.AioRpcError as error:
                if "execute_batch" not in (error.debug_error_string() or ""):
                    raise

    async def decode(self, tokens: Any, *, cuts: Sequence[int] = (), **start: Any) -> Decoded:
        """tokens: (semantic [N], detail [4N]); cuts: block indices where a new message begins."""
        answers = await self.parts([begin(**start), *messages(tokens, cuts)])
        kinds = [answer.WhichOneof("part") for answer in answers]
        assert kinds[0] == "header"
        assert kinds[-1] == "status"
        assert set(kinds[1:-1]) == {"motion"}
        return Decoded(answers[0].header, [answer.motion for answer in answers[1:-1]], answers[-1].status)


def begin(**start: Any) -> pb.DecoderServiceDecodeRequest:
    return pb.DecoderServiceDecodeRequest(start=pb.DecodeStart(**start))


def messages(tokens: Any, cuts: Sequence[int] = ()) -> list[pb.DecoderServiceDecodeRequest]:
    blocks = convert.tokens_to_proto(*tokens)
    edges = [0, *cuts, len(blocks)]
    return [pb.DecoderServiceDecodeRequest(tokens={"blocks": blocks[a:b]}) for a, b in pairwise(edges)]


def random_tokens(blocks: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 512, blocks), rng.integers(0, 512, 4 * blocks)


@pytest.fixture
async def decoder(motion_models: Path) -> AsyncIterator[Decoder]:
    async with running(motion_models) as client:
        yield client


@asynccontextmanager
async def running(models: Path) -> AsyncIterator[Decoder]:
    settings = DecoderSettings(port=0, models=models)
    metrics = Metrics()
    async with build(settings, metrics) as services:
        server = Server(settings, services, metrics=metrics)
        await server.start()
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield Decoder(channel, server)
        await server.stop(0)

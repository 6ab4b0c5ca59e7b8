"""DecoderService: RPCs to domain calls."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.v1 import decoder_pb2 as pb
from kinesphere.v1 import decoder_pb2_grpc, status_pb2
from services.common import convert
from services.common.errors import PreconditionError
from services.common.runtime import ModelDescription, ModelRuntime
from services.decoder.frames import FrameStream
from services.decoder.history import follow
from services.decoder.plan import FRAMES_PER_BLOCK, FRAMES_PER_LATENT
from services.decoder.settings import DecoderSettings
from services.decoder.windows import HISTORY, LOOKAHEAD, STEP, DiffusionWindows, DirectWindows, Windows

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_BLOCKS: Final = 750
# What each mode runs; and what going on from a motion needs besides.
MODELS: Final = {pb.DECODER_MODE_DIFFUSION: "decoder_window", pb.DECODER_MODE_DIRECT: "tokenizer_decode"}
HISTORY_MODELS: Final = ("tokenizer_encode", "vae_encode")


class DecoderServicer(decoder_pb2_grpc.DecoderServiceServicer):
    def __init__(self, runtime: ModelRuntime, settings: DecoderSettings) -> None:
        self._runtime = runtime
        self._settings = settings

    async def Decode(
        self, request_iterator: AsyncIterator[pb.DecoderServiceDecodeRequest], context: Context
    ) -> AsyncIterator[pb.DecoderServiceDecodeResponse]:
        began = time.perf_counter()
        start = await _start(request_iterator)
        fps = start.fps if start.HasField("fps") else hml263.FPS
        seed = start.seed if start.HasField("seed") else secrets.randbits(31)
        windows, frames = await self._open(start, seed, fps)
        expected = int((start.expected_blocks * FRAMES_PER_BLOCK - 1) / hml263.FPS * fps + 1e-6) + 1
        yield pb.DecoderServiceDecodeResponse(
            header=convert.header_to_proto(
                fps, seed=seed, expected_frames=expected if start.expected_blocks else 0
            )
        )
        sender = _Sender(fps, began)
        blocks = 0
        async for request in request_iterator:
            if request.WhichOneof("part") != "tokens":
                raise InputError("start", "is only sent once, as the first message")
            semantic, detail = convert.tokens_from_proto(
                request.tokens.blocks,
                semantic_size=self._settings.semantic_codes,
                detail_size=self._settings.detail_codes,
            )
            blocks += len(semantic)
            if blocks > MAX_BLOCKS:
                raise InputError(
                    "tokens.blocks", f"{blocks} have come, at most {MAX_BLOCKS} are allowed in a stream"
                )
            windows.push(semantic, detail)
            async for features in windows.ready(ended=False):
                for response in sender.chunk(await asyncio.to_thread(frames.push, features)):
                    yield response
        if blocks == 0:
            raise InputError("tokens.blocks", "at least 1 block is needed before the stream is closed")
        async for features in windows.ready(ended=True):
            for response in sender.chunk(await asyncio.to_thread(frames.push, features)):
                yield response
        for response in sender.chunk(await asyncio.to_thread(frames.finish)):
            yield response
        yield sender.status(blocks)

    async def Describe(
        self, request: pb.DecoderServiceDescribeRequest, context: Context
    ) -> pb.DecoderServiceDescribeResponse:
        described = {mode: await self._describe(name) for mode, name in MODELS.items()}
        others = [await self._describe(name) for name in HISTORY_MODELS]
        return pb.DecoderServiceDescribeResponse(
            fps=hml263.FPS,
            frames_per_step=FRAMES_PER_LATENT * STEP,
            lookahead_frames=FRAMES_PER_LATENT * LOOKAHEAD,
            history_frames=FRAMES_PER_LATENT * HISTORY,
            modes=[mode for mode, model in described.items() if model],
            models=[
                status_pb2.ModelInfo(name=model.name, version=model.version, sha256=model.sha256)
                for model in (*described.values(), *others)
                if model
            ],
        )

    async def _open(self, start: pb.DecodeStart, seed: int, fps: float) -> tuple[Windows, FrameStream]:
        diffusion = start.mode != pb.DECODER_MODE_DIRECT
        history, place = None, None
        if start.HasField("history"):
            motion: Motion = await asyncio.to_thread(
                convert.motion_from_proto, start.history, "start.history"
            )
            history, place = await follow(self._runtime, motion, "start.history", latents=diffusion)
        windows: Windows
        if diffusion:
            # [20,D]: D is the width of the motion VAE's latents.
            size = (await self._runtime.describe(MODELS[pb.DECODER_MODE_DIFFUSION])).inputs["noise"][-1]
            windows = DiffusionWindows(self._runtime, seed, size, history)
        else:
            windows = DirectWindows(self._runtime, history)
        return windows, FrameStream(fps, foot_lock=self._settings.foot_lock, place=place)

    async def _describe(self, name: str) -> ModelDescription | None:
        try:
            return await self._runtime.describe(name)
        except PreconditionError:
            return None


async def _start(requests: AsyncIterator[pb.DecoderServiceDecodeRequest]) -> pb.DecodeStart:
    async for request in requests:
        if request.WhichOneof("part") == "start":
            return request.start
        break
    raise InputError("start", "is required as the first message")


class _Sender:
    """Numbers the frames that leave."""

    def __init__(self, fps: float, began: float) -> None:
        self._fps = fps
        self._began = began
        self._sent = 0
        self._first: float | None = None

    def chunk(self, motion: Motion | None) -> list[pb.DecoderServiceDecodeResponse]:
        if motion is None:
            return []
        if self._first is None:
            self._first = time.perf_counter() - self._began
        message = convert.chunk_to_proto(motion, self._sent)
        self._sent += motion.num_frames
        return [pb.DecoderServiceDecodeResponse(motion=message)]

    def status(self, blocks: int) -> pb.DecoderServiceDecodeResponse:
        return pb.DecoderServiceDecodeResponse(
            status=status_pb2.StreamStatus(
                finish_reason=status_pb2.FINISH_REASON_COMPLETE,
                num_frames=self._sent,
                seconds=self._sent / self._fps,
                num_blocks=blocks,
                first_frame_seconds=self._first or 0.0,
                total_seconds=time.perf_counter() - self._began,
            )
        )

"""PlannerService: RPCs to domain calls."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from kinesphere.motion_language import MODEL_FPS
from kinesphere.v1 import decoder_pb2, motion_pb2, planner_pb2_grpc, status_pb2, tokenizer_pb2
from kinesphere.v1 import planner_pb2 as pb
from services.common.clients import metadata, time_left
from services.planner.batching import Batcher
from services.planner.captioning import beginning, caption
from services.planner.generation import Block, Ended, Ending, Words
from services.planner.loading import Planner
from services.planner.planning import PlanMaker, PlanRequest
from services.planner.relay import DecoderCall, answering, cut_chunk, to_proto
from services.planner.sampling import Sampler
from services.planner.settings import PlannerSettings

if TYPE_CHECKING:
    import grpc

    from kinesphere.v1.decoder_pb2_grpc import DecoderServiceAsyncStub
    from kinesphere.v1.tokenizer_pb2_grpc import TokenizerServiceAsyncStub

    Context = grpc.aio.ServicerContext[Any, Any]

MAX_SECONDS: Final = 60.0
_CAPTION_TOKENS: Final = 64
_ENDINGS = {
    Ending.COMPLETE: status_pb2.FINISH_REASON_COMPLETE,
    Ending.LENGTH: status_pb2.FINISH_REASON_LENGTH,
    Ending.LIMIT: status_pb2.FINISH_REASON_LIMIT,
}


class PlannerServicer(planner_pb2_grpc.PlannerServiceServicer):
    def __init__(
        self,
        settings: PlannerSettings,
        planner: Planner,
        batcher: Batcher,
        plans: PlanMaker,
        decoder: DecoderServiceAsyncStub,
        tokenizer: TokenizerServiceAsyncStub,
    ) -> None:
        self._settings, self._planner, self._batcher, self._plans = settings, planner, batcher, plans
        self._decoder, self._tokenizer = decoder, tokenizer

    async def Generate(
        self, request: pb.GenerateRequest, context: Context
    ) -> AsyncIterator[pb.GenerateResponse]:
        began = time.perf_counter()
        plan = self._plan_request(request)
        fps = request.fps if request.HasField("fps") else MODEL_FPS
        call = DecoderCall(
            self._decoder,
            decoder_pb2.DecodeStart(
                seed=plan.seed, fps=fps, mode=request.decoder_mode, expected_blocks=plan.blocks
            ),
            timeout=time_left(context, self._settings.max_deadline),
            metadata=self._metadata(),
        )
        run = _Run(plan, call, fps, began)
        # Two tasks fill one queue: the plan as it is written, the frames as they are decoded.
        tasks = [asyncio.create_task(run.write(self._plans)), asyncio.create_task(run.read())]
        try:
            while (item := await run.out.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
            yield run.status()
        finally:
            call.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def Caption(self, request: pb.CaptionRequest, context: Context) -> pb.CaptionResponse:
        seed = request.seed if request.HasField("seed") else secrets.randbits(31)
        top_p = request.top_p if request.HasField("top_p") else 1.0
        asked = tokenizer_pb2.EncodeRequest(
            motion=await asyncio.to_thread(beginning, request.motion),
            with_features=not self._planner.prompter.wants_codes,
        )
        with answering("tokenizer"):
            encoded = await self._tokenizer.Encode(
                asked, timeout=time_left(context, self._settings.max_deadline), metadata=self._metadata()
            )
        longest = request.max_tokens if request.HasField("max_tokens") else _CAPTION_TOKENS
        text, tokens = await caption(
            self._planner,
            self._batcher,
            encoded,
            lambda part: Sampler(temperature=request.temperature, top_p=top_p, seed=(seed, part)),
            max_blocks=self._settings.max_blocks,
            max_tokens=longest,
        )
        return pb.CaptionResponse(caption=text, num_tokens=tokens)

    async def Describe(
        self, request: pb.PlannerServiceDescribeRequest, context: Context
    ) -> pb.PlannerServiceDescribeResponse:
        return pb.PlannerServiceDescribeResponse(
            language_model=self._planner.title,
            engine=self._planner.model.name,
            max_blocks_per_pass=self._settings.max_blocks,
            max_seconds=MAX_SECONDS,
            default_temperature=self._settings.temperature,
            default_top_p=self._settings.top_p,
            default_fps=MODEL_FPS,
            models=[
                status_pb2.ModelInfo(name=file.name, version=file.version, sha256=file.sha256)
                for file in self._planner.files
            ],
        )

    def _plan_request(self, request: pb.GenerateRequest) -> PlanRequest:
        has, settings = request.HasField, self._settings
        return PlanRequest(
            text=request.text,
            seconds=request.seconds,
            seed=request.seed if has("seed") else secrets.randbits(31),
            temperature=request.temperature if has("temperature") else settings.temperature,
            top_p=request.top_p if has("top_p") else settings.top_p,
            thinking=request.thinking if has("thinking") else True,
        )

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        token = self._settings.upstream_token
        return metadata(token.get_secret_value() if token else None)


class _Run:
    """One Generate call in flight. ``out`` gets its answers in order: an exception is the end, so is None."""

    def __init__(self, plan: PlanRequest, call: DecoderCall, fps: float, began: float) -> None:
        self.out: asyncio.Queue[pb.GenerateResponse | Exception | None] = asyncio.Queue()
        self._plan, self._call, self._fps, self._began = plan, call, fps, began
        # Whole blocks are planned; frames beyond what was asked for are cut off at the end.
        self._wanted = max(1, round(plan.seconds * fps)) if plan.seconds else 0
        self._header = asyncio.Event()
        self._planned = asyncio.Event()
        self._frames = self._blocks = 0
        self._first: float | None = None
        self._ending = Ending.COMPLETE

    async def write(self, plans: PlanMaker) -> None:
        """Pass the plan on to the decoder and to the caller, who hears nothing before the header."""
        try:
            async with aclosing(plans.plan(self._plan)) as events:
                async for event in events:
                    match event:
                        case Words(text):
                            answer = pb.GenerateResponse(thought=pb.Thought(text=text))
                        case Block():
                            self._call.send(event)
                            tokens = pb.PlanTokens(start_block=self._blocks, blocks=[to_proto(event)])
                            answer = pb.GenerateResponse(plan_tokens=tokens)
                            self._blocks += 1
                        case Ended(ending):
                            self._ending = ending
                            continue
                    await self._header.wait()
                    self.out.put_nowait(answer)
            self._call.close()
            self._planned.set()
        except Exception as error:
            self.out.put_nowait(error)

    async def read(self) -> None:
        """Pass header and frames on to the caller."""
        try:
            async for message in self._call.messages():
                match message.WhichOneof("part"):
                    case "header":
                        header = message.header
                        if self._wanted:
                            # Resampling ends at the last model frame, which may be one short of what was asked for.
                            self._wanted = min(self._wanted, header.expected_frames or self._wanted)
                            header.expected_frames = self._wanted
                        self.out.put_nowait(pb.GenerateResponse(header=header))
                        self._header.set()
                    case "motion":
                        self._send(message.motion)
                if self._wanted and self._frames >= self._wanted and self._planned.is_set():
                    break  # what is left would be cut off
            await self._planned.wait()
            self.out.put_nowait(None)
        except Exception as error:
            self.out.put_nowait(error)

    def _send(self, chunk: motion_pb2.MotionChunk) -> None:
        if self._wanted:
            chunk = cut_chunk(chunk, self._wanted - self._frames)
        if chunk.num_frames <= 0:
            return
        if self._first is None:
            self._first = time.perf_counter() - self._began
        self._frames += chunk.num_frames
        self.out.put_nowait(pb.GenerateResponse(motion=chunk))

    def status(self) -> pb.GenerateResponse:
        return pb.GenerateResponse(
            status=status_pb2.StreamStatus(
                finish_reason=_ENDINGS[self._ending],
                num_frames=self._frames,
                seconds=self._frames / self._fps,
                num_blocks=self._blocks,
                first_frame_seconds=self._first or 0.0,
                total_seconds=time.perf_counter() - self._began,
            )
        )

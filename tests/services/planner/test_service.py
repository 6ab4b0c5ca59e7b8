"""PlannerService over gRPC, with the real decoder and tokenizer services behind it, all with random weights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from kinesphere.v1 import (
    decoder_pb2,
    motion_pb2,
    planner_pb2,
    planner_pb2_grpc,
    status_pb2,
)
from services.common.metrics import Metrics
from services.common.server import Server
from services.decoder.__main__ import build as build_decoder
from services.decoder.settings import DecoderSettings
from services.planner.__main__ import build as build_planner
from services.planner.engines.onnx import OnnxLanguageModel
from services.planner.settings import PlannerSettings
from services.tokenizer.__main__ import build as build_tokenizer
from services.tokenizer.settings import TokenizerSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def serving(build: Any, settings: Any) -> AsyncIterator[Server]:
    metrics = Metrics()
    async with build(settings, metrics) as services:
        server = Server(settings, services, metrics=metrics)
        await server.start()
        try:
            yield server
        finally:
            await server.stop(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream(tiny_models: Path) -> AsyncIterator[dict[str, str]]:
    """Addresses of a decoder and a tokenizer service."""
    async with AsyncExitStack() as stack:
        decoder = await stack.enter_async_context(
            serving(build_decoder, DecoderSettings(port=0, models=tiny_models, model_workers=1))
        )
        tokenizer = await stack.enter_async_context(
            serving(build_tokenizer, TokenizerSettings(port=0, models=tiny_models, model_workers=1))
        )
        yield {"decoder": decoder.address, "tokenizer": tokenizer.address}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planner(upstream: dict[str, str], models_dir: Path) -> AsyncIterator[Any]:
    settings = PlannerSettings(port=0, models=models_dir, max_rows=4, max_thought=12, **upstream)
    async with (
        serving(build_planner, settings) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield planner_pb2_grpc.PlannerServiceStub(channel)


async def generate(planner: Any, **fields: Any) -> list[planner_pb2.GenerateResponse]:
    request = planner_pb2.GenerateRequest(
        **{"text": "a person waves with the right hand", "seed": 3, **fields}
    )
    return [message async for message in planner.Generate(request, timeout=120)]


def kinds(messages: list[planner_pb2.GenerateResponse]) -> list[str]:
    return [str(message.WhichOneof("part")) for message in messages]


def blocks_of(messages: list[planner_pb2.GenerateResponse]) -> list[tuple[int, ...]]:
    return [(b.semantic, *b.detail) for m in messages for b in m.plan_tokens.blocks]


def frames_of(messages: list[planner_pb2.GenerateResponse]) -> np.ndarray:
    chunks = [m.motion for m in messages if m.WhichOneof("part") == "motion"]
    starts = np.cumsum([0] + [chunk.num_frames for chunk in chunks])
    assert [chunk.start_frame for chunk in chunks] == starts[:-1].tolist()
    for chunk in chunks:
        assert len(chunk.rotations) == 88 * chunk.num_frames
        assert len(chunk.translation) == 3 * chunk.num_frames
    return np.concatenate([np.reshape(chunk.positions, (-1, 22, 3)) for chunk in chunks])


@pytest.mark.parametrize("mode", [decoder_pb2.DECODER_MODE_DIFFUSION, decoder_pb2.DECODER_MODE_DIRECT])
async def test_one_call_gives_header_thought_plan_motion_status(planner: Any, mode: Any) -> None:
    messages = await generate(planner, seconds=3.0, decoder_mode=mode)
    order = kinds(messages)
    assert order[0] == "header"
    assert order[-1] == "status"
    assert order.count("header") == order.count("status") == 1
    assert order.index("thought") < order.index("plan_tokens") < order.index("motion")
    header, status = messages[0].header, messages[-1].status
    assert header.seed == 3
    assert header.fps == 20
    assert header.expected_frames == status.num_frames == 60
    assert status.num_blocks == len(blocks_of(messages)) == 4
    assert status.finish_reason == status_pb2.FINISH_REASON_LENGTH
    assert 0 < status.first_frame_seconds <= status.total_seconds
    positions = frames_of(messages)
    assert positions.shape == (60, 22, 3)
    assert np.isfinite(positions).all()


async def test_a_seed_makes_the_same_motion_again_among_others(planner: Any) -> None:
    alone = await generate(planner, seconds=2.4)
    together = await asyncio.gather(*(generate(planner, seconds=2.4, seed=seed) for seed in (8, 3, 9, 10)))
    assert blocks_of(alone) == blocks_of(together[1])
    assert blocks_of(alone) != blocks_of(together[0])
    np.testing.assert_allclose(frames_of(alone), frames_of(together[1]), atol=1e-4)


async def test_temperature_and_nucleus_are_honoured(planner: Any) -> None:
    """Next to no temperature, or a nucleus of one token, leaves nothing to the seed."""

    async def plans(**fields: Any) -> set[tuple[tuple[int, ...], ...]]:
        made = [
            await generate(planner, seconds=1.6, thinking=False, seed=seed, **fields) for seed in (1, 2, 3)
        ]
        return {tuple(blocks_of(messages)) for messages in made}

    cold, narrow = await plans(temperature=1e-3), await plans(temperature=1.0, top_p=1e-6)
    assert len(cold) == 1
    assert cold == narrow
    assert len(await plans(temperature=1.0, top_p=1.0)) == 3


async def test_frames_leave_while_the_plan_is_still_being_written(
    planner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = OnnxLanguageModel.step

    def step(model: OnnxLanguageModel, tokens: Any) -> Any:
        time.sleep(0.03)  # a language model that takes its time, whatever else the machine does
        return quick(model, tokens)

    monkeypatch.setattr(OnnxLanguageModel, "step", step)
    order = kinds(await generate(planner, seconds=20.0, thinking=False))
    assert "thought" not in order
    assert order.index("motion") < len(order) - 1 - order[::-1].index("plan_tokens")


async def test_a_minute_is_planned_in_passes(planner: Any) -> None:
    messages = await generate(planner, seconds=60.0, decoder_mode=decoder_pb2.DECODER_MODE_DIRECT)
    assert messages[-1].status.num_frames == 1200
    assert messages[-1].status.num_blocks == 75
    starts = [m.plan_tokens.start_block for m in messages if m.WhichOneof("part") == "plan_tokens"]
    assert starts == list(range(75))
    assert len(set(blocks_of(messages))) > 12  # later passes go on, they do not repeat the first
    assert len(frames_of(messages)) == 1200


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(9.8, 20, 196), (1.0, 30, 30), (0.05, 20, 1), (4.0, 60, 238)]
)
async def test_the_length_asked_for_is_kept(planner: Any, seconds: float, fps: float, frames: int) -> None:
    messages = await generate(planner, seconds=seconds, fps=fps, thinking=False)
    assert messages[0].header.fps == fps
    assert messages[0].header.expected_frames == messages[-1].status.num_frames == len(frames_of(messages))
    assert abs(messages[-1].status.num_frames - frames) <= 1


async def test_the_model_may_decide_the_length(planner: Any) -> None:
    status = (await generate(planner, thinking=False, temperature=1.5))[-1].status
    assert 1 <= status.num_blocks <= 14
    assert status.num_frames == 16 * status.num_blocks


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"text": ""}, "text"), ({"text": "  \n"}, "text"), ({"text": "walk " * 10_000}, "text"),
        ({"seconds": 61}, "seconds"), ({"seconds": float("nan")}, "seconds"), ({"seed": -1}, "seed"),
        ({"temperature": 0}, "temperature"), ({"temperature": 3}, "temperature"), ({"top_p": 0}, "top_p"),
        ({"fps": 0}, "fps"), ({"decoder_mode": 9}, "decoder_mode"),
    ],
)  # fmt: skip
async def test_a_bad_field_is_named(planner: Any, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await generate(planner, **fields)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert named in str(caught.value.details())


@pytest.mark.parametrize("text", ["🕺🕺🕺", "走る", "</answer><eos><sem_1>", "a\x00b", "e\u0301" * 900])
async def test_any_text_makes_a_motion(planner: Any, text: str) -> None:
    assert (await generate(planner, text=text, seconds=0.8))[-1].status.num_frames == 16


async def test_a_caller_who_leaves_frees_the_row(planner: Any) -> None:
    async def leave() -> None:
        call = planner.Generate(planner_pb2.GenerateRequest(text="run", seconds=60, seed=1), timeout=120)
        async for message in call:
            if message.WhichOneof("part") == "plan_tokens":
                call.cancel()
                return

    await asyncio.gather(*(leave() for _ in range(8)))
    assert (await generate(planner, seconds=0.8))[-1].status.num_blocks == 1


async def test_a_deadline_ends_the_call(planner: Any) -> None:
    request = planner_pb2.GenerateRequest(text="run", seconds=60, seed=1)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in planner.Generate(request, timeout=0.2):
            pass
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_without_a_decoder_the_call_is_unavailable(upstream: dict[str, str], models_dir: Path) -> None:
    settings = PlannerSettings(
        port=0, models=models_dir, **{**upstream, "decoder": "127.0.0.1:9"}, default_deadline=20
    )
    async with (
        serving(build_planner, settings) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await generate(planner_pb2_grpc.PlannerServiceStub(channel), seconds=1)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "the decoder service does not answer"


async def test_without_a_tokenizer_there_are_plans_but_no_captions(
    upstream: dict[str, str], models_dir: Path
) -> None:
    settings = PlannerSettings(port=0, models=models_dir, **{**upstream, "tokenizer": "127.0.0.1:9"})
    async with (
        serving(build_planner, settings) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = planner_pb2_grpc.PlannerServiceStub(channel)
        motion = motion_pb2.Motion(fps=20, num_frames=16, positions=np.tile(_standing(), (16, 1, 1)).ravel())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Caption(planner_pb2.CaptionRequest(motion=motion), timeout=30)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the tokenizer service does not answer"
        assert (await generate(stub, seconds=0.8))[-1].status.num_frames == 16


async def test_more_than_rows_and_queue_are_refused(upstream: dict[str, str], models_dir: Path) -> None:
    settings = PlannerSettings(port=0, models=models_dir, max_rows=1, max_waiting=1, **upstream)
    async with (
        serving(build_planner, settings) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub = planner_pb2_grpc.PlannerServiceStub(channel)
        results = await asyncio.gather(
            *(generate(stub, seconds=20, seed=i, thinking=False) for i in range(8)), return_exceptions=True
        )
    refused = [r for r in results if isinstance(r, grpc.aio.AioRpcError)]
    assert {r.code() for r in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    finished = [r for r in results if isinstance(r, list)]
    assert len(refused) + len(finished) == 8
    assert finished
    assert all(r[-1].status.num_frames == 400 for r in finished)


async def test_caption_puts_a_motion_into_words(planner: Any) -> None:
    motion = motion_pb2.Motion(fps=20, num_frames=64, positions=np.tile(_standing(), (64, 1, 1)).ravel())
    first = await planner.Caption(planner_pb2.CaptionRequest(motion=motion, max_tokens=12))
    again = await planner.Caption(planner_pb2.CaptionRequest(motion=motion, max_tokens=12))
    assert first.caption == again.caption
    assert 1 <= first.num_tokens <= 12
    long = motion_pb2.Motion(fps=120, num_frames=6000, positions=np.tile(_standing(), (6000, 1, 1)).ravel())
    for most in (1, 4):
        answer = await planner.Caption(planner_pb2.CaptionRequest(motion=long, max_tokens=most))
        assert 1 <= answer.num_tokens <= most


async def test_a_bad_motion_is_named(planner: Any) -> None:
    for motion, named in (
        (motion_pb2.Motion(fps=20, num_frames=4, positions=[0.0] * 7), "motion.positions"),
        (motion_pb2.Motion(fps=20, num_frames=1, positions=[float("nan")] * 66), "motion.positions"),
        (motion_pb2.Motion(fps=0, num_frames=1, positions=[0.0] * 66), "motion.fps"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await planner.Caption(planner_pb2.CaptionRequest(motion=motion))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert named in str(caught.value.details())


async def test_describe_says_what_is_served(planner: Any) -> None:
    answer = await planner.Describe(planner_pb2.PlannerServiceDescribeRequest())
    assert answer.language_model == "planner_compact"
    assert answer.engine == "onnxruntime"
    assert answer.max_blocks_per_pass == 14
    assert {m.name for m in answer.models} >= {"planner_compact", "planner_compact_prefix"}
    assert all(len(model.sha256) == 64 for model in answer.models)


def _standing() -> np.ndarray:
    from kinesphere.motion import Motion

    still = np.zeros((1, 22, 4), np.float32)
    still[..., 0] = 1
    return Motion.from_rotations(np.array([[0, 0.95, 0]], np.float32), still, 20).positions

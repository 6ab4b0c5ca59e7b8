"""The Python clients against a real gRPC server: streams put together, errors as this library's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from kinesphere import wire
from kinesphere.client import AsyncClient, Client, ServiceError, generate_request
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.rotations import about_y
from kinesphere.v1 import motion_pb2, planner_pb2, planner_pb2_grpc, skeleton_pb2, tokens_pb2
from kinesphere.v1 import status_pb2 as ends_pb2


def turning(frames: int) -> Motion:
    rotations = np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (frames, 22, 1))
    rotations[:, 0] = about_y(np.linspace(0, 2, frames))
    translation = np.stack([np.linspace(0, 1, frames), np.full(frames, 0.9), np.zeros(frames)], axis=1)
    return Motion.from_rotations(translation.astype(np.float32), rotations, 20)


MOTION = turning(48)


class Planner(planner_pb2_grpc.PlannerServiceServicer):
    """Answers with MOTION in chunks of 20 frames; the text says which failure to show instead."""

    def Generate(self, request: Any, context: Any) -> Iterator[planner_pb2.GenerateResponse]:
        if request.text.startswith("fail"):
            context.abort_with_status(rpc_status.to_status(FAILURES[request.text.split()[1]]))
        part = planner_pb2.GenerateResponse
        body = wire.to_proto(MOTION).skeleton
        yield part(header=motion_pb2.MotionHeader(skeleton=body, fps=20, seed=request.seed or 11))
        yield part(thought=planner_pb2.Thought(text="turn "))
        yield part(thought=planner_pb2.Thought(text="left"))
        blocks = [tokens_pb2.TokenBlock(semantic=index, detail=[1, 2, 3, index]) for index in range(3)]
        yield part(plan_tokens=planner_pb2.PlanTokens(blocks=blocks))
        for start in range(0, 48, 20):
            piece = MOTION.slice(start, min(48, start + 20))
            yield part(
                motion=motion_pb2.MotionChunk(
                    start_frame=start + (request.text == "gap" and start > 0),
                    num_frames=piece.num_frames,
                    translation=piece.translation.ravel(),
                    rotations=piece.rotations.ravel(),
                )
            )
        if request.text != "cut off":
            yield part(
                status=ends_pb2.StreamStatus(finish_reason=ends_pb2.FINISH_REASON_LENGTH, num_frames=48)
            )

    def Caption(self, request: Any, context: Any) -> planner_pb2.CaptionResponse:
        frames = wire.from_proto(request.motion).num_frames
        return planner_pb2.CaptionResponse(caption=f"{frames} frames of turning")


def failure(code: grpc.StatusCode, *details: Any) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message="no")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


BAD = error_details_pb2.BadRequest()
BAD.field_violations.add(field="seconds", description="is more than 60")
RETRY = error_details_pb2.RetryInfo()
RETRY.retry_delay.FromMilliseconds(1500)
FAILURES = {
    "input": failure(
        grpc.StatusCode.INVALID_ARGUMENT, error_details_pb2.ErrorInfo(reason="INVALID_INPUT"), BAD
    ),
    "full": failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED, error_details_pb2.ErrorInfo(reason="QUEUE_FULL"), RETRY
    ),
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    planner_pb2_grpc.add_PlannerServiceServicer_to_server(Planner(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_stream_becomes_a_motion(address: str) -> None:
    seen: list[str | None] = []
    with Client(address) as client:
        made = client.generate(
            "turn", seed=5, on_message=lambda message: seen.append(message.WhichOneof("part"))
        )
    np.testing.assert_allclose(made.motion.positions, MOTION.positions, atol=1e-6)
    np.testing.assert_allclose(made.motion.rotations, MOTION.rotations, atol=1e-6)
    assert made.motion.fps == 20
    assert made.thought == "turn left"
    assert made.blocks == ((0, (1, 2, 3, 0)), (1, (1, 2, 3, 1)), (2, (1, 2, 3, 2)))
    assert (made.seed, made.finish_reason) == (5, "LENGTH")
    assert seen == ["header", "thought", "thought", "plan_tokens", "motion", "motion", "motion", "status"]


async def test_the_asynchronous_client_says_the_same(address: str) -> None:
    async with AsyncClient(address) as client:
        one, two = await asyncio.gather(client.generate("turn", seed=1), client.generate("turn", seed=2))
        assert await client.caption(MOTION) == "48 frames of turning"
        with pytest.raises(InputError, match="seconds"):
            await client.generate("fail input")
    assert (one.seed, two.seed) == (1, 2)
    np.testing.assert_array_equal(one.motion.positions, two.motion.positions)


def test_bad_input_names_the_field(address: str) -> None:
    with Client(address) as client, pytest.raises(InputError) as refusal:
        client.generate("fail input")
    assert (refusal.value.field, refusal.value.reason) == ("seconds", "is more than 60")


def test_other_failures_say_when_to_try_again(address: str) -> None:
    with Client(address) as client, pytest.raises(ServiceError) as refusal:
        client.generate("fail full")
    error = refusal.value
    assert (error.code, error.reason, error.retry_after) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL", 1.5)


def test_nobody_there_is_unavailable() -> None:
    with Client("127.0.0.1:1", timeout=5) as client, pytest.raises(ServiceError, match="UNAVAILABLE"):
        client.generate("turn")


@pytest.mark.parametrize("text", ["gap", "cut off"])
def test_a_stream_with_something_missing_is_no_motion(address: str, text: str) -> None:
    with Client(address) as client, pytest.raises(ServiceError, match="DATA_LOSS"):
        client.generate(text)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"text": "walk", "decoder": "magic"}, "decoder_mode"),
        ({"text": "walk", "seed": 2**64}, "seed"),
        ({"text": "\ud800"}, "text"),
    ],
)
def test_what_protobuf_cannot_hold_is_refused_before_sending(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refusal:
        generate_request(**options)
    assert refusal.value.field == field


def test_a_skeleton_travels_with_its_motion() -> None:
    body = wire.from_proto(wire.to_proto(MOTION)).skeleton
    assert body.names == MOTION.skeleton.names
    np.testing.assert_allclose(body.offsets, MOTION.skeleton.offsets)
    assert isinstance(wire.to_proto(MOTION).skeleton, skeleton_pb2.Skeleton)

"""Bad requests to a real server: the field is named, the limit told, no traceback, the server lives on."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import pytest
import structlog

from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_NAMES, PARENTS
from kinesphere.v1 import decoder_pb2, motion_pb2, planner_pb2, tokenizer_pb2, tokens_pb2
from services.common import convert

Generate = planner_pb2.GenerateRequest


def a_motion(frames: int = 4, **changes: Any) -> motion_pb2.Motion:
    rotations = np.tile(np.float32([1, 0, 0, 0]), (frames, 22, 1))
    message = convert.motion_to_proto(Motion.from_rotations(np.zeros((frames, 3)), rotations, 20))
    for name, value in changes.items():
        if isinstance(value, (list, tuple)):
            getattr(message, name)[:] = value
        else:
            setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        (Generate(), "text", "at least 1"),
        (Generate(text=" \n\t"), "text", "blanks"),
        (Generate(text="\u00a0\u3000"), "text", "blanks"),
        (Generate(text="\x00\x1b\u200b\ufeff"), "text", "blanks"),
        (Generate(text="walk " * 10_000), "text", "at most 2000"),
        (Generate(text="walk", seconds=-1), "seconds", "less than or equal to 60"),
        (Generate(text="walk", seconds=61), "seconds", "less than or equal to 60"),
        (Generate(text="walk", seconds=math.nan), "seconds", "finite"),
        (Generate(text="walk", seed=-1), "seed", "greater than or equal to 0"),
        (Generate(text="walk", temperature=0), "temperature", "greater than 0"),
        (Generate(text="walk", temperature=math.inf), "temperature", "2"),
        (Generate(text="walk", top_p=1.5), "top_p", "less than or equal to 1"),
        (Generate(text="walk", fps=0), "fps", "10"),
        (Generate(text="walk", fps=240), "fps", "60"),
        (Generate(text="walk", decoder_mode=9), "decoder_mode", "defined"),
        (Generate(text="bad word"), "text", "bad word"),
    ],
)
async def test_generate_names_the_field(
    running: Any, refused: Callable[[Any], Awaitable[Any]], request_: Any, field: str, says: str
) -> None:
    error = await refused(running.planner.Generate(request_))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_INPUT"
    assert list(error.fields) == [field]
    assert says in error.fields[field]
    assert "Traceback" not in error.message
    assert await running.generate("🕺 dances 舞") == ["🕺 dances 舞", "end"]


async def test_every_wrong_field_is_named(running: Any, refused: Callable[[Any], Awaitable[Any]]) -> None:
    error = await refused(running.planner.Generate(Generate(seconds=99, seed=-5, fps=1)))
    assert set(error.fields) == {"text", "seconds", "seed", "fps"}


SHORT = [0.0] * 12


@pytest.mark.parametrize(
    ("motion", "field", "says"),
    [
        (motion_pb2.Motion(), "motion.fps", "greater than or equal to 1"),
        (a_motion(fps=0), "motion.fps", "greater than or equal to 1"),
        (a_motion(fps=math.nan), "motion.fps", "finite"),
        (a_motion(fps=1e9), "motion.fps", "480"),
        (a_motion(num_frames=0), "motion.num_frames", "1"),
        (a_motion(num_frames=10**9), "motion.num_frames", "12000"),
        (a_motion(num_frames=5), "motion.translation", "expected 5 x 3 = 15"),
        (a_motion(rotations=SHORT), "motion.rotations", "4 x 22 x 4"),
        (a_motion(rotations=[]), "motion.rotations", "is empty"),
        (a_motion(rotations=[], translation=[], positions=[]), "motion.rotations", "is empty"),
        (a_motion(rotations=[0.0] * 352), "motion.rotations", "unit quaternions"),
        (a_motion(translation=[0.0] * 11 + [math.nan]), "motion.translation", "[3][2] is nan"),
        (a_motion(translation=[1e7] + [0.0] * 11), "motion.translation", "beyond 10000"),
        (a_motion(rotations=[], translation=[], positions=[math.inf] * 264), "motion.positions", "is inf"),
        (a_motion(fps=1, num_frames=700), "motion.num_frames", "at most 600 s"),
        (a_motion(betas=[math.nan]), "motion.betas[0]", "finite"),
        (a_motion(person_id="x" * 65), "motion.person_id", "64"),
    ],
)
async def test_motion_names_the_field(
    running: Any, refused: Callable[[Any], Awaitable[Any]], motion: Any, field: str, says: str
) -> None:
    error = await refused(running.planner.Caption(planner_pb2.CaptionRequest(motion=motion)))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert field in error.fields
    assert says in error.fields[field]
    good = await running.planner.Caption(planner_pb2.CaptionRequest(motion=a_motion()))
    assert good.caption == "4 frames"


async def test_a_body_without_legs(running: Any, refused: Callable[[Any], Awaitable[Any]]) -> None:
    motion = a_motion()
    motion.skeleton.offsets[3 * 5 : 3 * 6] = [0.0, 0.005, 0.0]
    error = await refused(running.tokenizer.Encode(tokenizer_pb2.EncodeRequest(motion=motion)))
    assert error.fields == {"motion.skeleton.offsets": "right_knee is less than 0.01 m from right_hip"}


async def test_missing_motion(running: Any, refused: Callable[[Any], Awaitable[Any]]) -> None:
    error = await refused(running.tokenizer.Encode(tokenizer_pb2.EncodeRequest()))
    assert error.fields == {"motion": "value is required"}


@pytest.mark.parametrize(
    ("names", "parents", "field"),
    [
        (JOINT_NAMES[:21], PARENTS, "motion.skeleton.joint_names"),
        ((*JOINT_NAMES, "tail"), PARENTS, "motion.skeleton.joint_names"),
        (("hips", *JOINT_NAMES[1:]), PARENTS, "motion.skeleton.joint_names[0]"),
        (JOINT_NAMES, (1, 0, *PARENTS[2:]), "motion.skeleton.parents"),
        (JOINT_NAMES, (-2, *PARENTS[1:]), "motion.skeleton.parents[0]"),
    ],
)
async def test_skeleton_names_the_field(
    running: Any, refused: Callable[[Any], Awaitable[Any]], names: Any, parents: Any, field: str
) -> None:
    motion = a_motion()
    motion.skeleton.joint_names[:] = names
    motion.skeleton.parents[:] = parents
    error = await refused(running.tokenizer.Encode(tokenizer_pb2.EncodeRequest(motion=motion)))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(error.fields) == [field]


@pytest.mark.parametrize(
    ("blocks", "field"),
    [
        ([], "tokens.blocks"),
        ([(0, [1, 2, 3])], "tokens.blocks[0].detail"),
        ([(0, [1, 2, 3, 4]), (-1, [1, 2, 3, 4])], "tokens.blocks[1].semantic"),
        ([(512, [1, 2, 3, 4])], "tokens.blocks[0].semantic"),
        ([(0, [1, 2, 3, 4]), (1, [1, 2, 512, 4])], "tokens.blocks[1].detail[2]"),
        ([(0, [1, 2, 3, 4, 5])], "tokens.blocks[0].detail"),
        ([(0, [1, 2, 3, 4])] * 751, "tokens.blocks"),
    ],
)
async def test_tokens_name_the_field(
    running: Any, refused: Callable[[Any], Awaitable[Any]], blocks: Any, field: str
) -> None:
    tokens = tokens_pb2.MotionTokens(
        blocks=[tokens_pb2.TokenBlock(semantic=semantic, detail=detail) for semantic, detail in blocks]
    )
    error = await refused(
        running.tokenizer.Decode(tokenizer_pb2.TokenizerServiceDecodeRequest(tokens=tokens))
    )
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(error.fields) == [field]


async def test_every_message_of_a_stream_is_checked(
    running: Any, refused: Callable[[Any], Awaitable[Any]]
) -> None:
    def messages(bad: bool) -> list[Any]:
        start = decoder_pb2.DecoderServiceDecodeRequest(start=decoder_pb2.DecodeStart(seed=1))
        block = tokens_pb2.TokenBlock(semantic=-7 if bad else 7, detail=[1, 2, 3, 4])
        tokens = decoder_pb2.DecoderServiceDecodeRequest(tokens=tokens_pb2.MotionTokens(blocks=[block]))
        return [start, tokens]

    good = [answer async for answer in running.decoder.Decode(iter(messages(bad=False)))]
    assert good[0].header.fps == 20
    assert list(good[0].header.skeleton.joint_names) == list(JOINT_NAMES)
    assert good[-1].status.num_blocks == 1
    error = await refused(running.decoder.Decode(iter(messages(bad=True))))
    assert list(error.fields) == ["tokens.blocks[0].semantic"]
    empty = await refused(running.decoder.Decode(iter([decoder_pb2.DecoderServiceDecodeRequest()])))
    assert list(empty.fields) == ["part"]


async def test_a_fault_of_the_server_tells_nothing_but_an_id(
    running: Any, refused: Callable[[Any], Awaitable[Any]]
) -> None:
    with structlog.testing.capture_logs() as lines:
        error = await refused(running.planner.Generate(Generate(text="fault")))
    assert error.code == grpc.StatusCode.INTERNAL
    assert error.reason == "INTERNAL"
    assert "secret" not in error.message
    assert len(error.error_id) == 32
    logged = [line for line in lines if line.get("error_id") == error.error_id]
    assert isinstance(logged[0]["exc_info"], ZeroDivisionError)


async def test_unknown_method_and_garbage(running: Any, refused: Callable[[Any], Awaitable[Any]]) -> None:
    unknown = running.channel.unary_unary("/kinesphere.v1.PlannerService/Fly")
    assert (await refused(unknown(b""))).code == grpc.StatusCode.UNIMPLEMENTED
    garbage = running.channel.unary_unary("/kinesphere.v1.PlannerService/Caption")
    for data in (b"\xff\xff\xff not a message", b"\x0a\x02\xff\xff"):
        error = await refused(garbage(data))
        assert error.code == grpc.StatusCode.INVALID_ARGUMENT
        assert error.reason == "INVALID_INPUT"
    bad_utf8 = running.channel.unary_stream("/kinesphere.v1.PlannerService/Generate")
    assert (await refused(bad_utf8(b"\x0a\x02\xff\xff"))).code == grpc.StatusCode.INVALID_ARGUMENT
    assert await running.generate() == ["walk", "end"]

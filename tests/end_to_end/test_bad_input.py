"""Bad input of every RPC, sent to the real services: a status that names the field, no traceback, and nobody dies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from kinesphere import wire
from kinesphere.cli.stack import HOST, SERVICES, Stack
from kinesphere.motion import Motion
from kinesphere.v1 import decoder_pb2 as d
from kinesphere.v1 import decoder_pb2_grpc, planner_pb2_grpc, tokenizer_pb2_grpc, tokens_pb2
from kinesphere.v1 import motion_pb2 as m
from kinesphere.v1 import planner_pb2 as p
from kinesphere.v1 import tokenizer_pb2 as t

STUBS: dict[str, Callable[[grpc.Channel], Any]] = {
    "planner": planner_pb2_grpc.PlannerServiceStub,
    "tokenizer": tokenizer_pb2_grpc.TokenizerServiceStub,
    "decoder": decoder_pb2_grpc.DecoderServiceStub,
}
DESCRIBE = {
    "planner": p.PlannerServiceDescribeRequest(),
    "tokenizer": t.TokenizerServiceDescribeRequest(),
    "decoder": d.DecoderServiceDescribeRequest(),
}
STILL = Motion.from_rotations(
    np.tile(np.array([0, 0.9, 0], dtype=np.float32), (32, 1)),
    np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (32, 22, 1)),
    20,
)


def motion(**changes: Any) -> m.Motion:
    """A motion that is fine but for the changes."""
    message = wire.to_proto(STILL)
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(message, name)[:]
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


def with_nan() -> m.Motion:
    message = motion()
    message.rotations[17] = math.nan
    return message


def with_joints(count: int) -> m.Motion:
    """``count`` joints in the skeleton and in the arrays."""
    message = motion(rotations=[1.0, 0.0, 0.0, 0.0] * (32 * count))
    body = message.skeleton
    for name, values in (
        ("joint_names", [f"joint{index}" for index in range(count)]),
        ("parents", list(range(-1, count - 1))),
        ("offsets", [0.1] * (3 * count)),
    ):
        del getattr(body, name)[:]
        getattr(body, name).extend(values)
    return message


def with_body(**changes: Any) -> m.Motion:
    message = motion()
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(message.skeleton, name)[:]
            getattr(message.skeleton, name).extend(value)
        else:
            setattr(message.skeleton, name, value)
    return message


def blocks(*values: tuple[int, tuple[int, ...]]) -> tokens_pb2.MotionTokens:
    made = [tokens_pb2.TokenBlock(semantic=semantic, detail=detail) for semantic, detail in values]
    return tokens_pb2.MotionTokens(blocks=made)


def start(**options: Any) -> d.DecoderServiceDecodeRequest:
    return d.DecoderServiceDecodeRequest(start=d.DecodeStart(**options))


def tokens(*values: tuple[int, tuple[int, ...]]) -> d.DecoderServiceDecodeRequest:
    return d.DecoderServiceDecodeRequest(tokens=blocks(*values))


def direct(*values: tuple[int, tuple[int, ...]], **options: Any) -> t.TokenizerServiceDecodeRequest:
    return t.TokenizerServiceDecodeRequest(tokens=blocks(*values), **options)


GOOD = (1, (1, 2, 3, 4))
WORDS = " ".join(["walk"] * 10_000)
BAD_MOTIONS = {
    "none": (None, "motion"),
    "NaN": (with_nan(), "motion.rotations"),
    "infinite": (motion(translation=[math.inf] * 96), "motion.translation"),
    "fps 0": (motion(fps=0), "motion.fps"),
    "fps NaN": (motion(fps=math.nan), "motion.fps"),
    "no frames": (motion(num_frames=0), "motion.num_frames"),
    "a billion frames": (motion(num_frames=1_000_000_000), "motion.num_frames"),
    "negative frames": (motion(num_frames=-1), "motion.num_frames"),
    "wrong count": (motion(num_frames=31), "motion.translation"),
    "21 joints": (with_joints(21), "motion.skeleton.joint_names"),
    "55 joints": (with_joints(55), "motion.skeleton.joint_names"),
    "zero quaternion": (motion(rotations=[0.0] * (32 * 22 * 4)), "motion.rotations"),
    "nothing": (m.Motion(), "motion.fps"),
    "other skeleton": (with_body(name="smplx"), "motion.skeleton.name"),
    "no bones": (with_body(offsets=[0.0] * 66), "motion.skeleton.offsets"),
    "bones of NaN": (with_body(offsets=[math.nan] * 66), "motion.skeleton.offsets"),
    "a cycle of bones": (with_body(parents=[1, 0, *range(20)]), "motion.skeleton.parents"),
}
Case = tuple[str, str, Any, str]


def motion_cases(
    rpc: str, service: str, wrap: Callable[[m.Motion | None], Any], prefix: str = ""
) -> Iterator[Case]:
    """Every bad motion as the part of a request whose path starts with ``prefix``."""
    for name, (message, field) in BAD_MOTIONS.items():
        if name == "none" and prefix:  # then something else is missing, or nothing
            continue
        yield (
            service,
            rpc,
            wrap(message),
            prefix + (field.replace("motion", "history") if rpc == "Decode" else field),
        )


def embed(bad: m.Motion | None) -> t.EmbedRequest:
    return t.EmbedRequest(inputs=[t.EmbedInput(text="walk"), t.EmbedInput(motion=bad)])


def search(bad: m.Motion | None) -> t.SearchRequest:
    return t.SearchRequest(query=t.EmbedInput(motion=bad))


def follow(bad: m.Motion | None) -> list[d.DecoderServiceDecodeRequest]:
    return [start(history=bad), tokens(GOOD)]


CASES: list[Case] = [
    ("planner", "Generate", p.GenerateRequest(), "text"),
    ("planner", "Generate", p.GenerateRequest(text=" \n\t "), "text"),
    ("planner", "Generate", p.GenerateRequest(text="\u00a0\u3000\u200b\x00"), "text"),
    ("planner", "Generate", p.GenerateRequest(text=WORDS), "text"),
    ("planner", "Generate", p.GenerateRequest(text="🕺" * 2001), "text"),
    ("planner", "Generate", p.GenerateRequest(text="walk", seconds=-1), "seconds"),
    ("planner", "Generate", p.GenerateRequest(text="walk", seconds=61), "seconds"),
    ("planner", "Generate", p.GenerateRequest(text="walk", seconds=math.nan), "seconds"),
    ("planner", "Generate", p.GenerateRequest(text="walk", seconds=math.inf), "seconds"),
    ("planner", "Generate", p.GenerateRequest(text="walk", seed=-1), "seed"),
    ("planner", "Generate", p.GenerateRequest(text="walk", temperature=0), "temperature"),
    ("planner", "Generate", p.GenerateRequest(text="walk", temperature=math.nan), "temperature"),
    ("planner", "Generate", p.GenerateRequest(text="walk", top_p=1.5), "top_p"),
    ("planner", "Generate", p.GenerateRequest(text="walk", top_p=0), "top_p"),
    ("planner", "Generate", p.GenerateRequest(text="walk", fps=0), "fps"),
    ("planner", "Generate", p.GenerateRequest(text="walk", fps=math.nan), "fps"),
    ("planner", "Generate", p.GenerateRequest(text="walk", fps=1e9), "fps"),
    ("planner", "Generate", p.GenerateRequest(text="walk", decoder_mode=99), "decoder_mode"),  # type: ignore[arg-type]
    *motion_cases("Caption", "planner", lambda bad: p.CaptionRequest(motion=bad)),
    ("planner", "Caption", p.CaptionRequest(motion=motion(), seed=-5), "seed"),
    ("planner", "Caption", p.CaptionRequest(motion=motion(), max_tokens=0), "max_tokens"),
    ("planner", "Caption", p.CaptionRequest(motion=motion(), max_tokens=257), "max_tokens"),
    ("planner", "Caption", p.CaptionRequest(motion=motion(), temperature=-1), "temperature"),
    ("planner", "Caption", p.CaptionRequest(motion=motion(), top_p=math.nan), "top_p"),
    *motion_cases("Encode", "tokenizer", lambda bad: t.EncodeRequest(motion=bad)),
    ("tokenizer", "Decode", t.TokenizerServiceDecodeRequest(), "tokens"),
    ("tokenizer", "Decode", direct(), "tokens.blocks"),
    ("tokenizer", "Decode", direct(GOOD, (512, (1, 2, 3, 4))), "tokens.blocks[1].semantic"),
    ("tokenizer", "Decode", direct((-1, (1, 2, 3, 4))), "tokens.blocks[0].semantic"),
    ("tokenizer", "Decode", direct((1, (1, 2, 3))), "tokens.blocks[0].detail"),
    ("tokenizer", "Decode", direct((1, (1, 2, 3, 4, 5))), "tokens.blocks[0].detail"),
    ("tokenizer", "Decode", direct((1, (1, 2, 3, 512))), "tokens.blocks[0].detail"),
    ("tokenizer", "Decode", direct(*[GOOD] * 751), "tokens.blocks"),
    ("tokenizer", "Decode", direct(GOOD, fps=0), "fps"),
    ("tokenizer", "Decode", direct(GOOD, num_frames=-1), "num_frames"),
    ("tokenizer", "Embed", t.EmbedRequest(), "inputs"),
    ("tokenizer", "Embed", t.EmbedRequest(inputs=[t.EmbedInput()]), "inputs[0].input"),
    ("tokenizer", "Embed", t.EmbedRequest(inputs=[t.EmbedInput(text="")]), "inputs[0].text"),
    ("tokenizer", "Embed", t.EmbedRequest(inputs=[t.EmbedInput(text=WORDS)]), "inputs[0].text"),
    ("tokenizer", "Embed", t.EmbedRequest(inputs=[t.EmbedInput(text="walk")] * 65), "inputs"),
    *motion_cases("Embed", "tokenizer", embed, "inputs[1]."),
    ("tokenizer", "Search", t.SearchRequest(), "query"),
    ("tokenizer", "Search", t.SearchRequest(query=t.EmbedInput(text=" ")), "query.text"),
    ("tokenizer", "Search", t.SearchRequest(query=t.EmbedInput(text="walk"), limit=0), "limit"),
    ("tokenizer", "Search", t.SearchRequest(query=t.EmbedInput(text="walk"), limit=101), "limit"),
    *motion_cases("Search", "tokenizer", search, "query."),
    ("decoder", "Decode", [], "start"),
    ("decoder", "Decode", [tokens(GOOD)], "start"),
    ("decoder", "Decode", [start(), start()], "start"),
    ("decoder", "Decode", [start(), d.DecoderServiceDecodeRequest()], "part"),
    ("decoder", "Decode", [start(fps=0)], "start.fps"),
    ("decoder", "Decode", [start(seed=-1)], "start.seed"),
    ("decoder", "Decode", [start(mode=99)], "start.mode"),
    ("decoder", "Decode", [start(expected_blocks=-1)], "start.expected_blocks"),
    ("decoder", "Decode", [start(fps=math.inf)], "start.fps"),
    ("decoder", "Decode", [start(expected_blocks=751)], "start.expected_blocks"),
    *motion_cases("Decode", "decoder", follow, "start."),
    ("decoder", "Decode", [start(), d.DecoderServiceDecodeRequest(tokens=blocks())], "tokens.blocks"),
    ("decoder", "Decode", [start(), tokens(*[GOOD] * 751)], "tokens.blocks"),
    ("decoder", "Decode", [start(), tokens((-1, (1, 2, 3, 4)))], "tokens.blocks[0].semantic"),
    ("decoder", "Decode", [start(), tokens((512, (1, 2, 3, 4)))], "tokens.blocks[0].semantic"),
    ("decoder", "Decode", [start(), tokens((1, (1, 2, 3, 512)))], "tokens.blocks[0].detail"),
    ("decoder", "Decode", [start(), tokens((1, (1,)))], "tokens.blocks[0].detail"),
    ("decoder", "Decode", [start()], "tokens"),
]


@pytest.fixture(scope="module")
def channels(stack: Stack) -> Iterator[dict[str, grpc.Channel]]:
    options = [("grpc.max_receive_message_length", -1)]
    made = {name: grpc.insecure_channel(f"{HOST}:{stack.ports.of(name)}", options) for name in SERVICES}
    yield made
    for channel in made.values():
        channel.close()


@pytest.fixture(autouse=True)
def _nobody_dies(stack: Stack, channels: dict[str, grpc.Channel]) -> Iterator[None]:
    before = {name: child.process.pid for name, child in stack.children.items()}
    yield
    assert stack.check() is None
    assert {name: child.process.pid for name, child in stack.children.items()} == before
    for name, request in DESCRIBE.items():
        assert STUBS[name](channels[name]).Describe(request, timeout=60).models


def call(channel: grpc.Channel, service: str, rpc: str, request: Any) -> grpc.RpcError:
    """The error that the call ends with."""
    method = getattr(STUBS[service](channel), rpc)
    with pytest.raises(grpc.RpcError) as failure:
        answer = method(iter(request) if isinstance(request, list) else request, timeout=60)
        if hasattr(answer, "__next__"):
            for _ in answer:
                pass
    return failure.value


def fields(error: Any) -> list[str]:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                bad = error_details_pb2.BadRequest()
                if detail.Unpack(bad):
                    return [violation.field for violation in bad.field_violations]
    return []


@pytest.mark.parametrize(
    ("service", "rpc", "request_", "field"),
    CASES,
    ids=[f"{service}.{rpc}-{index}-{field}" for index, (service, rpc, _, field) in enumerate(CASES)],
)
def test_the_field_is_named(
    channels: dict[str, grpc.Channel], service: str, rpc: str, request_: Any, field: str
) -> None:
    error: Any = call(channels[service], service, rpc, request_)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    assert fields(error)[0].startswith(field), error.details()
    assert "Traceback" not in error.details()
    assert 'File "' not in error.details()


@pytest.mark.parametrize(
    "text",
    [
        "🕺🏽" * 1000,
        "\x00\x1b[31m walk",
        "w" * 2000,
        "z̸̢a̴l̵g̶o̷ שלום 舞",
        "<think></think><answer><sem_1></answer><eos>",
    ],
    ids=["emoji", "controls", "one word", "scripts", "special tokens"],
)
def test_odd_texts_make_motion(channels: dict[str, grpc.Channel], text: str) -> None:
    request = p.GenerateRequest(
        text=text, seconds=0.8, seed=2**63 - 1, temperature=1e-300, top_p=1e-300, fps=10
    )
    answers = list(STUBS["planner"](channels["planner"]).Generate(request, timeout=60))
    assert answers[0].header.seed == 2**63 - 1
    frames = [answer.motion for answer in answers if answer.HasField("motion")]
    assert sum(chunk.num_frames for chunk in frames) == 8
    assert all(np.isfinite(chunk.positions).all() and np.isfinite(chunk.rotations).all() for chunk in frames)


@pytest.mark.slow
def test_the_longest_motion_comes_back(channels: dict[str, grpc.Channel]) -> None:
    """36,000 frames are more than the 16 MiB that the service takes; it still sends them."""
    answer = STUBS["tokenizer"](channels["tokenizer"]).Decode(direct(*[GOOD] * 750, fps=60), timeout=300)
    assert answer.motion.num_frames == 35_998


def test_a_caller_that_leaves_hurts_nobody(channels: dict[str, grpc.Channel]) -> None:
    for _ in range(5):
        stream: Any = STUBS["planner"](channels["planner"]).Generate(
            p.GenerateRequest(text="a person walks", seconds=20, seed=1), timeout=60
        )
        next(stream)
        stream.cancel()

"""TokenizerService through a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from kinesphere import wire
from kinesphere.representations.whole import motion_features
from kinesphere.rotations import about_y, multiply, rotate
from kinesphere.v1 import motion_pb2
from kinesphere.v1 import tokenizer_pb2 as pb
from services.common import convert
from tests.services.tokenizer.conftest import walking


def message(frames: int, fps: float = 20.0, seed: int = 0) -> motion_pb2.Motion:
    return convert.motion_to_proto(walking(frames, fps, seed))


async def encode(tokenizer: Any, motion: motion_pb2.Motion) -> wire.Encoded:
    return wire.encoded(await tokenizer.Encode(pb.EncodeRequest(motion=motion)))


@pytest.mark.parametrize(
    ("frames", "fps", "kept"), [(1, 20.0, 1), (16, 20.0, 16), (17, 20.0, 17), (150, 60.0, 50), (61, 30.0, 41)]
)
async def test_every_motion_becomes_whole_blocks(tokenizer: Any, frames: int, fps: float, kept: int) -> None:
    response = await tokenizer.Encode(pb.EncodeRequest(motion=message(frames, fps), with_features=True))
    blocks = -(-kept // 16)
    assert response.num_frames == kept
    assert len(response.tokens.blocks) == blocks
    assert all(len(block.detail) == 4 for block in response.tokens.blocks)
    assert list(response.semantic_features.shape) == [blocks, 256]
    assert list(response.detail_features.shape) == [4 * blocks, 256]
    assert np.isfinite(response.detail_features.values).all()
    plain = await tokenizer.Encode(pb.EncodeRequest(motion=message(frames, fps)))
    assert plain.tokens == response.tokens
    assert not plain.HasField("semantic_features")


async def test_tokens_do_not_depend_on_where_one_stands(tokenizer: Any) -> None:
    motion = walking(64)
    turn = about_y(1.3).astype(np.float32)
    rotations = motion.rotations.copy()
    rotations[:, 0] = multiply(turn, rotations[:, 0])
    moved = type(motion).from_rotations(
        rotate(turn, motion.translation) + np.float32([5, 2, -4]), rotations, 20.0
    )
    here, there = [motion_features(one) for one in (motion, moved)]
    np.testing.assert_allclose(here, there, atol=2e-4)
    a = await encode(tokenizer, convert.motion_to_proto(motion))
    b = await encode(tokenizer, convert.motion_to_proto(moved))
    same = np.mean(
        [
            x == y
            for one, other in zip(a.blocks, b.blocks, strict=True)
            for x, y in zip(one[1], other[1], strict=True)
        ]
    )
    assert same > 0.8  # a value that lies between two codes may fall either way


async def test_positions_alone_are_enough(tokenizer: Any) -> None:
    motion = walking(32)
    positions = motion_pb2.Motion(fps=20, num_frames=32, positions=motion.positions.ravel())
    assert (await encode(tokenizer, positions)).num_frames == 32


async def test_decode_gives_the_frames_asked_for(tokenizer: Any) -> None:
    tokens = (await tokenizer.Encode(pb.EncodeRequest(motion=message(40)))).tokens
    whole = (await tokenizer.Decode(pb.TokenizerServiceDecodeRequest(tokens=tokens))).motion
    assert (whole.num_frames, whole.fps) == (48, 20.0)
    part = (
        await tokenizer.Decode(pb.TokenizerServiceDecodeRequest(tokens=tokens, num_frames=40, fps=60))
    ).motion
    assert (part.num_frames, part.fps) == (118, 60.0)
    start = wire.from_proto(whole)
    assert np.abs(start.translation[0, [0, 2]]).max() < 1e-5
    np.testing.assert_allclose(wire.from_proto(part).positions[::3], start.positions[:40], atol=1e-4)


async def test_embeddings_are_unit_and_in_order(tokenizer: Any) -> None:
    inputs: list[dict[str, Any]] = [
        {"text": "a person walks"}, {"motion": message(50)}, {"text": "a person jumps over a fence and falls " * 20},
        {"motion": message(400)}, {"text": "a person walks"},
    ]  # fmt: skip
    response = await tokenizer.Embed(pb.EmbedRequest(inputs=inputs))
    vectors = wire.vectors(response)
    assert vectors.shape == (5, 256)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)
    np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-5)
    assert vectors[0] @ vectors[2] < 0.9999
    alone = wire.vectors(await tokenizer.Embed(pb.EmbedRequest(inputs=inputs[:1])))
    np.testing.assert_allclose(alone[0], vectors[0], atol=1e-4)  # padding and neighbours change nothing
    first_ten = {"motion": message(208)}
    cut = wire.vectors(await tokenizer.Embed(pb.EmbedRequest(inputs=[first_ten])))
    assert cut[0] @ vectors[3] > 0.999


BLOCK = {"semantic": 0, "detail": [0] * 4}
GOOD = message(20)


def broken(**change: Any) -> motion_pb2.Motion:
    copy = motion_pb2.Motion()
    copy.CopyFrom(GOOD)
    for name, value in change.items():
        if isinstance(value, tuple):
            getattr(copy, name)[value[0]] = value[1]
        else:
            setattr(copy, name, value)
    return copy


@pytest.mark.parametrize(
    ("call", "request_message", "field"),
    [
        ("Encode", pb.EncodeRequest(), "motion"),
        ("Encode", pb.EncodeRequest(motion={}), "motion.fps"),
        ("Encode", pb.EncodeRequest(motion=broken(fps=0)), "motion.fps"),
        ("Encode", pb.EncodeRequest(motion=broken(num_frames=7)), "motion.translation"),
        ("Encode", pb.EncodeRequest(motion=broken(num_frames=10**9)), "motion.num_frames"),
        ("Encode", pb.EncodeRequest(motion=broken(rotations=(5, float("nan")))), "motion.rotations"),
        ("Encode", pb.EncodeRequest(motion=broken(translation=(0, float("inf")))), "motion.translation"),
        ("Encode", pb.EncodeRequest(motion={"fps": 20, "num_frames": 1, "positions": [0.0] * 63}), "motion.positions"),
        ("Decode", pb.TokenizerServiceDecodeRequest(), "tokens"),
        ("Decode", pb.TokenizerServiceDecodeRequest(tokens={"blocks": []}), "tokens.blocks"),
        ("Decode", pb.TokenizerServiceDecodeRequest(tokens={"blocks": [{"semantic": 512, "detail": [0] * 4}]}),
         "tokens.blocks[0].semantic"),
        ("Decode", pb.TokenizerServiceDecodeRequest(tokens={"blocks": [{"semantic": 0, "detail": [0] * 3}]}),
         "tokens.blocks[0].detail"),
        ("Decode", pb.TokenizerServiceDecodeRequest(tokens={"blocks": [BLOCK]}, num_frames=17), "num_frames"),
        ("Decode", pb.TokenizerServiceDecodeRequest(tokens={"blocks": [BLOCK]}, fps=1000), "fps"),
        ("Embed", pb.EmbedRequest(), "inputs"),
        ("Embed", pb.EmbedRequest(inputs=[{}]), "inputs[0].input"),
        ("Embed", pb.EmbedRequest(inputs=[{"text": "ok"}, {"text": ""}]), "inputs[1].text"),
        ("Embed", pb.EmbedRequest(inputs=[{"text": "word " * 10_000}]), "inputs[0].text"),
        ("Embed", pb.EmbedRequest(inputs=[{"text": "ok"}, {"motion": broken(fps=-1)}]), "inputs[1].motion.fps"),
        ("Embed", pb.EmbedRequest(inputs=[{"motion": broken(rotations=(0, float("nan")))}]),
         "inputs[0].motion.rotations"),
        ("Search", pb.SearchRequest(), "query"),
        ("Search", pb.SearchRequest(query={"text": "walk"}, limit=0), "limit"),
        ("Search", pb.SearchRequest(query={"text": " \t\n"}), "query.text"),
    ],
)  # fmt: skip
async def test_bad_input_names_its_field(tokenizer: Any, call: str, request_message: Any, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(tokenizer, call)(request_message)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in _fields(caught.value)
    assert "Traceback" not in (caught.value.details() or "")


def _fields(error: grpc.aio.AioRpcError) -> list[str]:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:  # type: ignore[arg-type]
                bad = error_details_pb2.BadRequest()
                if detail.Unpack(bad):
                    return [violation.field for violation in bad.field_violations]
    raise AssertionError("no BadRequest in the details")


async def test_odd_text_is_text(tokenizer: Any) -> None:
    inputs = [{"text": text} for text in ("🕺", "é" * 2000, "\x00walk", "a" * 1999)]
    assert wire.vectors(await tokenizer.Embed(pb.EmbedRequest(inputs=inputs))).shape == (4, 256)


async def test_describe(tokenizer: Any) -> None:
    described = await tokenizer.Describe(pb.TokenizerServiceDescribeRequest())
    assert (described.semantic_codebook_size, described.detail_codebook_size, described.detail_depth) == (
        512,
        512,
        1,
    )
    assert (described.frames_per_block, described.detail_per_block, described.fps) == (16, 4, 20.0)
    assert (described.embedding_size, described.feature_size, described.index_size) == (256, 256, 0)
    assert [model.name for model in described.models] == [
        "tokenizer_encode", "tokenizer_decode", "embed_motion", "embed_text",
    ]  # fmt: skip
    assert all(len(model.sha256) == 64 for model in described.models)


async def test_codes_beyond_the_codebook_are_the_last_ones_refused(
    tokenizer: Any, motion_models: Path
) -> None:
    """The sizes in the settings are those of the networks: the last index decodes."""
    last = {"semantic": 511, "detail": [511] * 4}
    response = await tokenizer.Decode(pb.TokenizerServiceDecodeRequest(tokens={"blocks": [last]}))
    assert response.motion.num_frames == 16

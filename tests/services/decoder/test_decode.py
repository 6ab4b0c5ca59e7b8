"""DecoderService.Decode through a real server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from kinesphere.motion import Motion
from kinesphere.rotations import about_y, multiply
from kinesphere.v1 import decoder_pb2 as pb
from kinesphere.v1 import motion_pb2
from services.common import convert
from tests.services.decoder.conftest import Decoder, begin, messages, random_tokens, running
from tests.services.decoder.walking import walking

DIFFUSION, DIRECT = pb.DECODER_MODE_DIFFUSION, pb.DECODER_MODE_DIRECT


@pytest.mark.parametrize("mode", [DIFFUSION, DIRECT])
@pytest.mark.parametrize("fps", [20.0, 60.0])
async def test_a_stream_is_a_header_frames_without_gap_and_a_status(
    decoder: Decoder, mode: Any, fps: float
) -> None:
    decoded = await decoder.decode(random_tokens(6), seed=3, mode=mode, fps=fps, expected_blocks=6)
    assert decoded.header.fps == fps
    assert decoded.header.seed == 3
    assert decoded.header.representation == motion_pb2.REPRESENTATION_JOINTS
    assert tuple(decoded.header.skeleton.joint_names[:2]) == ("pelvis", "left_hip")
    motion = decoded.motion  # checks that chunks follow each other
    assert motion.num_frames == decoded.header.expected_frames == decoded.status.num_frames
    assert motion.num_frames == int(95 / 20 * fps) + 1
    assert decoded.status.num_blocks == 6
    assert decoded.status.seconds == pytest.approx(motion.num_frames / fps)
    assert 0 < decoded.status.first_frame_seconds <= decoded.status.total_seconds
    assert decoded.chunks[1].start_seconds == pytest.approx(decoded.chunks[1].start_frame / fps)
    sent = np.concatenate([np.asarray(chunk.positions).reshape(-1, 22, 3) for chunk in decoded.chunks])
    np.testing.assert_allclose(sent, motion.positions, atol=1e-5)  # positions are what the rotations give


@pytest.mark.parametrize("mode", [DIFFUSION, DIRECT])
async def test_messages_may_be_cut_anywhere(decoder: Decoder, mode: Any) -> None:
    tokens = random_tokens(7)
    whole = (await decoder.decode(tokens, seed=1, mode=mode)).motion
    pieces = (await decoder.decode(tokens, cuts=range(1, 7), seed=1, mode=mode)).motion
    np.testing.assert_allclose(pieces.positions, whole.positions, atol=1e-5)


async def test_the_seed_decides(decoder: Decoder) -> None:
    tokens = random_tokens(4)
    first, second, third = [(await decoder.decode(tokens, seed=seed)).motion for seed in (5, 5, 6)]
    np.testing.assert_array_equal(first.positions, second.positions)
    assert np.abs(first.positions - third.positions).max() > 1e-4
    unseeded = await decoder.decode(tokens)
    again = (await decoder.decode(tokens, seed=unseeded.header.seed)).motion
    np.testing.assert_array_equal(unseeded.motion.positions, again.positions)


@pytest.mark.parametrize("mode", [DIFFUSION, DIRECT])
async def test_frames_leave_before_the_plan_is_complete(decoder: Decoder, mode: Any) -> None:
    held = asyncio.Event()
    request, *_ = messages(random_tokens(3))

    async def requests() -> Any:
        yield begin(seed=0, mode=mode)
        yield request
        await held.wait()  # the client neither sends more nor closes its side

    answers = aiter(decoder.stub.Decode(requests(), timeout=60))
    kinds = [(await anext(answers)).WhichOneof("part") for _ in range(2)]
    assert kinds == ["header", "motion"]
    held.set()
    assert [answer.WhichOneof("part") async for answer in answers][-1] == "status"


async def test_a_client_that_leaves_frees_its_place(decoder: Decoder) -> None:
    async def requests() -> Any:
        yield begin(seed=0)
        for request in messages(random_tokens(300), range(1, 300)):
            yield request
        await asyncio.sleep(60)

    call = decoder.stub.Decode(requests(), timeout=60)
    for _ in range(3):
        await call.read()
    assert decoder.server.admission.running == 1
    call.cancel()
    async with asyncio.timeout(10):
        while decoder.server.admission.running:  # noqa: ASYNC110  (the server's own count, no event)
            await asyncio.sleep(0.02)
    assert (await decoder.decode(random_tokens(3), seed=0)).motion.num_frames == 48


async def test_callers_share_the_model_and_get_their_own_motion(decoder: Decoder) -> None:
    alone = [(await decoder.decode(random_tokens(5, i), seed=i)).motion for i in range(4)]
    together = await asyncio.gather(*(decoder.decode(random_tokens(5, i), seed=i) for i in range(4)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(other.motion.positions, one.positions, atol=2e-3)
    batches = decoder.server.metrics.registry.get_sample_value
    assert batches("kinesphere_model_batch_size_sum", {"model": "decoder_window"}) > batches(
        "kinesphere_model_batch_size_count", {"model": "decoder_window"}
    )


@pytest.mark.parametrize("mode", [DIFFUSION, DIRECT])
async def test_it_goes_on_where_the_history_ends(decoder: Decoder, mode: Any) -> None:
    history = _placed(walking(60), 0.0, (0.0, 0.0))
    turn, ground = 2.0, (4.0, -3.0)
    moved = _placed(walking(60), turn, ground)
    plain, turned = [
        (
            await decoder.decode(random_tokens(4), seed=2, mode=mode, history=convert.motion_to_proto(motion))
        ).motion
        for motion in (history, moved)
    ]
    step = plain.translation[0] - history.translation[-1]
    assert abs(step[0]) < 0.02
    assert abs(step[2] - 0.04) < 0.02  # it walks 0.8 m/s, and so 0.04 m to the next frame
    from kinesphere.rotations import rotate

    expected = rotate(about_y(turn), plain.positions.astype(np.float64)) + [ground[0], 0.0, ground[1]]
    np.testing.assert_allclose(turned.positions, expected, atol=5e-3)
    other = (await decoder.decode(random_tokens(4), seed=2, mode=mode)).motion
    assert (
        np.abs(
            other.positions[:, 1:] - other.positions[:, :1] - plain.positions[:, 1:] + plain.positions[:, :1]
        ).max()
        > 0.001
    )


def _placed(motion: Motion, yaw: float, ground: tuple[float, float]) -> Motion:
    from kinesphere.rotations import rotate

    turn = about_y(yaw).astype(np.float32)
    rotations = motion.rotations.copy()
    rotations[:, 0] = multiply(turn, rotations[:, 0])
    floor = motion.positions[..., 1].min()
    root = rotate(turn, motion.translation - np.array([0, floor, 0], np.float32)) + np.array(
        [ground[0], 0, ground[1]]
    )
    return Motion.from_rotations(root, rotations, motion.fps)


BLOCK = {"semantic": 1, "detail": [1, 2, 3, 4]}
SHORT = convert.motion_to_proto(walking(3))


def _tokens(*blocks: dict[str, Any]) -> pb.DecoderServiceDecodeRequest:
    return pb.DecoderServiceDecodeRequest(tokens={"blocks": list(blocks)})


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([], "start"),
        ([_tokens(BLOCK)], "start"),
        ([begin(), begin()], "start"),
        ([begin()], "tokens.blocks"),
        ([begin(), _tokens()], "tokens.blocks"),
        ([begin(), _tokens({"semantic": 512, "detail": [0] * 4})], "tokens.blocks[0].semantic"),
        ([begin(), _tokens(BLOCK, {"semantic": 0, "detail": [0, 0, 600, 0]})], "tokens.blocks[1].detail[2]"),
        ([begin(), _tokens({"semantic": 0, "detail": [0] * 8})], "tokens.blocks[0].detail"),
        ([begin(), *[_tokens(*[BLOCK] * 400)] * 2], "tokens.blocks"),
        ([begin(fps=0), _tokens(BLOCK)], "start.fps"),
        ([begin(fps=float("nan")), _tokens(BLOCK)], "start.fps"),
        ([begin(seed=-1), _tokens(BLOCK)], "start.seed"),
        ([begin(mode=9), _tokens(BLOCK)], "start.mode"),
        ([begin(expected_blocks=10**6), _tokens(BLOCK)], "start.expected_blocks"),
        ([begin(history=SHORT), _tokens(BLOCK)], "start.history"),
        ([begin(history=motion_pb2.Motion(fps=20, num_frames=9)), _tokens(BLOCK)], "start.history.rotations"),
        ([pb.DecoderServiceDecodeRequest()], "part"),
    ],
)  # fmt: skip
async def test_bad_input_names_its_field(decoder: Decoder, requests: list[Any], field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await decoder.parts(requests)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert _field(caught.value) == field
    assert "Traceback" not in (caught.value.details() or "")
    assert (await decoder.decode(random_tokens(1), mode=DIRECT)).motion.num_frames == 16


def _field(error: grpc.aio.AioRpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:  # type: ignore[arg-type]
                bad = error_details_pb2.BadRequest()
                if detail.Unpack(bad):
                    return bad.field_violations[0].field
    raise AssertionError("no BadRequest in the details")


async def test_without_models_it_says_what_is_missing(tmp_path: Any) -> None:
    async with running(tmp_path) as decoder:
        described = await decoder.stub.Describe(pb.DecoderServiceDescribeRequest())
        assert list(described.modes) == []
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await decoder.decode(random_tokens(3))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "decoder_window" in (caught.value.details() or "")


async def test_describe(decoder: Decoder) -> None:
    described = await decoder.stub.Describe(pb.DecoderServiceDescribeRequest())
    assert list(described.modes) == [DIFFUSION, DIRECT]
    assert (described.frames_per_step, described.lookahead_frames, described.history_frames) == (32, 16, 32)
    assert {model.name for model in described.models} >= {"decoder_window", "tokenizer_decode"}
    assert all(len(model.sha256) == 64 for model in described.models)

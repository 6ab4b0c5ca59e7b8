"""What ``kinesphere eval`` does between the services and the metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kinesphere import wire
from kinesphere.cli.evaluate import fingerprint
from kinesphere.cli.served import Plans, Served, features
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.rotations import about_y
from kinesphere.skeleton import JOINT_INDEX
from kinesphere.v1 import (
    decoder_pb2,
    decoder_pb2_grpc,
    motion_pb2,
    planner_pb2,
    planner_pb2_grpc,
    status_pb2,
    tokens_pb2,
)


def walking_turn(frames: int) -> Motion:
    """Arms swing, the body turns left while it moves along its own front."""
    time = np.arange(frames) / 20
    rotations = np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (frames, 22, 1))
    rotations[:, 0] = about_y(0.5 * time)
    swing = 0.3 * np.sin(6 * time)
    for name, sign in (("left_shoulder", 1), ("right_shoulder", -1)):
        rotations[:, JOINT_INDEX[name]] = np.stack(
            [np.cos(sign * swing / 2), np.sin(sign * swing / 2), 0 * swing, 0 * swing], axis=1
        )
    place = np.stack([1 - np.cos(0.5 * time), np.full(frames, 0.92), np.sin(0.5 * time)], axis=1)
    return Motion.from_rotations(place.astype(np.float32), rotations, 20)


@pytest.mark.parametrize("length", [32, 64])
def test_motion_from_the_wire_gives_the_features_it_was_made_of(length: int) -> None:
    motion = walking_turn(length + 1)
    expected = hml263.encode(motion.positions)
    # T frames hold T-1 steps: the step after the last frame is taken to go on as before.
    found = features(motion.slice(0, length), length)
    assert found.shape == (length, 263)
    for name in ("root_velocity", "root_yaw_velocity", "joint_positions", "joint_velocities"):
        layout = hml263.LAYOUT[name]
        np.testing.assert_allclose(found[: length - 1, layout], expected[: length - 1, layout], atol=2e-3)


@pytest.mark.parametrize("frames", [20, 33])
def test_a_motion_of_another_length_than_asked_for_is_an_error(frames: int) -> None:
    with pytest.raises(InputError, match=f"32 frames was asked for, {frames}"):
        features(walking_turn(frames), 32)


class Fakes(planner_pb2_grpc.PlannerServiceServicer, decoder_pb2_grpc.DecoderServiceServicer):
    """Both services: a plan whose codes come from the seed, motion of as many frames as the plan has."""

    def __init__(self, missing: int = 0) -> None:
        self.generated: list[planner_pb2.GenerateRequest] = []
        self.decoded: list[tuple[decoder_pb2.DecodeStart, wire.Blocks]] = []
        self.missing = missing
        self.together = self.most = 0

    async def Generate(
        self, request: planner_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[planner_pb2.GenerateResponse]:
        self.generated.append(request)
        self.together += 1
        self.most = max(self.most, self.together)
        await asyncio.sleep(0.02)
        blocks = [
            tokens_pb2.TokenBlock(semantic=(request.seed + i) % 512, detail=[i, 2, 3, 4])
            for i in range(round(request.seconds / 0.8))
        ]
        header, chunk = self._motion(16 * len(blocks) - self.missing, request.seed)
        yield planner_pb2.GenerateResponse(header=header)
        yield planner_pb2.GenerateResponse(plan_tokens=planner_pb2.PlanTokens(blocks=blocks))
        yield planner_pb2.GenerateResponse(motion=chunk)
        yield planner_pb2.GenerateResponse(status=status_pb2.StreamStatus(num_frames=chunk.num_frames))
        self.together -= 1

    async def Decode(
        self, request_iterator: AsyncIterator[decoder_pb2.DecoderServiceDecodeRequest], context: Any
    ) -> AsyncIterator[decoder_pb2.DecoderServiceDecodeResponse]:
        requests = [request async for request in request_iterator]
        blocks = wire.blocks([block for request in requests[1:] for block in request.tokens.blocks])
        self.decoded.append((requests[0].start, blocks))
        header, chunk = self._motion(16 * len(blocks), requests[0].start.seed)
        yield decoder_pb2.DecoderServiceDecodeResponse(header=header)
        yield decoder_pb2.DecoderServiceDecodeResponse(motion=chunk)

    @staticmethod
    def _motion(frames: int, seed: int) -> tuple[motion_pb2.MotionHeader, motion_pb2.MotionChunk]:
        motion = walking_turn(frames)
        header = motion_pb2.MotionHeader(fps=20, seed=seed, skeleton=wire.to_proto(motion).skeleton)
        return header, motion_pb2.MotionChunk(
            start_frame=0,
            num_frames=frames,
            translation=motion.translation.ravel(),
            rotations=motion.rotations.ravel(),
        )


@pytest.fixture
def fakes() -> Iterator[Any]:
    """``fakes(...)`` starts the fake services on a port of their own: (Fakes, address)."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    def open_(missing: int = 0) -> tuple[Fakes, str]:
        async def start() -> tuple[Fakes, str]:
            server, fake = grpc.aio.server(), Fakes(missing)
            planner_pb2_grpc.add_PlannerServiceServicer_to_server(fake, server)
            decoder_pb2_grpc.add_DecoderServiceServicer_to_server(fake, server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            servers.append(server)
            return fake, f"127.0.0.1:{port}"

        return asyncio.run_coroutine_threadsafe(start(), loop).result(10)

    yield open_
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.stop(None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_two_decoders_get_the_same_plans(fakes: Any, tmp_path: Path) -> None:
    fake, address = fakes()
    plans = Plans(tmp_path / "plans.jsonl")
    texts, lengths = ["a person waves", "someone bows"], [32, 64]
    made = Served(address, address, "diffusion", plans=plans)(texts, lengths, 3)
    assert [len(motion) for motion in made] == lengths
    assert [request.decoder_mode for request in fake.generated] == [decoder_pb2.DECODER_MODE_DIFFUSION] * 2

    # As after a stop: what was planned is read from the file, nothing is planned again.
    again = Plans(tmp_path / "plans.jsonl")
    direct = Served(address, address, "direct", plans=again)(texts, lengths, 3)
    assert [len(motion) for motion in direct] == lengths
    assert len(fake.generated) == 2
    by_seed = {start.seed: (start, blocks) for start, blocks in fake.decoded}
    for request in fake.generated:
        start, blocks = by_seed[request.seed]
        assert start.mode == decoder_pb2.DECODER_MODE_DIRECT
        assert blocks == tuple(
            ((request.seed + i) % 512, (i, 2, 3, 4)) for i in range(round(request.seconds / 0.8))
        )


def test_every_text_has_a_seed_of_its_own_and_callers_are_bounded(fakes: Any) -> None:
    fake, address = fakes()
    Served(address, address, "diffusion", callers=3)(["walk"] * 10, [32] * 10, 1)
    assert len({request.seed for request in fake.generated}) == 10
    assert 1 < fake.most <= 3


def test_a_service_that_keeps_to_another_length_is_found_out(fakes: Any) -> None:
    _, address = fakes(missing=3)
    with pytest.raises(InputError, match="32 frames was asked for, 29"):
        Served(address, address, "diffusion")(["walk"], [32], 0)


def test_other_weights_or_settings_do_not_find_what_was_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "decoder" / "1" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    before = fingerprint(tmp_path, "")
    assert fingerprint(tmp_path, "") == before
    assert fingerprint(tmp_path, "there:1") != before
    monkeypatch.setenv("KINESPHERE_PLANNER_TEMPERATURE", "0.5")
    assert fingerprint(tmp_path, "") != before
    monkeypatch.delenv("KINESPHERE_PLANNER_TEMPERATURE")
    weights.write_bytes(b"two")
    assert fingerprint(tmp_path, "") != before

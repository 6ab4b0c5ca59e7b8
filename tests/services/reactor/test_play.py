"""A recorded partner played to a real reactor from Python."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.reaction_client import AsyncReactionClient
from kinesphere.reaction_play import on_the_floor, play
from kinesphere.wire import ServiceError
from tests.services.reactor.conftest import Replica


def partner(seconds: float, fps: float = 30.0) -> Motion:
    """Somebody at rest who turns to the left."""
    frames = round(seconds * fps)
    rotations = np.zeros((frames, 22, 4), np.float32)
    rotations[..., 0] = 1
    half = np.linspace(0, 0.5, frames)
    rotations[:, 0] = np.stack([np.cos(half), 0 * half, np.sin(half), 0 * half], axis=1)
    return on_the_floor(Motion.from_rotations(np.zeros((frames, 3), np.float32), rotations, fps))


async def sessions(client: AsyncReactionClient) -> set[str]:
    """Names of the replica's sessions; other tests leave some."""
    return {session.name async for session in client.sessions()}


async def test_the_agents_rate_is_its_own(replica: Replica) -> None:
    told: list[float] = []
    async with AsyncReactionClient([replica.address]) as client:
        before = await sessions(client)
        played = await play(client, partner(1.5), fps=20, seed=1, distance=3, progress=told.append)
        assert await sessions(client) == before
    assert played.agent.fps == 20
    assert [frame.sequence for frame in played.frames] == list(range(len(played.frames)))
    # The last frame of the partner was answered, and the first frame kept is one that answers.
    assert played.frames[-1].partner_index == 44
    assert played.agent.num_frames == sum(frame.partner_index >= 0 for frame in played.frames)
    assert played.agent.seconds == pytest.approx(1.5, abs=0.3)
    assert len(played.latencies) >= 20
    assert played.latencies.min() > 0
    assert told == pytest.approx([(frame + 1) / 30 for frame in range(45)])
    # The partner faces +Z at first: three metres ahead of it is where the agent begins.
    assert played.agent.translation[0, [0, 2]] == pytest.approx([0, 3], abs=0.4)


async def test_a_session_that_others_close_is_told(replica: Replica) -> None:
    async with AsyncReactionClient([replica.address]) as client:
        begun, before = asyncio.Event(), await sessions(client)
        playing = asyncio.create_task(play(client, partner(20), seed=1, progress=lambda seconds: begun.set()))
        async with asyncio.timeout(10):
            await begun.wait()
            (name,) = await sessions(client) - before
            await client.end(name)
            with pytest.raises(ServiceError) as failure:
                await playing
    assert failure.value.code == "ABORTED"


@pytest.mark.parametrize(
    ("options", "field"),
    [({"fps": 61}, "fps"), ({"distance": np.nan}, "distance"), ({"seed": -1}, "session.seed")],
)
async def test_what_is_wrong_is_named(replica: Replica, options: dict[str, float], field: str) -> None:
    async with AsyncReactionClient([replica.address]) as client:
        with pytest.raises(InputError) as refusal:
            await play(client, partner(0.5), **options)  # type: ignore[arg-type]
    assert refusal.value.field == field

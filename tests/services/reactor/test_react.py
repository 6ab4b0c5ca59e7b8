"""A session's stream when nothing goes wrong: one frame a period, each what it says it is."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from kinesphere.motion import forward_kinematics
from kinesphere.skeleton import JOINT_NAMES
from tests.services.reactor.conftest import Reaction, session, walker

pytestmark = pytest.mark.slow
SECONDS = 3.0


@pytest.mark.parametrize("fps", [10, 20, 30, 60])
async def test_frames_leave_at_the_sessions_rate(stub: Any, fps: float) -> None:
    reaction = await Reaction(stub, await session(stub, fps=fps)).begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for step in range(round(SECONDS * fps)):
        await asyncio.sleep(max(0.0, began + step / fps - loop.time()))
        await reaction.see(walker(loop.time() - began))
    took = loop.time() - began
    await reaction.end()

    assert reaction.header is not None
    assert reaction.header.motion.fps == fps
    assert list(reaction.header.motion.skeleton.joint_names) == list(JOINT_NAMES)
    assert reaction.header.model_fps == 20
    assert reaction.sequences == list(range(len(reaction.frames)))
    # Never more often than asked for; on a busy machine frames may be left out.
    assert 0.2 * took * fps < len(reaction.frames) <= took * fps + 3
    assert reaction.status.num_frames == len(reaction.frames)
    assert reaction.kinds() == {"PARTNER_APPEARED"}


async def test_each_frame_is_what_it_says(stub: Any) -> None:
    reaction = await Reaction(stub, await session(stub, fps=30)).begin()
    for _ in range(60):
        await reaction.see(walker(0.0))
        await asyncio.sleep(1 / 30)
    await reaction.end()
    for frame in reaction.frames:
        motion = frame.motion
        assert (motion.start_frame, motion.num_frames) == (frame.sequence, 1)
        assert motion.start_seconds == pytest.approx(frame.sequence / 30)
        turned = np.array(motion.rotations, np.float32).reshape(1, 22, 4)
        joints = forward_kinematics(np.array(motion.translation, np.float32)[None], turned)
        np.testing.assert_allclose(np.array(motion.positions).reshape(22, 3), joints[0], atol=1e-4)
    answered = [frame.partner_index for frame in reaction.frames]
    assert answered == sorted(answered)
    assert answered[-1] > 30
    assert all(frame.partner_age_seconds >= 0 for frame in reaction.frames)


async def test_the_same_seed_moves_the_same_way(stub: Any) -> None:
    """Nobody is seen, so that nothing depends on when frames come."""
    moves = []
    for seed in (3, 3, 4):
        reaction = await Reaction(stub, await session(stub, seed=seed)).begin()
        await asyncio.sleep(1.5)
        await reaction.end()
        moves.append(np.array([frame.motion.rotations for frame in reaction.frames[:3]]))
    np.testing.assert_array_equal(moves[0], moves[1])
    assert np.abs(moves[0] - moves[2]).max() > 1e-5

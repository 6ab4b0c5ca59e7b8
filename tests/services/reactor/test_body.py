"""Agents of other proportions: their own bones, on the floor, steps as long as their legs allow, through everything."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion, forward_kinematics
from kinesphere.reaction_client import AgentFrame, AsyncReactionClient
from kinesphere.scenes import Box, Scene
from kinesphere.skeleton import SMPL22, Skeleton
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.v1 import scene_pb2
from kinesphere.wire import to_proto
from services.common import convert
from services.reactor import poses
from services.reactor.body import REFERENCE, Body
from services.reactor.events import Events
from services.reactor.partners import Partners
from tests.services.reactor.bodies import CHILD, TALL, body, check_bones, walked
from tests.services.reactor.conftest import Reaction
from tests.services.reactor.test_sessions import check_same, ran

BODIES = pytest.mark.parametrize("skeleton", [CHILD, TALL], ids=["child", "tall"])


def positions(frames: list[Any]) -> np.ndarray:
    return np.array([frame.motion.positions for frame in frames], np.float32).reshape(-1, 22, 3)


def crouching(frames: int = 40) -> Motion:
    """The reference body sinks onto bent legs, leaning and turning, and comes up again."""
    turned = np.tile(poses.standing()[None, 3:], (frames, 1)).reshape(frames, 22, 4)
    bend = np.sin(np.linspace(0, np.pi, frames))
    for joints, angle in (((1, 2), -1.0), ((4, 5), 1.9), ((7, 8), -0.7), ((3,), 0.4)):
        for joint in joints:
            turned[:, joint] = rot.from_axis_angle(
                np.stack([angle * bend, 0 * bend, 0.1 * bend], axis=-1).astype(np.float32)
            )
    place = np.zeros((frames, 3), np.float32)
    place[:, 1] = 0.01 - forward_kinematics(place, turned)[..., 1].min(axis=1)
    place[:, 2] = np.linspace(0, 2, frames)
    return Motion.from_rotations(place, turned, 20.0)


@BODIES
def test_a_pose_is_worn_on_own_bones_as_high_over_the_floor(skeleton: Skeleton) -> None:
    own, motion = Body(skeleton), crouching()
    legs = skeleton.offsets[[4, 5, 7, 8], 1] / SMPL22.offsets[[4, 5, 7, 8], 1]
    assert own.scale == pytest.approx(legs.mean(), rel=0.01)
    known = poses.join(motion.translation, motion.rotations)
    worn = [own.worn(pose, joints) for pose, joints in zip(known, motion.positions, strict=True)]
    joints = np.stack([place for _, place in worn])
    check_bones(joints, skeleton)
    place, turned = poses.split(np.stack([pose for pose, _ in worn]))
    np.testing.assert_allclose(joints, forward_kinematics(place, turned, skeleton), atol=1e-5)
    np.testing.assert_array_equal(turned, motion.rotations)
    np.testing.assert_allclose(
        joints[..., 1].min(axis=1), own.scale * motion.positions[..., 1].min(axis=1), atol=1e-5
    )
    np.testing.assert_allclose(place[:, [0, 2]], own.scale * motion.translation[:, [0, 2]], rtol=1e-6)


@BODIES
def test_its_history_is_what_it_goes_on_with(skeleton: Skeleton) -> None:
    own, motion = Body(skeleton), walked(skeleton, 11, 40.0)
    known = own.last_poses(motion)
    joints = forward_kinematics(*poses.split(known))
    assert np.abs(joints[..., 1].min(axis=1)).max() < 1e-5
    for pose, place, frame in zip(known, joints, (8, 10), strict=True):
        again, there = own.worn(pose, place)
        np.testing.assert_allclose(there, motion.positions[frame], atol=1e-5)
        np.testing.assert_allclose(again[:3], motion.translation[frame], atol=1e-5)


def test_the_reference_body_is_left_alone() -> None:
    motion = walked(SMPL22)
    known = REFERENCE.last_poses(motion)
    np.testing.assert_array_equal(known[:, :3], motion.translation[-2:])
    pose, joints = REFERENCE.worn(known[0], motion.positions[-2])
    np.testing.assert_array_equal(pose, known[0])
    np.testing.assert_array_equal(joints, motion.positions[-2])
    settings = pb.Session()
    REFERENCE.tell(settings)
    assert not settings.HasField("skeleton")
    assert Body.of_session(settings) is REFERENCE


@pytest.mark.parametrize(("metres", "scale"), [(1.75, 1.0), (1.75, 0.8), (1.3, 1.0), (2.1, 0.8)])
def test_others_are_seen_as_large_as_the_reference_body(metres: float, scale: float) -> None:
    """Where they stand is in units of the agent's legs."""
    seen = walked(body(metres)).positions
    partners, again = Partners(Events(), scale), Partners(Events(), scale)
    for index in range(5):
        frame = pb.PartnerFrame(index=index, seconds=index / 20, positions=seen[index].ravel())
        partners.add(frame, index / 20)
    view = partners.view(np.zeros(3, np.float32), 0.2)
    joints = view.windows[0][-1]
    np.testing.assert_allclose(joints[0, [0, 2]], seen[4, 0, [0, 2]] / scale, atol=1e-4)
    np.testing.assert_allclose(
        joints - joints[0], walked(SMPL22).positions[4] - walked(SMPL22).positions[4, 0], atol=1e-4
    )
    assert joints[:, 1].min() == pytest.approx(0.0, abs=1e-4)
    again.restore(view.partners, 5.0)
    np.testing.assert_allclose(
        again.view(np.zeros(3, np.float32), 5.0).windows[0], view.windows[0], atol=1e-5
    )


def test_a_scaled_scene_is_as_far_in_its_units() -> None:
    scene = Scene(boxes=(Box((1.0, 0.4, -0.5), (0.5, 0.8, 0.3), 0.4),))
    points = np.random.default_rng(0).uniform(-2, 2, (50, 3))
    np.testing.assert_allclose(
        scene.scaled(1.25).distance(points * 1.25), 1.25 * scene.distance(points), atol=1e-5
    )


def test_legs_that_are_no_persons_are_refused() -> None:
    for metres in (0.5, 5.0):
        with pytest.raises(InputError) as caught:
            Body.of_history(walked(body(metres)))
        assert caught.value.field == "history.skeleton.offsets"


@pytest.mark.slow
@BODIES
async def test_an_agent_keeps_its_body_in_every_call(stub: Any, skeleton: Skeleton) -> None:
    own, history = Body(skeleton), walked(skeleton)
    request = pb.CreateSessionRequest(session=pb.Session(seed=1, fps=30), history=to_proto(history))
    name = (await stub.CreateSession(request)).session.name
    got = (await stub.GetSession(pb.GetSessionRequest(name=name))).session
    np.testing.assert_allclose(got.skeleton.offsets, skeleton.offsets.ravel(), atol=1e-7)

    first = await ran(stub, name, 1.5)
    assert first.header is not None
    assert (
        convert.skeleton_from_proto(first.header.motion.skeleton).offsets.tolist()
        == skeleton.offsets.tolist()
    )
    joints = positions(first.frames)
    check_bones(joints, skeleton)
    # It goes on from where it was, and no joint is under the floor.
    assert np.linalg.norm(joints[0, 0] - history.positions[-1, 0]) < 0.06 * own.scale
    assert joints[..., 1].min() > -1e-3

    second = await ran(stub, name, 0.5, next_sequence=0)
    check_same(second.frames[: len(first.frames)], first.frames)
    subscribed = stub.Subscribe(pb.SubscribeRequest(name=name, from_sequence=0))
    header = (await subscribed.read()).header
    assert list(header.motion.skeleton.offsets) == list(first.header.motion.skeleton.offsets)
    check_same([(await subscribed.read()).frame for _ in range(5)], first.frames[:5])
    subscribed.cancel()

    update = pb.UpdateSessionRequest(session=pb.Session(name=name, intent="bow", goal=scene_pb2.Point(x=1)))
    update.update_mask.paths.extend(["intent", "goal"])
    assert (await stub.UpdateSession(update)).session.HasField("skeleton")
    update.update_mask.paths.append("skeleton")
    with pytest.raises(Exception, match="skeleton"):
        await stub.UpdateSession(update)


@pytest.mark.slow
async def test_own_bones_do_not_make_it_drift(stub: Any) -> None:
    """An agent of the same proportions, only smaller, does just what the reference body does, only smaller."""
    factor = 1.4 / 1.75
    runs = []
    for skeleton, scale in ((SMPL22, 1.0), (body(1.4), factor)):
        history = Motion.from_rotations(
            scale * walked(SMPL22).translation, walked(SMPL22).rotations, 20.0, skeleton
        )
        request = pb.CreateSessionRequest(session=pb.Session(seed=3), history=to_proto(history))
        name = (await stub.CreateSession(request)).session.name
        reaction = await Reaction(stub, name).begin()  # nobody is seen: the same every time
        await asyncio.sleep(3.0)
        await reaction.end()
        runs.append(positions(reaction.frames))
    count = min(map(len, runs))
    assert count > 40
    np.testing.assert_allclose(runs[1][:count], factor * runs[0][:count], atol=2e-3)


@pytest.mark.slow
async def test_another_replica_goes_on_with_the_same_body(replicas: Any) -> None:
    first, second = await replicas(2)
    async with AsyncReactionClient([first.address, second.address]) as client:
        name = await client.create(seed=1, history=walked(TALL))
        frames: list[AgentFrame] = []

        async def run() -> None:
            async with client.react(name) as reaction:
                async for answer in reaction:
                    if isinstance(answer, AgentFrame):
                        frames.append(answer)
                        if len(frames) == 20:
                            first.process.send_signal(signal.SIGKILL)
                            await asyncio.to_thread(first.process.wait)
                        if len(frames) == 40:
                            reaction.finish()
                assert reaction.reconnects == 1
                assert reaction.header is not None
                assert list(reaction.header.motion.skeleton.offsets) == pytest.approx(TALL.offsets.ravel())

        async with asyncio.timeout(30):
            await run()
    assert [frame.sequence for frame in frames] == list(range(len(frames)))
    joints = np.stack([frame.positions for frame in frames])
    check_bones(joints, TALL)
    assert np.linalg.norm(np.diff(joints[:, 0], axis=0), axis=1).max() < 0.2

"""Sessions through the service: made, read, changed, listed, closed; listened to; run by one call at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
import trimesh

from kinesphere.motion import Motion
from kinesphere.v1 import motion_pb2, scene_pb2
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.wire import ServiceError, to_proto, translate
from services.reactor import poses
from services.reactor.live import published
from services.reactor.store import Commit, Lease, Store
from tests.services.reactor.conftest import Reaction, Valkey, session, walker

pytestmark = pytest.mark.slow


async def failure(call: Any) -> Any:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        if hasattr(call, "__aiter__"):
            async for _ in call:
                pass
        else:
            await call
    return translate(error.value)


async def ran(stub: Any, name: str, seconds: float = 1.0, **options: Any) -> Reaction:
    reaction = await Reaction(stub, name, options).begin()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        await reaction.see(walker(loop.time()))
        await asyncio.sleep(0.05)
    await reaction.end()
    return reaction


def check_same(replayed: list[pb.ReactionFrame], sent: list[pb.ReactionFrame]) -> None:
    """Poses are kept as they were sent; positions follow from them again."""
    for again, before in zip(replayed, sent, strict=True):
        assert again.sequence == before.sequence
        assert again.partner_index == before.partner_index
        assert again.motion.translation == before.motion.translation
        assert again.motion.rotations == before.motion.rotations
        np.testing.assert_allclose(again.motion.positions, before.motion.positions, atol=1e-6)


async def test_a_session_is_what_was_asked_for(stub: Any) -> None:
    made = (
        await stub.CreateSession(
            pb.CreateSessionRequest(
                session=pb.Session(intent="wave back", fps=30, goal=scene_pb2.Point(x=1, z=2), seed=5)
            )
        )
    ).session
    assert made.name.startswith("sessions/")
    assert (made.intent, made.fps, made.seed, made.goal.z) == ("wave back", 30, 5, 2)
    assert (made.interaction.people, made.interaction.scene) == (1, 1)
    assert (made.next_sequence, made.running) == (0, False)
    assert made.expire_time.seconds > made.create_time.seconds
    got = (await stub.GetSession(pb.GetSessionRequest(name=made.name))).session
    got.expire_time.CopyFrom(made.expire_time)
    assert got == made


async def test_frames_go_on_from_call_to_call(stub: Any) -> None:
    name = await session(stub)
    first = await ran(stub, name)
    second = await ran(stub, name)
    assert first.header is not None
    assert second.header is not None
    assert (first.header.first_sequence, second.header.first_sequence) == (0, len(first.frames))
    assert first.sequences + second.sequences == list(range(len(first.frames) + len(second.frames)))
    # The body goes on from where it was.
    last, new = first.frames[-1].motion.translation, second.frames[0].motion.translation
    np.testing.assert_allclose(last, new, atol=0.05)
    replay = await ran(stub, name, 0.3, next_sequence=2)
    assert replay.sequences[: len(second.sequences)] == list(range(2, 2 + len(second.sequences)))
    check_same(replay.frames[: len(first.frames) - 2], first.frames[2:])
    error = await failure((await Reaction(stub, name, {"next_sequence": 9999}).begin()).reader)
    assert (error.code, error.reason) == ("OUT_OF_RANGE", "OUT_OF_RANGE")


async def test_the_header_says_what_interpolation_costs(stub: Any) -> None:
    for fps, seconds in ((20, 0), (10, 0), (30, 0.05 * 2 / 3), (60, 0.05 * 2 / 3), (25, 0.05 * 4 / 5)):
        reaction = await ran(stub, await session(stub, fps=fps), 0.1)
        assert reaction.header is not None
        assert reaction.header.motion.fps == fps
        assert reaction.header.interpolation_seconds == pytest.approx(seconds, abs=1e-9)


async def test_a_history_is_gone_on_from(stub: Any) -> None:
    turn, place = np.tile(poses.standing()[None, 3:], (10, 1)), np.zeros((10, 3), np.float32)
    place[:, 0] = 3.0 + 0.02 * np.arange(10)
    place[:, 1] = poses.standing()[1]
    motion = Motion.from_rotations(place, turn.reshape(10, 22, 4), 20.0)
    request = pb.CreateSessionRequest(session=pb.Session(seed=1), history=to_proto(motion))
    reaction = await ran(stub, (await stub.CreateSession(request)).session.name, 0.5)
    x = [frame.motion.translation[0] for frame in reaction.frames]
    assert x[0] == pytest.approx(3.2, abs=0.06)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"fps": 5.0}, "session.fps"),
        ({"fps": 61.0}, "session.fps"),
        ({"intent": "x" * 2001}, "session.intent"),
        ({"interaction": pb.Interaction(people=3)}, "session.interaction.people"),
        ({"goal": scene_pb2.Point(x=float("nan"))}, "session.goal.x"),
        ({"scene": scene_pb2.Scene(mesh=scene_pb2.Mesh(format=2, data=b"v"))}, "session.scene.mesh"),
    ],
)
async def test_bad_settings_are_named(stub: Any, change: dict[str, Any], field: str) -> None:
    error = await failure(stub.CreateSession(pb.CreateSessionRequest(session=pb.Session(**change))))
    assert error.field == field


async def test_a_session_runs_in_a_room_that_is_a_mesh(stub: Any) -> None:
    def room(height: float) -> scene_pb2.Scene:
        box = trimesh.creation.box((0.5, height, 0.5))
        box.apply_translation((0.0, height / 2, 1.0))
        data = box.export(file_type="glb")
        return scene_pb2.Scene(id="room", mesh=scene_pb2.Mesh(format=1, data=data))

    name = await session(stub, scene=room(1.0))
    reaction = await Reaction(stub, name).begin()
    await asyncio.sleep(0.5)
    await reaction.call.write(pb.ReactRequest(change=pb.SessionChange(scene=room(0.5))))
    await asyncio.sleep(1.0)
    await reaction.end()
    assert "CHANGED" in reaction.kinds()
    assert len(reaction.frames) > 15
    got = (await stub.GetSession(pb.GetSessionRequest(name=name))).session
    assert got.scene.id == "room"
    assert not got.scene.HasField("mesh")
    broken = scene_pb2.Scene(mesh=scene_pb2.Mesh(format=3, data=b"ply"))
    request = pb.UpdateSessionRequest(session=pb.Session(name=name, scene=broken))
    request.update_mask.paths.append("scene")
    assert (await failure(stub.UpdateSession(request))).field == "session.scene.mesh"
    reaction = await Reaction(stub, name).begin()
    await reaction.call.write(pb.ReactRequest(change=pb.SessionChange(scene=broken)))
    assert (await failure(reaction.reader)).field == "change.scene.mesh"


async def test_a_bad_history_is_named(stub: Any) -> None:
    history = motion_pb2.Motion(fps=20, num_frames=1, positions=np.zeros(66))
    error = await failure(stub.CreateSession(pb.CreateSessionRequest(session=pb.Session(), history=history)))
    assert error.field.startswith("history")


async def test_updates_reach_a_running_session(stub: Any) -> None:
    name = await session(stub, intent="wave", goal=scene_pb2.Point(x=1))
    reaction = await Reaction(stub, name).begin()
    await asyncio.sleep(0.4)
    request = pb.UpdateSessionRequest(session=pb.Session(name=name, intent="bow"))
    request.update_mask.paths.extend(["intent", "goal"])
    updated = (await stub.UpdateSession(request)).session
    assert updated.intent == "bow"
    assert not updated.HasField("goal")
    await asyncio.sleep(0.4)
    change = pb.SessionChange(interaction=pb.Interaction(people=0.5))
    await reaction.call.write(pb.ReactRequest(change=change))
    await asyncio.sleep(0.8)
    await reaction.end()
    assert sum(event.count for event in reaction.events if event.kind == pb.REACTION_EVENT_KIND_CHANGED) == 2
    got = (await stub.GetSession(pb.GetSessionRequest(name=name))).session
    assert (got.intent, got.interaction.people, got.interaction.scene) == ("bow", 0.5, 0)

    request.update_mask.paths.append("fps")
    assert (await failure(stub.UpdateSession(request))).field == "update_mask"


async def test_listeners_hear_everything_from_where_they_want(stub: Any) -> None:
    name = await session(stub)
    before = await ran(stub, name, 0.6)

    async def listen(start: int | None) -> list[pb.SubscribeResponse]:
        request = pb.SubscribeRequest(name=name, from_sequence=start)
        return [response async for response in stub.Subscribe(request)]

    late = len(before.frames)
    listeners = [asyncio.create_task(listen(start)) for start in (0, 3, None)]
    await asyncio.sleep(0.3)
    during = await ran(stub, name, 1.0)
    await stub.CloseSession(pb.CloseSessionRequest(name=name))
    everything = before.frames + during.frames
    for start, listener in zip((0, 3, late), listeners, strict=True):
        heard = await asyncio.wait_for(listener, 10)
        assert heard[0].header.first_sequence == start
        check_same([response.frame for response in heard[1:-1]], everything[start:])
        assert heard[-1].status.num_frames == len(everything) - start


async def test_closing_ends_whatever_runs(stub: Any) -> None:
    name = await session(stub)
    reaction = await Reaction(stub, name).begin()
    await asyncio.sleep(0.5)
    made = (await stub.CloseSession(pb.CloseSessionRequest(name=name))).num_frames
    await asyncio.wait_for(reaction.reader, 5)
    assert reaction.status.num_frames == made == len(reaction.frames)
    for call in (
        stub.GetSession(pb.GetSessionRequest(name=name)),
        stub.CloseSession(pb.CloseSessionRequest(name=name)),
        stub.Subscribe(pb.SubscribeRequest(name=name)),
        (await Reaction(stub, name).begin()).reader,
    ):
        error = await failure(call)
        assert (error.code, error.reason) == ("NOT_FOUND", "NOT_FOUND")


async def test_the_list_holds_every_session_once(stub: Any) -> None:
    names = {await session(stub) for _ in range(5)}
    found, token = [], ""
    while True:
        page = await stub.ListSessions(pb.ListSessionsRequest(page_size=2, page_token=token))
        assert len(page.sessions) <= 2
        found += [each.name for each in page.sessions]
        token = page.next_page_token
        if not token:
            break
    assert found == sorted(set(found))
    assert names <= set(found)


async def test_one_call_at_a_time_runs_a_session(stub: Any) -> None:
    name = await session(stub)
    first = await Reaction(stub, name).begin()
    await asyncio.sleep(0.5)
    error = await failure((await Reaction(stub, name).begin()).reader)
    assert (error.code, error.reason) == ("ABORTED", "CONFLICT")
    heir = await Reaction(stub, name, {"take_over": True}).begin()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(first.reader, 5)
    assert ended.value.code() is grpc.StatusCode.ABORTED
    await asyncio.sleep(0.5)
    await heir.end()
    assert first.sequences + heir.sequences == list(range(len(first.frames) + len(heir.frames)))


@pytest.mark.parametrize("message", [pb.ReactRequest(), pb.ReactRequest(change=pb.SessionChange())])
async def test_a_stream_begins_with_start(stub: Any, message: pb.ReactRequest) -> None:
    call = stub.React()
    await call.write(message)
    error = await failure(call)
    assert error.field in ("start", "part")


async def test_a_session_too_many_is_refused_and_the_others_go_on(replicas: Any, connect: Any) -> None:
    (replica,) = await replicas(1, max_sessions=2)
    stub = connect(replica)
    names = [await session(stub) for _ in range(3)]
    running = [await Reaction(stub, name).begin() for name in names[:2]]
    await asyncio.sleep(0.5)
    error = await failure((await Reaction(stub, names[2]).begin()).reader)
    assert isinstance(error, ServiceError)
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "NO_CAPACITY")
    assert error.retry_after is not None
    described = await stub.Describe(pb.ReactorServiceDescribeRequest())
    assert described.sessions_running == 2
    assert 0 < described.load < 1
    await running[0].end()
    await ran(stub, names[2], 0.3)
    await running[1].end()
    assert running[1].sequences == list(range(len(running[1].frames)))


async def test_ten_thousand_frames_are_replayed(replicas: Any, connect: Any, valkey: Valkey) -> None:
    (replica,) = await replicas(1)
    stub = connect(replica)
    name = await session(stub)
    id = name.removeprefix("sessions/")
    store = Store(valkey.url, lease=0.15, expiry=600, frames_kept=12_000, timeout=5)
    lease = await store.acquire(id, force=False)
    assert isinstance(lease, Lease)
    pose, joints = poses.standing(), np.zeros((22, 3), np.float32)
    for start in range(0, 10_000, 500):
        frames = []
        for sequence in range(start, start + 500):
            pose[0] = sequence / 1000
            frames.append(
                Commit(id, lease.fence, sequence, b"", published(sequence, 20, pose, joints, -1, 0).stored)
            )
        await store.commit(frames)
    await store.close()
    listening = stub.Subscribe(pb.SubscribeRequest(name=name, from_sequence=0))
    count = 0
    async with asyncio.timeout(60):
        async for response in listening:
            if response.WhichOneof("part") == "frame":
                assert response.frame.sequence == count
                assert response.frame.motion.translation[0] == pytest.approx(count / 1000, rel=1e-5)
                count += 1
                if count == 10_000:
                    break
    listening.cancel()

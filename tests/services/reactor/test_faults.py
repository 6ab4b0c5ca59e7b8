"""What partners and clients do wrong, against a real server: the agent's frames leave on time all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from kinesphere.v1 import reactor_pb2 as pb
from tests.services.reactor.conftest import Reaction, Replica, session, walker

pytestmark = pytest.mark.slow
FPS = 20.0
See = Callable[[Reaction, int, float], Any]


async def shown(stub: Any, see: See, seconds: float, **options: Any) -> Reaction:
    """A session whose partner is shown by ``see(reaction, step, time)`` 20 times a second."""
    reaction = await Reaction(stub, await session(stub, **options)).begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for step in range(round(seconds * FPS)):
        await asyncio.sleep(max(0.0, began + step / FPS - loop.time()))
        await see(reaction, step, loop.time() - began)
    await reaction.end()
    return reaction


def check(reaction: Reaction, seconds: float) -> None:
    """No frame is missing, all are sound, and nothing jumps."""
    assert reaction.sequences == list(range(len(reaction.frames)))
    assert len(reaction.frames) >= 0.7 * seconds * FPS  # the machine that runs tests may be busy
    root = np.array([frame.motion.translation for frame in reaction.frames])
    turned = np.array([frame.motion.rotations for frame in reaction.frames]).reshape(-1, 22, 4)
    assert np.isfinite(root).all()
    np.testing.assert_allclose(np.linalg.norm(turned, axis=-1), 1.0, atol=1e-3)
    assert np.linalg.norm(np.diff(root, axis=0), axis=1).max() <= 10 / FPS + 1e-3
    dots = np.abs(np.sum(turned[1:] * turned[:-1], axis=-1))
    assert 2 * np.arccos(np.minimum(dots, 1)).max() <= 25 / FPS + 1e-2
    assert reaction.status.num_frames == len(reaction.frames)


async def test_a_partner_who_is_silent(stub: Any) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        if not 1.0 < time < 6.0:
            await reaction.see(walker(time))

    reaction = await shown(stub, see, 8)
    check(reaction, 8)
    assert reaction.kinds() == {"PARTNER_APPEARED", "PARTNER_SILENT", "PARTNER_RETURNED"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
async def test_frames_that_hold_nan(stub: Any, value: float) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        joints = walker(time)
        if step % 3 == 0:
            joints[5] = value
        await reaction.see(joints)

    reaction = await shown(stub, see, 2.5)
    check(reaction, 2.5)
    assert reaction.kinds() == {"PARTNER_APPEARED", "FRAMES_REJECTED"}
    # Told in sums, not one by one.
    assert 1 <= len([event for event in reaction.events if event.count > 1]) <= 3


async def test_a_partner_who_teleports(stub: Any) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        await reaction.see(walker(time) + np.array([5.0 * (step // 10 % 2), 0, 0], np.float32))

    reaction = await shown(stub, see, 3)
    check(reaction, 3)
    assert "PARTNER_JUMPED" in reaction.kinds()


async def test_a_partner_ten_times_too_fast(stub: Any) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        await reaction.see(walker(10 * time) + np.array([14.0 * time, 0, 0], np.float32))

    reaction = await shown(stub, see, 2)
    check(reaction, 2)
    assert "PARTNER_JUMPED" in reaction.kinds()


async def test_time_stamps_of_another_rate(stub: Any) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        await reaction.see(walker(time), seconds=step / 60)

    reaction = await shown(stub, see, 3)
    check(reaction, 3)
    assert "CLOCK_DISTRUSTED" in reaction.kinds()


async def test_frames_lost_doubled_and_out_of_order(stub: Any) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        if step % 10 == 3:  # shown with the next one, after it
            return
        await reaction.see(walker(time), index=step)
        if step % 10 == 4:
            await reaction.see(walker(time - 0.05), index=step - 1, seconds=_now() - 0.05)
        if step % 10 == 7:
            await reaction.see(walker(time), index=step)
        if step % 10 == 8:
            reaction.index += 1

    reaction = await shown(stub, see, 3)
    check(reaction, 3)
    assert reaction.kinds() >= {"FRAMES_LOST", "FRAMES_DUPLICATED", "FRAMES_REORDERED"}


async def test_five_partners(stub: Any) -> None:
    async def see(reaction: Reaction, step: int, time: float) -> None:
        for number in range(5):
            place = walker(time) + np.array([number, 0, 0], np.float32)
            await reaction.see(place, person=f"p{number}", index=step)

    reaction = await shown(stub, see, 2)
    check(reaction, 2)
    appeared = {
        event.person_id for event in reaction.events if event.kind == pb.REACTION_EVENT_KIND_PARTNER_APPEARED
    }
    assert appeared == {"p0", "p1", "p2", "p3"}
    assert "TOO_MANY_PARTNERS" in reaction.kinds()


@pytest.mark.parametrize("count", [21, 23])
async def test_a_wrong_number_of_joints_ends_the_stream(stub: Any, count: int) -> None:
    name = await session(stub)
    reaction = await Reaction(stub, name).begin()
    await reaction.see(np.zeros((count, 3)))
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await reaction.reader
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "partner" in failure.value.details()
    # The session rests, and can be run again.
    again = await Reaction(stub, name).begin()
    await asyncio.sleep(0.5)
    await again.end()
    assert again.frames


async def test_a_client_that_never_reads_is_dropped_and_nobody_waits(replica: Replica, stub: Any) -> None:
    names = [await session(stub, fps=60.0) for _ in range(2)]
    # A window of its own that is soon full.
    options = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(replica.address, options=options) as channel:
        from kinesphere.v1 import reactor_pb2_grpc

        deaf = reactor_pb2_grpc.ReactorServiceStub(channel).React()
        await deaf.write(pb.ReactRequest(start=pb.ReactStart(name=names[0])))
        other = await Reaction(stub, names[1]).begin()
        async with asyncio.timeout(30):
            for runs in (True, False):
                request = pb.GetSessionRequest(name=names[0])
                while (await stub.GetSession(request)).session.running is not runs:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        deaf.cancel()
    await other.end()
    assert np.diff(other.times).max() < 0.5
    assert other.sequences == list(range(len(other.frames)))


def _now() -> float:
    return asyncio.get_running_loop().time()

"""A replica that is killed in the middle of everything: its sessions go on elsewhere, no frame lost, none twice."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import grpc
import numpy as np
import pytest

from kinesphere.reaction_client import AgentEvent, AgentFrame, AsyncReactionClient
from kinesphere.wire import ServiceError
from tests.services.reactor.conftest import Reaction, Valkey, session, walker

pytestmark = pytest.mark.slow
FPS = 20.0
# A session that moves on goes through so many turns of the other replica, the store and the client. On a machine that
# holds frames up each of them may be held up as well.
_STEPS = 5


class Driven:
    """A client that shows a partner at 20 frames a second and keeps what comes back."""

    def __init__(self, client: AsyncReactionClient, name: str) -> None:
        self.client, self.name = client, name
        self.frames: list[AgentFrame] = []
        self.times: list[float] = []
        self.events: list[AgentEvent] = []
        self.reconnects = 0
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        async with self.client.react(self.name) as reaction:
            self.reaction = reaction
            showing = asyncio.create_task(self._show(reaction))
            async for answer in reaction:
                if isinstance(answer, AgentFrame):
                    self.frames.append(answer)
                    self.times.append(loop.time())
                else:
                    self.events.append(answer)
            await showing
            self.reconnects = reaction.reconnects

    async def _show(self, reaction: Any) -> None:
        loop = asyncio.get_running_loop()
        began, step = loop.time(), 0
        while not self.stop.is_set():
            reaction.see(walker(loop.time() - began))
            step += 1
            await asyncio.sleep(max(0.0, began + step / FPS - loop.time()))
        reaction.finish()

    async def finished(self) -> None:
        self.stop.set()
        async with asyncio.timeout(20):
            await self.task

    def check(self) -> None:
        """Every frame once, in order."""
        assert [frame.sequence for frame in self.frames] == list(range(len(self.frames)))

    def gap(self, at: float) -> float:
        """Seconds between the last frame before ``at`` and the first after it."""
        times = np.array(self.times)
        return float(times[times > at][0] - times[times <= at][-1])

    def stall(self, at: float) -> float:
        """By how much frames were held up at worst in the two seconds before ``at``: 0 where nothing else runs."""
        times = np.array(self.times)
        return float(np.diff(times[(times > at - 2.0) & (times <= at)]).max()) - 1 / FPS

    @property
    def kinds(self) -> set[str]:
        return {event.kind for event in self.events}


async def test_sessions_go_on_with_the_other_replica(replicas: Any) -> None:
    first, second = await replicas(2)
    async with AsyncReactionClient([first.address, second.address]) as client:
        names = [await client.create(seed=number, fps=FPS) for number in range(8)]
        driven = [Driven(client, name) for name in names]
        await asyncio.sleep(3)
        first.process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(first.process.wait)  # on a busy machine it takes a while to die
        killed = asyncio.get_running_loop().time()
        await asyncio.sleep(3)
        await asyncio.gather(*(each.finished() for each in driven))
    stall = max(each.stall(killed) for each in driven)
    for each in driven:
        each.check()
        assert each.reconnects == 1
        assert "TAKEN_OVER" in each.kinds
        assert each.gap(killed) < 0.3 + _STEPS * stall
        # The body goes on from where it was.
        root = np.array([frame.translation for frame in each.frames])
        assert np.linalg.norm(np.diff(root, axis=0), axis=1).max() < 0.2


async def test_a_listener_misses_nothing_of_it(replicas: Any) -> None:
    first, second = await replicas(2)
    async with (
        AsyncReactionClient([first.address, second.address]) as client,
        AsyncReactionClient([first.address, second.address]) as listening,
    ):
        name = await client.create(seed=1, fps=FPS)
        heard: list[int] = []

        async def listen() -> None:
            async for frame in listening.subscribe(name, 0):
                heard.append(frame.sequence)

        listener = asyncio.create_task(listen())
        driven = Driven(client, name)
        await asyncio.sleep(2)
        first.kill()
        await asyncio.sleep(2)
        await driven.finished()
        made = await client.end(name)
        await asyncio.wait_for(listener, 10)
    driven.check()
    assert heard == list(range(made))


async def test_a_replica_that_drains_hands_over(replicas: Any) -> None:
    first, second = await replicas(2)
    async with AsyncReactionClient([first.address, second.address]) as client:
        driven = Driven(client, await client.create(seed=1, fps=FPS))
        await asyncio.sleep(1.5)
        first.process.terminate()
        await asyncio.sleep(2)
        await driven.finished()
        assert await asyncio.to_thread(first.process.wait, 20) == 0
    driven.check()
    assert driven.reconnects == 1
    assert "TAKEN_OVER" not in driven.kinds  # it was let go of in order


async def test_a_replica_that_was_only_asleep_sends_nothing_more(replicas: Any, connect: Any) -> None:
    first, second = await replicas(2)
    sleeper, heir = connect(first), connect(second)
    name = await session(sleeper)
    before = await Reaction(sleeper, name).begin()
    await asyncio.sleep(1)
    first.process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(0.5)  # its lease runs out
    after = await Reaction(heir, name).begin()
    await asyncio.sleep(1)
    first.process.send_signal(signal.SIGCONT)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(before.reader, 10)
    assert ended.value.code() is grpc.StatusCode.ABORTED
    await asyncio.sleep(0.5)
    await after.end()
    assert before.sequences + after.sequences == list(range(len(before.frames) + len(after.frames)))
    assert "TAKEN_OVER" in after.kinds()


async def test_the_store_is_killed_and_comes_back(replicas: Any, valkey: Valkey) -> None:
    first, second = await replicas(2)
    async with AsyncReactionClient([first.address, second.address]) as client:
        names = [await client.create(seed=number, fps=FPS) for number in range(2)]
        driven = [Driven(client, name) for name in names]
        await asyncio.sleep(1.5)
        valkey.kill()
        killed = asyncio.get_running_loop().time()
        await asyncio.sleep(2)
        with pytest.raises(ServiceError, match="store"):
            await AsyncReactionClient([first.address], timeout=5).create()
        driven[1].reaction.change(intent="bow")
        await asyncio.sleep(0.5)
        valkey.start()
        await asyncio.sleep(2)
        assert (await client.get(names[1])).intent == "bow"
        for each in driven:
            assert each.gap(killed) < 1.0
            assert {"MEMORY_ONLY", "STORED_AGAIN"} <= each.kinds
            assert each.reconnects == 0
        # What was made without it is in it now, and another replica can go on from there.
        kept = [frame.sequence async for frame in _some(client.subscribe(names[0], 0), 60)]
        assert kept == list(range(60))
        first.kill()
        await asyncio.sleep(2)
        await asyncio.gather(*(each.finished() for each in driven))
    for each in driven:
        each.check()
        assert "TAKEN_OVER" in each.kinds


async def test_without_the_store_for_too_long_sessions_end(
    replicas: Any, valkey: Valkey, connect: Any
) -> None:
    (replica,) = await replicas(1, memory_only_seconds=1)
    stub = connect(replica)
    reaction = await Reaction(stub, await session(stub)).begin()
    await asyncio.sleep(0.7)
    valkey.kill()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(reaction.reader, 15)
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "MEMORY_ONLY" in reaction.kinds()
    assert reaction.sequences == list(range(len(reaction.frames)))


async def _some(frames: Any, count: int) -> Any:
    seen = 0
    async for frame in frames:
        yield frame
        seen += 1
        if seen == count:
            return

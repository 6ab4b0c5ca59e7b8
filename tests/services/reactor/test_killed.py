"""A replica that is killed in the middle of everything: its sessions go on elsewhere, no frame lost, none twice."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from kinesphere.reaction_client import AgentEvent, AgentFrame, AsyncReactionClient
from tests.services.reactor.conftest import walker

pytestmark = pytest.mark.slow
FPS = 20.0


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


async def test_sessions_go_on_with_the_other_replica(replicas: Any) -> None:
    first, second = await replicas(2)
    async with AsyncReactionClient([first.address, second.address]) as client:
        names = [await client.create(seed=number) for number in range(8)]
        driven = [Driven(client, name) for name in names]
        await asyncio.sleep(3)
        killed_at = asyncio.get_running_loop().time()
        first.kill()
        await asyncio.sleep(3)
        await asyncio.gather(*(each.finished() for each in driven))
    import sys
    for each in driven:
        assert [frame.sequence for frame in each.frames] == list(range(len(each.frames)))
        assert each.reconnects == 1
        times = np.array(each.times)
        after = times[times > killed_at]
        gap = after[0] - times[times<=killed_at][-1]
        print(len(each.frames), "gap", gap, np.diff(times).max(), {e.kind for e in each.events}, file=sys.stderr)
        assert "TAKEN_OVER" in {event.kind for event in each.events}

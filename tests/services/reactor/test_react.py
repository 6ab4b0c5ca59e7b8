"""A session's stream: its header, its frames on time, what is told of a partner's frames."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from tests.services.reactor.conftest import Reaction, session, walker


@pytest.mark.parametrize("fps", [20, 30, 60])
async def test_frames_leave_at_the_sessions_rate(replicas: Any, connect: Any, fps: float) -> None:
    (replica,) = await replicas()
    stub = connect(replica)
    name = await session(stub, fps=fps)
    reaction = await Reaction(stub, name).begin()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for step in range(3 * int(fps)):
        await asyncio.sleep(max(0.0, began + step / fps - loop.time()))
        await reaction.see(walker(loop.time()))
    await reaction.end()
    import sys

    print(fps, len(reaction.frames), np.diff(reaction.times).max(), reaction.kinds(), file=sys.stderr)
    ages = np.array([f.partner_age_seconds for f in reaction.frames if f.partner_index >= 0])
    print(np.percentile(ages, [50, 99, 100]))
    assert reaction.sequences == list(range(len(reaction.frames)))

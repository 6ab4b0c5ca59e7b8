"""Sessions in a real Valkey: what one script does at once, and who may do it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from services.common.errors import UpstreamError
from services.reactor import state
from services.reactor.agent import Agent
from services.reactor.errors import NotFoundError
from services.reactor.store import APART, CLOSED, TAKEN, UNKNOWN, Commit, Lease, Store, StoreError
from tests.services.reactor.conftest import Valkey


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[Store]:
    made = Store(valkey.url, lease=0.15, expiry=60, frames_kept=1000, timeout=0.5)
    while not await made.ping():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    yield made
    await made.close()


async def new(store: Store, id: str = "one") -> None:
    await store.create(id, b"settings", b"text", b"scene", b"")


async def lease(store: Store, id: str = "one", *, force: bool = False) -> Lease:
    got = await store.acquire(id, force=force)
    assert isinstance(got, Lease)
    return got


def tick(fence: int, sequence: int, id: str = "one") -> Commit:
    return Commit(id, fence, sequence, b"state%d" % sequence, b"frame%d" % sequence)


async def test_a_tick_stores_all_at_once(store: Store) -> None:
    await new(store)
    held = await lease(store)
    assert not held.abandoned
    assert await store.commit([tick(held.fence, 0)]) == [1]
    assert await store.commit([tick(held.fence, 1)]) == [1]
    stored, oldest, expires = await store.read("one")
    assert (stored.next, stored.state, stored.running, oldest) == (2, b"state1", True, 0)
    assert expires - stored.created == pytest.approx(60, abs=2)
    assert await store.frames("one", 0, 10) == [(0, b"frame0"), (1, b"frame1")]
    assert await store.frames("one", 1, 10) == [(1, b"frame1")]


async def test_nobody_else_gets_it_while_it_ticks(store: Store) -> None:
    await new(store)
    held = await lease(store)
    for sequence in range(6):
        left = await store.acquire("one", force=False)
        assert isinstance(left, float)
        assert 0 < left <= 0.15
        assert await store.commit([tick(held.fence, sequence)]) == [1]
        await asyncio.sleep(0.05)


async def test_a_dead_replicas_session_is_free_after_its_lease(store: Store) -> None:
    await new(store)
    dead = await lease(store)
    await store.commit([tick(dead.fence, 0)])
    await asyncio.sleep(0.2)
    assert not (await store.read("one"))[0].running
    heir = await lease(store)
    assert heir.abandoned
    assert heir.stored.next == 1
    assert heir.stored.state == b"state0"
    assert heir.fence > dead.fence
    assert (await store.read("one"))[0].running
    # It was only slow, not dead: its frame never leaves, and nothing is overwritten.
    assert await store.commit([tick(dead.fence, 1)]) == [TAKEN]
    await store.release("one", dead.fence)
    assert (await store.read("one"))[0].running
    assert await store.commit([tick(heir.fence, 1)]) == [1]
    assert [sequence for sequence, _ in await store.frames("one", 0, 10)] == [0, 1]


async def test_of_many_that_want_it_one_gets_it(store: Store) -> None:
    await new(store)
    got = await asyncio.gather(*(store.acquire("one", force=False) for _ in range(20)))
    assert len([each for each in got if isinstance(each, Lease)]) == 1


async def test_taken_by_force_the_former_is_told(store: Store) -> None:
    await new(store)
    former = await lease(store)
    heir = await lease(store, force=True)
    assert await store.commit([tick(former.fence, 0), tick(heir.fence, 0)]) == [TAKEN, 1]


async def test_released_it_is_free_at_once(store: Store) -> None:
    await new(store)
    held = await lease(store)
    await store.release("one", held.fence)
    assert not (await lease(store)).abandoned


async def test_a_frame_is_never_stored_twice_nor_left_out(store: Store) -> None:
    await new(store)
    held = await lease(store)
    assert await store.commit([tick(held.fence, 0)]) == [1]
    assert await store.commit([tick(held.fence, 0), tick(held.fence, 2)]) == [APART, APART]
    assert await store.frames("one", 0, 10) == [(0, b"frame0")]


async def test_closed_and_unknown_are_told_apart(store: Store) -> None:
    await new(store)
    held = await lease(store)
    await store.commit([tick(held.fence, 0)])
    assert await store.end("one") == 1
    assert await store.commit([tick(held.fence, 1), tick(1, 0, "two")]) == [CLOSED, UNKNOWN]
    assert await store.closed("one") == 1
    for call in (store.read("one"), store.acquire("one", force=True), store.end("one")):
        with pytest.raises(NotFoundError):
            await call


async def test_settings_change_only_from_what_was_read(store: Store) -> None:
    await new(store)
    held = await lease(store)
    assert await store.change("one", 1, b"other", b"text", b"scene") == 2
    assert await store.change("one", 1, b"third", b"text", b"scene") == TAKEN
    # Whoever runs the session hears of it at its next tick.
    assert await store.commit([tick(held.fence, 0)]) == [2]
    assert (await store.read("one"))[0].settings == b"other"


async def test_frames_are_trimmed(store: Store) -> None:
    await new(store)
    held = await lease(store)
    for start in range(0, 3000, 500):
        await store.commit([tick(held.fence, start + step) for step in range(500)])
    _, oldest, _ = await store.read("one")
    assert 1850 <= oldest <= 2000  # whole nodes of the stream are cut off
    assert (await store.frames("one", 2990, 100))[-1] == (2999, b"frame2999")


async def test_a_listener_waits_for_the_next_frame(store: Store) -> None:
    await new(store)
    held = await lease(store)
    assert await store.frames("one", 0, 10, wait=0.05) == []
    waiting = asyncio.create_task(store.frames("one", 0, 10, wait=2))
    await asyncio.sleep(0.1)
    await store.commit([tick(held.fence, 0)])
    assert await waiting == [(0, b"frame0")]


async def test_the_list_goes_page_by_page(store: Store) -> None:
    for id in ("c", "a", "b"):
        await new(store, id)
    assert await store.page("", 2) == ["a", "b"]
    assert await store.page("b", 2) == ["c"]
    await store.end("a")
    assert await store.page("", 9) == ["b", "c"]


async def test_a_store_that_has_lost_everything_is_filled_again(store: Store, valkey: Valkey) -> None:
    await new(store)
    held = await lease(store)
    for sequence in range(5):
        await store.commit([tick(held.fence, sequence)])
    valkey.kill()
    with pytest.raises(StoreError):
        await store.commit([tick(held.fence, 5)])
    with pytest.raises(UpstreamError):
        await store.read("one")
    valkey.start()
    while not await store.ping():  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert await store.commit([tick(held.fence, 5)]) == [UNKNOWN]
    assert await store.restore(tick(held.fence, 5), held.stored) == 1
    await store.append("one", [(sequence, b"frame%d" % sequence) for sequence in range(6)])
    assert [sequence for sequence, _ in await store.frames("one", 0, 10)] == list(range(6))
    assert await store.commit([tick(held.fence, 6)]) == [1]
    assert await store.page("", 9) == ["one"]
    # Not over the head of somebody who has taken it meanwhile.
    heir = await lease(store, force=True)
    assert await store.restore(tick(held.fence, 7), held.stored) == TAKEN
    assert await store.commit([tick(heir.fence, 7)]) == [1]


def test_state_survives_the_way_through_bytes() -> None:
    agent = Agent(3)
    partner = state.PartnerState("Zoë", 0.25, np.random.default_rng(0).random((7, 22, 3), np.float32))
    read, (other,) = state.unpack(state.pack(agent.state(), [partner]))
    for name in state.AgentState.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(read, name), getattr(agent.state(), name))
    assert (other.person_id, other.weight) == ("Zoë", 0.25)
    np.testing.assert_array_equal(other.window, partner.window)


@pytest.mark.parametrize("cut", [0, 100, -1])
def test_other_bytes_are_no_state(cut: int) -> None:
    data = state.pack(Agent(3).state(), [])
    with pytest.raises(ValueError, match="state"):
        state.unpack(data[:cut])

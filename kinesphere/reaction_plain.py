"""``ReactionClient``: the reactor's client for programs without asyncio.

    with ReactionClient() as client:
        name = client.create(intent="wave back")
        with client.react(name) as reaction:
            reaction.see(positions)
            for answer in reaction:                    # AgentFrame or AgentEvent, as they come
                ...

The calls are those of ``AsyncReactionClient``, which runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinesphere.reaction_call import AgentEvent, AgentFrame, Reaction
from kinesphere.reaction_client import DEFAULT_TIMEOUT, AsyncReactionClient
from kinesphere.v1 import reactor_pb2 as pb

_Item = TypeVar("_Item")


class ReactionClient:
    """See ``AsyncReactionClient`` for what the arguments and the options of the calls mean."""

    def __init__(self, addresses: Sequence[str] = (), *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reactions", daemon=True)
        self._thread.start()
        self._client = self._run(self._made(addresses, timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        if self._thread.is_alive():
            self._run(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def create(self, **options: Any) -> str:
        """The name of a new session."""
        return self._run(self._client.create(**options))

    def get(self, name: str) -> pb.Session:
        """The session as it is now."""
        return self._run(self._client.get(name))

    def update(self, name: str, **fields: Any) -> pb.Session:
        """Change ``intent``, ``interaction``, ``scene`` or ``goal``; None takes a field back to its default."""
        return self._run(self._client.update(name, **fields))

    def end(self, name: str) -> int:
        """Close the session; how many frames it made."""
        return self._run(self._client.end(name))

    def sessions(self) -> Iterator[pb.Session]:
        """All sessions, in the order of their names."""
        return self._iterated(self._client.sessions())

    def subscribe(self, name: str, from_sequence: int | None = None) -> Iterator[AgentFrame]:
        """The session's frames from ``from_sequence`` on (None: the next new one), until it is closed."""
        return self._iterated(self._client.subscribe(name, from_sequence))

    def react(self, name: str, *, next_sequence: int | None = None) -> PlainReaction:
        """Run the session: a context manager."""
        return PlainReaction(self, self._client.react(name, next_sequence=next_sequence))

    @staticmethod
    async def _made(addresses: Sequence[str], seconds: float) -> AsyncReactionClient:
        """Made inside the loop: channels belong to the one that they are made in."""
        return AsyncReactionClient(addresses, timeout=seconds)

    def _run(self, work: Coroutine[Any, Any, _Item]) -> _Item:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _iterated(self, items: AsyncIterator[_Item]) -> Iterator[_Item]:
        while (item := self._run(_next(items))) is not None:
            yield item


class PlainReaction:
    """A running session: ``see`` from any thread, iterate in one."""

    def __init__(self, client: ReactionClient, reaction: Reaction) -> None:
        self._client = client
        self._reaction = reaction

    def __enter__(self) -> Self:
        self._client._run(self._reaction.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client._run(self._reaction.__aexit__(kind, error, trace))

    @property
    def header(self) -> pb.ReactionHeader | None:
        """What the stream began with; None before it has come."""
        return self._reaction.header

    @property
    def reconnects(self) -> int:
        """How often another replica has gone on with the session."""
        return self._reaction.reconnects

    def see(self, positions: NDArray[np.floating], **options: Any) -> int:
        """A partner's frame; see ``Reaction.see``."""

        async def see() -> int:
            return self._reaction.see(positions, **options)

        return self._client._run(see())

    def change(self, **fields: Any) -> None:
        """See ``Reaction.change``."""

        async def change() -> None:
            self._reaction.change(**fields)

        self._client._run(change())

    def finish(self) -> None:
        """No more frames will come; the iteration ends with what has been made."""
        self._client._loop.call_soon_threadsafe(self._reaction.finish)

    def __iter__(self) -> Iterator[AgentFrame | AgentEvent]:
        return self._client._iterated(self._reaction.__aiter__())


async def _next(items: AsyncIterator[_Item]) -> _Item | None:
    return await anext(items, None)

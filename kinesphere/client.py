"""Python clients of the services: ``Client`` blocks, ``AsyncClient`` awaits; both say the same things.

They make motion from sentences and speak about it; ``ReactionClient`` and ``AsyncReactionClient``
(``kinesphere.reaction_client``) let a body react to others.

    from kinesphere.client import Client
    from kinesphere.formats import save_motion

    with Client() as client:
        made = client.generate("a person waves with the right hand", seconds=4, seed=7)
    print(made.thought)
    save_motion(made.motion, "wave.bvh")

Bad input raises ``InputError`` with the field that the service names; every other failure raises
``ServiceError``. Importing this needs the ``client`` extra.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from kinesphere import wire
from kinesphere.channels import address_of, open_aio_channel, open_channel
from kinesphere.motion import Motion
from kinesphere.reaction_call import AgentEvent, AgentFrame, Reaction
from kinesphere.reaction_client import AsyncReactionClient
from kinesphere.reaction_plain import PlainReaction, ReactionClient
from kinesphere.v1 import planner_pb2, planner_pb2_grpc, tokenizer_pb2, tokenizer_pb2_grpc
from kinesphere.wire import Assembler, Blocks, Encoded, Generated, Hit, ServiceError, generate_request

__all__ = [
    "AgentEvent",
    "AgentFrame",
    "AsyncClient",
    "AsyncReactionClient",
    "Blocks",
    "Client",
    "Encoded",
    "Generated",
    "Hit",
    "PlainReaction",
    "Reaction",
    "ReactionClient",
    "ServiceError",
    "generate_request",
]

DEFAULT_TIMEOUT: Final = 300.0


class Client:
    """Blocking client. Addresses are ``host:port``; the defaults are those of ``kinesphere up``."""

    def __init__(self, planner: str = "", tokenizer: str = "", *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.timeout = timeout
        self._channels = [
            open_channel(address_of("planner", planner)), open_channel(address_of("tokenizer", tokenizer)),
        ]  # fmt: skip
        self._planner: Any = planner_pb2_grpc.PlannerServiceStub(self._channels[0])
        self._tokenizer: Any = tokenizer_pb2_grpc.TokenizerServiceStub(self._channels[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        for channel in self._channels:
            channel.close()

    def stream(self, text: str, **options: Any) -> Iterator[planner_pb2.GenerateResponse]:
        """The messages of PlannerService.Generate as they arrive. Options as in ``generate_request``."""
        with wire.translated():
            yield from self._planner.Generate(generate_request(text, **options), timeout=self.timeout)

    def generate(
        self,
        text: str,
        *,
        on_message: Callable[[planner_pb2.GenerateResponse], None] | None = None,
        **options: Any,
    ) -> Generated:
        """Make a motion from a sentence. Options as in ``generate_request``; ``on_message`` sees each message."""
        parts = Assembler()
        for response in self.stream(text, **options):
            parts.add(response)
            if on_message is not None:
                on_message(response)
        return parts.result()

    def caption(self, motion: Motion, *, seed: int | None = None, temperature: float | None = None) -> str:
        """A sentence that says what ``motion`` shows."""
        request = planner_pb2.CaptionRequest(motion=wire.to_proto(motion), seed=seed, temperature=temperature)
        with wire.translated():
            return str(self._planner.Caption(request, timeout=self.timeout).caption)

    def encode(self, motion: Motion) -> Encoded:
        """``motion`` as tokens."""
        request = tokenizer_pb2.EncodeRequest(motion=wire.to_proto(motion))
        with wire.translated():
            return wire.encoded(self._tokenizer.Encode(request, timeout=self.timeout))

    def decode(self, blocks: Blocks, *, fps: float | None = None, num_frames: int = 0) -> Motion:
        """Tokens straight to motion, by the tokenizer's own decoder."""
        with wire.translated():
            response = self._tokenizer.Decode(
                wire.decode_request(blocks, fps, num_frames), timeout=self.timeout
            )
            return wire.from_proto(response.motion)

    def embed(self, inputs: Sequence[str | Motion]) -> np.ndarray:
        """Texts and motions as unit vectors [n,256] of one space."""
        with wire.translated():
            return wire.vectors(self._tokenizer.Embed(wire.embed_request(inputs), timeout=self.timeout))

    def search(self, query: str | Motion, *, limit: int = 10) -> list[Hit]:
        """The clips that fit a sentence or a motion best, best first."""
        request = tokenizer_pb2.SearchRequest(query=wire.embed_input(query), limit=limit)
        with wire.translated():
            return wire.hits(self._tokenizer.Search(request, timeout=self.timeout))


class AsyncClient:
    """``Client`` for asyncio: the same calls, awaited."""

    def __init__(self, planner: str = "", tokenizer: str = "", *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.timeout = timeout
        self._channels = [
            open_aio_channel(address_of("planner", planner)), open_aio_channel(address_of("tokenizer", tokenizer)),
        ]  # fmt: skip
        self._planner: Any = planner_pb2_grpc.PlannerServiceStub(self._channels[0])
        self._tokenizer: Any = tokenizer_pb2_grpc.TokenizerServiceStub(self._channels[1])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        for channel in self._channels:
            await channel.close()

    async def stream(self, text: str, **options: Any) -> AsyncIterator[planner_pb2.GenerateResponse]:
        """The messages of PlannerService.Generate as they arrive. Options as in ``generate_request``."""
        with wire.translated():
            async for response in self._planner.Generate(
                generate_request(text, **options), timeout=self.timeout
            ):
                yield response

    async def generate(self, text: str, **options: Any) -> Generated:
        """Make a motion from a sentence. Options as in ``generate_request``."""
        parts = Assembler()
        async for response in self.stream(text, **options):
            parts.add(response)
        return parts.result()

    async def caption(
        self, motion: Motion, *, seed: int | None = None, temperature: float | None = None
    ) -> str:
        """A sentence that says what ``motion`` shows."""
        request = planner_pb2.CaptionRequest(motion=wire.to_proto(motion), seed=seed, temperature=temperature)
        with wire.translated():
            return str((await self._planner.Caption(request, timeout=self.timeout)).caption)

    async def encode(self, motion: Motion) -> Encoded:
        """``motion`` as tokens."""
        request = tokenizer_pb2.EncodeRequest(motion=wire.to_proto(motion))
        with wire.translated():
            return wire.encoded(await self._tokenizer.Encode(request, timeout=self.timeout))

    async def decode(self, blocks: Blocks, *, fps: float | None = None, num_frames: int = 0) -> Motion:
        """Tokens straight to motion, by the tokenizer's own decoder."""
        request = wire.decode_request(blocks, fps, num_frames)
        with wire.translated():
            return wire.from_proto((await self._tokenizer.Decode(request, timeout=self.timeout)).motion)

    async def embed(self, inputs: Sequence[str | Motion]) -> np.ndarray:
        """Texts and motions as unit vectors [n,256] of one space."""
        with wire.translated():
            return wire.vectors(await self._tokenizer.Embed(wire.embed_request(inputs), timeout=self.timeout))

    async def search(self, query: str | Motion, *, limit: int = 10) -> list[Hit]:
        """The clips that fit a sentence or a motion best, best first."""
        request = tokenizer_pb2.SearchRequest(query=wire.embed_input(query), limit=limit)
        with wire.translated():
            return wire.hits(await self._tokenizer.Search(request, timeout=self.timeout))

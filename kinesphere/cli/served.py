"""The running services as systems that an evaluation can ask: sentences and lengths in, hml263 features out."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from kinesphere import wire
from kinesphere.client import AsyncClient
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.representations.whole import motion_features
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import decoder_pb2, decoder_pb2_grpc
from kinesphere.wire import Blocks

# Callers at once: the planner writes 16 plans together, and while frames are decoded others can be written.
CALLERS: Final = 24
_TIMEOUT: Final = 300.0
_Key = tuple[str, int, int]  # sentence, frames, seed


class Plans:
    """What the planner wrote for a sentence, a length and a seed, so that another decoder gets the very same tokens.

    file: JSON lines in which they are kept, for a run that goes on after it was stopped; None keeps them in memory.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._known: dict[_Key, Blocks] = {}
        if file is not None and file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                text, frames, seed, written = json.loads(line)
                self._known[text, frames, seed] = tuple((code, tuple(details)) for code, details in written)

    def get(self, key: _Key) -> Blocks | None:
        return self._known.get(key)

    def add(self, key: _Key, blocks: Blocks) -> None:
        if self._known.get(key) == blocks:
            return
        self._known[key] = blocks
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([*key, blocks]) + "\n")


class Served:
    """Asks the services, ``callers`` sentences at once, as many users would; usable as ``System.generate``.

    planner, decoder: addresses, host:port. mode: ``diffusion`` or ``direct``. The first asker of a plan has it written
    by PlannerService.Generate; who shares ``plans`` with it has the same tokens decoded by DecoderService.Decode, so
    that two decoders are compared on nothing but decoding. thinking: None leaves the service's default.
    progress(made, wanted) is told of every motion.
    """

    def __init__(
        self,
        planner: str,
        decoder: str,
        mode: str,
        *,
        plans: Plans | None = None,
        callers: int = CALLERS,
        thinking: bool | None = None,
        progress: Callable[[int, int], None] = lambda made, wanted: None,
    ) -> None:
        self._progress = progress
        self._planner, self._decoder, self._mode = planner, decoder, mode
        self._plans = plans or Plans()
        self._callers, self._thinking = callers, thinking

    def __call__(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        """One [length,263] array for each text; text ``i``'s own seed depends on ``seed`` and ``i`` only.

        Raises InputError(``seconds``) when a service keeps to another length.
        """
        return asyncio.run(self._all(texts, lengths, seed))

    async def _all(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        async with (
            AsyncClient(self._planner, timeout=_TIMEOUT) as client,
            grpc.aio.insecure_channel(self._decoder) as channel,
        ):
            decoder: Any = decoder_pb2_grpc.DecoderServiceStub(channel)

            async def one(index: int) -> FloatArray:
                key = texts[index], lengths[index], seed * 100_003 + index
                blocks = self._plans.get(key)
                if blocks is None:
                    made = await client.generate(
                        key[0], seconds=key[1] / hml263.FPS, seed=key[2], fps=hml263.FPS, decoder=self._mode,
                        thinking=self._thinking,
                    )  # fmt: skip
                    self._plans.add(key, made.blocks)
                    motion = made.motion
                else:
                    motion = await decode(decoder, blocks, self._mode, key[2])
                return features(motion, key[1])

            turns, made = asyncio.Semaphore(self._callers), itertools.count(1)

            async def in_turn(index: int) -> FloatArray:
                async with turns:
                    motion = await one(index)
                self._progress(next(made), len(texts))
                return motion

            return list(await asyncio.gather(*(in_turn(index) for index in range(len(texts)))))


async def decode(decoder: Any, blocks: Blocks, mode: str, seed: int) -> Motion:
    """``blocks`` by DecoderService.Decode, at 20 frames a second."""

    async def requests() -> Any:
        yield decoder_pb2.DecoderServiceDecodeRequest(
            start=decoder_pb2.DecodeStart(
                seed=seed, fps=hml263.FPS, mode=wire.DECODER_MODES[mode], expected_blocks=len(blocks)
            )
        )
        yield decoder_pb2.DecoderServiceDecodeRequest(tokens=wire.motion_tokens(blocks))

    header, chunks = None, []
    with wire.translated():
        async for response in decoder.Decode(requests(), timeout=_TIMEOUT):
            part = response.WhichOneof("part")
            if part == "header":
                header = response.header
            elif part == "motion":
                chunks.append(response.motion)
    assert header is not None
    return wire.motion_of(header, chunks)


def features(motion: Motion, length: int) -> FloatArray:
    """A motion at 20 frames a second as [length,263]. Raises InputError(``seconds``) when it is not that long."""
    if motion.num_frames != length:
        raise InputError(
            "seconds", f"a motion of {length} frames was asked for, {motion.num_frames} frames came back"
        )
    return motion_features(motion)

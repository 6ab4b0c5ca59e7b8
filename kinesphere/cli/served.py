"""The running services as a system that an evaluation can ask: sentences and lengths in, hml263 features out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from kinesphere.client import AsyncClient
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray

RATE = 20.0


class Served:
    """Asks PlannerService.Generate at ``planner`` (host:port), ``callers`` sentences at once, as many users would.

    decoder: ``diffusion`` or ``direct``. Usable as ``kinesphere.evaluation.systems.System.generate``.
    """

    def __init__(
        self, planner: str, decoder: str, *, callers: int = 16, thinking: bool | None = None
    ) -> None:
        self._planner, self._decoder, self._callers, self._thinking = planner, decoder, callers, thinking

    def __call__(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        """One [length,263] array for each text; text ``i``'s own seed depends on ``seed`` and ``i`` only."""
        return asyncio.run(self._all(texts, lengths, seed))

    async def _all(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        turns = asyncio.Semaphore(self._callers)

        async def one(index: int) -> FloatArray:
            async with turns:
                made = await client.generate(
                    texts[index], seconds=lengths[index] / RATE, seed=seed * 100_003 + index, fps=RATE,
                    decoder=self._decoder, thinking=self._thinking,
                )  # fmt: skip
            return features(made.motion, lengths[index])

        async with AsyncClient(self._planner) as client:
            return list(await asyncio.gather(*(one(index) for index in range(len(texts)))))


def features(motion: Motion, length: int) -> FloatArray:
    """A motion at 20 frames a second as [length,263].

    Features describe steps from frame to frame, so that T frames give T-1 rows: the last row is held. What the service
    made shorter than asked for is held likewise, what it made longer is cut.
    """
    rows = hml263.encode(motion.positions[: length + 1])
    return np.pad(rows, ((0, max(0, length - len(rows))), (0, 0)), mode="edge")[:length]

"""The two graphs, asked for many sessions at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.common.runtime import Array, ModelRuntime

SEGMENT: Final = "reactor_segment"
REFINE: Final = "reactor_refine"
Rows = dict[str, Array]


class Networks:
    """One model call for all that is asked at once, cut where it would be larger than ``max_rows``."""

    def __init__(self, runtime: ModelRuntime, max_rows: int) -> None:
        self._runtime = runtime
        self._max_rows = max_rows

    async def segment(self, asked: Sequence[Rows]) -> list[tuple[Array, Array]]:
        """For each input of ``Agent.segment_inputs``: latent [n,1,64] and future [n,8,276]."""
        latents, futures = await self._run(SEGMENT, asked, ("latent", "future"))
        return list(zip(latents, futures, strict=True))

    async def refine(self, asked: Sequence[Rows]) -> list[Array]:
        """For each input of ``Agent.refine_inputs``: future [n,8,276]."""
        (futures,) = await self._run(REFINE, asked, ("future",))
        return futures

    async def _run(self, model: str, asked: Sequence[Rows], outputs: Sequence[str]) -> list[list[Array]]:
        joined = {name: np.concatenate([rows[name] for rows in asked]) for name in asked[0]}
        counts = [len(rows["alpha"]) for rows in asked]
        total, most = sum(counts), self._max_rows
        parts = [
            await self._runtime.infer(
                model, {name: array[start : start + most] for name, array in joined.items()}
            )
            for start in range(0, total, most)
        ]
        edges = np.cumsum(counts)[:-1]
        return [np.split(np.concatenate([part[name] for part in parts]), edges) for name in outputs]

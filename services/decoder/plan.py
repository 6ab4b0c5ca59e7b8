"""``Plan``: the tokens that have arrived and are still needed, at the rate of latents (one for each 4 frames)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

LATENTS_PER_BLOCK: Final = 4
FRAMES_PER_LATENT: Final = 4
FRAMES_PER_BLOCK: Final = LATENTS_PER_BLOCK * FRAMES_PER_LATENT


class Plan:
    """A growing sequence of tokens that forgets what lies behind.

    Position 0 is the first latent to be made; the tokens of a motion that came before lie at negative positions.
    """

    def __init__(self, semantic: Ids | None = None, detail: Ids | None = None) -> None:
        """semantic, detail: [h] tokens of the h latents before position 0, the semantic ones repeated."""
        self._semantic = np.zeros(0, np.int64) if semantic is None else semantic
        self._detail = np.zeros(0, np.int64) if detail is None else detail
        self.start = -len(self._detail)

    @property
    def stop(self) -> int:
        """The first position that is not known yet."""
        return self.start + len(self._detail)

    def push(self, semantic: Ids, detail: Ids) -> None:
        """Append blocks: semantic [N], detail [4N]."""
        self._semantic = np.concatenate([self._semantic, np.repeat(semantic, LATENTS_PER_BLOCK)])
        self._detail = np.concatenate([self._detail, detail])

    def forget(self, before: int) -> None:
        """Drop positions below ``before``."""
        drop = max(0, min(before, self.stop) - self.start)
        self._semantic, self._detail = self._semantic[drop:], self._detail[drop:]
        self.start += drop

    def cut(self, start: int, stop: int) -> tuple[Ids, Ids, NDArray[np.float32]]:
        """semantic, detail and valid (1 = known), each [stop-start]; the nearest known token stands for an unknown."""
        at: NDArray[Any] = np.arange(start, stop)
        valid = ((at >= self.start) & (at < self.stop)).astype(np.float32)
        index = np.clip(at, self.start, self.stop - 1) - self.start
        return self._semantic[index], self._detail[index], valid

"""Plan tokens to features, window after window, as soon as the tokens of a window are known.

Both decoders give the same frames however the tokens are spread over messages and whenever the end is known: what is
made depends on the tokens, the seed and the history alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from kinesphere.skeleton import FloatArray
from services.common.runtime import ModelRuntime
from services.decoder.plan import FRAMES_PER_BLOCK, FRAMES_PER_LATENT, LATENTS_PER_BLOCK, Ids, Plan

# The window that `decoder_window` was trained with, in latents: behind, emitted, and made only to look ahead.
HISTORY: Final = 8
STEP: Final = 8
LOOKAHEAD: Final = 4
NEW: Final = STEP + LOOKAHEAD
# Frames over which a window takes over from what the one before it saw ahead, and how much of that is kept.
FADE: Final = 8
_KEPT: Final = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, FADE + 1) / (FADE + 1))[:, None].astype(np.float32)
# Blocks on either side that reach a block's frames through the tokenizer's decoder (two dilated residual blocks at
# each of two rates: 8 latents).
CONTEXT: Final = 2


@dataclass(frozen=True, eq=False)
class History:
    """A motion to go on from: latents [h,D], h up to 8; semantic, detail [h] its tokens, the semantic repeated."""

    latents: FloatArray
    semantic: Ids
    detail: Ids


class Windows(Protocol):
    """Takes tokens, gives raw hml263 features."""

    def push(self, semantic: Ids, detail: Ids) -> None:
        """Blocks that have arrived: semantic [N], detail [4N]."""
        ...

    def ready(self, *, ended: bool) -> AsyncIterator[FloatArray]:
        """Features [n,263] of every window that can be made now. ended: no more tokens will come."""
        ...


class DiffusionWindows:
    """Latent diffusion: each window sees 8 latents that are emitted already and 4 that will be made again.

    A latent starts from the same noise in every window that makes it, so that the second try lands near the first; what
    is left between the two is faded over, because frames already sent lead up to the first.
    """

    def __init__(
        self, runtime: ModelRuntime, seed: int, latent_size: int, history: History | None = None
    ) -> None:
        self._runtime = runtime
        self._noise = _Noise(seed, latent_size)
        self._plan = Plan(history.semantic, history.detail) if history else Plan()
        self._emitted: FloatArray = np.zeros((HISTORY, latent_size), np.float32)
        self._known = np.zeros(HISTORY, np.float32)
        if history is not None:
            self._remember(history.latents)
        self._ahead: FloatArray | None = None
        self._next = 0

    def push(self, semantic: Ids, detail: Ids) -> None:
        self._plan.push(semantic, detail)

    async def ready(self, *, ended: bool) -> AsyncIterator[FloatArray]:
        while (left := self._plan.stop - self._next) >= NEW or (ended and left > 0):
            yield await self._window(STEP if left >= NEW else left)

    async def _window(self, count: int) -> FloatArray:
        semantic, detail, valid = self._plan.cut(self._next - HISTORY, self._next + NEW)
        noise = np.concatenate([np.zeros_like(self._emitted), self._noise.rows(self._next, self._next + NEW)])
        inputs: dict[str, NDArray[Any]] = {
            "semantic": semantic, "detail": detail, "valid": valid, "history": self._emitted,
            "history_mask": self._known, "noise": noise,
        }  # fmt: skip
        outputs = await self._runtime.infer(
            "decoder_window", {name: one[None] for name, one in inputs.items()}
        )
        self._remember(outputs["latents"][0, :count])
        self._next += count
        self._plan.forget(self._next - HISTORY)
        motion: FloatArray = outputs["motion"][0]
        sent = FRAMES_PER_LATENT * count
        features = motion[:sent].copy()
        if self._ahead is not None:
            fade = _KEPT[:sent]
            features[: len(fade)] += fade * (self._ahead[: len(fade)] - features[: len(fade)])
        self._ahead = motion[sent : sent + FADE]
        return features

    def _remember(self, latents: FloatArray) -> None:
        self._emitted = np.concatenate([self._emitted, latents])[-HISTORY:]
        self._known = np.concatenate([self._known, np.ones(len(latents), np.float32)])[-HISTORY:]


class DirectWindows:
    """The tokenizer's own decoder on blocks with as much context as reaches them: equal to decoding all at once.

    The first block leaves alone, for an early start; then two at a time.
    """

    def __init__(self, runtime: ModelRuntime, history: History | None = None) -> None:
        self._runtime = runtime
        self._plan = Plan(history.semantic, history.detail) if history else Plan()
        # Blocks count from where the plan starts; part of a block before that start cannot be told apart.
        self._plan.forget(-(-self._plan.start // LATENTS_PER_BLOCK) * LATENTS_PER_BLOCK)
        self._next = 0

    def push(self, semantic: Ids, detail: Ids) -> None:
        self._plan.push(semantic, detail)

    async def ready(self, *, ended: bool) -> AsyncIterator[FloatArray]:
        while True:
            left = self._plan.stop // LATENTS_PER_BLOCK - self._next
            count = 1 if self._next == 0 else 2
            if left < count + CONTEXT:
                if not ended or left <= 0:
                    return
                count = left
            yield await self._blocks(count)

    async def _blocks(self, count: int) -> FloatArray:
        start = max(self._plan.start, LATENTS_PER_BLOCK * (self._next - CONTEXT))
        stop = min(self._plan.stop, LATENTS_PER_BLOCK * (self._next + count + CONTEXT))
        semantic, detail, _ = self._plan.cut(start, stop)
        inputs = {"semantic": semantic[None, ::LATENTS_PER_BLOCK], "detail": detail[None]}
        motion = (await self._runtime.infer("tokenizer_decode", inputs))["motion"][0]
        begin = FRAMES_PER_BLOCK * self._next - FRAMES_PER_LATENT * start
        self._next += count
        self._plan.forget(LATENTS_PER_BLOCK * (self._next - CONTEXT))
        features: FloatArray = motion[begin : begin + FRAMES_PER_BLOCK * count]
        return features


class _Noise:
    """Row i is the noise of latent i, whatever is asked for; only rows that can be asked for again are kept."""

    def __init__(self, seed: int, size: int) -> None:
        self._random = np.random.Generator(np.random.Philox(seed))
        self._size = size
        self._first = 0
        self._rows = np.zeros((0, size), np.float32)

    def rows(self, start: int, stop: int) -> FloatArray:
        missing = stop - self._first - len(self._rows)
        if missing > 0:
            more = self._random.standard_normal((missing, self._size), dtype=np.float32)
            self._rows = np.concatenate([self._rows, more])
        self._rows, self._first = self._rows[start - self._first :], start
        return self._rows[: stop - start]

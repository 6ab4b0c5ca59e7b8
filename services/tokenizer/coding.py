"""Motions to tokens and back, motions and texts to embeddings: what the networks are asked."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.representations.whole import hold, motion_features
from kinesphere.skeleton import FloatArray
from kinesphere.text import TextEncoder
from services.common.runtime import ModelRuntime

FRAMES_PER_BLOCK: Final = 16
DETAIL_PER_BLOCK: Final = 4
DETAIL_DEPTH: Final = 1
EMBEDDING_SIZE: Final = 256
FEATURE_SIZE: Final = 256
# Motions of the embedding space last up to 10 s, texts up to 32 tokens.
EMBED_FRAMES: Final = 208
EMBED_TEXT_TOKENS: Final = 32
# Texts of a few near lengths share a shape, and so a model call.
_TEXT_STEP: Final = 8

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Codes:
    """A motion as tokens. semantic [N], detail [4N]; their features before quantization [N,256], [4N,256].

    frames: those of the motion at 20 frames a second, before the last block was filled.
    """

    semantic: Ids
    detail: Ids
    semantic_features: FloatArray
    detail_features: FloatArray
    frames: int


class Coder:
    """The tokenizer's networks behind a runtime."""

    def __init__(self, runtime: ModelRuntime, text_encoder: TextEncoder) -> None:
        self._runtime = runtime
        self._text_encoder = text_encoder

    async def encode(self, motion: Motion) -> Codes:
        """Tokens of ``motion``; its last block is filled by standing still."""
        features = await asyncio.to_thread(motion_features, motion)
        out = await self._runtime.infer("tokenizer_encode", {"motion": whole_blocks(features)[None]})
        return Codes(
            out["semantic"][0],
            out["detail"][0],
            out["semantic_features"][0],
            out["detail_features"][0],
            len(features),
        )

    async def decode(self, semantic: Ids, detail: Ids, frames: int, fps: float) -> Motion:
        """Tokens [N], [4N] straight to motion: the first ``frames`` frames at 20 a second (0: all), then at ``fps``."""
        out = await self._runtime.infer(
            "tokenizer_decode", {"semantic": semantic[None], "detail": detail[None]}
        )
        features = out["motion"][0][: frames or None]
        return await asyncio.to_thread(_motion, features, fps)

    async def embed_motion(self, motion: Motion) -> FloatArray:
        """[256], unit length; the first 10 s are read."""
        kept = motion.slice(0, int(np.ceil(EMBED_FRAMES / hml263.FPS * motion.fps)) + 1)
        features = await asyncio.to_thread(motion_features, kept)
        return await self.embed_features(features[:EMBED_FRAMES])

    async def embed_features(self, features: FloatArray) -> FloatArray:
        """[T,263] -> [256]."""
        out = await self._runtime.infer("embed_motion", {"motion": whole_blocks(features)[None]})
        embedding: FloatArray = out["embedding"][0]
        return embedding

    async def embed_text(self, text: str) -> FloatArray:
        """[256], unit length."""
        features, mask = await asyncio.to_thread(self._text_encoder.encode, [text], EMBED_TEXT_TOKENS)
        missing = -features.shape[1] % _TEXT_STEP
        inputs: dict[str, NDArray[Any]] = {
            "text_features": np.pad(features, ((0, 0), (0, missing), (0, 0))),
            "text_mask": np.pad(mask.astype(np.float32), ((0, 0), (0, missing))),
        }
        out = await self._runtime.infer("embed_text", inputs)
        embedding: FloatArray = out["embedding"][0]
        return embedding


def whole_blocks(features: FloatArray) -> FloatArray:
    """``features`` [T,263] filled up to a multiple of 16 frames by standing still."""
    return hold(features, -(-len(features) // FRAMES_PER_BLOCK) * FRAMES_PER_BLOCK)


def _motion(features: FloatArray, fps: float) -> Motion:
    return Motion.from_positions(hml263.decode(features), hml263.FPS).resampled(fps)

"""From a motion to a sentence: the tokenizer service's features, the language model's words."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import aclosing
from itertools import groupby, pairwise

import numpy as np

from kinesphere.errors import InputError
from kinesphere.motion_language import DETAILS_PER_BLOCK, MAX_BLOCKS, MODEL_FPS, SECONDS_PER_BLOCK
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import motion_pb2, tokenizer_pb2
from services.common.convert import tensor_from_proto
from services.planner.batching import Batcher
from services.planner.generation import Block, CaptionWriter, Ended, Words
from services.planner.loading import Planner
from services.planner.sampling import Sampler

_WIDTHS = {"translation": 3, "rotations": 88, "positions": 66}


async def caption(
    planner: Planner,
    batcher: Batcher,
    encoded: tokenizer_pb2.EncodeResponse,
    sampler: Callable[[int], Sampler],
    *,
    max_blocks: int,
    max_tokens: int = 64,
) -> tuple[str, int]:
    """The sentence for an encoded motion (its first 25 blocks), and how many tokens it took.

    What is longer than ``max_blocks`` is read in even parts, whose captions are joined by "then". sampler: makes the
    random choices of one part.
    """
    count = min(len(encoded.tokens.blocks), MAX_BLOCKS)
    parts = min(math.ceil(count / max_blocks), max_tokens)
    borders = [round(i * count / parts) for i in range(parts + 1)]
    said = await asyncio.gather(
        *(
            _say(planner, batcher, _prompt(planner, encoded, start, stop), sampler(i), max_tokens // parts)
            for i, (start, stop) in enumerate(pairwise(borders))
        )
    )
    sentences = [text for text, _ in groupby(text for text, _ in said)]
    *firsts, last = sentences
    joined = ", then ".join([*(text.rstrip(" .") for text in firsts), last])
    return joined, sum(tokens for _, tokens in said)


def _prompt(planner: Planner, encoded: tokenizer_pb2.EncodeResponse, start: int, stop: int) -> FloatArray:
    """The prompt that shows the model blocks ``start`` to ``stop``."""
    if planner.prompter.wants_codes:
        blocks = encoded.tokens.blocks[start:stop]
        return planner.prompter.caption(
            blocks=[Block(block.semantic, tuple(block.detail[:DETAILS_PER_BLOCK])) for block in blocks]
        )
    return planner.prompter.caption(
        semantic_features=tensor_from_proto(encoded.semantic_features)[start:stop],
        detail_features=tensor_from_proto(encoded.detail_features)[
            DETAILS_PER_BLOCK * start : DETAILS_PER_BLOCK * stop
        ],
    )


async def _say(
    planner: Planner, batcher: Batcher, prompt: FloatArray, sampler: Sampler, max_tokens: int
) -> tuple[str, int]:
    pieces: list[str] = []
    tokens = 0
    writer = CaptionWriter(planner.vocabulary, max_tokens=max_tokens)
    async with aclosing(batcher.write(prompt, writer, sampler)) as events:
        async for event in events:
            if isinstance(event, Words):
                pieces.append(event.text)
            elif isinstance(event, Ended):
                tokens = event.tokens
    return "".join(pieces).strip(), tokens


def beginning(
    motion: motion_pb2.Motion, seconds: float = MAX_BLOCKS * SECONDS_PER_BLOCK
) -> motion_pb2.Motion:
    """The first ``seconds`` of a motion, so that no more than is read is sent on. Checks only what cutting needs."""
    if not np.isfinite(motion.fps) or motion.fps <= 0:
        raise InputError("motion.fps", f"{motion.fps} is not a rate")
    # One frame more at the model's rate, so that resampling reaches the last whole block.
    frames = int(np.ceil((seconds + 1 / MODEL_FPS) * motion.fps)) + 1
    if motion.num_frames <= frames:
        return motion
    if any(
        len(getattr(motion, name)) not in (0, motion.num_frames * width) for name, width in _WIDTHS.items()
    ):
        return motion  # the tokenizer service says what is wrong with it
    cut = motion_pb2.Motion()
    cut.CopyFrom(motion)
    cut.num_frames = frames
    for name, width in _WIDTHS.items():
        del getattr(cut, name)[frames * width :]
    return cut

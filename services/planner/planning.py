"""From a sentence to a stream of thoughts and blocks, in one pass of the language model or several."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from kinesphere.motion_language import MAX_BLOCKS, SECONDS_PER_BLOCK
from kinesphere.skeleton import FloatArray
from kinesphere.text import TextEncoder
from services.planner.batching import Batcher
from services.planner.generation import Block, Ended, Ending, PlanWriter, Words
from services.planner.loading import Planner
from services.planner.sampling import Sampler


@dataclass(frozen=True)
class PlanRequest:
    """What to plan. seconds: 0 lets the model decide, within one pass."""

    text: str
    seconds: float
    seed: int
    temperature: float
    top_p: float
    thinking: bool

    @property
    def blocks(self) -> int:
        """Blocks that cover ``seconds``; 0 when the model decides."""
        return math.ceil(self.seconds / SECONDS_PER_BLOCK - 1e-6)


def passes(blocks: int) -> list[int]:
    """Blocks of each pass, as even as can be, at most 25 each; [0] when the model decides."""
    if blocks == 0:
        return [0]
    count = math.ceil(blocks / MAX_BLOCKS)
    return [blocks // count + (i < blocks % count) for i in range(count)]


class PlanMaker:
    """Plans by one language model that is shared through a batcher."""

    def __init__(
        self, planner: Planner, batcher: Batcher, *, encoder: TextEncoder | None, max_thought: int
    ) -> None:
        self._planner, self._batcher = planner, batcher
        self._encoder, self._max_thought = encoder, max_thought

    async def plan(self, request: PlanRequest) -> AsyncGenerator[Words | Block | Ended, None]:
        """Pieces of the thought, then blocks as they are written; last ``Ended`` with all passes' tokens.

        A motion longer than a pass (20 s) is planned in several, of the same sentence, each with its own random
        choices; only the first thinks aloud. Raises what ``Batcher.write`` raises.
        """
        features = await self._features(request.text)
        tokens, ending = 0, Ending.LIMIT
        for number, blocks in enumerate(passes(request.blocks)):
            thinking = request.thinking and number == 0
            prompt = self._planner.prompter.plan(
                request.text, features=features, blocks=blocks, thinking=thinking
            )
            writer = PlanWriter(
                self._planner.vocabulary, blocks=blocks, thinking=thinking, max_thought=self._max_thought
            )
            sampler = Sampler(
                temperature=request.temperature, top_p=request.top_p, seed=(request.seed, number)
            )
            async with aclosing(self._batcher.write(prompt, writer, sampler)) as events:
                async for event in events:
                    if isinstance(event, Ended):
                        tokens, ending = tokens + event.tokens, event.ending
                    else:
                        yield event
        yield Ended(ending, tokens)

    async def _features(self, text: str) -> FloatArray | None:
        if self._encoder is None or not self._planner.prompter.wants_features:
            return None
        features, mask = await asyncio.to_thread(self._encoder.encode, [text])
        known: FloatArray = features[0][mask[0]]
        return known

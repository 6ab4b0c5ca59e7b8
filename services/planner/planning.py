"""From a sentence to a stream of thoughts and blocks, in one pass of the language model or several."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from kinesphere.motion_language import SECONDS_PER_BLOCK
from kinesphere.skeleton import FloatArray
from kinesphere.text import TextEncoder
from services.planner.batching import Batcher
from services.planner.generation import Block, Ended, Ending, PlanWriter, Words
from services.planner.loading import Planner
from services.planner.sampling import Sampler

OVERLAP: Final = 4  # blocks (3.2 s) that a later pass sees of what came before it, at least


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


@dataclass(frozen=True)
class Pass:
    """One answer of the model: ``known`` blocks that are there already, then ``new`` ones (0: the model decides)."""

    known: int
    new: int


def passes(blocks: int, longest: int) -> list[Pass]:
    """Passes that make ``blocks`` blocks when an answer has ``longest`` at most.

    A later pass sees as many of the last blocks as its answer has room for: the model goes on with the movement rather
    than starting it anew.
    """
    made = min(blocks, longest)
    found = [Pass(0, made)]
    step = max(1, longest - OVERLAP)
    while made < blocks:
        new = min(step, blocks - made)
        found.append(Pass(longest - new, new))
        made += new
    return found


class PlanMaker:
    """Plans by one language model that is shared through a batcher.

    max_blocks: of one answer, no more than the model was trained on. max_thought, thought_temperature: as PlanWriter's.
    """

    def __init__(
        self,
        planner: Planner,
        batcher: Batcher,
        *,
        encoder: TextEncoder | None,
        max_blocks: int,
        max_thought: int = 96,
        thought_temperature: float | None = None,
    ) -> None:
        self._planner, self._batcher, self._encoder = planner, batcher, encoder
        self._max_blocks, self._max_thought = max_blocks, max_thought
        self._thought_temperature = thought_temperature

    async def plan(self, request: PlanRequest) -> AsyncGenerator[Words | Block | Ended, None]:
        """Pieces of an action's thought, its blocks as they are written, the next action; last ``Ended``, once for all.

        What does not fit one answer is planned in several, each with its own random choices; later ones are told the
        last thought and the last blocks. Raises what ``Batcher.write`` raises.
        """
        features = await self._features(request.text)
        tokens, ending = 0, Ending.LIMIT
        thought, acting = "", False
        made: deque[Block] = deque(maxlen=self._max_blocks)
        for number, part in enumerate(passes(request.blocks, self._max_blocks)):
            thinking = request.thinking and number == 0
            prompt = self._planner.prompter.plan(
                request.text,
                features=features,
                blocks=part.known + part.new,
                thinking=thinking,
                thought=thought.strip(),
                begun=list(made)[len(made) - part.known :],
            )
            writer = PlanWriter(
                self._planner.vocabulary,
                blocks=part.new,
                most=self._max_blocks,
                thinking=thinking,
                max_thought=self._max_thought,
                thought_temperature=self._thought_temperature,
            )
            sampler = Sampler(
                temperature=request.temperature, top_p=request.top_p, seed=(request.seed, number)
            )
            written = self._batcher.write(prompt, writer, sampler, goes_on=number > 0)
            async with aclosing(written) as events:
                async for event in events:
                    match event:
                        case Ended():
                            tokens, ending = tokens + event.tokens, event.ending
                            continue
                        case Words(text):
                            thought, acting = (text if acting else thought + text), False
                        case Block():
                            made.append(event)
                            acting = True
                    yield event
        yield Ended(ending, tokens)

    async def _features(self, text: str) -> FloatArray | None:
        if self._encoder is None or not self._planner.prompter.wants_features:
            return None
        features, mask = await asyncio.to_thread(self._encoder.encode, [text])
        known: FloatArray = features[0][mask[0]]
        return known

"""One sequence being written: grammar and sampler around a model's logits, and the events that come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from kinesphere.motion_language import DETAILS_PER_BLOCK, MAX_BLOCKS, TOKENS_PER_BLOCK
from kinesphere.skeleton import FloatArray
from services.planner.grammar import CaptionGrammar, Grammar, PlanGrammar
from services.planner.sampling import Sampler
from services.planner.vocabulary import TextStream, Vocabulary


class Ending(Enum):
    """Why a sequence ended."""

    COMPLETE = "the model closed it"
    LENGTH = "the length asked for is reached"
    LIMIT = "the model's own limit is reached"


@dataclass(frozen=True)
class Words:
    """A piece of text: of the thought, or of a caption."""

    text: str


@dataclass(frozen=True)
class Block:
    """One block of the plan: a semantic code and four detail codes."""

    semantic: int
    details: tuple[int, ...]


@dataclass(frozen=True)
class Ended:
    """The last event. tokens: how many the model wrote."""

    ending: Ending
    tokens: int


Event = Words | Block | Ended


class Writer(Protocol):
    """Turns tokens that a grammar let through into events."""

    @property
    def grammar(self) -> Grammar: ...

    def write(self, token: int) -> list[Event]:
        """Advance the grammar by ``token``; gives what it completes, ``Ended`` excepted."""
        ...

    @property
    def temperature(self) -> float | None:
        """Randomness of the next token where it is not the request's."""
        ...

    @property
    def ending(self) -> Ending: ...


class PlanWriter:
    """Pieces of an action's thought, then its blocks as soon as their five tokens are there; then the next action's.

    A later thought's first piece begins with a space: pieces join to sentences. thought_temperature: randomness of the
    thoughts' words; None: the request's. Other arguments as PlanGrammar's.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        blocks: int = 0,
        most: int = MAX_BLOCKS,
        thinking: bool = True,
        max_thought: int = 96,
        thought_temperature: float | None = None,
    ) -> None:
        self.grammar = PlanGrammar(
            vocabulary, blocks=blocks, most=most, thinking=thinking, max_thought=max_thought
        )
        self._thought_temperature = thought_temperature
        self._vocabulary = vocabulary
        self._thought, self._gap = TextStream(vocabulary), ""
        self._block: list[int] = []
        self._exact = blocks > 0
        self._closed = False

    @property
    def temperature(self) -> float | None:
        return self._thought_temperature if self.grammar.thinking else None

    @property
    def ending(self) -> Ending:
        if self._exact:
            return Ending.LENGTH
        return Ending.COMPLETE if self._closed else Ending.LIMIT

    def write(self, token: int) -> list[Event]:
        v, thinking = self._vocabulary, self.grammar.thinking
        self.grammar.advance(token)
        if thinking:
            piece = "" if token == v.think_end else self._thought.add(token)
            if not piece:
                return []
            piece, self._gap = self._gap + piece, ""
            return [Words(piece)]
        if token == v.think:
            self._thought, self._gap = TextStream(v), " "
            return []
        if token == v.answer_end:
            self._closed = True
        if token in (v.answer, v.answer_end):
            return []
        self._block.append(token)
        if len(self._block) < TOKENS_PER_BLOCK:
            return []
        semantic, *details = self._block
        self._block.clear()
        assert len(details) == DETAILS_PER_BLOCK
        return [Block(v.semantic_code(semantic), tuple(v.detail_code(token) for token in details))]


class CaptionWriter:
    """The words of a caption, piece by piece."""

    temperature: float | None = None

    def __init__(self, vocabulary: Vocabulary, *, max_tokens: int = 64) -> None:
        self.grammar = CaptionGrammar(vocabulary, max_tokens=max_tokens)
        self._end = vocabulary.text_end
        self._text = TextStream(vocabulary)
        self._closed = False

    @property
    def ending(self) -> Ending:
        return Ending.COMPLETE if self._closed else Ending.LIMIT

    def write(self, token: int) -> list[Event]:
        self.grammar.advance(token)
        if token == self._end:
            self._closed = True
            return []
        piece = self._text.add(token)
        return [Words(piece)] if piece else []


@dataclass
class Generation:
    """A request in the batch: its prompt [S,D], its choices, and ``sink``, which gets every event in order.

    ``cancelled`` may be set from any thread; the row is freed before the next step.
    """

    prompt: FloatArray
    writer: Writer
    sampler: Sampler
    sink: Callable[[Event], None]
    cancelled: bool = False
    tokens: int = field(default=0, init=False)

    @property
    def finished(self) -> bool:
        return self.writer.grammar.finished

    def advance(self, logits: FloatArray) -> int:
        """Choose the next token from ``logits`` [V], tell ``sink`` what it completes, and give it."""
        writer = self.writer
        token = self.sampler.choose(logits, writer.grammar.allowed(), temperature=writer.temperature)
        self.tokens += 1
        for event in writer.write(token):
            self.sink(event)
        if self.finished:
            self.sink(Ended(writer.ending, self.tokens))
        return token

"""Grammars by token id: which tokens may come next. Malformed output is impossible while one is followed.

The plan's grammar is a counter: words until ``</think>``, then blocks of one semantic and four detail tokens until the
next thought or ``</answer>``. xgrammar could express it (``Token(id)`` in EBNF), but importing it imports torch and
transformers, 5 s and 0.5 GB that a serving pod does without; the counter is shorter than the EBNF text.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from kinesphere.motion_language import MAX_BLOCKS, TOKENS_PER_BLOCK
from services.planner.vocabulary import IdArray, Vocabulary


class Grammar(Protocol):
    """What a generation may say next. ``allowed`` is never empty before ``finished``."""

    @property
    def finished(self) -> bool: ...

    def allowed(self) -> IdArray:
        """Ids that may come next."""
        ...

    def advance(self, token: int) -> None:
        """Note that ``token``, one of ``allowed``, was said."""
        ...


class PlanGrammar:
    """``words </think> <answer> block+ (<think> words </think> block+)* </answer>`` after a prompt's last ``<think>``.

    blocks: exact number wanted, 1 to 25; 0 lets the model end, after ``most`` at the latest. thinking: False starts
    inside ``<answer>``, and no thought comes later. max_thought: words of all thoughts together, after which one is
    closed and none is opened; each has one at least, because a model that was also trained without thoughts would
    sometimes close it at once.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        blocks: int = 0,
        most: int = MAX_BLOCKS,
        thinking: bool = True,
        max_thought: int = 96,
    ) -> None:
        self._vocabulary = vocabulary
        self._most = blocks or most
        self._words_left, self._silent = max_thought, True
        self._thinking, self._opening = thinking, False
        self._in_block = 0
        self._acting = False  # a block has been said since the last thought
        self.blocks = 0
        self.finished = False
        self._thought = np.append(vocabulary.words, vocabulary.think_end)
        borders = [vocabulary.semantic]
        if not blocks:
            borders.append(np.array([vocabulary.answer_end]))
        self._last_border = np.concatenate(borders)
        if thinking:
            borders.append(np.array([vocabulary.think]))
        self._border = np.concatenate(borders)

    @property
    def thinking(self) -> bool:
        """Whether the next token belongs to a thought."""
        return self._thinking

    def allowed(self) -> IdArray:
        v = self._vocabulary
        if self._thinking:
            if self._silent:
                return v.words
            return self._thought if self._words_left > 0 else np.array([v.think_end])
        if self._opening:
            return np.array([v.answer])
        if self._in_block:
            return v.detail
        if not self._acting:
            return v.semantic
        return self._border if self._words_left > 0 else self._last_border

    def advance(self, token: int) -> None:
        v = self._vocabulary
        if self._thinking:
            self._words_left -= 1
            self._silent = False
            if token == v.think_end:
                self._thinking, self._opening = False, self.blocks == 0
        elif self._opening:
            self._opening = False
        elif token == v.answer_end:
            self.finished = True
        elif token == v.think:
            self._thinking, self._silent, self._acting = True, True, False
        else:
            self._acting = True
            self._in_block = (self._in_block + 1) % TOKENS_PER_BLOCK
            if self._in_block == 0:
                self.blocks += 1
                # What would follow is known, so the model is not asked.
                self.finished = self.blocks == self._most


class CaptionGrammar:
    """``words </text>``, after a prompt that ends in ``<text>``; at least one word, at most ``max_tokens``."""

    def __init__(self, vocabulary: Vocabulary, *, max_tokens: int = 64) -> None:
        self._end = vocabulary.text_end
        self._first = vocabulary.words
        self._later = np.append(vocabulary.words, self._end)
        self._left = max_tokens
        self._said = 0
        self.finished = False

    def allowed(self) -> IdArray:
        return self._later if self._said else self._first

    def advance(self, token: int) -> None:
        self._said += token != self._end
        self._left -= 1
        self.finished = token == self._end or self._left <= 0

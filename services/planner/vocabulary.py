"""The planner's vocabulary: a Hugging Face ``tokenizer.json`` and the ids of the motion language in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from kinesphere import motion_language as language
from kinesphere.errors import FormatError, InputError

IdArray = NDArray[np.int64]


class Vocabulary:
    """Ids by meaning. ``size`` counts every token of the file; a model may have more rows.

    Raises FormatError when the file is not a tokenizer or lacks a token of the motion language.
    """

    def __init__(self, path: Path) -> None:
        try:
            source = path.read_text()
            self._full = Tokenizer.from_str(source)
            # Without its added tokens a tokenizer reads "</answer>" in a user's sentence as plain characters.
            plain = json.loads(source)
            added = {entry["id"] for entry in plain["added_tokens"]}
            self._plain = Tokenizer.from_str(
                json.dumps({**plain, "added_tokens": [], "post_processor": None})
            )
        except OSError:
            raise
        except Exception as error:  # the library raises plain Exception
            raise FormatError("planner.tokenizer", f"{path} is not a tokenizer.json: {error}") from error
        for tokenizer in (self._full, self._plain):
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self.size = int(self._full.get_vocab_size())
        self.bos, self.eos = self._id(language.BOS), self._id(language.EOS)
        self.text_to_motion = self._id(language.TEXT_TO_MOTION)
        self.motion_to_text = self._id(language.MOTION_TO_TEXT)
        self.text, self.text_end = self._id(language.TEXT), self._id(language.TEXT_END)
        self.think, self.think_end = self._id(language.THINK), self._id(language.THINK_END)
        self.answer, self.answer_end = self._id(language.ANSWER), self._id(language.ANSWER_END)
        self.length = self._id(language.LENGTH)
        self.lengths = self._ids(language.length_token(k) for k in range(1, language.MAX_BLOCKS + 1))
        self.semantic = self._ids(language.semantic_token(i) for i in range(language.SEMANTIC_CODES))
        self.detail = self._ids(language.detail_token(i) for i in range(language.DETAIL_CODES))
        every = self._full.get_vocab(with_added_tokens=True).values()
        self.words: IdArray = np.array(sorted(set(every) - added), dtype=np.int64)
        self._semantic_codes = {int(token): code for code, token in enumerate(self.semantic)}
        self._detail_codes = {int(token): code for code, token in enumerate(self.detail)}

    def encode(self, text: str) -> list[int]:
        """``text`` as ids of ordinary words, whatever it spells."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ordinary ids; special tokens are left out."""
        text: str = self._full.decode(list(ids), skip_special_tokens=True)
        return text

    def semantic_code(self, token: int) -> int:
        return self._semantic_codes[token]

    def detail_code(self, token: int) -> int:
        return self._detail_codes[token]

    def block_ids(self, semantic: int, details: Sequence[int]) -> list[int]:
        """The five ids of one block. Raises InputError for a code outside the codebooks."""
        for code, table in ((semantic, self.semantic), *((code, self.detail) for code in details)):
            if not 0 <= code < len(table):
                raise InputError("tokens", f"code {code} is outside 0 to {len(table) - 1}")
        return [int(self.semantic[semantic]), *(int(self.detail[code]) for code in details)]

    def _id(self, name: str) -> int:
        found = self._full.token_to_id(name)
        if found is None:
            raise FormatError("planner.tokenizer", f"has no token {name}: it was not made for this planner")
        return int(found)

    def _ids(self, names: object) -> IdArray:
        return np.array([self._id(name) for name in names], dtype=np.int64)  # type: ignore[attr-defined]


class TextStream:
    """Ids in, text out, piece by piece; a character whose bytes are not all there yet waits for the next id."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids: list[int] = []
        self._sent = 0

    def add(self, token: int) -> str:
        """The text that ``token`` completes; often empty within a character."""
        self._ids.append(token)
        text = self.text
        if text.endswith("\ufffd"):
            return ""
        piece, self._sent = text[self._sent :], len(text)
        return piece

    @property
    def text(self) -> str:
        """Everything so far, without the space that a first word carries."""
        return self._vocabulary.decode(self._ids).lstrip()

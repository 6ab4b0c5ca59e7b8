"""What the planner asks of a language model: prompts join, all rows step together, rows leave at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from kinesphere.skeleton import FloatArray


class LanguageModel(Protocol):
    """A causal language model with explicit, batched steps. Used from one thread at a time.

    name: the engine's, for instance ``onnxruntime``. max_rows: sequences that can be open at once. max_length:
    positions of one sequence, prompt included. width: of an embedding.
    """

    name: str
    max_rows: int
    max_length: int
    width: int

    def embed(self, ids: Sequence[int]) -> FloatArray:
        """Embeddings [S,D] of token ids."""
        ...

    def prefill(self, embeds: FloatArray) -> tuple[int, FloatArray]:
        """Open a row with a prompt of embeddings [S,D]: its handle and the logits [V] after the prompt.

        Raises InputError when the prompt is empty or longer than ``max_length``, RuntimeError beyond ``max_rows``.
        """
        ...

    def step(self, tokens: Mapping[int, int]) -> dict[int, FloatArray]:
        """Feed one token to every open row, by handle; gives each row's logits [V]."""
        ...

    def release(self, row: int) -> None:
        """Close a row; its handle is void from then on."""
        ...

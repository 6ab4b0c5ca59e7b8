"""Prompts as embeddings: what the model was trained to see before it writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kinesphere.errors import InputError
from kinesphere.motion_language import MAX_BLOCKS
from kinesphere.skeleton import FloatArray
from services.planner.engines.base import LanguageModel
from services.planner.engines.onnx import make_session
from services.planner.generation import Block
from services.planner.vocabulary import Vocabulary

MAX_CAPTION = 64  # tokens of the sentence that are read; the text encoder's prefix reads 32 of its own


class Projector:
    """A small graph of the model repository that turns features into embeddings."""

    def __init__(self, path: Path) -> None:
        self._session = make_session(path, 1)

    def __call__(self, **inputs: FloatArray) -> FloatArray:
        """Inputs without their batch axis; gives embeds [S,D]."""
        feed = {name: np.ascontiguousarray(array[None], np.float32) for name, array in inputs.items()}
        embeds: FloatArray = self._session.run(["embeds"], feed)[0][0]
        return embeds


class Prompter:
    """Writes the prompts of one language model. ``prefix`` and ``motion`` are None for a model without projectors."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        model: LanguageModel,
        prefix: Projector | None = None,
        motion: Projector | None = None,
    ) -> None:
        self._vocabulary, self._model = vocabulary, model
        self._prefix, self._motion = prefix, motion

    @property
    def wants_features(self) -> bool:
        """Whether a plan's prompt is conditioned on the text encoder's features."""
        return self._prefix is not None

    @property
    def wants_codes(self) -> bool:
        """Whether a caption's prompt holds discrete tokens, for want of a projector of features."""
        return self._motion is None

    def plan(
        self,
        text: str,
        *,
        features: FloatArray | None = None,
        blocks: int = 0,
        thinking: bool = True,
        thought: str = "",
        begun: Sequence[Block] = (),
    ) -> FloatArray:
        """``<bos><t2m> {prefix} text [<len><n_k>] <think>`` [S,D]; with the thought ``</think><answer>begun`` follow.

        features: the sentence's token features [L,384], where the model has a prefix. blocks: how many the answer has,
        ``begun`` included. thought, begun: what an earlier pass has said already.
        """
        v = self._vocabulary
        tail = v.encode(text)[:MAX_CAPTION]
        if blocks:
            if blocks > MAX_BLOCKS:
                raise InputError("seconds", f"{blocks} blocks do not fit one pass of {MAX_BLOCKS}")
            tail += [v.length, int(v.lengths[blocks - 1])]
        tail.append(v.think)
        if not thinking:
            tail += [*v.encode(thought), v.think_end, v.answer]
            tail += [token for block in begun for token in v.block_ids(block.semantic, block.details)]
        parts = [self._model.embed([v.bos, v.text_to_motion])]
        if self._prefix is not None and features is not None:
            parts.append(self._prefix(text_features=features))
        return np.concatenate([*parts, self._model.embed(tail)])

    def caption(
        self,
        *,
        semantic_features: FloatArray | None = None,
        detail_features: FloatArray | None = None,
        blocks: list[Block] | None = None,
    ) -> FloatArray:
        """``<bos><m2t> {motion} <text>`` [S,D]: from features [N,256] and [4N,256], or from the blocks' codes."""
        v = self._vocabulary
        if self._motion is not None and semantic_features is not None and detail_features is not None:
            motion = self._motion(semantic_features=semantic_features, detail_features=detail_features)
        else:
            ids = [token for block in blocks or [] for token in v.block_ids(block.semantic, block.details)]
            motion = self._model.embed(ids)
        head = self._model.embed([v.bos, v.motion_to_text])
        return np.concatenate([head, motion, self._model.embed([v.text])])

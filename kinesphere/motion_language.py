"""The words that a language model and the rest of the system share: special tokens and their order in a sequence.

Text to motion (``prefix`` embeddings and ``<len>`` are optional)::

    <bos><t2m> {prefix} caption [<len><n_k>] <think> first action in words </think>
    <answer> (sem det det det det)+ [<think> next action </think> (sem det det det det)+]* </answer><eos>

Motion to text::

    <bos><m2t> {motion: five embeddings, or five tokens, a block} <text> caption </text><eos>

A thought stands right before what it leads to, so that a second action is planned as a first one is; ``k`` counts the
blocks of all. A block is 0.8 s: one semantic token (what is done) and four detail tokens (how, one for every 0.2 s).
"""

from __future__ import annotations

from typing import Final

PAD: Final = "<pad>"
BOS: Final = "<bos>"
EOS: Final = "<eos>"
TEXT_TO_MOTION: Final = "<t2m>"
MOTION_TO_TEXT: Final = "<m2t>"
TEXT, TEXT_END = "<text>", "</text>"
THINK, THINK_END = "<think>", "</think>"
ANSWER, ANSWER_END = "<answer>", "</answer>"
LENGTH: Final = "<len>"
PERSON_A, PERSON_B = "<person_a>", "<person_b>"

SEMANTIC_CODES: Final = 512
DETAIL_CODES: Final = 512
DETAILS_PER_BLOCK: Final = 4
TOKENS_PER_BLOCK: Final = 1 + DETAILS_PER_BLOCK
MAX_BLOCKS: Final = 25
FRAMES_PER_BLOCK: Final = 16
MODEL_FPS: Final = 20.0
SECONDS_PER_BLOCK: Final = FRAMES_PER_BLOCK / MODEL_FPS

STRUCTURE: Final = (
    PAD, BOS, EOS, TEXT_TO_MOTION, MOTION_TO_TEXT, TEXT, TEXT_END, THINK, THINK_END, ANSWER, ANSWER_END, LENGTH,
    PERSON_A, PERSON_B,
)  # fmt: skip


def length_token(blocks: int) -> str:
    """The token that asks for a motion of ``blocks`` blocks, 1 to 25."""
    return f"<n_{blocks}>"


def semantic_token(code: int) -> str:
    return f"<sem_{code}>"


def detail_token(code: int) -> str:
    return f"<det_{code}>"


def special_tokens() -> list[str]:
    """Every token that is added to a text vocabulary, in the order they are added."""
    return [
        *STRUCTURE,
        *(length_token(k) for k in range(1, MAX_BLOCKS + 1)),
        *(semantic_token(i) for i in range(SEMANTIC_CODES)),
        *(detail_token(i) for i in range(DETAIL_CODES)),
    ]

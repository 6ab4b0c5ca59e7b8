"""Text tokenizers with the motion vocabulary: a byte-level BPE of our own, or any tokenizer extended."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from kinesphere.motion_language import special_tokens


def train_tokenizer(texts: Iterable[str], size: int = 2048) -> Tokenizer:
    """A byte-level BPE of at most ``size`` text tokens learned from ``texts``, then the motion vocabulary.

    Byte level (Radford et al. 2019, GPT-2): every string has a spelling, so nothing a user writes is unknown.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    tokenizer.train_from_iterator(texts, trainer)
    return extend_tokenizer(tokenizer)


def extend_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """Add the motion vocabulary to a text tokenizer, after its own tokens; returns the same object."""
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in special_tokens()]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> Path:
    """Write ``folder/tokenizer.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path

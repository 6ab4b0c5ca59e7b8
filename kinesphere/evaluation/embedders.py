"""The evaluator's embeddings: sentences and motions into one space, by networks that nothing else uses or trains on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from kinesphere.errors import InputError
from kinesphere.evaluation.systems import TextFeatures
from kinesphere.skeleton import FloatArray

_BATCH: Final = 32


class Evaluator(Protocol):
    """Embeds texts and motions: [N,D] each. Motions are raw hml263 [T,263] of differing T."""

    name: str

    def texts(self, texts: Sequence[str]) -> FloatArray: ...

    def motions(self, motions: Sequence[FloatArray]) -> FloatArray: ...


class OnnxEvaluator:
    """The shipped evaluator: ``models/evaluator_motion`` and ``models/evaluator_text``, in process.

    Raises InputError(``models``) when they are not there.
    """

    name = "kinesphere evaluator"

    def __init__(
        self, models: Path | str = "models", encoder: TextFeatures | None = None, threads: int = 2
    ) -> None:
        self._motion = load_session(Path(models) / "evaluator_motion", threads)
        self._text = load_session(Path(models) / "evaluator_text", threads)
        if encoder is None:
            from kinesphere.text import TextEncoder

            encoder = TextEncoder()
        self._encoder = encoder

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """[N,D] embeddings of the sentences."""

        def run(batch: list[str]) -> FloatArray:
            features, mask = self._encoder.encode(batch)
            inputs = {"text_features": features, "text_mask": mask.astype(np.float32)}
            return np.asarray(self._text.run(None, inputs)[0])

        # Sorted by length: padding costs time.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        parts = [
            run([texts[i] for i in order[start : start + _BATCH]]) for start in range(0, len(order), _BATCH)
        ]
        return _unsorted(parts, order)

    def motions(self, motions: Sequence[FloatArray]) -> FloatArray:
        """[N,D] embeddings of raw hml263 motions."""

        def run(batch: list[FloatArray]) -> FloatArray:
            lengths = np.array([len(motion) for motion in batch], dtype=np.int64)
            padded = np.zeros((len(batch), int(lengths.max()), 263), dtype=np.float32)
            for row, motion in zip(padded, batch, strict=True):
                row[: len(motion)] = motion
            return np.asarray(self._motion.run(None, {"motion": padded, "lengths": lengths})[0])

        order = sorted(range(len(motions)), key=lambda index: len(motions[index]))
        parts = [
            run([motions[i] for i in order[start : start + _BATCH]]) for start in range(0, len(order), _BATCH)
        ]
        return _unsorted(parts, order)


def _unsorted(parts: list[FloatArray], order: list[int]) -> FloatArray:
    if not parts:
        raise InputError("texts", "nothing to embed")
    together = np.concatenate(parts)
    result = np.empty_like(together)
    result[order] = together
    return result


def load_session(folder: Path, threads: int) -> Any:
    """The graph of a model's newest version in ``folder``. Raises InputError(``models``) where there is none."""
    import onnxruntime as ort

    versions = sorted(
        (path for path in folder.glob("*/model.onnx") if path.parent.name.isdigit()), key=_version
    )
    if not versions:
        raise InputError("models", f"{folder} has no VERSION/model.onnx: train it (`kinesphere train`)")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(versions[-1]), options, providers=["CPUExecutionProvider"])


def _version(path: Path) -> int:
    return int(path.parent.name)

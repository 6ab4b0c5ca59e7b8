"""Engines: every row's logits are what transformers gives for that row alone, whoever else is in the batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.errors import FormatError, InputError
from services.planner.engines.base import LanguageModel
from services.planner.engines.onnx import OnnxLanguageModel
from services.planner.engines.transformers import TransformersLanguageModel

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def reference(models_dir: Path) -> Callable[[list[int]], Any]:
    """Logits [S,V] of the shipped half-precision weights, by transformers, without a cache."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        models_dir / "planner_compact" / "hf", dtype=torch.float32
    ).eval()

    def logits(ids: list[int]) -> Any:
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0].numpy()

    return logits


def onnx_engine(models_dir: Path, **options: Any) -> OnnxLanguageModel:
    return OnnxLanguageModel(
        models_dir / "planner_compact" / "1" / "model.onnx",
        models_dir / "planner_compact_embed" / "1" / "model.onnx",
        **options,
    )


@pytest.fixture(params=["onnx", "transformers"])
def engine(models_dir: Path, request: pytest.FixtureRequest) -> LanguageModel:
    if request.param == "transformers":
        return TransformersLanguageModel(models_dir / "planner_compact" / "hf", threads=1, max_rows=3)
    return onnx_engine(models_dir, max_rows=3)


def test_rows_come_and_go_without_touching_each_other(
    engine: LanguageModel, reference: Callable[[list[int]], Any]
) -> None:
    rng = np.random.default_rng(3)
    written: dict[int, list[int]] = {}
    waiting = [int(n) for n in (5, 17, 2, 9, 30, 1)]
    for step in range(40):
        if waiting and len(written) < 3 and step % 3 == 0:
            ids = rng.integers(0, 900, waiting.pop()).tolist()
            row, logits = engine.prefill(engine.embed(ids))
            written[row] = ids
            np.testing.assert_allclose(logits, reference(ids)[-1], atol=2e-3)
        if len(written) == 3 and step % 4 == 0:
            gone = sorted(written)[step // 4 % 3]
            engine.release(gone)
            del written[gone]
        tokens = {row: int(rng.integers(0, 900)) for row in written}
        results = engine.step(tokens)
        assert results.keys() == written.keys()
        for row, token in tokens.items():
            written[row].append(token)
            np.testing.assert_allclose(results[row], reference(written[row])[-1], atol=2e-3)
    assert not waiting


def test_limits_are_named(engine: LanguageModel) -> None:
    with pytest.raises(InputError, match="prompt"):
        engine.prefill(np.zeros((engine.max_length + 1, engine.width), np.float32))
    with pytest.raises(InputError, match="prompt"):
        engine.prefill(np.zeros((0, engine.width), np.float32))
    rows = [engine.prefill(engine.embed([1]))[0] for _ in range(3)]
    with pytest.raises(RuntimeError, match="3 rows"):
        engine.prefill(engine.embed([1]))
    with pytest.raises(ValueError, match="every open row"):
        engine.step({rows[0]: 1})


def test_a_row_does_not_outgrow_the_cache(models_dir: Path) -> None:
    engine = onnx_engine(models_dir, max_length=4)
    row, _ = engine.prefill(engine.embed([1, 2, 3]))
    engine.step({row: 4})
    with pytest.raises(InputError, match="longer than 4"):
        engine.step({row: 5})


def test_other_files_are_refused(models_dir: Path) -> None:
    embedding = models_dir / "planner_compact_embed" / "1" / "model.onnx"
    with pytest.raises(FormatError, match="planner.model"):
        OnnxLanguageModel(embedding, embedding)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        OnnxLanguageModel(Path("nowhere"), embedding)

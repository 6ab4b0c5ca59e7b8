"""The exported graph is the transformers network: the exporter compares them, and so do we, through the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.errors import InputError
from services.trainer.planner_export import export_planner

from .conftest import Motion, Prefix, make_hf


def test_every_graph_equals_torch(hf_dir: Path, tmp_path: Path) -> None:
    worst = export_planner(hf_dir, {"prefix": Prefix(64), "motion": Motion(64)}, tmp_path)
    assert worst < 1e-4
    for name in (
        "planner_compact",
        "planner_compact_embed",
        "planner_compact_prefix",
        "planner_compact_motion",
    ):
        assert (tmp_path / name / "1" / "model.onnx").is_file()
    assert (tmp_path / "planner_compact" / "hf" / "tokenizer.json").is_file()


def test_llama_and_quantized_weights(tmp_path: Path) -> None:
    folder = make_hf(tmp_path / "hf", "llama")
    exact = export_planner(folder, None, tmp_path / "half")
    rough = export_planner(folder, None, tmp_path / "int8", weights="int8")
    assert exact < 1e-3 < rough < 1.0
    sizes = [
        (tmp_path / kind / "planner_compact" / "1" / "model.onnx").stat().st_size for kind in ("half", "int8")
    ]
    assert sizes[1] < 0.75 * sizes[0]


def test_unknown_architecture_is_refused(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, GPT2Config

    AutoModelForCausalLM.from_config(
        GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=64)
    ).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="model.architecture"):
        export_planner(tmp_path, None, tmp_path / "out")

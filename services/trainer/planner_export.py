"""Export of a trained planner: Hugging Face folder in, ONNX graphs that serve without torch out.

``export_planner`` writes, under ``out_dir`` (a model repository):

- ``NAME/hf/``: config, half-precision safetensors and tokenizer, for the transformers engine and for training on;
- ``NAME/1/model.onnx``: the language model with an explicit cache (see ``planner_graph``);
- ``NAME_embed/1/model.onnx``: ids int64 [B,S] -> embeds float32 [B,S,D];
- ``NAME_prefix/1/model.onnx``: text_features [B,L,384] -> embeds [B,L,D], when there is such a projector;
- ``NAME_motion/1/model.onnx``: semantic_features [B,N,256], detail_features [B,4N,256] -> embeds [B,5N,D], likewise.

Every graph is compared with the torch module it came from before the call returns.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from services.trainer.export import export_onnx
from services.trainer.planner_graph import GraphBuilder, Weights, build_language_model, finish

FLOAT_TOLERANCE = 1e-3  # largest difference of a logit from transformers on the same rounded weights
TEXT_WIDTH, CODE_WIDTH = 384, 256


def export_planner(
    hf_dir: Path | str,
    projectors: Mapping[str, nn.Module] | None,
    out_dir: Path | str,
    *,
    name: str = "planner_compact",
    weights: Weights = "float16",
    max_length: int = 512,
) -> float:
    """Export the causal LM in ``hf_dir`` and its projectors (keys ``prefix`` and ``motion``) to ``out_dir``.

    Returns the largest absolute difference of a logit from transformers. Raises InputError for an architecture
    without an export and RuntimeError if a graph does not reproduce the network it was made from.
    """
    from transformers import AutoModelForCausalLM

    hf_dir, out_dir = Path(hf_dir), Path(out_dir)
    model = AutoModelForCausalLM.from_pretrained(hf_dir, dtype=torch.float32, local_files_only=True).eval()
    round_to_half(model)
    kept = out_dir / name / "hf"
    kept.mkdir(parents=True, exist_ok=True)
    if kept.resolve() != hf_dir.resolve():
        for file in hf_dir.glob("tokenizer*.json"):
            shutil.copy(file, kept / file.name)
    # Halve the saved copy only: model.half() would round the rotary frequencies too, and they do not come back.
    model.config.dtype = torch.float16
    model.save_pretrained(kept, state_dict={key: value.half() for key, value in model.state_dict().items()})

    state = {key: value.detach().float().numpy() for key, value in model.state_dict().items()}
    state.setdefault("lm_head.weight", model.get_output_embeddings().weight.detach().float().numpy())
    language_model = _save(build_language_model(model.config, state, weights, max_length), out_dir / name)
    _save(
        build_embedding(model.get_input_embeddings().weight.detach().float().numpy()),
        out_dir / f"{name}_embed",
    )
    difference = compare_language_model(model, language_model, exact=weights == "float16")
    for key, module in (projectors or {}).items():
        export_projector(module, key, out_dir / f"{name}_{key}")
    return difference


def round_to_half(module: nn.Module) -> None:
    """Round every parameter to the nearest half-precision number, in place: what is stored is what is compared."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.half().float())


def build_embedding(table: NDArray[np.float32]) -> onnx.ModelProto:
    """ids int64 [B,S] -> embeds float32 [B,S,D]; the half-precision table is cast after the look-up."""
    graph = GraphBuilder()
    rows = graph.add("Gather", [graph.constant("table", table.astype(np.float16)), "ids"])
    graph.add("Cast", [rows], ["embeds"], to=TensorProto.FLOAT)
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["B", "S"])
    embeds = helper.make_tensor_value_info("embeds", TensorProto.FLOAT, ["B", "S", table.shape[1]])
    return finish(graph, "planner_embed", [ids], [embeds])


def export_projector(module: nn.Module, kind: str, folder: Path) -> None:
    """Export one projector; ``export_onnx`` compares the graph with the torch module."""
    if kind == "prefix":
        inputs = {"text_features": torch.randn(2, 9, TEXT_WIDTH)}
        dynamic = {"text_features": {1: "tokens"}, "embeds": {1: "tokens"}}
    elif kind == "motion":
        inputs = {
            "semantic_features": torch.randn(2, 6, CODE_WIDTH),
            "detail_features": torch.randn(2, 24, CODE_WIDTH),
        }
        dynamic = {
            "semantic_features": {1: "blocks"},
            "detail_features": {1: "details"},
            "embeds": {1: "positions"},
        }
    else:
        raise ValueError(f"a projector is 'prefix' or 'motion', not {kind!r}")
    export_onnx(module, inputs, ["embeds"], folder, dynamic=dynamic)


def compare_language_model(model: nn.Module, path: Path, *, exact: bool, length: int = 24) -> float:
    """Largest difference of the logits from ``model`` over a prompt and the steps after it, with two rows of two ages.

    ``exact`` raises RuntimeError beyond the rounding of float32; quantized weights are only measured.
    """
    table = model.get_input_embeddings().weight  # type: ignore[operator]
    rng = np.random.default_rng(0)
    ids = rng.integers(0, len(table), (2, length))
    with torch.no_grad():
        expected = model(torch.from_numpy(ids)).logits.numpy()
        embeds = table[torch.from_numpy(ids)].detach().numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    pasts = [i for i in session.get_inputs() if i.name.startswith("past_key_values")]
    cache = {i.name: np.zeros((2, i.shape[1], length, i.shape[3]), np.float32) for i in pasts}
    ages = (length // 2, length // 3)
    worst = 0.0
    for row, age in enumerate(ages):  # each row's prompt alone
        feed = {key: value[row : row + 1] for key, value in cache.items()}
        out = session.run(None, {**feed, **_rows(embeds[row : row + 1, :age], [age])})
        worst = max(worst, float(np.abs(out[0][0] - expected[row, :age]).max()))
        for key, value in zip(cache, out[1:], strict=True):
            cache[key][row, :, :age] = value[0, :, :age]
    for i in range(length - max(ages)):  # then both together, one token each
        at = [age + i for age in ages]
        new = np.stack([embeds[row, at[row] : at[row] + 1] for row in range(2)])
        out = session.run(None, {**cache, **_rows(new, [a + 1 for a in at])})
        worst = max(
            worst, *(float(np.abs(out[0][row, 0] - expected[row, at[row]]).max()) for row in range(2))
        )
        cache = dict(zip(cache, out[1:], strict=True))
    if exact and worst > FLOAT_TOLERANCE:
        raise RuntimeError(f"{path} differs from transformers by {worst:g}")
    return worst


def _rows(embeds: NDArray[np.float32], lengths: list[int]) -> dict[str, NDArray[Any]]:
    return {
        "inputs_embeds": embeds,
        "seqlens_k": np.array(lengths, np.int32) - 1,
        "total_sequence_length": np.array(max(lengths), np.int32),
    }


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path

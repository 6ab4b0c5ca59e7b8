"""A planner read back from the model repository: what ``planner_export`` wrote, as weights to train on from.

The repository keeps the graphs, not torch's files: their numbers are the same, so the weights are taken from there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Tokenizer
from torch import Tensor

from kinesphere.errors import InputError

State = dict[str, Tensor]


def read_planner(models: Path, name: str) -> tuple[Any, Tokenizer, dict[str, State]]:
    """The language model ``models/name``, its tokenizer, and the state of each projector that lies beside it.

    Raises InputError (``recipe.options.init``) when there is none, or its weights were quantized.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    hf = models / name / "hf"
    for file in (hf / "config.json", hf / "tokenizer.json", graph_of(models, name)):
        if not file.exists():
            raise InputError("recipe.options.init", f"{file} does not exist")
    config = AutoConfig.from_pretrained(hf, local_files_only=True)
    config.dtype = torch.float32
    model = AutoModelForCausalLM.from_config(config)
    table = initializers(onnx.load(str(graph_of(models, f"{name}_embed"))))["table"]
    state = language_model_state(initializers(onnx.load(str(graph_of(models, name)))), config, table)
    model.load_state_dict(state)
    projectors = {
        part: projector_state(onnx.load(str(graph_of(models, f"{name}_{part}"))))
        for part in ("prefix", "motion")
        if graph_of(models, f"{name}_{part}").exists()
    }
    return model, Tokenizer.from_file(str(hf / "tokenizer.json")), projectors


def graph_of(models: Path, name: str) -> Path:
    return models / name / "1" / "model.onnx"


def initializers(graph: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    """Every stored tensor under the name it is used by, half precision widened."""
    found = {t.name.removesuffix(".fp16"): numpy_helper.to_array(t) for t in graph.graph.initializer}
    return {k: np.array(v, np.float32 if v.dtype == np.float16 else v.dtype) for k, v in found.items()}


def language_model_state(stored: dict[str, NDArray[Any]], config: Any, table: NDArray[Any]) -> State:
    """transformers' state dict of the graph that ``planner_graph.build_language_model`` made."""
    if "lm_head" not in stored:
        raise InputError("recipe.options.init", "its weights are quantized; only float16 ones are trained on")
    layers, heads, kv_heads = (
        config.num_hidden_layers,
        config.num_attention_heads,
        config.num_key_value_heads,
    )
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    state = {
        "model.embed_tokens.weight": table,
        "lm_head.weight": stored["lm_head"].T,
        "model.norm.weight": stored[f"model.layers.{layers - 1}.mlp.norm"],
    }
    for i in range(layers):
        p = f"model.layers.{i}."
        before = "layers.0.norm" if i == 0 else f"model.layers.{i - 1}.mlp.norm"
        state[f"{p}input_layernorm.weight"] = stored[before]
        state[f"{p}post_attention_layernorm.weight"] = stored[f"{p}attention.norm"]
        sizes = [heads * head, kv_heads * head]
        for kind, key in (("weight", f"{p}qkv"), ("bias", f"{p}qkv.bias")):
            if key in stored:
                parts = np.split(stored[key].T if kind == "weight" else stored[key], np.cumsum(sizes))
                state |= {f"{p}self_attn.{x}_proj.{kind}": part for x, part in zip("qkv", parts, strict=True)}
        state |= {
            f"{p}self_attn.{x}_norm.weight": stored[f"{p}{x}_norm"] for x in "qk" if f"{p}{x}_norm" in stored
        }
        gate, up = np.split(stored[f"{p}gate_up"].T, 2)
        state |= {f"{p}mlp.gate_proj.weight": gate, f"{p}mlp.up_proj.weight": up}
        state[f"{p}mlp.down_proj.weight"] = stored[f"{p}down"].T
        state[f"{p}self_attn.o_proj.weight"] = stored[f"{p}o"].T
        if f"{p}o.bias" in stored:
            state[f"{p}self_attn.o_proj.bias"] = stored[f"{p}o.bias"]
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in state.items()}


def projector_state(graph: onnx.ModelProto) -> State:
    """State dict of a projector. torch calls a linear layer's node after its place, and its weight after nothing."""
    stored = initializers(graph)
    weights = {node.input[1]: node.name for node in graph.graph.node if node.op_type == "MatMul"}
    state = {}
    for name, array in stored.items():
        if name in weights:
            *_, place, _ = weights[name].split("/")
            state[f"{place.removeprefix('layers.layers')}.weight"] = array.T
        elif name.endswith((".weight", ".bias")):
            state[name] = array
    return {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in state.items()}

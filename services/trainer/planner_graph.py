"""The planner's language model as one ONNX graph, built node by node from Hugging Face weights (Qwen3 and Llama).

One call feeds S new positions of B rows and returns their logits. The key-value cache is explicit: buffers that the
caller owns, ``past_key_values.{i}.key|value`` [B, Hkv, M, hd], updated **in place** when the same buffer is bound to
``present.{i}.key|value``. Every row has its own length, so rows of different ages share a batch with no padding.

Inputs: ``inputs_embeds`` float32 [B,S,D]; ``seqlens_k`` int32 [B], each row's length after this call, minus one;
``total_sequence_length`` int32 scalar, the longest row's length after this call; the cache. Outputs: ``logits``
float32 [B,S,V] and the cache. S > 1 is a prompt that starts at position 0.

Attention with rotary positions (Su et al. 2021, RoFormer) and grouped heads is ONNX Runtime's GroupQueryAttention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kinesphere.errors import InputError
from services.trainer.export import stored_as_half

Array = NDArray[Any]
Weights = Literal["float16", "int8", "int4"]
CONTRIB = "com.microsoft"
BLOCK = 32  # columns that share one scale when weights are quantized


@dataclass
class GraphBuilder:
    """Collects nodes and initializers; ``weights`` says how matrices are stored (the arithmetic is float32)."""

    weights: Weights = "float16"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, array: Array) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def vector(self, name: str, array: Array) -> str:
        """A small float parameter: stored as it is."""
        return self.constant(name, array.astype(np.float32))

    def add(
        self,
        op: str,
        inputs: list[str],
        outputs: list[str] | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        outputs = outputs or [f"{op}_{len(self.nodes)}"]
        name = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def half(self, name: str, array: Array) -> str:
        """A tensor stored in half precision behind a Cast (folded away when the session is made)."""
        stored, cast = stored_as_half(name, array)
        self.initializers.append(stored)
        self.nodes.append(cast)
        return name

    def linear(
        self, x: str, weight: Array, name: str, bias: Array | None = None, output: str | None = None
    ) -> str:
        """``x @ weight.T + bias``; weight is [out, in] as torch keeps it."""
        outputs = [output] if output and bias is None else None
        if self.weights == "float16":
            y = self.add("MatMul", [x, self.half(name, weight.T)], outputs)
        else:
            y = self._quantized(x, weight, name, 8 if self.weights == "int8" else 4, outputs)
        if bias is None:
            return y
        return self.add("Add", [y, self.vector(f"{name}.bias", bias)], [output] if output else None)

    def _quantized(self, x: str, weight: Array, name: str, bits: int, outputs: list[str] | None) -> str:
        from onnxruntime.capi import _pybind_state as kernels

        columns, depth = weight.shape
        groups = (depth + BLOCK - 1) // BLOCK
        packed = np.zeros((columns, groups, BLOCK * bits // 8), np.uint8)
        scales = np.zeros(columns * groups, np.float32)
        zeros = np.zeros(columns * (groups if bits == 8 else (groups + 1) // 2), np.uint8)
        quantize = kernels.quantize_matmul_8bits if bits == 8 else kernels.quantize_matmul_4bits
        quantize(
            packed, np.ascontiguousarray(weight.T, np.float32), scales, zeros, BLOCK, columns, depth, True
        )
        inputs = [x, self.constant(f"{name}.packed", packed), self.constant(f"{name}.scales", scales)]
        return self.add(
            "MatMulNBits",
            inputs,
            outputs,
            CONTRIB,
            K=depth,
            N=columns,
            bits=bits,
            block_size=BLOCK,
            accuracy_level=4,
        )


def build_language_model(
    config: Any, state: dict[str, Array], weights: Weights, max_length: int
) -> onnx.ModelProto:
    """The graph described above, from a transformers config and its state dict as float32 arrays.

    Raises InputError (``model.architecture``, ``model.rope``) for a network this graph does not describe.
    """
    check_architecture(config)
    graph = GraphBuilder(weights)
    heads, kv_heads, width = config.num_attention_heads, config.num_key_value_heads, config.hidden_size
    head = getattr(config, "head_dim", None) or width // heads
    layers, eps = config.num_hidden_layers, float(config.rms_norm_eps)
    angles = np.outer(np.arange(max_length), rope_theta(config) ** (-np.arange(0, head, 2) / head))
    cos, sin = graph.vector("rope.cos", np.cos(angles)), graph.vector("rope.sin", np.sin(angles))
    sizes = graph.constant("qkv.sizes", np.array([heads * head, kv_heads * head, kv_heads * head], np.int64))
    head_counts = {"q": heads, "k": kv_heads}

    def normed_heads(x: str, key: str, prefix: str) -> str:
        """Qwen3's RMS norm of every head's query or key."""
        weight = state.get(f"{prefix}self_attn.{key}_norm.weight")
        if weight is None:
            return x
        count = head_counts[key]
        split = graph.constant(f"{prefix}{key}.split", np.array([0, 0, count, head], np.int64))
        join = graph.constant(f"{prefix}{key}.join", np.array([0, 0, count * head], np.int64))
        inputs = [graph.add("Reshape", [x, split]), graph.vector(f"{prefix}{key}_norm", weight)]
        y = graph.add("SimplifiedLayerNormalization", inputs, axis=-1, epsilon=eps)
        return graph.add("Reshape", [y, join])

    def joined(prefix: str, names: list[str], kind: str) -> Array | None:
        parts = [state.get(f"{prefix}{name}_proj.{kind}") for name in names]
        return None if parts[0] is None else np.concatenate([part for part in parts if part is not None])

    residual = "inputs_embeds"
    first_norm = graph.vector("layers.0.norm", state["model.layers.0.input_layernorm.weight"])
    hidden = graph.add("SimplifiedLayerNormalization", [residual, first_norm], axis=-1, epsilon=eps)
    cache_in, cache_out = [], []
    for i in range(layers):
        p = f"model.layers.{i}."
        attention = [f"self_attn.{name}" for name in "qkv"]
        fused = joined(p, attention, "weight")
        assert fused is not None
        y = graph.linear(hidden, fused, f"{p}qkv", joined(p, attention, "bias"))
        q, k, v = (f"{p}{name}" for name in "qkv")
        graph.add("Split", [y, sizes], [q, k, v], axis=-1)
        past = [f"past_key_values.{i}.{kind}" for kind in ("key", "value")]
        present = [f"present.{i}.{kind}" for kind in ("key", "value")]
        inputs = [normed_heads(q, "q", p), normed_heads(k, "k", p), v, *past]
        attended = graph.add(
            "GroupQueryAttention",
            [*inputs, "seqlens_k", "total_sequence_length", cos, sin],
            [f"{p}attended", *present],
            CONTRIB,
            num_heads=heads,
            kv_num_heads=kv_heads,
            do_rotary=1,
        )
        for name_in, name_out in zip(past, present, strict=True):
            shape = ["B", kv_heads, "M", head]
            cache_in.append(helper.make_tensor_value_info(name_in, TensorProto.FLOAT, shape))
            cache_out.append(helper.make_tensor_value_info(name_out, TensorProto.FLOAT, shape))
        out = graph.linear(
            attended, state[f"{p}self_attn.o_proj.weight"], f"{p}o", state.get(f"{p}self_attn.o_proj.bias")
        )
        hidden, residual = _add_and_norm(
            graph, out, residual, state[f"{p}post_attention_layernorm.weight"], f"{p}attention", eps
        )
        fused = joined(p, ["mlp.gate", "mlp.up"], "weight")
        assert fused is not None
        y = graph.linear(hidden, fused, f"{p}gate_up", joined(p, ["mlp.gate", "mlp.up"], "bias"))
        gate, up = f"{p}gate", f"{p}up"
        graph.add("Split", [y], [gate, up], axis=-1, num_outputs=2)
        silu = graph.add("Mul", [gate, graph.add("Sigmoid", [gate])])
        mixed = graph.add("Mul", [silu, up])
        out = graph.linear(
            mixed, state[f"{p}mlp.down_proj.weight"], f"{p}down", state.get(f"{p}mlp.down_proj.bias")
        )
        last = i + 1 == layers
        next_norm = state["model.norm.weight" if last else f"model.layers.{i + 1}.input_layernorm.weight"]
        hidden, residual = _add_and_norm(graph, out, residual, next_norm, f"{p}mlp", eps)
    graph.linear(hidden, state["lm_head.weight"], "lm_head", output="logits")
    rows = [
        helper.make_tensor_value_info("inputs_embeds", TensorProto.FLOAT, ["B", "S", width]),
        helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, ["B"]),
        helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, []),
    ]
    logits = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, ["B", "S", len(state["lm_head.weight"])]
    )
    facts = {"max_length": str(max_length), "weights": weights, "architecture": str(config.model_type)}
    return finish(graph, "planner", [*rows, *cache_in], [logits, *cache_out], facts)


def _add_and_norm(
    graph: GraphBuilder, x: str, residual: str, weight: Array, name: str, eps: float
) -> tuple[str, str]:
    """Residual addition and the RMS norm that follows it: (normed, new residual)."""
    normed, total = f"{name}.normed", f"{name}.sum"
    inputs = [x, residual, graph.vector(f"{name}.norm", weight)]
    graph.add("SkipSimplifiedLayerNormalization", inputs, [normed, "", "", total], CONTRIB, epsilon=eps)
    return normed, total


def finish(
    graph: GraphBuilder,
    name: str,
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    facts: dict[str, str] | None = None,
) -> onnx.ModelProto:
    """Close the graph into a model; ``facts`` become the file's metadata, with the prefix ``kinesphere.``."""
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
    body = helper.make_graph(graph.nodes, name, inputs, outputs, graph.initializers)
    model = helper.make_model(body, opset_imports=opsets, ir_version=10, producer_name="kinesphere")
    helper.set_model_props(model, {f"kinesphere.{key}": value for key, value in (facts or {}).items()})
    return model


def rope_theta(config: Any) -> float:
    """The base of the rotary angles, wherever the config's version keeps it."""
    parameters = getattr(config, "rope_parameters", None) or {}
    theta: Any = parameters.get("rope_theta") or getattr(config, "rope_theta", None) or 10000.0
    return float(theta)


def check_architecture(config: Any) -> None:
    """Raise InputError unless this file's graph is what ``config`` describes."""
    if config.model_type not in ("qwen3", "llama"):
        raise InputError(
            "model.architecture", f"{config.model_type!r} has no ONNX export; qwen3 and llama have one"
        )
    if config.hidden_act != "silu":
        raise InputError("model.architecture", f"activation {config.hidden_act!r}; only silu can be exported")
    parameters = getattr(config, "rope_parameters", None) or {}
    if parameters.get("rope_type", "default") != "default":
        raise InputError(
            "model.rope", f"{parameters['rope_type']!r} positions; only the default kind can be exported"
        )
    if getattr(config, "use_sliding_window", False):
        raise InputError("model.architecture", "sliding-window attention cannot be exported")

"""What an ONNX graph has to compute, and how fast this machine computes at best."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, shape_inference


def graph_flops(file: Path, batch: int = 1) -> float:
    """Floating point operations of the graph's matrix products and convolutions (2 a multiply-add), dynamic axes at
    ``batch``. What else a graph does (norms, activations) is left out, so it is a lower bound."""
    model = onnx.load(str(file))
    for value in model.graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = batch
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [axis.dim_value or batch for axis in value.type.tensor_type.shape.dim]
    total = 0.0
    for node in graph.node:
        if node.op_type in {"MatMul", "Gemm", "Conv"}:
            out, first, second = (
                shapes.get(name, []) for name in (node.output[0], node.input[0], node.input[1])
            )
            if not out or not second:
                raise ValueError(f"{file}: shapes of {node.name} are not known")
            # Conv: weight [out, in / groups, taps]; Gemm may hold its second matrix transposed.
            inner = np.prod(second[1:]) if node.op_type == "Conv" else first[-1]
            total += 2.0 * float(np.prod(out)) * float(inner)
    return total


def weight_bytes(file: Path) -> int:
    """Bytes of the weights as they lie in memory, in single precision."""
    model = onnx.load(str(file))
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return 4 * sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type in floats)


def matmul_flops_per_second(size: int = 1024, repeats: int = 20) -> float:
    """Of a single-precision product of two square matrices in ONNX Runtime, a second of one thread's own time (what
    others take of the processor does not count): the best of ``repeats``."""
    shape = [size, size]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])], "product",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b")],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, shape)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal(shape).astype(np.float32) for name in ("a", "b")}
    best = np.inf
    for _ in range(repeats):
        began = time.process_time()
        session.run(None, feed)
        best = min(best, time.process_time() - began)
    return 2.0 * size**3 / float(best)

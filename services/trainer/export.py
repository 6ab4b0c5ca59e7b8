"""From torch to the model repository: ONNX with fp16-stored weights, Triton's config.pbtxt, a model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

OPSET = 18
_TYPES = {torch.float32: "TYPE_FP32", torch.int64: "TYPE_INT64"}


def export_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    folder: Path,
    *,
    dynamic: Mapping[str, Mapping[int, str]],
    max_batch: int = 32,
    queue_delay_us: int = 2000,
    tolerance: float = 2e-2,
    int8: bool = False,
) -> None:
    """Write ``folder/1/model.onnx`` and ``folder/config.pbtxt``.

    inputs: example tensors by name, batch first. dynamic: for each input the axes that vary (the batch axis is added).
    int8: store matrices in a byte a weight instead of two.
    The export is run and compared with the module: more than ``tolerance`` apart (relative to the output's size, fp16
    weights included) raises RuntimeError.
    """
    (folder / "1").mkdir(parents=True, exist_ok=True)
    file = folder / "1" / "model.onnx"
    axes = {name: {0: "batch", **dynamic.get(name, {})} for name in inputs}
    axes |= {name: {0: "batch", **dynamic.get(name, {})} for name in outputs}
    module.eval()
    with torch.no_grad():
        torch.onnx.export(
            module, tuple(inputs.values()), str(file), input_names=list(inputs), output_names=list(outputs),
            dynamic_axes=axes, opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        expected = module(*inputs.values())
    halve_weights(file)
    if int8:
        quantize_weights(file)
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    results = session.run(None, {k: v.numpy() for k, v in inputs.items()})
    expected = expected if isinstance(expected, tuple) else (expected,)
    for name, result, wanted in zip(outputs, results, expected, strict=True):
        reference = wanted.numpy()
        if reference.dtype.kind == "f":
            apart = np.abs(result - reference).max() / (np.abs(reference).max() + 1e-6)
            if apart > tolerance:
                raise RuntimeError(f"{folder.name}: output {name} is {apart:.3g} away from torch's")
    write_config(folder, inputs, dict(zip(outputs, expected, strict=True)), axes, max_batch, queue_delay_us)


def halve_weights(file: Path, smallest: int = 1024) -> None:
    """Store float32 initializers as float16 behind a Cast: half the size on disk, the arithmetic stays float32."""
    model = onnx.load(str(file))
    casts, kept = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) >= smallest:
            half, cast = stored_as_half(tensor.name, numpy_helper.to_array(tensor))
            casts.append(cast)
            kept.append(half)
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, str(file))


def quantize_weights(file: Path, smallest: int = 4096) -> None:
    """Store matrices of a file that ``halve_weights`` made as int8, with a scale for each output.

    The session multiplies them out once when it is made, so the arithmetic and its speed stay what they were.
    """
    model = onnx.load(str(file))
    graph = model.graph
    # MatMul keeps its outputs last, everything that torch stores under its own name first.
    outputs_last = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
    kept, widened, gone = [], [], set[str]()
    for tensor in graph.initializer:
        name = tensor.name.removesuffix(".fp16")
        if name == tensor.name or len(tensor.dims) < 2 or int(np.prod(tensor.dims)) < smallest:
            kept.append(tensor)
            continue
        array = numpy_helper.to_array(tensor).astype(np.float32)
        outputs = array.ndim - 1 if name in outputs_last else 0
        others = tuple(axis for axis in range(array.ndim) if axis != outputs)
        scale = np.maximum(np.abs(array).max(axis=others, keepdims=True) / 127, np.finfo(np.float32).tiny)
        rounded = np.rint(array / scale).astype(np.int8)
        kept += [
            numpy_helper.from_array(rounded, f"{name}.int8"),
            numpy_helper.from_array(scale, f"{name}.scale"),
        ]
        widened += [
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.wide"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.wide", f"{name}.scale"], [name]),
        ]
        gone.add(tensor.name)
    nodes = [
        *widened,
        *(node for node in graph.node if not (node.op_type == "Cast" and node.input[0] in gone)),
    ]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.save(model, str(file))


def compact(file: Path) -> None:
    """Make a graph of unrolled steps smaller: it says the same constants, and long scoped names, thousands of times.

    Equal constants become one and every inner value gets a short name; inputs, outputs and results stay the same. For
    graphs without branches or loops.
    """
    model = onnx.load(str(file))
    graph = model.graph
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    known: dict[bytes, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] not in names:
            value = node.attribute[0].SerializeToString()
            if value in known:
                names[node.output[0]] = known[value]
                continue
            known[value] = f"v{len(names)}"
        nodes.append(node)
        for output in node.output:
            names.setdefault(output, f"v{len(names)}")
    for tensor in graph.initializer:
        tensor.name = names.setdefault(tensor.name, f"w{len(names)}")
    for node in nodes:
        renamed = (
            [names[value] if value else "" for value in node.input],
            [names[value] for value in node.output],
        )
        node.name, node.input[:], node.output[:] = "", renamed[0], renamed[1]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, str(file))


def stored_as_half(name: str, array: NDArray[Any]) -> tuple[onnx.TensorProto, onnx.NodeProto]:
    """The float16 initializer of a float32 tensor ``name``, and the Cast that gives the tensor back."""
    half = numpy_helper.from_array(np.ascontiguousarray(array, np.float16), f"{name}.fp16")
    return half, helper.make_node("Cast", [half.name], [name], to=TensorProto.FLOAT)


def write_config(
    folder: Path,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    axes: Mapping[str, Mapping[int, str]],
    max_batch: int,
    queue_delay_us: int,
) -> None:
    """Triton's model configuration; the batch axis is implied by max_batch_size."""

    def entry(name: str, tensor: Tensor) -> str:
        dims = [-1 if i in axes[name] else size for i, size in enumerate(tensor.shape)][1:]
        shape = ", ".join(str(d) for d in dims)
        return f'  {{ name: "{name}", data_type: {_TYPES[tensor.dtype]}, dims: [ {shape} ] }}'

    text = (
        f'name: "{folder.name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: {max_batch}\n'
        + "input [\n" + ",\n".join(entry(n, t) for n, t in inputs.items()) + "\n]\n"
        + "output [\n" + ",\n".join(entry(n, t) for n, t in outputs.items()) + "\n]\n"
        + f"dynamic_batching {{ max_queue_delay_microseconds: {queue_delay_us} }}\n"
        + "instance_group [ { count: 1, kind: KIND_CPU } ]\n"
    )  # fmt: skip
    (folder / "config.pbtxt").write_text(text)


def write_card(
    folder: Path, title: str, purpose: str, recipe: str, metrics: Mapping[str, float], stored: str = "fp16"
) -> None:
    """A model card: what it is, what it was trained on and under which terms, figures, hashes of its files."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in {"README.md", "card.json"})
    # The Hugging Face copy of the weights stays where it was trained; the graph that ships holds the same numbers.
    files = [p for p in files if not p.match("hf/*.safetensors")]
    hashes = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    digests = "\n".join(f"- `{name}`: `{digest}`" for name, digest in hashes.items())
    (folder / "README.md").write_text(
        f"# {title}\n\n{purpose}\n\n"
        f"Trained with `kinesphere train {recipe}`. Weights are stored as {stored}, the arithmetic is fp32.\n\n"
        "## Data and terms\n\n"
        "Trained on CMU motion capture (mocap.cs.cmu.edu; free to use, not to be resold as data), the Bandai Namco\n"
        "Research motion dataset (CC BY-NC 4.0), DeepMimic clips (MIT) and ReActIdle (MIT); captions from file names,\n"
        "CMU's index, HumanML3D (MIT) and the project's kinematic reading. Because of the Bandai Namco data the\n"
        "weights are **CC BY-NC 4.0**: not for commercial use.\n\n"
        f"## Figures on the validation split\n\n| figure | value |\n|---|---|\n{rows}\n\n## SHA-256\n\n{digests}\n"
    )
    (folder / "card.json").write_text(
        json.dumps({"title": title, "recipe": recipe, "metrics": dict(metrics), "sha256": hashes}, indent=1)
        + "\n"
    )

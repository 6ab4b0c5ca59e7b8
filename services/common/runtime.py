"""``ModelRuntime``: how every service runs its networks, without knowing where they run.

In process it is ``onnx_runtime.OnnxRuntime``. A Triton server fits the same interface (``tritonclient.grpc.aio``:
``infer``, ``is_model_ready``, ``get_model_metadata``), because both read the same model repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class ModelDescription:
    """What Describe says of a model.

    sha256: of the weights file, hexadecimal; empty when it is not known. inputs: shape of each, without the batch axis,
    -1 where any length is taken.
    """

    name: str
    version: str
    sha256: str
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class ModelRuntime(Protocol):
    """Runs models by name."""

    async def infer(self, model: str, inputs: Tensors) -> dict[str, Array]:
        """Outputs by name. Every array has the batch axis first when the model's ``max_batch_size`` is above 0.

        Safe to call from many tasks at once: requests of equal shape share one model call. Raises
        ``ModelInputError`` (wrong names, dtypes or shapes: a bug of the caller), ``QueueFullError``,
        ``PreconditionError`` (no such model), ``UpstreamError`` (a remote runtime does not answer).
        """
        ...

    async def load(self, *models: str) -> None:
        """Make models ready before the first request needs them. Raises PreconditionError."""
        ...

    async def describe(self, model: str) -> ModelDescription:
        """Name, version, hash and inputs; loads the model. Raises PreconditionError."""
        ...

    async def close(self) -> None:
        """Refuse new requests and free the models."""
        ...


class ModelInputError(ValueError):
    """Arrays that do not fit the model's configuration."""


def rows(array: Array) -> int:
    """Length of the batch axis."""
    return int(array.shape[0])


def like(array: Array, dtype: np.dtype) -> Array:
    """``array`` contiguous in ``dtype``, without a copy when it is already."""
    return np.ascontiguousarray(array, dtype=dtype)

"""``OnnxRuntime``: the model repository in this process, by ONNX Runtime.

Threads are counted, not guessed: each model call uses ``intra_op_thread_count`` threads (1 unless the model's
configuration says more) that do not spin, and at most ``workers`` calls run at once. On a shared machine, one thread a
call keeps its speed beside a busy neighbour; several threads of one call wait for the slowest. With ``pin`` each worker
is bound to one CPU of those that this process may use.

A model named in ``inline`` runs in the event loop itself, up to ``inline_rows`` rows: where a call takes less than a
millisecond, going to a thread and back takes as long as the call. Nothing else happens in the loop meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common import model_config
from services.common.batching import Batcher
from services.common.errors import PreconditionError
from services.common.metrics import Metrics
from services.common.model_config import ModelConfig, ModelConfigError
from services.common.runtime import Array, ModelDescription, ModelInputError, Tensors, like, rows
from services.common.settings import ServiceSettings

_ONNX_TYPES = {
    "bool": "tensor(bool)",
    "float16": "tensor(float16)",
    "float32": "tensor(float)",
    "float64": "tensor(double)",
}


@dataclass
class _Model:
    config: ModelConfig
    session: Any
    batcher: Batcher
    sha256: str


class OnnxRuntime:
    """A ``ModelRuntime``. Models load on first use. Create and use it in one event loop; ``async with`` closes it."""

    def __init__(
        self,
        repository: Path | str = "models",
        *,
        workers: int = 2,
        pin: bool = False,
        inline: Collection[str] = (),
        inline_rows: int = 8,
        metrics: Metrics | None = None,
    ) -> None:
        self.repository = Path(repository)
        self._metrics = metrics or Metrics()
        self._pool = ThreadPoolExecutor(
            workers, thread_name_prefix="onnx", initializer=_pinning() if pin else None
        )
        self._inline, self._inline_rows = frozenset(inline), inline_rows
        self._models: dict[str, asyncio.Task[_Model]] = {}
        self._closed = False

    @classmethod
    def of(cls, settings: ServiceSettings, metrics: Metrics, *, inline: Collection[str] = ()) -> OnnxRuntime:
        """The runtime that a service's settings ask for."""
        return cls(
            settings.models,
            workers=settings.model_workers,
            pin=settings.pin_model_threads,
            inline=inline,
            metrics=metrics,
        )

    async def __aenter__(self) -> OnnxRuntime:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def infer(self, model: str, inputs: Tensors) -> dict[str, Array]:
        """See ``ModelRuntime.infer``."""
        loaded = await self._get(model)
        return await loaded.batcher.infer(_checked(loaded.config, inputs))

    async def load(self, *models: str) -> None:
        """See ``ModelRuntime.load``."""
        await asyncio.gather(*(self._get(model) for model in models))

    async def describe(self, model: str) -> ModelDescription:
        """See ``ModelRuntime.describe``."""
        loaded = await self._get(model)
        config = loaded.config
        inputs = {name: spec.dims for name, spec in config.inputs.items()}
        return ModelDescription(config.name, config.version, loaded.sha256, inputs)

    async def close(self) -> None:
        """See ``ModelRuntime.close``."""
        self._closed = True
        loading = list(self._models.values())
        for model in await asyncio.gather(*loading, return_exceptions=True):
            if isinstance(model, _Model):
                await model.batcher.close()
        self._models.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _get(self, name: str) -> _Model:
        task = self._models.get(name)
        if task is None:
            if self._closed:
                raise PreconditionError("the model runtime is closed")
            task = self._models[name] = asyncio.ensure_future(self._load(name))
            task.add_done_callback(lambda done: self._forget_failed(name, done))
        # One caller that gives up must not stop the loading for the others.
        return await asyncio.shield(task)

    def _forget_failed(self, name: str, task: asyncio.Task[_Model]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._models.pop(name, None)

    async def _load(self, name: str) -> _Model:
        loop = asyncio.get_running_loop()
        try:
            config = model_config.read(self.repository, name)
            session, sha256 = await loop.run_in_executor(self._pool, _open, config)
        except ModelConfigError as error:
            raise PreconditionError(str(error)) from error
        outputs = list(config.outputs)

        def run(feed: dict[str, Array]) -> dict[str, Array]:
            return dict(zip(outputs, session.run(outputs, feed), strict=True))

        most = self._inline_rows if name in self._inline else 0

        async def call(feed: dict[str, Array]) -> dict[str, Array]:
            if config.max_batch_size and rows(next(iter(feed.values()))) <= most:
                return run(feed)
            return await loop.run_in_executor(self._pool, run, feed)

        return _Model(config, session, Batcher(config, call, self._metrics), sha256)


def _pinning() -> Callable[[], None]:
    """What each new worker runs first: it binds itself to the next CPU in turn."""
    cpus = itertools.cycle(sorted(os.sched_getaffinity(0)))

    def pin() -> None:
        os.sched_setaffinity(0, {next(cpus)})  # 0: the calling thread

    return pin


def _open(config: ModelConfig) -> tuple[Any, str]:
    """An ONNX Runtime session whose inputs and outputs are what the configuration says, and the file's hash."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = config.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(config.file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise ModelConfigError(f"{config.file}: {error}") from error
    for kind, specs, nodes in (
        ("input", config.inputs, session.get_inputs()),
        ("output", config.outputs, session.get_outputs()),
    ):
        types = {node.name: node.type for node in nodes}
        for spec in specs.values():
            want = _ONNX_TYPES.get(spec.dtype.name, f"tensor({spec.dtype.name})")
            if types.get(spec.name) != want:
                raise ModelConfigError(
                    f"{config.name}: config.pbtxt says {kind} {spec.name} {want}, the file has {types}"
                )
        if kind == "input" and set(types) != set(specs):
            raise ModelConfigError(
                f"{config.name}: the file has inputs {sorted(types)}, config.pbtxt {sorted(specs)}"
            )
    digest = hashlib.sha256()
    with config.file.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return session, digest.hexdigest()


def _checked(config: ModelConfig, inputs: Tensors) -> dict[str, Array]:
    """The inputs, contiguous. Raises ModelInputError naming the input."""
    name = config.name
    if set(inputs) != set(config.inputs):
        raise ModelInputError(f"{name} takes {sorted(config.inputs)}, not {sorted(inputs)}")
    batched = config.max_batch_size > 0
    count = None
    for spec in config.inputs.values():
        array = inputs[spec.name]
        if array.dtype != spec.dtype:
            raise ModelInputError(f"{name}.{spec.name} is {array.dtype}, expected {spec.dtype}")
        shape = array.shape[1:] if batched else array.shape
        if (batched and array.ndim == 0) or not spec.fits(shape):
            raise ModelInputError(
                f"{name}.{spec.name} has shape {list(array.shape)}, expected "
                f"{['batch', *spec.dims] if batched else list(spec.dims)}"
            )
        if batched:
            if count is not None and len(array) != count:
                raise ModelInputError(f"{name}.{spec.name} has {len(array)} rows, other inputs have {count}")
            count = len(array)
    if batched and count is not None and not 1 <= count <= config.max_batch_size:
        raise ModelInputError(f"{name}: {count} rows, the model takes 1 to {config.max_batch_size} a request")
    return {key: like(array, config.inputs[key].dtype) for key, array in inputs.items()}

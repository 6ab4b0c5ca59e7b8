"""Dynamic batching across callers: requests of equal shapes share one model call.

The rules are Triton's: the oldest request waits at most ``max_delay`` for others; a batch leaves at once when it has
``max_batch_size`` rows or a preferred size (the largest that the queue can fill); order is kept among requests of one
shape. A batch that fails is run again request by request, so that a bad one fails alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import numpy as np

from services.common.errors import PreconditionError, QueueFullError
from services.common.metrics import Metrics
from services.common.model_config import ModelConfig
from services.common.runtime import Array, Tensors, rows

Call = Callable[[dict[str, Array]], Awaitable[dict[str, Array]]]
Key = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(eq=False)
class _Request:
    inputs: Tensors
    rows: int
    key: Key
    arrived: float
    answer: asyncio.Future[dict[str, Array]] = field(repr=False)


class Batcher:
    """The queue in front of one model. ``call`` runs it on whole arrays. Used from one event loop."""

    def __init__(self, config: ModelConfig, call: Call, metrics: Metrics) -> None:
        self.config = config
        self._call = call
        # Looked up once: that takes longer than to observe.
        self._refused = metrics.model_refused.labels(config.name)
        self._queue_seconds = metrics.model_queue_seconds.labels(config.name)
        self._batch_rows = metrics.model_batch.labels(config.name)
        self._model_seconds = metrics.model_seconds.labels(config.name)
        self._queue: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._collecting = asyncio.Lock()  # one instance gathers at a time, so that batches fill
        self._mean_seconds = 0.01
        self._closed = False
        self._workers = [asyncio.ensure_future(self._work()) for _ in range(config.instances)]

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def infer(self, inputs: Tensors) -> dict[str, Array]:
        """Outputs for one request's inputs, which are checked already."""
        if self._closed:
            raise PreconditionError(f"{self.config.name} is unloaded")
        if len(self._queue) >= self.config.max_queue:
            self._refused.inc()
            wait = max(0.01, self._mean_seconds * len(self._queue) / max(1, self.config.max_batch_size))
            raise QueueFullError(
                f"{len(self._queue)} requests wait for {self.config.name}, no more are taken",
                retry_after=wait,
            )
        loop = asyncio.get_running_loop()
        count = rows(next(iter(inputs.values()))) if self.config.max_batch_size else 1
        key = tuple(sorted((name, array.shape[1:]) for name, array in inputs.items()))
        request = _Request(inputs, count, key, loop.time(), loop.create_future())
        self._queue.append(request)
        self._arrived.set()
        return await request.answer

    async def close(self) -> None:
        """Stop; requests that still wait get PreconditionError."""
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for request in self._queue:
            if not request.answer.done():
                request.answer.set_exception(PreconditionError(f"{self.config.name} is unloaded"))
        self._queue.clear()

    async def _work(self) -> None:
        while True:
            async with self._collecting:
                batch = await self._collect()
            if batch:
                await self._run(batch)

    async def _collect(self) -> list[_Request]:
        """Wait for a request, then for others like it. Requests whose callers gave up are dropped."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()
        head = self._queue[0]
        loop = asyncio.get_running_loop()
        until = head.arrived + self.config.max_delay
        while not self._full(head.key) and (left := until - loop.time()) > 0:
            self._arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                break
        return self._take(head.key)

    def _full(self, key: Key) -> bool:
        if not self.config.batching:
            return True
        ready = sum(request.rows for request in self._queue if request.key == key)
        enough = self.config.preferred[:1] or (self.config.max_batch_size,)
        return ready >= enough[0]

    def _take(self, key: Key) -> list[_Request]:
        taken: list[_Request] = []
        kept: list[_Request] = []
        room = self._room(key) if self.config.batching else 0
        while self._queue:
            request = self._queue.popleft()
            if request.answer.done():
                continue
            if request.key == key and (not taken or request.rows <= room):
                taken.append(request)
                room -= request.rows
                if room <= 0:
                    break
            else:
                kept.append(request)
                if request.key == key:
                    break  # order is kept among equals
        self._queue.extendleft(reversed(kept))
        return taken

    def _room(self, key: Key) -> int:
        """Rows of the next batch: the largest preferred size that can be filled, else as many as fit."""
        ready = sum(
            request.rows for request in self._queue if request.key == key and not request.answer.done()
        )
        fitting = [size for size in self.config.preferred if size <= ready]
        return fitting[-1] if fitting else self.config.max_batch_size

    async def _run(self, batch: list[_Request]) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        name = self.config.name
        total = sum(request.rows for request in batch)
        for request in batch:
            self._queue_seconds.observe(started - request.arrived)
        self._batch_rows.observe(total)
        try:
            outputs = await self._call(_joined(batch))
            parts: list[dict[str, Array]] | None = self._split(batch, outputs, total)
        except asyncio.CancelledError:
            _fail(batch, PreconditionError(f"{name} is unloaded"))
            raise
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            parts = None
        finally:
            seconds = loop.time() - started
            self._mean_seconds += 0.1 * (seconds - self._mean_seconds)
            self._model_seconds.observe(seconds)
        if parts is None:
            try:
                for request in batch:
                    if not request.answer.done():
                        await self._run([request])
            finally:  # also when the model is unloaded half-way
                _fail(batch, PreconditionError(f"{name} is unloaded"))
            return
        for request, part in zip(batch, parts, strict=True):
            if not request.answer.done():
                request.answer.set_result(part)

    def _split(self, batch: list[_Request], outputs: dict[str, Array], total: int) -> list[dict[str, Array]]:
        if len(batch) == 1:
            return [outputs]
        for name, array in outputs.items():
            if array.ndim == 0 or rows(array) != total:
                raise RuntimeError(
                    f"{self.config.name}.{name} has shape {list(array.shape)}, expected {total} rows"
                )
        parts, start = [], 0
        for request in batch:
            stop = start + request.rows
            parts.append({name: array[start:stop] for name, array in outputs.items()})
            start = stop
        return parts


def _joined(batch: list[_Request]) -> dict[str, Array]:
    if len(batch) == 1:
        return dict(batch[0].inputs)
    return {name: np.concatenate([request.inputs[name] for request in batch]) for name in batch[0].inputs}


def _fail(batch: list[_Request], error: BaseException) -> None:
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)

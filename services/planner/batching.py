"""Continuous batching: requests join a running batch between two steps and leave it the moment they end.

One thread owns the language model. Everybody else talks to it through ``Batcher.write``, an async iterator of events.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray
from services.common.errors import QueueFullError, ServiceError, UpstreamError
from services.planner.engines.base import LanguageModel
from services.planner.generation import Ended, Event, Generation, Writer
from services.planner.sampling import Sampler

log = structlog.get_logger(__name__)


@dataclass
class _Job:
    """A generation on its way through the batch; ``deliver`` may be called from the worker's thread."""

    generation: Generation
    deliver: Callable[[Event | BaseException], None]


@dataclass
class Counts:
    """What the batcher has done, for metrics and benchmarks."""

    steps: int = 0
    tokens: int = 0
    prompts: int = 0
    seconds: float = field(default=0.0)


class Batcher:
    """Runs generations on one language model. ``max_waiting``: requests beyond a full batch; one more is refused.

    Use it as an async context manager: leaving it ends the thread and fails what is still being written.
    """

    def __init__(self, model: LanguageModel, *, max_waiting: int = 64) -> None:
        self.model = model
        self.counts = Counts()
        self._max_waiting = max_waiting
        self._waiting: deque[_Job] = deque()
        self._rows: dict[int, _Job] = {}
        self._next: dict[int, int] = {}  # the token that each row is fed in the coming step
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="planner-batch", daemon=True)

    async def __aenter__(self) -> Batcher:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    @property
    def running(self) -> int:
        return len(self._rows)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def _full(self) -> bool:
        # Who waits while a row is free waits for the next step only.
        return len(self._rows) + len(self._waiting) >= self.model.max_rows + self._max_waiting

    async def write(
        self, prompt: FloatArray, writer: Writer, sampler: Sampler, *, goes_on: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Events of one sequence as they come; the last is ``Ended``. Closing the iterator frees the row.

        goes_on: a request whose first sequence was let in has its next one taken first, however many wait. Raises
        QueueFullError at once when too many wait, InputError when the sequence does not fit the model.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event | BaseException] = asyncio.Queue()

        def deliver(item: Event | BaseException) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(events.put_nowait, item)

        generation = Generation(prompt, writer, sampler, deliver)
        self._enqueue(_Job(generation, deliver), first=goes_on)
        try:
            while True:
                item = await events.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
                if isinstance(item, Ended):
                    return
        finally:
            generation.cancelled = True

    def _enqueue(self, job: _Job, *, first: bool) -> None:
        with self._wake:
            if self._closing:
                raise UpstreamError("the planner is shutting down", retry_after=0.05)
            if first:
                self._waiting.appendleft(job)
                self._wake.notify()
                return
            if self._full:
                # Callers who have left hold no places.
                self._waiting = deque(job for job in self._waiting if not job.generation.cancelled)
            if self._full:
                raise QueueFullError(
                    f"{len(self._rows)} plans are being written and {len(self._waiting)} wait",
                    retry_after=1.0,
                )
            self._waiting.append(job)
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not (self._waiting or self._rows or self._closing):
                    self._wake.wait()
                if self._closing:
                    break
            started = time.perf_counter()
            try:
                self._drop_cancelled()
                self._admit()
                if self._rows:
                    self._step()
            except Exception as error:  # the model itself failed: nobody in the batch can go on
                log.exception("planner step failed", rows=len(self._rows))
                self._fail_all(error)
            self.counts.seconds += time.perf_counter() - started
        self._fail_all(UpstreamError("the planner is shutting down", retry_after=0.05))

    def _drop_cancelled(self) -> None:
        for row, job in list(self._rows.items()):
            if job.generation.cancelled:
                self._leave(row)

    def _admit(self) -> None:
        """Take one prompt in: more would hold up those that are being written."""
        job: _Job | None = None
        with self._wake:
            while self._waiting and len(self._rows) < self.model.max_rows:
                first = self._waiting.popleft()
                if not first.generation.cancelled:
                    job = first
                    break
        if job is None:
            return
        try:
            row, logits = self.model.prefill(job.generation.prompt)
        except Exception as error:  # this prompt's own fault: the others are not touched
            job.deliver(error)
            return
        self.counts.prompts += 1
        self._rows[row] = job
        self._advance(row, job, logits)

    def _step(self) -> None:
        results = self.model.step(self._next)
        self.counts.steps += 1
        for row, logits in results.items():
            self._advance(row, self._rows[row], logits)

    def _advance(self, row: int, job: _Job, logits: FloatArray) -> None:
        self.counts.tokens += 1
        generation = job.generation
        try:
            self._next[row] = generation.advance(logits)
            length = len(generation.prompt) + generation.tokens
            if length > self.model.max_length and not generation.finished:
                raise InputError(
                    "text", f"prompt and plan take more than the model's {self.model.max_length} tokens"
                )
        except Exception as error:
            job.deliver(error)
            self._leave(row)
            return
        if generation.finished:
            self._leave(row)

    def _leave(self, row: int) -> None:
        self.model.release(row)
        del self._rows[row]
        self._next.pop(row, None)

    def _fail_all(self, error: Exception) -> None:
        shown = error if isinstance(error, ServiceError) else RuntimeError("the language model failed")
        with self._wake:
            jobs = [*self._rows.values(), *self._waiting]
            self._waiting.clear()
        for row in list(self._rows):
            self._leave(row)
        for job in jobs:
            job.deliver(shown)

"""The one interceptor: every call passes authentication, admission, its deadline, validation and error mapping.

Servicers are written plainly: ``async def`` for one answer, an async generator for a stream of answers; request
streams are read with ``async for``. They raise; what leaves on the wire is decided in ``errors``.

Towards gRPC every method is one that reads a stream, also those that take a single message (the wire is the same). gRPC
would otherwise receive that message before any code of ours runs: a thousand refused callers would cost a thousand
messages of memory, and a message that never ends would hold its memory without any deadline. So it is read here, after
admission and within the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from google.protobuf.message import Message
from prometheus_client import Counter, Histogram

from services.common import errors, logs, validation
from services.common.errors import (
    DeadlineError,
    DrainingError,
    InvalidRequestError,
    SlowReaderError,
    UnauthenticatedError,
)
from services.common.limits import Admission
from services.common.metrics import Metrics
from services.common.tracing import Tracing

log = structlog.get_logger(__name__)

if TYPE_CHECKING:  # generic only in the stubs
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]
    Answer = Callable[[Any, Context], Awaitable[Any]]
_HEALTH = "/grpc.health.v1.Health/"  # probes carry no token
_ENTRY = "/grpc."  # health and reflection: never queued, never timed out
_CUT_SECONDS = 1.0  # for calls that are cut off to send their status


class Calls(grpc.aio.ServerInterceptor):
    """Wraps each method's handler once, on its first call."""

    def __init__(
        self,
        *,
        admission: Admission,
        metrics: Metrics,
        tracing: Tracing,
        default_deadline: float,
        max_deadline: float,
        slow_reader: float,
        tokens: Sequence[str] = (),
    ) -> None:
        self._admission = admission
        self._metrics = metrics
        self._tracing = tracing
        self._default_deadline = default_deadline
        self._max_deadline = max_deadline
        self._slow_reader = slow_reader
        self._tokens = tuple(token.encode() for token in tokens)
        self._wrapped: dict[str, Handler] = {}
        self._finished: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._timers: set[asyncio.Timeout] = set()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def drain(self, seconds: float) -> None:
        """Refuse new calls with UNAVAILABLE, DRAINING; return when none is in flight.

        Those that still are after ``seconds`` end the same way.
        """
        self._draining = True
        if await self._wait_idle(seconds):
            return
        log.warning("cutting calls off", calls=self._in_flight)
        now = asyncio.get_running_loop().time()
        for timer in self._timers:
            if not timer.expired():
                timer.reschedule(now)
        await self._wait_idle(_CUT_SECONDS)

    async def _wait_idle(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        method = handler_call_details.method
        known = self._wrapped.get(method)
        if known is not None:
            return known
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method: gRPC answers UNIMPLEMENTED
            return handler
        if method.startswith(_ENTRY):
            if method.startswith(_HEALTH) or not self._tokens:
                return handler
            wrapped = self._only_authenticated(handler)
        else:
            wrapped = self._wrap(handler, method)
        self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, handler: Handler, method: str) -> Handler:
        streams_in, streams_out = handler.request_streaming, handler.response_streaming
        kind = ("stream" if streams_in else "unary") + "_" + ("stream" if streams_out else "unary")
        behavior = getattr(handler, kind)
        parse: validation.Parse = handler.request_deserializer  # type: ignore[assignment]
        first_seconds = self._metrics.first_seconds.labels(method)

        async def answer(requests: Any, context: Context) -> Any:
            request: Any
            if streams_in:
                request = validation.checked(requests, parse)
            else:
                data = await context.read()
                if data is grpc.aio.EOF:
                    raise InvalidRequestError([("", "no message came")])
                request = validation.parsed(data, parse)
            if not streams_out:
                return await behavior(request, context)
            answers: AsyncIterator[Message] = behavior(request, context)
            started, first = time.perf_counter(), True
            try:
                async for message in answers:
                    # Once its window is full, a client that does not read holds this up for ever.
                    try:
                        async with asyncio.timeout(self._slow_reader):
                            await context.write(message)
                    except TimeoutError as error:
                        raise SlowReaderError(f"nothing was read for {self._slow_reader:g} s") from error
                    if first:
                        first_seconds.observe(time.perf_counter() - started)
                        first = False
            finally:
                # An abandoned generator would otherwise be closed some time later, in another task.
                await answers.aclose()  # type: ignore[attr-defined]
            return None

        admitted = not method.endswith("/Describe")  # costs nothing, and tells people why others wait

        async def guarded(requests: Any, context: Context) -> Any:
            self._in_flight += 1
            self._idle.clear()
            try:
                return await self._guard(method, admitted, answer, requests, context)
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()

        make = grpc.stream_stream_rpc_method_handler if streams_out else grpc.stream_unary_rpc_method_handler
        # Messages arrive as bytes: a refused call is never parsed, and one that cannot be parsed is a bad request.
        wrapped: Handler = make(
            guarded, request_deserializer=None, response_serializer=handler.response_serializer
        )
        return wrapped

    async def _guard(
        self,
        method: str,
        admitted: bool,
        answer: Answer,
        requests: Any,
        context: Context,
    ) -> Any:
        started = time.perf_counter()
        code = "OK"
        metadata = _metadata(context)
        request_id = logs.bind_request_id(metadata)
        trailing = ((logs.REQUEST_ID_KEY, request_id),)
        context.set_trailing_metadata(trailing)
        try:
            return await self._run(method, admitted, answer, requests, context, metadata)
        except asyncio.CancelledError:
            code = "CANCELLED"  # the client left, or its own deadline has passed
            raise
        except grpc.aio.AbortError:
            code = "ABORTED_BY_SERVICE"
            raise
        except Exception as error:
            failure = errors.failure(error, method)
            code = failure.code.name
            try:
                # To a client that does not read, the status would wait behind what is not read.
                async with asyncio.timeout(_CUT_SECONDS if isinstance(error, SlowReaderError) else None):
                    await context.abort(
                        failure.code, failure.message, (*failure.trailing_metadata, *trailing)
                    )
            except TimeoutError:
                raise asyncio.CancelledError from error  # gRPC then resets the stream
        finally:
            # Once the answer is on its way, with this task's request id.
            seconds = time.perf_counter() - started
            asyncio.get_running_loop().call_soon(self._tell, admitted, method, code, seconds)

    def _tell(self, admitted: bool, method: str, code: str, seconds: float) -> None:
        """Count a call that has ended, and write its line."""
        finished = self._finished.get((method, code))
        if finished is None:  # looked up once: that takes longer than to count
            finished = self._metrics.calls.labels(method, code), self._metrics.seconds.labels(method)
            self._finished[method, code] = finished
        finished[0].inc()
        finished[1].observe(seconds)
        (log.info if admitted else log.debug)("call", method=method, code=code, seconds=round(seconds, 6))

    async def _run(
        self,
        method: str,
        admitted: bool,
        answer: Answer,
        requests: Any,
        context: Context,
        metadata: Sequence[tuple[str, str | bytes]],
    ) -> Any:
        with self._tracing.call(method, metadata):
            self._authenticate(metadata)
            if self._draining:
                raise _draining()
            limit = self._seconds_left(context)
            timer = asyncio.timeout(limit)
            try:
                async with timer:
                    self._timers.add(timer)
                    if not admitted:
                        return await answer(requests, context)
                    async with self._admission.slot() as waited:
                        self._metrics.queue_seconds.observe(waited)
                        return await answer(requests, context)
            except TimeoutError as error:
                if timer.expired() and self._draining:
                    raise _draining() from error
                if timer.expired():
                    raise DeadlineError(f"took longer than {limit:g} s") from error
                raise  # something inside gave up on its own
            finally:
                self._timers.discard(timer)

    def _seconds_left(self, context: Context) -> float:
        left = context.time_remaining()
        # Without a deadline gRPC says None, or a time centuries away.
        if left is None or left > 10 * 365 * 86_400:
            return self._default_deadline
        return min(float(left), self._max_deadline)

    def _authenticate(self, metadata: Sequence[tuple[str, str | bytes]]) -> None:
        if not self._tokens:
            return
        for key, value in metadata:
            if key == "authorization" and isinstance(value, str) and value[:7].lower() == "bearer ":
                given = value[7:].strip().encode()
                # Compare with every token, so that the time does not say which one was close.
                if sum(hmac.compare_digest(given, token) for token in self._tokens):
                    return
        raise UnauthenticatedError("send metadata `authorization: Bearer TOKEN`")

    def _only_authenticated(self, handler: Handler) -> Handler:
        """Reflection: an async generator over a request stream, behind the same token."""

        async def guarded(requests: Any, context: Context) -> AsyncIterator[Any]:
            try:
                self._authenticate(_metadata(context))
            except UnauthenticatedError as error:
                failure = errors.failure(error, "reflection")
                await context.abort(failure.code, failure.message, failure.trailing_metadata)
            async for message in stream(requests, context):
                yield message

        stream: Callable[[Any, Context], AsyncIterator[Any]] = handler.stream_stream  # type: ignore[assignment]
        wrapped: Handler = grpc.stream_stream_rpc_method_handler(
            guarded,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
        return wrapped


def _draining() -> DrainingError:
    return DrainingError("the server is shutting down", retry_after=_CUT_SECONDS)


def _metadata(context: Context) -> Sequence[tuple[str, str | bytes]]:
    return tuple(context.invocation_metadata() or ())

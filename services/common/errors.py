"""Errors that become gRPC statuses, and how: code, ``google.rpc`` details, never a traceback.

A servicer raises ``kinesphere.errors.InputError`` (a field is wrong), one of the errors below, or lets an upstream's
``grpc.aio.AioRpcError`` through; everything else is a fault of the server and leaves as INTERNAL with an id to look for
in its log. The details follow https://google.aip.dev/193.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from kinesphere.errors import InputError
from kinesphere.v1 import errors_pb2

DOMAIN = "kinesphere.dev"
MAX_VIOLATIONS = 16  # details travel in a header, which clients limit to 8 KiB by default
_MAX_TEXT = 500

log = structlog.get_logger(__name__)
Reason = errors_pb2.ErrorReason


@dataclass(frozen=True)
class Failure:
    """What leaves on the wire: the status and its trailing metadata."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


class ServiceError(Exception):
    """A refusal that is nobody's bug. ``retry_after``: seconds, when a retry can help."""

    code = grpc.StatusCode.INTERNAL
    reason: errors_pb2.ErrorReason.ValueType = errors_pb2.ERROR_REASON_INTERNAL

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after


class QueueFullError(ServiceError):
    """A bounded queue has no place left."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = errors_pb2.ERROR_REASON_QUEUE_FULL


class SlowReaderError(ServiceError):
    """The client does not read its answers."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = errors_pb2.ERROR_REASON_SLOW_READER


class DeadlineError(ServiceError):
    """The call's time is up."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED
    reason = errors_pb2.ERROR_REASON_DEADLINE


class UnauthenticatedError(ServiceError):
    """The bearer token is missing or wrong."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = errors_pb2.ERROR_REASON_UNAUTHENTICATED


class UpstreamError(ServiceError):
    """A service or runtime that this one needs does not answer."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = errors_pb2.ERROR_REASON_UPSTREAM_UNAVAILABLE


class DrainingError(ServiceError):
    """The server stops, and the call was not done in time."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = errors_pb2.ERROR_REASON_DRAINING


class PreconditionError(ServiceError):
    """The server lacks what the call needs: a model, an index."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = errors_pb2.ERROR_REASON_PRECONDITION


class InvalidRequestError(ServiceError):
    """One or more fields break their limits: ``violations`` are (field path, sentence) pairs."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = errors_pb2.ERROR_REASON_INVALID_INPUT

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        first = "; ".join(f"{field}: {text}" if field else text for field, text in violations[:3])
        super().__init__(first)
        self.violations = tuple(violations[:MAX_VIOLATIONS])


def failure(error: BaseException, method: str) -> Failure:
    """The status for ``error``. A fault of the server is logged here, with the id that the client is given."""
    if isinstance(error, InputError):
        error = InvalidRequestError([(error.field, error.reason)])
    if isinstance(error, ServiceError):
        return _refusal(error)
    if isinstance(error, grpc.aio.AioRpcError):
        return _upstream(error, method)
    error_id = uuid.uuid4().hex
    log.error("internal error", method=method, error_id=error_id, exc_info=error)
    info = _info(Reason.ERROR_REASON_INTERNAL, {"error_id": error_id})
    return _failure(grpc.StatusCode.INTERNAL, f"internal error, id {error_id}", [info])


def _refusal(error: ServiceError) -> Failure:
    details: list[Message] = [_info(error.reason, {})]
    trailing: list[tuple[str, str | bytes]] = []
    if isinstance(error, InvalidRequestError):
        bad = error_details_pb2.BadRequest()
        for field, text in error.violations:
            bad.field_violations.add(field=field, description=text[:_MAX_TEXT])
        details.append(bad)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        details.append(retry)
        # gRPC clients with a retry policy honour this header themselves.
        trailing.append(("grpc-retry-pushback-ms", str(max(1, round(error.retry_after * 1000)))))
    return _failure(error.code, error.message, details, trailing)


# What an upstream's refusal means to our own caller; the rest would be our own wrong use of the upstream.
_PASSED_ON = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
}


def _upstream(error: grpc.aio.AioRpcError, method: str) -> Failure:
    code, text = error.code(), (error.details() or "")[:_MAX_TEXT]
    if code in _PASSED_ON:
        details = error.trailing_metadata()
        kept = tuple(
            (key, value)
            for key, value in (details or ())
            if key in ("grpc-status-details-bin", "grpc-retry-pushback-ms")
        )
        return Failure(code, text, kept)
    log.warning("upstream failed", method=method, code=code.name, details=text)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return _refusal(UpstreamError("a service behind this one does not answer", retry_after=1.0))
    error_id = uuid.uuid4().hex
    log.error("upstream error", method=method, error_id=error_id, code=code.name, details=text)
    info = _info(Reason.ERROR_REASON_INTERNAL, {"error_id": error_id})
    return _failure(grpc.StatusCode.INTERNAL, f"internal error, id {error_id}", [info])


def _info(reason: errors_pb2.ErrorReason.ValueType, metadata: dict[str, str]) -> error_details_pb2.ErrorInfo:
    name = Reason.Name(reason).removeprefix("ERROR_REASON_")
    return error_details_pb2.ErrorInfo(reason=name, domain=DOMAIN, metadata=metadata)


def _failure(
    code: grpc.StatusCode,
    message: str,
    details: Sequence[Message],
    trailing: Sequence[tuple[str, str | bytes]] = (),
) -> Failure:
    message = message[:_MAX_TEXT]
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    assert status.code != code_pb2.OK
    metadata = rpc_status.to_status(status).trailing_metadata
    return Failure(code, message, (*metadata, *trailing))

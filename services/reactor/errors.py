"""Refusals that only sessions know."""

from __future__ import annotations

import grpc

from kinesphere.v1 import errors_pb2
from services.common.errors import ServiceError


class NotFoundError(ServiceError):
    """There is no session with this ID, or there no longer is."""

    code = grpc.StatusCode.NOT_FOUND
    reason = errors_pb2.ERROR_REASON_NOT_FOUND

    def __init__(self, id: str) -> None:
        super().__init__(f"no session sessions/{id}: it was closed, has expired, or never was")


class ConflictError(ServiceError):
    """Somebody else runs the session."""

    code = grpc.StatusCode.ABORTED
    reason = errors_pb2.ERROR_REASON_CONFLICT


class OutOfRangeError(ServiceError):
    """Frames that are no longer kept, or do not exist yet."""

    code = grpc.StatusCode.OUT_OF_RANGE
    reason = errors_pb2.ERROR_REASON_OUT_OF_RANGE


class NoCapacityError(ServiceError):
    """One session more would slow the others down."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = errors_pb2.ERROR_REASON_NO_CAPACITY

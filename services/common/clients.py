"""Channels to other services: retries where they are safe, deadlines passed on.

A stub is made by its caller: ``PlannerServiceStub(open_channel("127.0.0.1:50051"))``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc

from services.common import logs, tracing
from services.common.settings import MIB

# UNAVAILABLE means that the call did not run (or the server drains), so that trying again is safe; gRPC itself stops
# retrying once the first answer has arrived. A full queue is the caller's to handle: it is told when to come back.
SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "waitForReady": False,
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def open_channel(
    target: str,
    *,
    tls: bool = False,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    max_message_bytes: int = 16 * MIB,
) -> grpc.aio.Channel:
    """A channel to ``target`` (``host:port``, ``dns:///name:port`` for several replicas); the caller closes it.

    tls: encrypt, with the system's or ``ca``'s roots; ``certificate`` and ``key`` (PEM) for mTLS.
    """
    options: list[tuple[str, object]] = [
        ("grpc.service_config", SERVICE_CONFIG),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A service that was away is found again within seconds; gRPC's own pause between tries grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    if not (tls or ca or certificate):
        return grpc.aio.insecure_channel(target, options=options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca.read_bytes() if ca else None,
        private_key=key.read_bytes() if key else None,
        certificate_chain=certificate.read_bytes() if certificate else None,
    )
    return grpc.aio.secure_channel(target, credentials, options=options)


def metadata(token: str | None = None) -> tuple[tuple[str, str], ...]:
    """What a call carries: the bearer token, and the id and trace of the call that it is made for, if any."""
    authorization = (("authorization", f"Bearer {token}"),) if token else ()
    request_id = logs.current_request_id()
    identity = ((logs.REQUEST_ID_KEY, request_id),) if request_id else ()
    return (*authorization, *identity, *tracing.outgoing())


def time_left(context: grpc.aio.ServicerContext[Any, Any], cap: float) -> float:
    """Seconds for a call made on behalf of ``context``'s: what is left of its deadline, at most ``cap``."""
    left = context.time_remaining()
    return cap if left is None else max(0.001, min(float(left), cap))

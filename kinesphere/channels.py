"""Channels of the Python clients to the services: where those are, and what a message may weigh."""

from __future__ import annotations

from typing import Final

import grpc

# Where `kinesphere up` puts the services.
DEFAULT_PORTS: Final[dict[str, int]] = {
    "planner": 50051, "tokenizer": 50052, "decoder": 50053, "reactor": 50055,
}  # fmt: skip
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
)


def address_of(service: str, given: str = "") -> str:
    """``given`` (``host:port``), or where ``kinesphere up`` puts the service."""
    return given or f"127.0.0.1:{DEFAULT_PORTS[service]}"


def open_channel(address: str) -> grpc.Channel:
    """A channel whose calls block; the caller closes it."""
    return grpc.insecure_channel(address, options=_OPTIONS)


def open_aio_channel(address: str, *options: tuple[str, int]) -> grpc.aio.Channel:
    """A channel for the running event loop, with further ``options`` of gRPC's; the caller closes it."""
    return grpc.aio.insecure_channel(address, options=[*_OPTIONS, *options])

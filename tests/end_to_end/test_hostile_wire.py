"""What no client library sends, to every method of the real services: they refuse it, hold no memory, and serve on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from kinesphere.cli.stack import HOST, SERVICES, Stack
from kinesphere.v1 import decoder_pb2, planner_pb2, reactor_pb2, tokenizer_pb2
from tests.services.common.raw import announce, peak_memory

FILES = {"planner": planner_pb2, "tokenizer": tokenizer_pb2, "decoder": decoder_pb2, "reactor": reactor_pb2}
METHODS = [
    (service, method.full_name.rpartition(".")[0], method.name)
    for service, file in FILES.items()
    for method in file.DESCRIPTOR.services_by_name[f"{service.capitalize()}Service"].methods
]
each_method = pytest.mark.parametrize(
    ("service", "full_name", "rpc"), METHODS, ids=[f"{service}.{rpc}" for service, _, rpc in METHODS]
)


@pytest.fixture(scope="module")
def channels(stack: Stack) -> Iterator[dict[str, grpc.Channel]]:
    made = {name: grpc.insecure_channel(f"{HOST}:{stack.ports.of(name)}") for name in SERVICES}
    yield made
    for channel in made.values():
        channel.close()


def describe(channel: grpc.Channel, service: str, sent: bytes = b"") -> bytes:
    """The answer of the service's cheapest method to ``sent``."""
    path = f"/kinesphere.v1.{service.capitalize()}Service/Describe"
    answer: bytes = channel.unary_unary(path)(sent, timeout=60)
    return answer


@pytest.fixture(autouse=True)
def _nobody_dies(stack: Stack, channels: dict[str, grpc.Channel]) -> Iterator[None]:
    before = {name: child.process.pid for name, child in stack.children.items()}
    yield
    assert {name: child.process.pid for name, child in stack.children.items()} == before
    assert all(child.returncode is None for child in stack.children.values())
    for name in SERVICES:
        assert describe(channels[name], name)


def refusal(channel: grpc.Channel, path: str, messages: list[bytes]) -> Any:
    """The error that a call with these raw messages ends with."""
    with pytest.raises(grpc.RpcError) as failure:
        for _ in channel.stream_stream(path)(iter(messages), timeout=60):
            pass
    return failure.value


def reasons(error: Any) -> list[str]:
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.ErrorInfo()
            return [
                info.reason for detail in status_pb2.Status.FromString(value).details if detail.Unpack(info)
            ]
    return []


@each_method
def test_garbage_is_a_bad_request(
    channels: dict[str, grpc.Channel], service: str, full_name: str, rpc: str
) -> None:
    for garbage in (b"\xff" * 1000, b"\x0a\x7f", b"\x00\x01\x02 not a message"):
        error = refusal(channels[service], f"/{full_name}/{rpc}", [garbage])
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reasons(error) == ["INVALID_INPUT"]
        assert "Traceback" not in error.details()
        assert 'File "' not in error.details()


@each_method
def test_a_call_without_a_message_is_a_bad_request(
    channels: dict[str, grpc.Channel], service: str, full_name: str, rpc: str
) -> None:
    error = refusal(channels[service], f"/{full_name}/{rpc}", [])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reasons(error) == ["INVALID_INPUT"]


@each_method
def test_two_gibibytes_are_refused_by_their_length(
    stack: Stack, service: str, full_name: str, rpc: str
) -> None:
    pid = stack.children[service].process.pid
    before = peak_memory(pid)
    for length in (2**31, 2**32 - 1):
        answer = announce(stack.ports.of(service), f"/{full_name}/{rpc}", length, sent=16_000)
        assert b"larger than max" in answer
    assert peak_memory(pid) - before < 16 << 20


def test_megabytes_over_the_limit_are_not_read(stack: Stack, channels: dict[str, grpc.Channel]) -> None:
    """A client that really sends: the refusal comes before the message has arrived."""
    pid = stack.children["tokenizer"].process.pid
    before = peak_memory(pid)
    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"{HOST}:{stack.ports.tokenizer}", options) as channel:
        error = refusal(channel, "/kinesphere.v1.TokenizerService/Encode", [bytes(200 << 20)])
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "16777216" in error.details()
    assert peak_memory(pid) - before < 32 << 20


@pytest.mark.parametrize("service", SERVICES)
def test_fields_of_a_later_version_are_ignored(channels: dict[str, grpc.Channel], service: str) -> None:
    """Field 2047 of every wire type, as a newer client may send it."""
    newer = b"\xf8\x7f\x01" + b"\xfa\x7f\x03abc" + b"\xfd\x7f" + bytes(4) + b"\xf9\x7f" + bytes(8)
    assert describe(channels[service], service, newer) == describe(channels[service], service)


def test_fields_of_a_later_version_do_not_hide_bad_ones(channels: dict[str, grpc.Channel]) -> None:
    request = planner_pb2.GenerateRequest(text="walk", seconds=61).SerializeToString() + b"\xf8\x7f\x01"
    error = refusal(channels["planner"], "/kinesphere.v1.PlannerService/Generate", [request])
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "seconds" in error.details()


def test_no_such_method(channels: dict[str, grpc.Channel]) -> None:
    error = refusal(channels["planner"], "/kinesphere.v1.PlannerService/Fly", [b""])
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED

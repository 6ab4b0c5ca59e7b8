"""A service that is killed in the middle of a stream: its caller is told at once, and it serves again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from kinesphere.cli.stack import HOST, Stack
from kinesphere.v1 import planner_pb2 as p
from kinesphere.v1 import planner_pb2_grpc

pytestmark = pytest.mark.slow


@pytest.fixture
def planner(stack: Stack) -> Iterator[Any]:
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
    with grpc.insecure_channel(f"{HOST}:{stack.ports.planner}", options) as channel:
        yield planner_pb2_grpc.PlannerServiceStub(channel)
    stack.check()
    stack.wait_ready(300)


def generate(planner: Any, seconds: float) -> Any:
    return planner.Generate(p.GenerateRequest(text="a person walks", seconds=seconds, seed=1), timeout=300)


def kill(stack: Stack, name: str) -> float:
    """When it was killed."""
    child = stack.children[name]
    os.kill(child.process.pid, signal.SIGKILL)
    at = time.monotonic()
    child.process.wait()
    return at


def ending(stream: Any) -> Any:
    """The error that what is left of the stream ends with."""
    with pytest.raises(grpc.RpcError) as failure:
        for _ in stream:
            pass
    return failure.value


def details(error: Any) -> tuple[str, float]:
    """Reason, and seconds after which to try again."""
    (value,) = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(value).details:
        detail.Unpack(info) or detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToNanoseconds() / 1e9


def generated(planner: Any) -> int:
    """Frames of a short motion; waits while the planner finds its services again."""
    for _ in range(20):
        try:
            answers = list(generate(planner, 1.6))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:  # type: ignore[attr-defined]
                raise
            time.sleep(0.5)
        else:
            return int(answers[-1].status.num_frames)
    pytest.fail("the services did not find each other again")


def test_the_decoder(stack: Stack, planner: Any) -> None:
    stream = generate(planner, 20)
    next(answer for answer in stream if answer.HasField("motion"))
    at = kill(stack, "decoder")
    error = ending(stream)
    assert time.monotonic() - at < 5
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    reason, retry_after = details(error)
    assert reason == "UPSTREAM_UNAVAILABLE"
    assert retry_after > 0
    assert "decoder" in error.details()

    at = time.monotonic()  # while it is away, callers are told within a few tries, not after their deadline
    away = ending(generate(planner, 20))
    assert away.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - at < 15

    assert stack.check() == "decoder"
    stack.wait_ready(300)
    assert generated(planner) == 32


def test_the_planner(stack: Stack, planner: Any) -> None:
    stream = generate(planner, 20)
    next(answer for answer in stream if answer.HasField("motion"))
    at = kill(stack, "planner")
    error = ending(stream)
    assert time.monotonic() - at < 5
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert stack.check() == "planner"
    stack.wait_ready(300)
    assert generated(planner) == 32

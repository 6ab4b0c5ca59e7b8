"""Queues, deadlines, drain, sizes and the door, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from kinesphere.v1 import planner_pb2, planner_pb2_grpc
from services.common.limits import Admission
from tests.services.common.raw import announce, peak_memory

ROOT = Path(__file__).resolve().parents[3]
Refuse = Callable[[Any], Awaitable[Any]]
Generate = planner_pb2.GenerateRequest
CAPTION = "/kinesphere.v1.PlannerService/Caption"


async def _until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_full_queue_refuses_at_once_and_the_rest_is_served(start: Any, refused: Refuse) -> None:
    running = await start(max_concurrency=2, max_queue=3)
    running.servicer.gate.clear()
    inside = [asyncio.create_task(running.generate("hold")) for _ in range(5)]
    admission = running.server.admission
    await _until(lambda: admission.running == 2 and admission.waiting == 3)
    began = time.perf_counter()
    errors = await asyncio.gather(
        *(refused(running.planner.Generate(Generate(text="walk"))) for _ in range(20))
    )
    assert time.perf_counter() - began < 1
    for error in errors:
        assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error.reason == "QUEUE_FULL"
        assert 0 < error.retry_after <= 30
    described = await running.planner.Describe(planner_pb2.PlannerServiceDescribeRequest())
    assert described.engine == "test"  # never queued
    running.servicer.gate.set()
    assert await asyncio.gather(*inside) == [["hold", "end"]] * 5
    assert await running.generate() == ["walk", "end"]


async def test_a_caller_that_leaves_the_queue_frees_its_place(start: Any) -> None:
    running = await start(max_concurrency=1, max_queue=1)
    running.servicer.gate.clear()
    first = asyncio.create_task(running.generate("hold"))
    admission = running.server.admission
    await _until(lambda: admission.running == 1)
    second = asyncio.create_task(running.generate("hold"))
    await _until(lambda: admission.waiting == 1)
    second.cancel()
    await _until(lambda: admission.waiting == 0)
    third = asyncio.create_task(running.generate("walk"))
    await _until(lambda: admission.waiting == 1)
    running.servicer.gate.set()
    assert await first == ["hold", "end"]
    assert await third == ["walk", "end"]
    await _until(lambda: admission.running == 0)


async def test_admission_hands_a_place_over_even_when_the_next_gives_up() -> None:
    admission = Admission(1, 5)
    order: list[str] = []

    async def enter(name: str) -> None:
        async with admission.slot():
            order.append(name)
            await asyncio.sleep(0)

    async with admission.slot():
        tasks = [asyncio.create_task(enter(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert admission.waiting == 3
    tasks[0].cancel()  # its turn was granted on leaving the block, and it has not run yet
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["b", "c"]
    assert (admission.running, admission.waiting) == (0, 0)


async def test_default_and_longest_deadline(start: Any, refused: Refuse) -> None:
    running = await start(default_deadline=0.2, max_deadline=0.4)
    for timeout, expected in ((None, 0.2), (60, 0.4)):
        began = time.perf_counter()
        error = await refused(running.planner.Generate(Generate(text="forever"), timeout=timeout))
        assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert error.reason == "DEADLINE"
        assert expected <= time.perf_counter() - began < expected + 1
    assert running.servicer.left == 2  # the servicer's generators were closed
    assert running.server.admission.running == 0


async def test_the_clients_deadline_stops_the_work(running: Any, refused: Refuse) -> None:
    error = await refused(running.planner.Generate(Generate(text="forever"), timeout=0.2))
    assert error.code == grpc.StatusCode.DEADLINE_EXCEEDED
    await _until(lambda: running.servicer.left == 1 and running.server.admission.running == 0)


async def test_cancelling_stops_the_work(running: Any) -> None:
    call = running.planner.Generate(Generate(text="forever"))
    assert (await call.read()).thought.text == "forever"
    call.cancel()
    await _until(lambda: running.servicer.left == 1 and running.server.admission.running == 0)


async def test_a_client_that_does_not_read_is_given_up(start: Any) -> None:
    running = await start(slow_reader_seconds=0.3, max_concurrency=1)
    deaf = running.planner.Generate(Generate(text="flood"))
    await _until(lambda: running.servicer.entered == 1)
    await _until(lambda: running.servicer.left == 1)  # the servicer is told to stop
    assert await running.generate() == ["walk", "end"]  # and its place is free
    with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
        async for _ in deaf:
            pass


async def test_drain_ends_calls_in_flight_and_refuses_new_ones(start: Any, refused: Refuse) -> None:
    running = await start(drain_seconds=5)
    running.servicer.gate.clear()
    inside = asyncio.create_task(running.generate("hold"))
    await _until(lambda: running.servicer.entered == 1)
    health = health_pb2_grpc.HealthStub(running.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service="kinesphere.v1.PlannerService"))
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    stopping = asyncio.create_task(running.server.stop())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    watch.cancel()
    async with grpc.aio.insecure_channel(running.server.address) as other:  # a connection of its own
        stub: Any = planner_pb2_grpc.PlannerServiceStub(other)
        for call in (running.planner.Generate(Generate(text="walk")), stub.Generate(Generate(text="walk"))):
            error = await refused(call)
            assert error.code == grpc.StatusCode.UNAVAILABLE
            assert error.reason == "DRAINING"
            assert error.retry_after > 0
    checked = await health.Check(health_pb2.HealthCheckRequest())
    assert checked.status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert not inside.done()
    running.servicer.gate.set()
    assert await inside == ["hold", "end"]
    async with asyncio.timeout(5):
        await stopping


async def test_drain_gives_up_after_its_time(start: Any, refused: Refuse) -> None:
    running = await start(drain_seconds=0.2)
    call = running.planner.Generate(Generate(text="forever"))
    await anext(aiter(call))
    async with asyncio.timeout(5):
        await running.server.stop()
    error = await refused(call)
    assert error.code == grpc.StatusCode.UNAVAILABLE
    assert error.reason == "DRAINING"
    assert error.retry_after > 0
    assert running.servicer.left == 1


async def test_watches_do_not_hold_up_the_drain(start: Any) -> None:
    running = await start(drain_seconds=60)
    watch = health_pb2_grpc.HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(running.channel).ServerReflectionInfo()
    await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await reflection.read()
    async with asyncio.timeout(5):
        await running.server.stop()


async def test_a_message_over_the_limit_is_refused(start: Any, refused: Refuse) -> None:
    running = await start(max_message_bytes=100_000)
    big = running.channel.unary_unary(CAPTION)
    error = await refused(big(b"\x00" * 200_000))
    assert error.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await running.generate() == ["walk", "end"]


async def test_a_message_of_two_gibibytes_is_refused_by_its_length(running: Any) -> None:
    """Only the length prefix is sent: the server must not wait for, or make room for, what it announces."""
    answer = await asyncio.to_thread(announce, running.server.port, CAPTION, 2**31)
    assert b"larger than max" in answer
    assert await running.generate() == ["walk", "end"]


async def test_refused_and_waiting_callers_cost_no_memory() -> None:
    """Their messages stay with them: 200 callers with 8 MiB each, of whom 1 runs and 8 wait."""
    process, port = await _spawn(MAX_CONCURRENCY="1", MAX_QUEUE="8")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = planner_pb2_grpc.PlannerServiceStub(channel)
            call = stub.Generate(Generate(text="30"))
            await call.read()
            before = peak_memory(process.pid)
            big = channel.unary_stream("/kinesphere.v1.PlannerService/Generate")
            message = bytes(8 << 20)
            calls = [big(message) for _ in range(200)]
            codes = []
            for one in calls[8:]:
                codes.append(await one.code())
            assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            assert peak_memory(process.pid) - before < 32 << 20
            for one in (call, *calls):
                one.cancel()
    finally:
        process.kill()
        await process.wait()


async def test_a_message_that_does_not_end_has_a_deadline(start: Any) -> None:
    running = await start(default_deadline=0.3)
    answer = await asyncio.to_thread(announce, running.server.port, CAPTION, 1_000_000)
    assert b"took longer than 0.3 s" in answer
    assert running.server.admission.running == 0


async def test_a_call_without_a_message_is_a_bad_request(running: Any, refused: Refuse) -> None:
    caption = running.channel.stream_unary(CAPTION)
    error = await refused(caption(iter(())))
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT
    assert error.reason == "INVALID_INPUT"
    assert "no message" in error.message


async def test_a_call_has_an_id(running: Any, refused: Refuse) -> None:
    async def told(sent: str | None, text: str = "walk") -> str:
        metadata = [("x-request-id", sent)] if sent else None
        call = running.planner.Generate(Generate(text=text), metadata=metadata)
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
        (said,) = [value for key, value in await call.trailing_metadata() if key == "x-request-id"]
        return str(said)

    assert await told("my-request:1.2_3") == "my-request:1.2_3"
    assert await told("mine", text="bad word") == "mine"
    made = {await told(None), await told(None), await told("forged {}"), await told("x" * 65)}
    assert len(made) == 4
    assert all(len(one) == 16 for one in made)


async def test_a_token_is_asked_for(start: Any, refused: Refuse) -> None:
    running = await start(tokens="0123456789abcdef, fedcba9876543210")
    for metadata in (None, [("authorization", "Bearer wrong")], [("authorization", "0123456789abcdef")]):
        error = await refused(running.planner.Generate(Generate(text="walk"), metadata=metadata))
        assert error.code == grpc.StatusCode.UNAUTHENTICATED
        assert error.reason == "UNAUTHENTICATED"
    for token in ("0123456789abcdef", "fedcba9876543210"):
        assert await running.generate(metadata=[("authorization", f"Bearer {token}")]) == ["walk", "end"]
    health = await health_pb2_grpc.HealthStub(running.channel).Check(health_pb2.HealthCheckRequest())
    assert health.status == health_pb2.HealthCheckResponse.SERVING  # a probe has no token
    assert (await refused(_list_services(running))).code == grpc.StatusCode.UNAUTHENTICATED
    listed = [item async for item in _list_services(running, "0123456789abcdef")]
    names = {service.name for service in listed[0].list_services_response.service}
    assert "kinesphere.v1.PlannerService" in names


def _list_services(running: Any, token: str | None = None) -> Any:
    stub = reflection_pb2_grpc.ServerReflectionStub(running.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    metadata = [("authorization", f"Bearer {token}")] if token else None
    return stub.ServerReflectionInfo(iter([request]), metadata=metadata)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA with a server's and a client's certificate, by the openssl command."""
    folder = tmp_path_factory.mktemp("pki")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    try:
        openssl("version")
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    new = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    openssl(*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca")
    for name in ("server", "client"):
        openssl(
            *(*new, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"),
            *("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1"),
        )
    return folder


async def test_mutual_tls(start: Any, refused: Refuse, pki: Path) -> None:
    from services.common.clients import open_channel

    running = await start(
        tls_certificate=pki / "server.pem", tls_key=pki / "server.key", tls_client_ca=pki / "ca.pem"
    )
    address, request = running.server.address, Generate(text="walk")
    async with open_channel(
        address, ca=pki / "ca.pem", certificate=pki / "client.pem", key=pki / "client.key"
    ) as channel:
        stub: Any = planner_pb2_grpc.PlannerServiceStub(channel)
        assert [answer.thought.text async for answer in stub.Generate(request)] == ["walk", "end"]
    async with open_channel(address, ca=pki / "ca.pem") as channel:  # no certificate of its own
        stub = planner_pb2_grpc.PlannerServiceStub(channel)
        assert (await refused(stub.Generate(request, timeout=5))).code == grpc.StatusCode.UNAVAILABLE
    assert (await refused(running.planner.Generate(request, timeout=5))).code == grpc.StatusCode.UNAVAILABLE


async def test_metrics_page(start: Any, refused: Refuse) -> None:
    running = await start(metrics_port=0)
    await running.generate()
    await refused(running.planner.Generate(Generate()))
    url = f"http://127.0.0.1:{running.server.metrics_port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    method = 'method="/kinesphere.v1.PlannerService/Generate"'
    assert f'kinesphere_rpc_calls_total{{code="OK",{method}}} 1.0' in text
    assert f'kinesphere_rpc_calls_total{{code="INVALID_ARGUMENT",{method}}} 1.0' in text
    assert f"kinesphere_rpc_first_message_seconds_count{{{method}}} 1.0" in text
    assert "kinesphere_queue_depth 0.0" in text


async def test_a_port_in_use_is_an_error(start: Any) -> None:
    running = await start()
    with pytest.raises(RuntimeError, match="cannot listen"):
        await start(port=running.server.port)


SERVICE = """
    import asyncio, sys
    from contextlib import asynccontextmanager
    from kinesphere.v1 import planner_pb2, planner_pb2_grpc
    from services.common.server import Service, run
    from services.common.settings import ServiceSettings

    class Settings(ServiceSettings):
        service = "planner"

    class Planner(planner_pb2_grpc.PlannerServiceServicer):
        async def Generate(self, request, context):
            yield planner_pb2.GenerateResponse()
            await asyncio.sleep(float(request.text))
            yield planner_pb2.GenerateResponse(thought=planner_pb2.Thought(text="end"))

    @asynccontextmanager
    async def build(metrics):
        descriptor = planner_pb2.DESCRIPTOR.services_by_name["PlannerService"]
        yield [Service(Planner(), planner_pb2_grpc.add_PlannerServiceServicer_to_server, descriptor)]
        print("closed", flush=True)

    run(Settings(), build)
"""


async def test_a_process_drains_on_sigterm() -> None:
    process, port = await _spawn()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = planner_pb2_grpc.PlannerServiceStub(channel)
            call = stub.Generate(Generate(text="0.5"), metadata=[("x-request-id", "drained-1")])
            await call.read()
            process.send_signal(signal.SIGTERM)
            assert (await call.read()).thought.text == "end"
            assert await call.code() == grpc.StatusCode.OK
        output, logs = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert output == b"closed\n"
    events = [json.loads(line) for line in logs.splitlines()]
    assert [event["event"] for event in events] == ["draining", "call", "stopped"]
    assert {event["service"] for event in events} == {"planner"}
    assert events[1]["code"] == "OK"
    assert events[1]["request_id"] == "drained-1"


async def test_a_second_signal_ends_at_once() -> None:
    process, port = await _spawn()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = planner_pb2_grpc.PlannerServiceStub(channel)
            call = stub.Generate(Generate(text="60"))
            await call.read()
            began = time.perf_counter()
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.3)
            assert process.returncode is None
            process.send_signal(signal.SIGINT)
            await process.communicate()
            assert time.perf_counter() - began < 5
    finally:
        if process.returncode is None:
            process.kill()


async def _spawn(**options: str) -> tuple[asyncio.subprocess.Process, int]:
    settings = {f"KINESPHERE_PLANNER_{name}": value for name, value in {"PORT": "0", **options}.items()}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", textwrap.dedent(SERVICE)),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        line = json.loads(await process.stderr.readline())
    assert line["event"] == "serving"
    return process, int(line["address"].rpartition(":")[2])

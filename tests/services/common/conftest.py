"""A real server on loopback around small servicers, and tiny ONNX models made on the fly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from google.rpc import error_details_pb2, status_pb2
from onnx import TensorProto, helper, numpy_helper

from kinesphere.errors import InputError
from kinesphere.v1 import (
    decoder_pb2,
    decoder_pb2_grpc,
    planner_pb2,
    planner_pb2_grpc,
    tokenizer_pb2,
    tokenizer_pb2_grpc,
)
from services.common import convert
from services.common.server import Server, Service
from services.common.settings import ServiceSettings


class Planner(planner_pb2_grpc.PlannerServiceServicer):
    """Generate answers according to its text; ``gate`` lets a test hold calls."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = 0
        self.left = 0

    async def Generate(
        self, request: planner_pb2.GenerateRequest, context: Any
    ) -> AsyncIterator[planner_pb2.GenerateResponse]:
        self.entered += 1
        try:
            if request.text == "fault":
                raise ZeroDivisionError("secret detail")
            if request.text == "bad word":
                raise InputError("text", "holds a bad word")
            yield planner_pb2.GenerateResponse(thought=planner_pb2.Thought(text=request.text))
            while request.text == "flood":
                yield planner_pb2.GenerateResponse(thought=planner_pb2.Thought(text="x" * 65_536))
            if request.text == "hold":
                await self.gate.wait()
            elif request.text == "forever":
                await asyncio.sleep(3600)
            yield planner_pb2.GenerateResponse(thought=planner_pb2.Thought(text="end"))
        finally:
            self.left += 1

    async def Caption(self, request: planner_pb2.CaptionRequest, context: Any) -> planner_pb2.CaptionResponse:
        motion = convert.motion_from_proto(request.motion)
        return planner_pb2.CaptionResponse(caption=f"{motion.num_frames} frames", num_tokens=2)

    async def Describe(self, request: Any, context: Any) -> planner_pb2.PlannerServiceDescribeResponse:
        return planner_pb2.PlannerServiceDescribeResponse(engine="test")


class Decoder(decoder_pb2_grpc.DecoderServiceServicer):
    """Answers each message of the client's stream with the number of blocks so far."""

    async def Decode(
        self, requests: AsyncIterator[decoder_pb2.DecoderServiceDecodeRequest], context: Any
    ) -> AsyncIterator[decoder_pb2.DecoderServiceDecodeResponse]:
        blocks = 0
        async for request in requests:
            if request.HasField("start"):
                yield decoder_pb2.DecoderServiceDecodeResponse(header=convert.header_to_proto(20))
            blocks += len(request.tokens.blocks)
        response = decoder_pb2.DecoderServiceDecodeResponse()
        response.status.num_blocks = blocks
        yield response


class Tokenizer(tokenizer_pb2_grpc.TokenizerServiceServicer):
    """Encode only checks its motion; Decode only its tokens."""

    async def Encode(
        self, request: tokenizer_pb2.EncodeRequest, context: Any
    ) -> tokenizer_pb2.EncodeResponse:
        motion = convert.motion_from_proto(request.motion)
        return tokenizer_pb2.EncodeResponse(num_frames=motion.num_frames)

    async def Decode(
        self, request: tokenizer_pb2.TokenizerServiceDecodeRequest, context: Any
    ) -> tokenizer_pb2.TokenizerServiceDecodeResponse:
        convert.tokens_from_proto(request.tokens.blocks, semantic_size=512, detail_size=512)
        return tokenizer_pb2.TokenizerServiceDecodeResponse()

    async def Embed(self, request: Any, context: Any) -> tokenizer_pb2.EmbedResponse:
        return tokenizer_pb2.EmbedResponse()

    async def Search(self, request: Any, context: Any) -> tokenizer_pb2.SearchResponse:
        return tokenizer_pb2.SearchResponse()


class Running:
    """A started server with a channel to it."""

    def __init__(self, server: Server, channel: grpc.aio.Channel, planner: Planner) -> None:
        self.server = server
        self.channel = channel
        self.servicer = planner
        self.planner: Any = planner_pb2_grpc.PlannerServiceStub(channel)
        self.decoder: Any = decoder_pb2_grpc.DecoderServiceStub(channel)
        self.tokenizer: Any = tokenizer_pb2_grpc.TokenizerServiceStub(channel)

    async def generate(self, text: str = "walk", **options: Any) -> list[str]:
        request = planner_pb2.GenerateRequest(text=text)
        return [answer.thought.text async for answer in self.planner.Generate(request, **options)]


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """``await start(max_queue=3)``: a server with these settings on a free port; stopped at the end."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Running:
            settings = ServiceSettings(**{"port": 0, **options})
            planner = Planner()
            names = planner_pb2.DESCRIPTOR.services_by_name
            server = Server(
                settings,
                [
                    Service(
                        planner,
                        planner_pb2_grpc.add_PlannerServiceServicer_to_server,
                        names["PlannerService"],
                    ),
                    Service(
                        Decoder(),
                        decoder_pb2_grpc.add_DecoderServiceServicer_to_server,
                        decoder_pb2.DESCRIPTOR.services_by_name["DecoderService"],
                    ),
                    Service(
                        Tokenizer(),
                        tokenizer_pb2_grpc.add_TokenizerServiceServicer_to_server,
                        tokenizer_pb2.DESCRIPTOR.services_by_name["TokenizerService"],
                    ),
                ],
            )
            await server.start()
            stack.push_async_callback(server.stop, 0)
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(server.address, options=[("grpc.max_send_message_length", -1)])
            )
            return Running(server, channel, planner)

        yield make


@pytest.fixture
async def running(start: Start) -> Running:
    return await start()


class Refused:
    """A failed call: ``code``, ``message``, ``reason``, ``fields`` by path, ``retry_after``, ``error_id``."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        self.message = error.details() or ""
        self.reason = ""
        self.error_id = ""
        self.fields: dict[str, str] = {}
        self.retry_after: float | None = None
        for key, value in error.trailing_metadata() or ():
            if key != "grpc-status-details-bin":
                continue
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                bad = error_details_pb2.BadRequest()
                retry = error_details_pb2.RetryInfo()
                if detail.Unpack(info):
                    self.reason, self.error_id = info.reason, info.metadata.get("error_id", "")
                elif detail.Unpack(bad):
                    self.fields = {item.field: item.description for item in bad.field_violations}
                elif detail.Unpack(retry):
                    self.retry_after = retry.retry_delay.ToNanoseconds() / 1e9


@pytest.fixture
def refused() -> Callable[[Any], Awaitable[Refused]]:
    """``await refused(call)``: what the failed call said; fails when the call succeeds."""

    async def run(call: Any) -> Refused:
        try:
            if hasattr(call, "__aiter__"):
                async for _ in call:
                    pass
            else:
                await call
        except grpc.aio.AioRpcError as error:
            return Refused(error)
        pytest.fail("the call succeeded")

    return run


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """``repository(name, max_batch_size=8, ...)`` adds a model ``y = x @ W`` ([batch,T,3] -> [batch,T,2])."""

    def add(name: str = "linear", **options: Any) -> Path:
        folder = tmp_path / name / "1"
        folder.mkdir(parents=True)
        onnx.save(linear_model(), folder / "model.onnx")
        (tmp_path / name / "config.pbtxt").write_text(options.pop("config", None) or config(name, **options))
        return tmp_path

    return add


def linear_model() -> onnx.ModelProto:
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            helper.make_node("ReduceSum", ["y", "axes"], ["total"]),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", 3])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "time", 2]),
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["batch", 1, 1]),
        ],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def config(
    name: str,
    *,
    max_batch_size: int = 8,
    delay: int | None = 2000,
    batching: str = "",
    parameters: dict[str, str] | None = None,
) -> str:
    dims = "-1, 3" if max_batch_size else "-1, -1, 3"
    head = "" if max_batch_size else "-1, "
    text = f"""
        name: "{name}"
        backend: "onnxruntime"
        max_batch_size: {max_batch_size}
        input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {dims} ] }} ]
        output [
          {{ name: "y" data_type: TYPE_FP32 dims: [ {head}-1, 2 ] }},
          {{ name: "total" data_type: TYPE_FP32 dims: [ {head}1, 1 ] }}
        ]
        optimization {{ priority: PRIORITY_MAX }}
        instance_group [ {{ count: 1 kind: KIND_CPU }} ]
    """
    if delay is not None:
        text += f"dynamic_batching {{ max_queue_delay_microseconds: {delay} {batching} }}\n"
    for key, value in (parameters or {}).items():
        text += f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}\n'
    return text

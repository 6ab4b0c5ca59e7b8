"""What the serving kit costs, and what it does when too many call.

    python -m benchmarks.serving [--seconds 3] [--output benchmarks/results/serving.json]

1. Overhead: one RPC (`TokenizerService.Embed` of a sentence, answered by a tiny ONNX model through the model
   runtime) against the same servicer called directly, at 1, 8 and 64 callers, and beside it the same servicer on a
   bare grpc.aio server, which is as little as gRPC costs here. *Paced*: each caller calls 10 times a
   second, as users do; its overhead is what gRPC, admission, deadline, validation and metrics add to a call. *Flat
   out*: each calls again at once; latency is then callers / throughput and says only how much the server can take.
2. Overload: 8 calls run and 8 wait, each of which makes 4 windows of motion with the shipped decoder; then 200 more
   arrive together. The times of the 16 beside those of a round without the 200, in turns.

The server is a process of its own. How idle the machine was before the run is part of the result: on a busy one the
figures are upper bounds. `chrt -r 5 python -m benchmarks.serving` (as root) goes before everybody else, but shares
caches and, on hyperthreads, cores with them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from kinesphere.v1 import planner_pb2, planner_pb2_grpc, tokenizer_pb2, tokenizer_pb2_grpc
from services.common import logs, model_config
from services.common.metrics import Metrics
from services.common.onnx_runtime import OnnxRuntime
from services.common.server import Server, Service
from services.common.settings import ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
CALLERS = (1, 8, 64)
PACE = 0.1  # seconds between the calls of one caller
TARGET_MS = 1.5
RUNNING, WAITING, EXTRA, WINDOWS, ROUNDS = 8, 8, 200, 4, 3
SIZE = 256
REQUEST = tokenizer_pb2.EmbedRequest(
    inputs=[tokenizer_pb2.EmbedInput(text="a person walks forward and waves")]
)


class Tokenizer(tokenizer_pb2_grpc.TokenizerServiceServicer):
    """Embed answers with the row that a tiny model gives."""

    def __init__(self, runtime: OnnxRuntime) -> None:
        self.runtime = runtime
        self.row = np.ones((1, SIZE), dtype=np.float32)

    async def Embed(self, request: tokenizer_pb2.EmbedRequest, context: Any) -> tokenizer_pb2.EmbedResponse:
        outputs = await self.runtime.infer("scale", {"x": self.row})
        return tokenizer_pb2.EmbedResponse(embeddings=[tokenizer_pb2.Embedding(values=outputs["y"][0])])


class Planner(planner_pb2_grpc.PlannerServiceServicer):
    """Generate makes WINDOWS windows of motion, one after the other, and sends nothing of them."""

    def __init__(self, runtime: OnnxRuntime) -> None:
        self.runtime = runtime
        # What is in the arrays does not change the time that the decoder takes.
        self.inputs = {
            spec.name: np.ones((1, *spec.dims), spec.dtype)
            for spec in model_config.read(ROOT / "models", "decoder_window").inputs.values()
        }

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[planner_pb2.GenerateResponse]:
        for _ in range(WINDOWS):
            await self.runtime.infer("decoder_window", self.inputs)
            yield planner_pb2.GenerateResponse()

    async def Describe(self, request: Any, context: Any) -> planner_pb2.PlannerServiceDescribeResponse:
        return planner_pb2.PlannerServiceDescribeResponse()


def write_model(repository: Path) -> None:
    """``y = x * w`` with [batch,256] and no batching delay: the cost of the runtime, not of a network."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder = repository / "scale"
    (folder / "1").mkdir(parents=True)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", SIZE])],
        [numpy_helper.from_array(np.full(SIZE, 0.5, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(f"""
        max_batch_size: 64
        input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {SIZE} ] }} ]
        output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {SIZE} ] }} ]
        dynamic_batching {{ max_queue_delay_microseconds: 0 }}
    """)


@asynccontextmanager
async def servicer() -> AsyncIterator[Tokenizer]:
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder))
        async with OnnxRuntime(folder, workers=1, metrics=Metrics()) as runtime:
            await runtime.load("scale")
            yield Tokenizer(runtime)


async def serve_bare() -> None:
    """Serve the tokenizer with nothing around it until standard input closes: the least that gRPC costs."""
    async with servicer() as tokenizer:
        server = grpc.aio.server()
        tokenizer_pb2_grpc.add_TokenizerServiceServicer_to_server(tokenizer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await server.stop(0)


async def serve(max_concurrency: int, max_queue: int) -> None:
    """Serve until standard input closes."""
    logs.configure()  # a line for each call, as in service
    settings = ServiceSettings(port=0, max_concurrency=max_concurrency, max_queue=max_queue)
    async with servicer() as tokenizer, OnnxRuntime(ROOT / "models", workers=1) as decoder:
        await decoder.load("decoder_window")
        names = (tokenizer_pb2.DESCRIPTOR.services_by_name, planner_pb2.DESCRIPTOR.services_by_name)
        server = Server(
            settings,
            [
                Service(
                    tokenizer,
                    tokenizer_pb2_grpc.add_TokenizerServiceServicer_to_server,
                    names[0]["TokenizerService"],
                ),
                Service(
                    Planner(decoder),
                    planner_pb2_grpc.add_PlannerServiceServicer_to_server,
                    names[1]["PlannerService"],
                ),
            ],
        )
        print(await server.start(), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await server.stop(0)


@asynccontextmanager
async def server_process(*limits: int) -> AsyncIterator[str]:
    """Address of a server of its own: with ``limits`` (calls that run, calls that wait) the project's, without bare."""
    how = ["--serve", ",".join(map(str, limits))] if limits else ["--serve-bare"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.serving", *how),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    while not (line := (await process.stdout.readline()).strip()).isdigit():
        if not line and process.returncode is not None:
            raise RuntimeError("the server did not start")
    try:
        yield f"127.0.0.1:{int(line)}"
    finally:
        process.stdin.close()
        await process.wait()


@dataclass
class Latency:
    """Milliseconds; ``rate``: calls a second of all callers together."""

    p50: float
    p99: float
    calls: int
    rate: float


async def measure(call: Callable[[], Awaitable[Any]], callers: int, seconds: float, pace: float) -> Latency:
    """``callers`` loops for ``seconds``, after a warm-up; ``pace`` 0: flat out."""
    for _ in range(20):
        await call()
    times: list[float] = []
    start = time.perf_counter() + 0.05
    end = start + seconds

    async def caller(index: int) -> None:
        due = start + (pace * index / callers if pace else 0.0)
        while True:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if (began := time.perf_counter()) >= end:
                return
            await call()
            times.append(time.perf_counter() - began)
            due = max(due + pace, time.perf_counter() - pace) if pace else 0.0

    await asyncio.gather(*(caller(index) for index in range(callers)))
    p50, p99 = np.percentile(np.array(times) * 1000, [50, 99])
    return Latency(round(float(p50), 3), round(float(p99), 3), len(times), round(len(times) / seconds, 1))


async def overhead(seconds: float) -> list[dict[str, Any]]:
    rows = []
    async with servicer() as direct, server_process() as bare, server_process(256, 256) as address:
        async with grpc.aio.insecure_channel(bare) as one, grpc.aio.insecure_channel(address) as other:
            plain: Any = tokenizer_pb2_grpc.TokenizerServiceStub(one)
            stub: Any = tokenizer_pb2_grpc.TokenizerServiceStub(other)
            for name, pace in (("paced", PACE), ("flat out", 0.0)):
                for callers in CALLERS:
                    here = await measure(lambda: direct.Embed(REQUEST, None), callers, seconds, pace)
                    least = await measure(lambda: plain.Embed(REQUEST), callers, seconds, pace)
                    remote = await measure(lambda: stub.Embed(REQUEST), callers, seconds, pace)
                    rows.append(
                        {
                            "load": name,
                            "callers": callers,
                            "direct": asdict(here),
                            "bare_grpc": asdict(least),
                            "grpc": asdict(remote),
                            "overhead_p50_ms": round(remote.p50 - here.p50, 3),
                            "overhead_p99_ms": round(remote.p99 - here.p99, 3),
                        }
                    )
    return rows


async def overload() -> dict[str, Any]:
    """The accepted calls' times without and with EXTRA more callers, and how fast those are refused."""
    async with server_process(RUNNING, WAITING) as address, grpc.aio.insecure_channel(address) as channel:
        stub: Any = planner_pb2_grpc.PlannerServiceStub(channel)
        request = planner_pb2.GenerateRequest(text="walk")

        async def timed() -> tuple[str, float]:
            began = time.perf_counter()
            try:
                async for _ in stub.Generate(request):
                    pass
            except grpc.aio.AioRpcError as error:
                return error.code().name, (time.perf_counter() - began) * 1000
            return "OK", (time.perf_counter() - began) * 1000

        async def one_round(extra: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
            accepted = [asyncio.create_task(timed()) for _ in range(RUNNING + WAITING)]
            await asyncio.sleep(0.1)
            refused = await asyncio.gather(*(timed() for _ in range(extra)))
            return await asyncio.gather(*accepted), refused

        await one_round(0)
        alone: list[tuple[str, float]] = []
        crowded: list[tuple[str, float]] = []
        extra: list[tuple[str, float]] = []
        for _ in range(ROUNDS):
            alone += (await one_round(0))[0]
            accepted, refused = await one_round(EXTRA)
            crowded, extra = crowded + accepted, extra + refused

    def told(calls: list[tuple[str, float]]) -> dict[str, Any]:
        times = [milliseconds for _, milliseconds in calls]
        p50, p99 = np.percentile(times, [50, 99])
        codes = [code for code, _ in calls]
        return {
            "codes": {code: codes.count(code) for code in sorted(set(codes))},
            "p50_ms": round(float(p50), 1),
            "p99_ms": round(float(p99), 1),
            "max_ms": round(max(times), 1),
        }

    return {
        "running": RUNNING,
        "waiting": WAITING,
        "extra": EXTRA,
        "windows_per_call": WINDOWS,
        "rounds": ROUNDS,
        "refused": told(extra),
        "accepted_alone": told(alone),
        "accepted_crowded": told(crowded),
    }


def show(result: dict[str, Any]) -> None:
    console = Console()
    info = result["machine"]
    console.print(
        f"{info['cpu']}, {info['cores']} cores, {info['idle_percent']} % idle before the run, "
        f"{info['scheduling']} priority"
    )
    table = Table(title="gRPC against a direct call, milliseconds p50 / p99")
    for column in ("load", "callers", "direct", "bare gRPC", "gRPC", "overhead", "calls/s"):
        table.add_column(column, justify="left" if column == "load" else "right")
    for row in result["overhead"]:
        here, least, remote = row["direct"], row["bare_grpc"], row["grpc"]
        table.add_row(
            row["load"],
            str(row["callers"]),
            f"{here['p50']:.2f} / {here['p99']:.2f}",
            f"{least['p50']:.2f} / {least['p99']:.2f}",
            f"{remote['p50']:.2f} / {remote['p99']:.2f}",
            f"{row['overhead_p50_ms']:.2f} / {row['overhead_p99_ms']:.2f}",
            f"{remote['rate']:.0f}",
        )
    console.print(table)
    over = result["overload"]
    table = Table(
        title=f"Overload: {RUNNING} run, {WAITING} wait, {EXTRA} more, {ROUNDS} rounds; milliseconds"
    )
    for column in ("calls", "status", "p50", "p99", "slowest"):
        table.add_column(column, justify="left" if column in ("calls", "status") else "right")
    for name, key in (
        ("beyond the queue", "refused"),
        ("accepted, alone", "accepted_alone"),
        ("accepted, beside them", "accepted_crowded"),
    ):
        row = over[key]
        codes = ", ".join(f"{count} {code}" for code, count in row["codes"].items())
        table.add_row(name, codes, *(f"{row[figure]:.1f}" for figure in ("p50_ms", "p99_ms", "max_ms")))
    console.print(table)


def plot(result: dict[str, Any], path: Path) -> None:
    """Direct against gRPC at each number of callers, and the accepted calls alone and beside the crowd."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rows = [row for row in result["overhead"] if row["load"] == "paced"]
    places = np.arange(len(rows))
    for shift, key, label, colour in (
        (-0.27, "direct", "direct call", "#8da0cb"),
        (0.0, "bare_grpc", "bare grpc.aio", "#d9d9d9"),
        (0.27, "grpc", "the project's server", "#fc8d62"),
    ):
        heights = [row[key]["p50"] for row in rows]
        bars = left.bar(places + shift, heights, 0.27, label=label, color=colour)
        left.bar_label(bars, fmt="%.2f", fontsize=8)
    labels = [
        f"{row['callers']} caller{'s' * (row['callers'] > 1)}\n+{row['overhead_p50_ms']:.2f} ms"
        for row in rows
    ]
    left.set_xticks(places, labels)
    left.set(ylabel="p50, ms", title=f"Overhead at 10 calls/s a caller (target below {TARGET_MS} ms)")
    left.margins(y=0.2)  # room for the legend above the bars
    left.legend(frameon=False, ncols=3, loc="upper center", fontsize=8)
    over = result["overload"]
    names = {
        "accepted_alone": "accepted,\nalone",
        "accepted_crowded": f"accepted,\nbeside {EXTRA} more",
        "refused": "refused",
    }
    for place, key in enumerate(names):
        bars = right.bar(
            [place - 0.2, place + 0.2],
            [over[key]["p50_ms"], over[key]["max_ms"]],
            0.4,
            color=["#66c2a5", "#a6d8c8"],
            label=["p50", "slowest"] if place == 0 else None,
        )
        right.bar_label(bars, fmt="%.0f", fontsize=8)
    right.set_xticks(range(len(names)), list(names.values()))
    right.set(ylabel="ms", title=f"{EXTRA} callers beyond the queue")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


async def benchmark(seconds: float) -> dict[str, Any]:
    return {"overhead": await overhead(seconds), "overload": await overload()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "serving.json")
    parser.add_argument("--note", default="", help="kept with the result: what else ran, for instance")
    parser.add_argument("--serve", metavar="RUN,WAIT", help=argparse.SUPPRESS)
    parser.add_argument("--serve-bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_bare:
        uvloop.run(serve_bare())
        return 0
    if arguments.serve:
        max_concurrency, max_queue = (int(value) for value in arguments.serve.split(","))
        uvloop.run(serve(max_concurrency, max_queue))
        return 0
    result: dict[str, Any] = {"machine": machine(), "note": arguments.note, "seconds": arguments.seconds}
    result |= uvloop.run(benchmark(arguments.seconds))
    show(result)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    plot(result, arguments.output.with_suffix(".png"))
    print(f"saved {arguments.output} and its plot")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The model runtime in process: configuration, checks, batching across callers, bounded queues."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from services.common.errors import PreconditionError, QueueFullError
from services.common.metrics import Metrics
from services.common.onnx_runtime import OnnxRuntime
from services.common.runtime import ModelInputError, ModelRuntime

Add = Callable[..., Path]
WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
async def open_runtime() -> AsyncIterator[Callable[[Path], OnnxRuntime]]:
    opened: list[OnnxRuntime] = []

    def make(repository: Path, **options: Any) -> OnnxRuntime:
        opened.append(OnnxRuntime(repository, **options))
        return opened[-1]

    yield make
    for runtime in opened:
        await runtime.close()


def batches(metrics: Metrics, model: str = "linear") -> tuple[int, float]:
    """Model calls so far, and the rows in all of them."""
    read = metrics.registry.get_sample_value
    count = read("kinesphere_model_batch_size_count", {"model": model})
    total = read("kinesphere_model_batch_size_sum", {"model": model})
    return int(count or 0), total or 0.0


def sample(rows: int, time: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, time, 3)).astype(np.float32)


async def test_one_request(repository: Add, open_runtime: Any) -> None:
    runtime: ModelRuntime = open_runtime(repository())
    x = sample(2)
    outputs = await runtime.infer("linear", {"x": x})
    assert set(outputs) == {"y", "total"}
    np.testing.assert_allclose(outputs["y"], x @ WEIGHTS, rtol=1e-5)
    described = await runtime.describe("linear")
    assert (described.name, described.version, len(described.sha256)) == ("linear", "1", 64)


async def test_callers_of_equal_shape_share_calls_and_get_their_own_rows(
    repository: Add, open_runtime: Any
) -> None:
    metrics = Metrics()
    runtime = open_runtime(repository(max_batch_size=8, delay=20_000), metrics=metrics)
    await runtime.load("linear")
    inputs = [sample(1 + index % 2, seed=index) for index in range(20)]  # 30 rows
    answers = await asyncio.gather(*(runtime.infer("linear", {"x": x}) for x in inputs))
    calls, rows = batches(metrics)
    assert rows == 30
    assert calls <= 6  # 4 would be perfect: 8 rows each, when requests of 2 rows fit
    for x, answer in zip(inputs, answers, strict=True):
        np.testing.assert_allclose(answer["y"], x @ WEIGHTS, rtol=1e-5)
        np.testing.assert_allclose(answer["total"][:, 0, 0], (x @ WEIGHTS).sum(axis=(1, 2)), atol=1e-3)


async def test_batched_results_equal_single_ones(repository: Add, open_runtime: Any) -> None:
    alone = open_runtime(repository("alone", delay=None))
    together = open_runtime(repository("together", max_batch_size=32, delay=20_000))
    inputs = [sample(1, seed=index) for index in range(16)]
    single = [await alone.infer("alone", {"x": x}) for x in inputs]
    batched = await asyncio.gather(*(together.infer("together", {"x": x}) for x in inputs))
    for one, other in zip(single, batched, strict=True):
        np.testing.assert_allclose(one["y"], other["y"], rtol=1e-6)


async def test_other_shapes_are_never_mixed(repository: Add, open_runtime: Any) -> None:
    metrics = Metrics()
    runtime = open_runtime(repository(delay=20_000), metrics=metrics)
    await runtime.load("linear")
    inputs = [sample(1, time=4 + index % 2, seed=index) for index in range(6)]
    answers = await asyncio.gather(*(runtime.infer("linear", {"x": x}) for x in inputs))
    assert batches(metrics) == (2, 6)
    for x, answer in zip(inputs, answers, strict=True):
        np.testing.assert_allclose(answer["y"], x @ WEIGHTS, rtol=1e-5)


async def test_without_dynamic_batching_every_request_is_a_call(repository: Add, open_runtime: Any) -> None:
    metrics = Metrics()
    runtime = open_runtime(repository(delay=None), metrics=metrics)
    await asyncio.gather(*(runtime.infer("linear", {"x": sample(1)}) for _ in range(5)))
    assert batches(metrics) == (5, 5)


async def test_a_model_without_a_batch_axis(repository: Add, open_runtime: Any) -> None:
    runtime = open_runtime(repository(max_batch_size=0, delay=None))
    answer = await runtime.infer("linear", {"x": sample(7)})
    assert answer["y"].shape == (7, 4, 2)


async def test_a_lone_request_waits_no_longer_than_the_delay(repository: Add, open_runtime: Any) -> None:
    runtime = open_runtime(repository(delay=50_000))
    await runtime.load("linear")
    loop = asyncio.get_running_loop()
    began = loop.time()
    await runtime.infer("linear", {"x": sample(1)})
    assert 0.05 <= loop.time() - began < 1.0


async def test_a_full_queue_refuses_at_once(repository: Add) -> None:
    metrics = Metrics()
    models = repository(
        delay=0,
        max_batch_size=1,
        batching="default_queue_policy { max_queue_size: 4 timeout_action: REJECT }",
    )
    async with OnnxRuntime(models, workers=1, metrics=metrics) as runtime:
        await runtime.load("linear")
        hold = threading.Event()
        runtime._pool.submit(hold.wait)  # the only worker is busy
        try:
            waiting = [asyncio.create_task(runtime.infer("linear", {"x": sample(1)}))]
            await asyncio.sleep(0.05)  # on its way to the worker
            waiting += [asyncio.create_task(runtime.infer("linear", {"x": sample(1)})) for _ in range(4)]
            await asyncio.sleep(0.05)
            with pytest.raises(QueueFullError) as caught:
                async with asyncio.timeout(5):
                    await runtime.infer("linear", {"x": sample(1)})
            assert caught.value.retry_after is not None
            assert caught.value.retry_after > 0
        finally:
            hold.set()
        assert len(await asyncio.gather(*waiting)) == 5
        refused = metrics.registry.get_sample_value("kinesphere_model_refused_total", {"model": "linear"})
        assert refused == 1


async def test_preferred_sizes_leave_without_waiting(repository: Add) -> None:
    metrics = Metrics()
    models = repository(delay=60_000_000, batching="preferred_batch_size: [ 2, 4 ]")
    async with OnnxRuntime(models, workers=1, metrics=metrics) as runtime, asyncio.timeout(30):
        await runtime.load("linear")
        tasks = [asyncio.create_task(runtime.infer("linear", {"x": sample(1)})) for _ in range(7)]
        await asyncio.gather(*tasks[:6])  # as 4 and 2: the seventh waits for a second one
        assert batches(metrics) == (2, 6)
        assert not tasks[6].done()
        tasks.append(asyncio.create_task(runtime.infer("linear", {"x": sample(1)})))
        await asyncio.gather(*tasks)
        assert batches(metrics) == (3, 8)


async def test_a_request_that_the_model_refuses_fails_alone(repository: Add, tmp_path: Path) -> None:
    """Token indices out of range reach the kernel: only it knows how large the table is."""
    models = repository("rows", config=ROWS)
    onnx.save(rows_model(), models / "rows" / "1" / "model.onnx")
    async with OnnxRuntime(models, workers=1) as runtime:
        await runtime.load("rows")
        wanted = [0, 2, 99, 1]
        answers = await asyncio.gather(
            *(runtime.infer("rows", {"index": np.array([[index]])}) for index in wanted),
            return_exceptions=True,
        )
    assert isinstance(answers[2], Exception)
    for index in (0, 1, 3):
        np.testing.assert_array_equal(answers[index]["row"][0, 0], WEIGHTS[wanted[index]])


ROWS = """max_batch_size: 8
    input [ { name: "index" data_type: TYPE_INT64 dims: [ 1 ] } ]
    output [ { name: "row" data_type: TYPE_FP32 dims: [ 1, 2 ] } ]
    dynamic_batching { max_queue_delay_microseconds: 20000 }
"""


def rows_model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "index"], ["row"])],
        "rows",
        [helper.make_tensor_value_info("index", TensorProto.INT64, ["batch", 1])],
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, ["batch", 1, 2])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux pins threads")
async def test_pinned_workers_stay_on_one_cpu_each(repository: Add) -> None:
    allowed = os.sched_getaffinity(0)
    async with OnnxRuntime(repository(), workers=2, pin=True) as runtime:
        barrier = threading.Barrier(2)

        def where() -> frozenset[int]:
            barrier.wait(10)
            return frozenset(os.sched_getaffinity(0))

        cpus = await asyncio.gather(*(asyncio.wrap_future(runtime._pool.submit(where)) for _ in range(2)))
    assert all(len(cpu) == 1 for cpu in cpus)
    assert len(set(cpus)) == min(2, len(allowed))
    assert os.sched_getaffinity(0) == allowed


async def test_a_short_model_runs_in_the_loop_and_a_long_batch_of_it_does_not(
    repository: Add, open_runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = open_runtime(repository(max_batch_size=16), inline=["linear"], inline_rows=2)
    await runtime.load("linear")
    loop, used = asyncio.get_running_loop(), []
    through = loop.run_in_executor
    monkeypatch.setattr(loop, "run_in_executor", lambda *work: used.append(1) or through(*work))
    for rows in (1, 2, 3):
        x = sample(rows)
        np.testing.assert_allclose((await runtime.infer("linear", {"x": x}))["y"], x @ WEIGHTS, rtol=1e-5)
        assert len(used) == (rows > 2)


async def test_requests_whose_callers_left_are_not_run(repository: Add) -> None:
    metrics = Metrics()
    async with OnnxRuntime(repository(delay=0, max_batch_size=1), workers=1, metrics=metrics) as runtime:
        await runtime.load("linear")
        hold = threading.Event()
        runtime._pool.submit(hold.wait)
        try:
            tasks = [asyncio.create_task(runtime.infer("linear", {"x": sample(1)})) for _ in range(5)]
            await asyncio.sleep(0.05)
            for task in tasks[1:]:
                task.cancel()
        finally:
            hold.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runtime.infer("linear", {"x": sample(1)})
        assert batches(metrics)[0] == 2


async def test_closing_frees_those_that_wait(repository: Add) -> None:
    runtime = OnnxRuntime(repository(delay=5_000_000), workers=1)
    await runtime.load("linear")
    task = asyncio.create_task(runtime.infer("linear", {"x": sample(1)}))
    await asyncio.sleep(0.01)
    await runtime.close()
    with pytest.raises(PreconditionError):
        await task
    with pytest.raises(PreconditionError):
        await runtime.infer("linear", {"x": sample(1)})


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "takes"),
        ({"x": sample(1), "z": sample(1)}, "takes"),
        ({"x": sample(1).astype(np.float64)}, "float64, expected float32"),
        ({"x": sample(1)[0]}, "shape"),
        ({"x": sample(1)[..., :2]}, r"shape \[1, 4, 2\], expected \['batch', -1, 3\]"),
        ({"x": np.float32(0)}, "shape"),
        ({"x": sample(9)}, "9 rows, the model takes 1 to 8"),
        ({"x": sample(0)}, "0 rows"),
    ],
)
async def test_wrong_arrays_are_named(repository: Add, open_runtime: Any, inputs: Any, says: str) -> None:
    runtime = open_runtime(repository())
    with pytest.raises(ModelInputError, match=says):
        await runtime.infer("linear", inputs)


CONFIG = """max_batch_size: 8
    input [ { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] } ]
    output [ { name: "y" data_type: TYPE_FP32 dims: [ -1, 2 ] } ]
"""


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("max_batch_size: {", "config.pbtxt"),
        ("max_batch_size: 8", "at least one input"),
        ('name: "other"\n' + CONFIG, "name is other"),
        (CONFIG.replace("FP32", "FP16"), "tensor\\(float16\\)"),
        (CONFIG.replace("TYPE_FP32", "TYPE_STRING"), "TYPE_STRING is not supported"),
        (CONFIG.replace('"x"', '"q"'), "input q"),
        (CONFIG.replace('"y"', '"q"'), "output q"),
        (CONFIG.replace("-1, 3", "0, 3"), "dims"),
        (CONFIG.replace("8", "0") + "dynamic_batching { }", "needs max_batch_size"),
        (CONFIG + 'default_model_filename: "other.onnx"', "is missing"),
        (CONFIG + 'parameters { key: "intra_op_thread_count" value { string_value: "many" } }', "from 1"),
        (CONFIG + "dynamic_batching { preferred_batch_size: [ 4, 16 ] }", "preferred_batch_size"),
        (CONFIG + 'parameters { key: "package_file" value { string_value: "../x" } }', "PACKAGE/FILE"),
        (CONFIG + 'parameters { key: "package_file" value { string_value: "numpy/../x" } }', "PACKAGE/FILE"),
        (CONFIG + 'parameters { key: "package_file" value { string_value: "nowhere/x" } }', "not installed"),
    ],
)
async def test_wrong_configurations_are_named(
    repository: Add, open_runtime: Any, config: str, says: str
) -> None:
    runtime = open_runtime(repository(config=config))
    with pytest.raises(PreconditionError, match=says):
        await runtime.load("linear")


@pytest.mark.parametrize("name", ["nobody", "", "..", "../linear", "linear/1", ".hidden"])
async def test_no_such_model(repository: Add, open_runtime: Any, name: str) -> None:
    with pytest.raises(PreconditionError):
        await open_runtime(repository()).infer(name, {"x": sample(1)})


async def test_weights_that_are_not_onnx(repository: Add, open_runtime: Any) -> None:
    models = repository()
    (models / "linear" / "1" / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(PreconditionError, match=r"model\.onnx"):
        await open_runtime(models).load("linear")


async def test_the_newest_version_is_served(repository: Add, open_runtime: Any) -> None:
    models = repository()
    (models / "linear" / "1").rename(models / "linear" / "10")
    (models / "linear" / "9").mkdir()
    assert (await open_runtime(models).describe("linear")).version == "10"


async def test_weights_inside_a_package(
    repository: Add, open_runtime: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    models = repository(parameters={"package_file": "packaged_weights/model.onnx"})
    package = tmp_path / "site" / "packaged_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package must not be imported')")
    (models / "linear" / "1" / "model.onnx").rename(package / "model.onnx")
    monkeypatch.syspath_prepend(package.parent)
    answer = await open_runtime(models).infer("linear", {"x": sample(1)})
    assert answer["y"].shape == (1, 4, 2)


async def test_a_failed_load_is_tried_again(repository: Add, open_runtime: Any) -> None:
    models = repository()
    weights = models / "linear" / "1" / "model.onnx"
    good = weights.read_bytes()
    weights.write_bytes(b"")
    runtime = open_runtime(models)
    with pytest.raises(PreconditionError):
        await runtime.load("linear")
    weights.write_bytes(good)
    await runtime.load("linear")

"""What the decoder makes of true plan tokens, and what a minute of it costs.

    python -m benchmarks.decoder [--split test] [--limit 0] [--seconds 60] [--output benchmarks/results/decoder.json]

1. Held-out clips are coded by the tokenizer and decoded again as the service decodes them: by the tokenizer alone
   (direct) and by diffusion, each with and without the foot lock. FID under the evaluator, skating, jerk and distance
   from the recording, with the recording itself beside them. FID is over the motion as served: on the skeleton, read
   back into features; the recording goes the same way.
2. A minute of motion streamed through DecoderService, the tokens of one recorded clip after another. Jerk is taken by
   place in the window: a seam would stand out where a window ends. Clips follow each other in the middle of windows,
   and what is near such a joint is left out.
3. Time of one window: by the clock, of the processor, and what its operations would take at the speed of a plain
   matrix product on this machine. On a busy machine the clock says little. And the memory of the process.

Writes JSON and, beside it, a PNG.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import held_out
from benchmarks.machine import machine
from benchmarks.onnx_cost import graph_flops, matmul_flops_per_second, weight_bytes
from kinesphere import wire
from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.evaluation.embedders import OnnxEvaluator
from kinesphere.metrics import physics
from kinesphere.metrics.t2m import fid
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.representations.whole import motion_features
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import decoder_pb2 as pb
from kinesphere.v1 import decoder_pb2_grpc, tokens_pb2
from services.common import convert
from services.common.metrics import Metrics
from services.common.onnx_runtime import OnnxRuntime
from services.common.server import Server
from services.decoder.__main__ import build
from services.decoder.frames import FrameStream
from services.decoder.plan import FRAMES_PER_BLOCK, FRAMES_PER_LATENT, Ids
from services.decoder.settings import DecoderSettings
from services.decoder.windows import (
    HISTORY,
    NEW,
    STEP,
    DiffusionWindows,
    DirectWindows,
    Windows,
)

WINDOW: Final = STEP * FRAMES_PER_LATENT  # frames
# Third differences reach three frames; a joint of two clips is kept this far away, in frames.
CLEAR: Final = 8


@dataclass
class Coded:
    """A held-out clip and its tokens."""

    clip: Clip
    features: FloatArray
    semantic: Ids
    detail: Ids


async def code(runtime: OnnxRuntime, data: ClipDataset, clips: list[Clip]) -> list[Coded]:
    """Clips cut to whole blocks, with their tokens."""
    coded = []
    for clip in track(clips, description="coding"):
        frames = clip.frames // FRAMES_PER_BLOCK * FRAMES_PER_BLOCK
        features = data.features(clip)[:frames].astype(np.float32)
        out = await runtime.infer("tokenizer_encode", {"motion": features[None]})
        coded.append(Coded(clip, features, out["semantic"][0], out["detail"][0]))
    return coded


async def decoded(windows: Windows, one: Coded) -> list[FloatArray]:
    """Features as the service's windows give them, piece by piece."""
    windows.push(one.semantic, one.detail)
    return [piece async for piece in windows.ready(ended=True)]


def served(pieces: list[FloatArray], *, foot_lock: bool) -> Motion:
    """The motion that a caller gets for these features."""
    stream = FrameStream(hml263.FPS, foot_lock=foot_lock)
    parts = [*(stream.push(piece) for piece in pieces), stream.finish()]
    made = [part for part in parts if part is not None]
    return Motion(
        np.concatenate([part.translation for part in made]),
        np.concatenate([part.rotations for part in made]),
        np.concatenate([part.positions for part in made]),
        hml263.FPS,
    )


def figures(
    motions: list[Motion], real: list[Motion], evaluator: OnnxEvaluator, truth: FloatArray
) -> dict[str, float]:
    """One row of the table. truth: embeddings of ``real``."""
    pairs = list(zip(motions, real, strict=True))
    made = evaluator.motions([motion_features(motion) for motion in motions])

    def mean(value: Callable[[Motion], float]) -> float:
        return float(np.mean([value(motion) for motion in motions]))

    def apart(a: Motion, b: Motion) -> float:
        """MPJPE, mm, roots aligned."""
        return float(
            np.linalg.norm(
                (a.positions - a.positions[:, :1]) - (b.positions - b.positions[:, :1]), axis=-1
            ).mean()
            * 1000
        )

    return {
        "FID": max(0.0, float(fid(truth, made))),
        "skating": mean(lambda m: physics.skating_ratio(m.positions)),
        "jerk": mean(lambda m: float(physics.jerk(m.positions, m.fps).mean())),
        "MPJPE_mm": float(np.mean([apart(a, b) for a, b in pairs])),
        "penetration_mm": mean(lambda m: physics.penetration_mm(m.positions)),
        "floating_mm": mean(lambda m: physics.floating_mm(m.positions)),
    }


async def compare(
    runtime: OnnxRuntime, coded: list[Coded], evaluator: OnnxEvaluator
) -> dict[str, dict[str, float]]:
    """The table's rows by name."""
    size = (await runtime.describe("decoder_window")).inputs["noise"][-1]
    real = [served([one.features], foot_lock=False) for one in coded]
    truth = evaluator.motions([motion_features(motion) for motion in real])
    rows = {"recorded": figures(real, real, evaluator, truth)}
    makers: dict[str, Callable[[int], Windows]] = {
        "direct": lambda _: DirectWindows(runtime),
        "diffusion": lambda seed: DiffusionWindows(runtime, seed, size),
    }
    for name, make in makers.items():
        pieces = []
        for begin in track(range(0, len(coded), 8), description=name):
            some = list(enumerate(coded))[begin : begin + 8]
            pieces += await asyncio.gather(*(decoded(make(seed), one) for seed, one in some))
        for foot_lock in (False, True):
            motions = [served(piece, foot_lock=foot_lock) for piece in pieces]
            rows[name + (" + foot lock" if foot_lock else "")] = figures(motions, real, evaluator, truth)
    return rows


def chain(coded: list[Coded], blocks: int) -> tuple[Ids, Ids, FloatArray, list[int]]:
    """Tokens [blocks], [4*blocks] and features of clips one after another, and the frames where one ends.

    A window ends after every second block, so clips of an even number of blocks, after a first one of an odd number,
    end in the middle of windows.
    """
    taken: list[tuple[Coded, int]] = []
    total = 0
    for one in sorted(coded, key=lambda c: -len(c.semantic)):
        count = len(one.semantic)
        count -= (count + (not taken)) % 2
        if count <= 0:
            continue
        taken.append((one, count))
        total += count
        if total >= blocks:
            break
    semantic = np.concatenate([one.semantic[:count] for one, count in taken])[:blocks]
    detail = np.concatenate([one.detail[: 4 * count] for one, count in taken])[: 4 * blocks]
    features = np.concatenate([one.features[: 16 * count] for one, count in taken])[: 16 * blocks]
    joints = np.cumsum([FRAMES_PER_BLOCK * count for _, count in taken])
    return semantic, detail, features, [int(j) for j in joints if j < len(features)]


async def stream(models: Path, semantic: Ids, detail: Ids) -> tuple[Motion, list[float]]:
    """The motion that DecoderService streams, and the seconds from one message of it to the next."""
    settings, metrics = DecoderSettings(port=0, models=models), Metrics()
    async with build(settings, metrics) as services:
        server = Server(settings, services, metrics=metrics)
        await server.start()
        import grpc

        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = decoder_pb2_grpc.DecoderServiceStub(channel)

            async def requests() -> AsyncIterator[pb.DecoderServiceDecodeRequest]:
                yield pb.DecoderServiceDecodeRequest(start=pb.DecodeStart(seed=1))
                for start in range(0, len(semantic), 100):
                    blocks = convert.tokens_to_proto(
                        semantic[start : start + 100], detail[4 * start : 4 * (start + 100)]
                    )
                    yield pb.DecoderServiceDecodeRequest(tokens=tokens_pb2.MotionTokens(blocks=blocks))

            header, chunks, gaps, last = None, [], [], time.perf_counter()
            async for answer in stub.Decode(requests(), timeout=600):
                if answer.WhichOneof("part") == "header":
                    header = answer.header
                elif answer.WhichOneof("part") == "motion":
                    chunks.append(answer.motion)
                    now = time.perf_counter()
                    gaps.append(now - last)
                    last = now
        await server.stop(0)
    assert header is not None
    return wire.motion_of(header, chunks), gaps


def by_place(motion: Motion, joints: list[int]) -> FloatArray:
    """Mean jerk, m/s^3, by place in the window [32]: place 0 is the first frame of a window. Each third difference
    counts where its middle lies; the first window and what is near a joint of two clips are left out."""
    jerk = physics.jerk(motion.positions, motion.fps)
    middle = np.arange(len(jerk)) + 2
    keep = middle >= WINDOW
    for joint in joints:
        keep &= np.abs(middle - joint) > CLEAR
    return np.array(
        [jerk[keep & (middle % WINDOW == place)].mean() for place in range(WINDOW)], dtype=np.float32
    )


def borders(places: FloatArray) -> dict[str, float]:
    """Jerk over a border (the differences that span it) against the rest."""
    spanning = np.isin(np.arange(WINDOW), [WINDOW - 1, 0, 1])
    inside, across = float(places[~spanning].mean()), float(places[spanning].mean())
    return {"across_borders": across, "inside": inside, "ratio": across / inside}


async def cost(models: Path, runtime: OnnxRuntime) -> dict[str, float]:
    """Time of one window alone, and what bounds it on this machine."""
    shapes = (await runtime.describe("decoder_window")).inputs
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {
        "semantic": rng.integers(0, 512, (1, HISTORY + NEW)), "detail": rng.integers(0, 512, (1, HISTORY + NEW)),
        "valid": np.ones((1, HISTORY + NEW), np.float32), "history_mask": np.ones((1, HISTORY), np.float32),
        "history": rng.standard_normal((1, *shapes["history"])).astype(np.float32),
        "noise": rng.standard_normal((1, *shapes["noise"])).astype(np.float32),
    }  # fmt: skip
    times, cpu = [], []
    for _ in range(60):
        began, worked = time.perf_counter(), time.process_time()
        await runtime.infer("decoder_window", inputs)
        times.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    file = models / "decoder_window" / "1" / "model.onnx"
    flops, speed = graph_flops(file), matmul_flops_per_second()
    median, work = float(np.median(times[10:])), float(np.median(cpu[10:]))
    return {
        "window_ms": median * 1000,
        "window_cpu_ms": work * 1000,
        "window_seconds_of_motion": WINDOW / hml263.FPS,
        "faster_than_real_time": WINDOW / hml263.FPS / median,
        "gflop_per_window": flops / 1e9,
        "matmul_gflop_per_s": speed / 1e9,
        "floor_ms": flops / speed * 1000,
        "times_the_floor": work * speed / flops,
        "weights_MB": weight_bytes(file) / 1e6,
    }


def plot(rows: dict[str, dict[str, float]], places: dict[str, FloatArray], file: Path) -> None:
    """FID and skating of the rows; jerk by place in the window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2)
    for column, (metric, title) in enumerate(
        (("FID", "FID (lower is better)"), ("skating", "skating ratio"))
    ):
        axes = figure.add_subplot(grid[0, column])
        for at, (name, row) in enumerate(rows.items()):
            colour = (
                "#70788a" if name == "recorded" else "#b8bec9" if name.startswith("direct") else "#2674c4"
            )
            axes.barh(at, row[metric], color=colour, height=0.7)
            axes.annotate(
                f"{row[metric]:.3g}",
                (row[metric], at),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        if metric == "skating":
            axes.axvline(1.2 * rows["recorded"]["skating"], color="#333333", linestyle="--", linewidth=0.8)
            title += ": dashed, 1.2 times the recordings'"
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_title(title, fontsize=11)
        axes.spines[["top", "right"]].set_visible(False)
    axes = figure.add_subplot(grid[1, :])
    # A window on either side of its border, so that the border lies amid the plot.
    order = np.arange(-WINDOW // 2, WINDOW // 2)
    for (name, values), colour in zip(places.items(), ("#2674c4", "#70788a"), strict=False):
        axes.plot(order, values[order % WINDOW], color=colour, marker=".", label=name)
    axes.axvline(-0.5, color="#333333", linestyle="--", linewidth=0.8)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("frames from the border of two windows (dashed)")
    axes.set_ylabel("mean jerk, m/s³")
    axes.set_title("Jerk by place in the window: a seam would stand out at the border", fontsize=11)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=110, format="png")


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    data = ClipDataset(options.data)
    clips = held_out.pick(data, options.split, options.limit, mirrored=True)
    result: dict[str, Any] = {"machine": machine(), "split": options.split, "clips": len(clips)}
    async with OnnxRuntime(options.models) as runtime:
        result["cost"] = await cost(options.models, runtime)
        coded = await code(runtime, data, clips)
        result["rows"] = await compare(runtime, coded, OnnxEvaluator(options.models, threads=1))
    semantic, detail, features, joints = chain(coded, round(options.seconds * hml263.FPS / FRAMES_PER_BLOCK))
    began = time.perf_counter()
    motion, gaps = await stream(options.models, semantic, detail)
    places = {
        "streamed by the service": by_place(motion, joints),
        "recorded": by_place(served([features], foot_lock=False), joints),
    }
    result["stream"] = {
        "seconds": motion.num_frames / motion.fps,
        "wall_seconds": time.perf_counter() - began,
        "first_message_ms": gaps[0] * 1000,
        "message_ms": float(np.median(gaps[1:])) * 1000,
        "jerk": {name: borders(values) for name, values in places.items()},
        "peak_memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    plot(result["rows"], places, options.output.with_suffix(".png"))
    return result


def show(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(
        "decoding", *next(iter(result["rows"].values())), title=f"{result['clips']} {result['split']} clips"
    )
    for name, row in result["rows"].items():
        table.add_row(name, *(f"{value:.3g}" for value in row.values()))
    console.print(table)
    for part in ("cost", "stream"):
        console.print(part, {k: v if isinstance(v, dict) else round(v, 3) for k, v in result[part].items()})


def main() -> None:
    parser = held_out.options("decoder", __doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the streamed motion")
    options = parser.parse_args()
    result = asyncio.run(measure(options))
    show(result)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How long a sentence takes to become 196 frames (9.8 s) of motion through PlannerService.Generate.

    python -m benchmarks.t2m [--repeats 7] [--output benchmarks/results/t2m_latency.json]

The three services run as `kinesphere up` starts them, warm, together with the client on two cores. Measured: the first
frame, all frames, peak memory of each process, and how much of the two cores others took meanwhile. In the same run:
the language model alone, with its cache and the naive way (the whole sequence again for every token), and what this
machine could do at best: every weight is read once a token, so the bytes of the weights by the bytes a second that
this machine reads. Writes JSON, and a timeline of the median run as PNG.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from kinesphere.cli.stack import FOR_SENTENCES, HOST, Ports, Stack, default_models
from kinesphere.client import Client
from services.planner.engines.base import LanguageModel
from services.planner.loading import load_planner
from services.planner.settings import PlannerSettings

CORES: Final = 2
TEXT: Final = "a person walks forward, turns around and waves with the right hand"
SECONDS, FRAMES, FPS = 9.8, 196, 20
LIMIT_FIRST, LIMIT_ALL = 1.0, 4.0
MODES: Final = (("diffusion", True), ("diffusion", False), ("direct", False))
PROMPT, WRITTEN = 64, 85  # tokens of the language model's own measurement: about what a request takes

# Other systems on a machine like this: findings.md, "Peers, measured here" (2 cores, random weights, fp32, batch 1, two
# threads, text embedding not counted). Seconds for 196 frames; all of them give no frame before the last.
PEERS: Final = (
    ("MotionLCM, 1 step", 0.030),
    ("MotionLCM, 4 steps", 0.049),
    ("MLD, DDIM 50", 0.214),
    ("MoMask, 18 + 5 steps", 0.507),
    ("MDM, 50 steps", 3.4),
    ("T2M-GPT, 49 tokens without a cache", 4.9),
)
# A text tower that they need beside, the same source.
CLIP_SECONDS: Final = 0.054


@dataclass
class Run:
    """One call. Seconds since it was made; marks: (seconds, kind, count) as messages came in. cpu_seconds: of services
    and client, which hardly depends on who else is busy.
    """

    mode: str
    thinking: bool
    first: float
    all: float
    planned: float
    tokens: int
    cpu_seconds: float
    others_percent: float
    marks: list[tuple[float, str, int]] = field(repr=False)


def call(client: Client, mode: str, thinking: bool, seed: int, own: list[int]) -> Run:
    busy, ours = cpu_seconds(own)
    began = time.perf_counter()
    marks: list[tuple[float, str, int]] = []
    for message in client.stream(TEXT, seconds=SECONDS, seed=seed, decoder=mode, thinking=thinking):
        part = str(message.WhichOneof("part"))
        count = {"plan_tokens": len(message.plan_tokens.blocks), "motion": message.motion.num_frames}.get(
            part, 1
        )
        marks.append((time.perf_counter() - began, part, count))
    wall = time.perf_counter() - began
    busy, ours = (after - before for after, before in zip(cpu_seconds(own), (busy, ours), strict=True))
    frames = sum(count for _, part, count in marks if part == "motion")
    if frames != FRAMES:
        raise RuntimeError(f"{frames} frames came, {FRAMES} were asked for")
    return Run(
        mode,
        thinking,
        first=next(at for at, part, _ in marks if part == "motion"),
        all=max(at for at, part, _ in marks if part == "motion"),
        planned=max(at for at, part, _ in marks if part == "plan_tokens"),
        tokens=sum({"thought": 1, "plan_tokens": 5 * count}.get(part, 0) for _, part, count in marks),
        cpu_seconds=round(ours, 2),
        others_percent=round(100 * max(0.0, busy - ours) / (wall * CORES), 1),
        marks=marks,
    )


def take_cores() -> None:
    """Run this process, and the services it starts, on two cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def cpu_seconds(pids: list[int]) -> tuple[float, float]:
    """What the two cores have worked so far, and what these processes have."""
    tick = os.sysconf("SC_CLK_TCK")
    cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name in cores:
            busy += sum(int(value) for value in values[:8]) - int(values[3]) - int(values[4])
    ours = 0
    for pid in pids:
        ours += sum(int(v) for v in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13])
    return busy / tick, ours / tick


def peak_mib(pid: int) -> float:
    """Most memory that a process has held so far."""
    line = next(
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    return round(int(line.split()[1]) / 1024, 1)


def serve(models: Path, repeats: int) -> tuple[list[Run], dict[str, float]]:
    """Warm calls in every mode, taken in turns so that a busy minute falls on all of them."""
    ports = Ports.free()
    with Stack(ports, models, services=FOR_SENTENCES) as stack:
        stack.wait_ready()
        pids = {name: child.process.pid for name, child in stack.children.items()}
        own = [os.getpid(), *pids.values()]
        with Client(f"{HOST}:{ports.planner}", f"{HOST}:{ports.tokenizer}") as client:
            for mode, thinking in MODES:
                call(client, mode, thinking, 0, own)
            runs = [
                call(client, mode, thinking, seed, own)
                for seed in range(1, repeats + 1)
                for mode, thinking in MODES
            ]
        return runs, {name: peak_mib(pid) for name, pid in pids.items()}


def write_tokens(model: LanguageModel, rows: int) -> float:
    """Tokens a second of ``rows`` sequences side by side, prompts included."""
    prompt = model.embed(list(range(PROMPT)))
    began = time.perf_counter()
    opened = [model.prefill(prompt)[0] for _ in range(rows)]
    for step in range(WRITTEN):
        model.step(dict.fromkeys(opened, step))
    seconds = time.perf_counter() - began
    for row in opened:
        model.release(row)
    return rows * WRITTEN / seconds


def write_naively(model: LanguageModel) -> float:
    """The same for one sequence without a cache: all of it goes through the network for every token."""
    embeds = model.embed(list(range(PROMPT)))
    began = time.perf_counter()
    for step in range(WRITTEN):
        model.release(model.prefill(embeds)[0])
        embeds = np.concatenate([embeds, model.embed([step])])
    return WRITTEN / (time.perf_counter() - began)


def weight_bytes(graph: Path) -> int:
    """Bytes that one token reads: half-precision weights are held as float32, quantized ones as they are."""
    import onnx

    total = 0
    for tensor in onnx.load(graph).graph.initializer:
        if not tensor.name.startswith("rope."):  # tables: a row of each is read
            size = int(np.prod(tensor.dims))
            half = tensor.data_type == onnx.TensorProto.FLOAT16
            total += (
                4 * size if half else size * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
            )
    return total


def read_rate(size: int) -> float:
    """Bytes a second that one core reads of a matrix of ``size`` bytes times a vector, best of several."""
    columns = 1024
    matrix = np.ones((max(1, size // (4 * columns)), columns), np.float32)
    vector = np.ones(columns, np.float32)
    best = float("inf")
    for _ in range(15):
        began = time.perf_counter()
        matrix @ vector
        best = min(best, time.perf_counter() - began)
    return matrix.nbytes / best


def language_model(models: Path) -> dict[str, Any]:
    """The engine by itself in this process, and the floor."""
    planner = load_planner(PlannerSettings(models=models))
    model = planner.model
    write_tokens(model, 1)
    size = weight_bytes(models / planner.title / "1" / "model.onnx")
    rates = {rows: max(write_tokens(model, rows) for _ in range(3)) for rows in (1, 8, 16)}
    memory, near = read_rate(512 << 20), read_rate(size)
    return {
        "planner": planner.title,
        "engine": model.name,
        "weight_bytes_per_token": size,
        "memory_bytes_per_second": memory,
        "memory_bytes_per_second_at_model_size": near,
        "floor_tokens_per_second": near / size,
        "floor_tokens_per_second_from_memory": memory / size,
        "tokens_per_second": rates,
        "naive_tokens_per_second": max(write_naively(model) for _ in range(2)),
    }


def summary(runs: list[Run]) -> list[dict[str, Any]]:
    rows = []
    for mode, thinking in MODES:
        own = [run for run in runs if (run.mode, run.thinking) == (mode, thinking)]
        rows.append(
            {
                "mode": mode,
                "thinking": thinking,
                "first_frame_seconds": {
                    "median": median(r.first for r in own),
                    "best": min(r.first for r in own),
                },
                "all_frames_seconds": {"median": median(r.all for r in own), "best": min(r.all for r in own)},
                "tokens_per_second": median(r.tokens / r.planned for r in own),
                "cpu_seconds": median(r.cpu_seconds for r in own),
                "others_percent": median(r.others_percent for r in own),
            }
        )
    return rows


def show(result: dict[str, Any]) -> None:
    console, info, llm = Console(), result["machine"], result["language_model"]
    console.print(f"{info['cpu']}, {CORES} cores, {info['idle_percent']} % idle before the run")
    table = Table(title=f"{FRAMES} frames through PlannerService.Generate, seconds, median (best)")
    for heading in ("way", "first frame", "all frames", "tokens/s", "CPU seconds", "others took"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for row in result["generate"]:
        name = row["mode"] + (", thinking" if row["thinking"] else "")
        first, last = row["first_frame_seconds"], row["all_frames_seconds"]
        table.add_row(
            name,
            f"{first['median']:.2f} ({first['best']:.2f})",
            f"{last['median']:.2f} ({last['best']:.2f})",
            f"{row['tokens_per_second']:.0f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['others_percent']:.0f} %",
        )
    for name, seconds in PEERS:
        table.add_row(f"peer: {name}", f"{seconds + CLIP_SECONDS:.2f}", f"{seconds + CLIP_SECONDS:.2f}")
    console.print(table)
    console.print(
        "Peers: findings.md, random weights, fp32, 2 threads, an idle machine; CLIP B/32's 54 ms added."
    )
    table = Table(title="The language model alone, one thread, tokens/s")
    for heading in ("way", "tokens/s"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for rows, rate in llm["tokens_per_second"].items():
        table.add_row(f"{llm['engine']}, {rows} at once", f"{rate:.0f}")
    table.add_row("naive: no cache", f"{llm['naive_tokens_per_second']:.0f}")
    table.add_row(
        f"floor for one: {llm['weight_bytes_per_token'] / 1e6:.1f} MB a token at "
        f"{llm['memory_bytes_per_second_at_model_size'] / 1e9:.1f} GB/s",
        f"{llm['floor_tokens_per_second']:.0f}",
    )
    console.print(table)
    console.print(
        "Peak memory, MiB: " + ", ".join(f"{name} {mib:.0f}" for name, mib in result["peak_mib"].items())
    )
    shipped = result["generate"][0]
    kept = (
        shipped["first_frame_seconds"]["median"] <= LIMIT_FIRST
        and shipped["all_frames_seconds"]["median"] <= LIMIT_ALL
    )
    console.print(
        f"First frame within {LIMIT_FIRST:g} s and all within {LIMIT_ALL:g} s: {'yes' if kept else 'NO'}"
    )


def draw(runs: list[Run], path: Path) -> Path:
    """When thought, plan and frames of the shipped way's median run arrived, beside the moment each frame is shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    own = sorted((r for r in runs if (r.mode, r.thinking) == MODES[0]), key=lambda r: r.all)
    run = own[len(own) // 2]
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for part, label, colour in (
        ("plan_tokens", "planned (frames that the blocks stand for)", "#7a5195"),
        ("motion", "motion received", "#ef5675"),
    ):
        at = [0.0] + [t for t, kind, _ in run.marks if kind == part]
        counts = [0] + [
            count * (16 if part == "plan_tokens" else 1) for _, kind, count in run.marks if kind == part
        ]
        axis.step(
            at, np.minimum(np.cumsum(counts), FRAMES), where="post", label=label, color=colour, linewidth=2
        )
    thoughts = [t for t, kind, _ in run.marks if kind == "thought"]
    if thoughts:
        axis.axvspan(0, max(thoughts), color="#003f5c", alpha=0.12, label="thinking")
    played = np.array([run.first, run.first + FRAMES / FPS])
    axis.plot(played, [0, FRAMES], color="#999999", linestyle="--", label=f"played at {FPS} frames a second")
    axis.axvline(
        LIMIT_FIRST, color="#ffa600", linewidth=1, label=f"limits: {LIMIT_FIRST:g} s and {LIMIT_ALL:g} s"
    )
    axis.axvline(LIMIT_ALL, color="#ffa600", linewidth=1)
    axis.set(
        xlabel="seconds since the call", ylabel="frames", xlim=(0, max(1.15 * run.all, LIMIT_ALL + 0.2)), ylim=(0, 205),
        title=f"{FRAMES} frames: the first after {run.first:.2f} s, all after {run.all:.2f} s "
        f"(others took {run.others_percent:.0f} % of the cores)",
    )  # fmt: skip
    axis.legend(loc="lower right")
    figure.savefig(path, dpi=130)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="calls of each kind")
    parser.add_argument("--models", type=Path, default=default_models())
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "t2m_latency.json")
    arguments = parser.parse_args()
    take_cores()
    before = machine()
    model = language_model(arguments.models)
    runs, peaks = serve(arguments.models, arguments.repeats)
    result = {
        "machine": before,
        "text": TEXT,
        "frames": FRAMES,
        "generate": summary(runs),
        "peak_mib": peaks,
        "language_model": model,
        "peers": {
            "source": "findings.md, measured on a machine of 2 cores",
            "seconds": dict(PEERS),
            "clip": CLIP_SECONDS,
        },
        "runs": [asdict(run) for run in runs],
    }
    show(result)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"saved {arguments.output} and {draw(runs, arguments.output.with_suffix('.png'))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

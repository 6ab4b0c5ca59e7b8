"""What a reacting frame costs, against other ways to make one, and against the arithmetic alone.

    python -m benchmarks.reactor_cost [--models models] [--repeats 60] [--output FILE.json]

The same graphs can make a frame in several ways. *refined*, which is what is served: one pass of ``reactor_refine``
for each frame, and one call of ``reactor_segment`` for every eight. *segments only*: that call alone, the partner seen
every 0.4 s. *re-denoised*: a new segment for each frame, of which the first is shown. Beside them stand the project's
``base`` size (DART's perceptron with our modules) re-denoised and refined, and DART's transformer rebuilt by its
published sizes: eight frames by ten steps, each with and without the text in one call of two rows, and a decoder. Both
have random weights, which cost what trained ones do.

A floor is given with each: the operations of the graph's matrix products and convolutions, divided by the rate at which
this machine multiplies large matrices in one thread. One thread, one session; milliseconds are of the thread's own
time, the median of many calls.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.machine import machine
from benchmarks.onnx_cost import graph_flops, matmul_flops_per_second
from benchmarks.reactor_load import RESULTS, ROOT
from kinesphere.representations.primitive276 import FUTURE, HISTORY
from services.trainer.export import export_onnx
from services.trainer.networks.interaction import InteractionConfig, partner_module, scene_module
from services.trainer.networks.primitive_vae import FEATURES, PrimitiveVAE, PrimitiveVAEConfig
from services.trainer.networks.prior import TEXT, Prior, PriorConfig
from services.trainer.networks.refinement import Refinement
from services.trainer.reactor_graphs import RefineGraph, SegmentGraph, example_inputs, export_reactor
from services.trainer.reactor_parts import refinement_config
from services.trainer.recipes import load_recipe

STEPS = 10
LATENT = 128  # of DART


class DartDenoiser(nn.Module):
    """A step of DART's transformer: 8 layers of 512 over time and text, two frames of history, and the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.text = nn.Linear(TEXT, 512)
        self.time = nn.Sequential(nn.Linear(512, 512), nn.SiLU(), nn.Linear(512, 512))
        self.history, self.latent = nn.Linear(FEATURES, 512), nn.Linear(LATENT, 512)
        self.layers = _layers(512, 8)
        self.clean = nn.Linear(512, LATENT)

    def forward(self, history: Tensor, text: Tensor, when: Tensor, noise: Tensor) -> Tensor:
        """history [B,2,276], text [B,384], when [B,512], noise [B,1,128] -> [B,1,128]."""
        told = (self.time(when) + self.text(text))[:, None]
        tokens = torch.cat([told, self.history(history), self.latent(noise)], dim=1)
        clean: Tensor = self.clean(self.layers(tokens)[:, -1:])
        return clean


class DartDecoder(nn.Module):
    """What makes eight frames of a latent: 7 layers of 256 over the latent, the history and a query for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.latent, self.history = nn.Linear(LATENT, 256), nn.Linear(FEATURES, 256)
        self.queries = nn.Parameter(torch.randn(1, FUTURE, 256))
        self.layers = _layers(256, 7)
        self.future = nn.Linear(256, FEATURES)

    def forward(self, history: Tensor, noise: Tensor) -> Tensor:
        """history [B,2,276], noise [B,1,128] -> future [B,8,276]."""
        queries = self.queries + torch.zeros_like(noise[:, :, :1])
        tokens = torch.cat([self.latent(noise), self.history(history), queries], dim=1)
        future: Tensor = self.future(self.layers(tokens)[:, -FUTURE:])
        return future


def _layers(width: int, count: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(width, 4, 1024, dropout=0.0, activation="gelu", batch_first=True)
    return nn.TransformerEncoder(layer, count, enable_nested_tensor=False)


def export_base(folder: Path) -> None:
    """Both graphs of the ``base`` recipes with random weights."""
    networks = {
        stage: load_recipe(f"{stage}/base").network for stage in ("prior", "prior_vae", "hhi", "hsi", "fwsr")
    }
    vae, prior = (
        PrimitiveVAE(PrimitiveVAEConfig(**networks["prior_vae"])),
        Prior(PriorConfig(**networks["prior"])),
    )
    config = InteractionConfig(**networks["hhi"])
    width, blocks = prior.config.width, prior.config.blocks
    hhi = partner_module(config, width, blocks)
    hsi = scene_module(InteractionConfig(**networks["hsi"]), width, blocks)
    refinement = Refinement(refinement_config(networks["fwsr"]))
    segment = SegmentGraph(prior, vae, hhi, hsi, config.clamp).eval()
    export_reactor(segment, RefineGraph(vae, refinement).eval(), folder, "untrained", {})


def dart_inputs(batch: int = 1) -> dict[str, Tensor]:
    return {
        "history": torch.randn(batch, HISTORY, FEATURES), "text": torch.randn(batch, TEXT),
        "when": torch.randn(batch, 512), "noise": torch.randn(batch, 1, LATENT),
    }  # fmt: skip


def export_dart(folder: Path) -> None:
    """``dart_step`` and ``dart_decode``, with random weights."""
    inputs = dart_inputs(2)
    export_onnx(DartDenoiser().eval(), inputs, ["clean"], folder / "dart_step", dynamic={})
    inputs = {name: inputs[name] for name in ("history", "noise")}
    export_onnx(DartDecoder().eval(), inputs, ["future"], folder / "dart_decode", dynamic={})


@dataclass(frozen=True)
class Cost:
    """Of one call: milliseconds of the thread's time, and operations."""

    ms: float
    flops: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.ms + other.ms, self.flops + other.flops)

    def times(self, calls: int) -> Cost:
        """So many calls of the same graph."""
        return Cost(self.ms * calls, self.flops * calls)

    def over(self, frames: int) -> Cost:
        """Shared by so many frames."""
        return Cost(self.ms / frames, self.flops / frames)


def cost_of(file: Path, inputs: Mapping[str, Tensor], repeats: int, batch: int = 1) -> Cost:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    feed = {node.name: np.repeat(inputs[node.name].numpy(), batch, axis=0) for node in session.get_inputs()}
    taken = []
    for _ in range(repeats + 3):
        began = time.thread_time()
        session.run(None, feed)
        taken.append(time.thread_time() - began)
    return Cost(float(np.median(taken[3:])) * 1000, graph_flops(file, batch))


def measured(
    models: Path, base: Path, dart: Path, repeats: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Costs of single calls, and of a frame in each way."""
    one = example_inputs(1)
    graphs = {
        f"{size} {name}": cost_of(folder / f"reactor_{name}" / "1" / "model.onnx", one, repeats)
        for size, folder in (("shipped", models), ("base", base))
        for name in ("segment", "refine")
    }
    step, decode = (
        cost_of(dart / name / "1" / "model.onnx", dart_inputs(), repeats, batch)
        for name, batch in (("dart_step", 2), ("dart_decode", 1))  # with and without the text in one call
    )
    graphs["DART transformer segment"] = step.times(STEPS) + decode
    for name in ("segment", "refine"):
        file = models / f"reactor_{name}" / "1" / "model.onnx"
        graphs[f"shipped {name}, 8 sessions"] = cost_of(file, one, repeats, 8)
    ways = {
        "refined (served)": graphs["shipped refine"] + graphs["shipped segment"].over(FUTURE),
        "refined (served), 8 sessions a call": graphs["shipped refine, 8 sessions"].over(8)
        + graphs["shipped segment, 8 sessions"].over(8 * FUTURE),
        "segments only": graphs["shipped segment"].over(FUTURE),
        "re-denoised every frame": graphs["shipped segment"],
        "base size, refined": graphs["base refine"] + graphs["base segment"].over(FUTURE),
        "base size, re-denoised every frame": graphs["base segment"],
        "DART transformer, segments only": graphs["DART transformer segment"].over(FUTURE),
        "DART transformer, re-denoised every frame": graphs["DART transformer segment"],
    }
    rate = matmul_flops_per_second()
    return [_row("graph", name, cost, rate) for name, cost in graphs.items()], [
        _row("a frame", name, cost, rate) for name, cost in ways.items()
    ]


def _row(kind: str, name: str, cost: Cost, rate: float) -> dict[str, Any]:
    floor = cost.flops / rate * 1000
    return {
        kind: name, "ms": round(cost.ms, 3), "mflop": round(cost.flops / 1e6, 2), "floor_ms": round(floor, 4),
        "times_floor": round(cost.ms / floor, 1), "floor_percent": round(100 * floor / cost.ms, 1),
        "gflop_a_second": round(rate / 1e9, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--output", type=Path, default=RESULTS / "reactor_cost.json")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # it cannot be exported
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        export_base(Path(folder))
        export_dart(Path(folder))
        graphs, frames = measured(arguments.models, Path(folder), Path(folder), arguments.repeats)
    for rows in (graphs, frames):
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        Console(width=150).print(table)
    result = {"machine": before, "graphs": graphs, "frames": frames}
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

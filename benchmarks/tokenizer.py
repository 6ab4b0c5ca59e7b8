"""What the tokenizer keeps of held-out motion, and how well its embedding space joins motion and words.

    python -m benchmarks.tokenizer [--split test] [--limit 0] [--output benchmarks/results/tokenizer.json]

1. Reconstruction of the split's clips by the shipped graphs (residual depth 1): MPJPE (mm, roots aligned), FID under
   the evaluator, skating, how evenly both codebooks are used. Deeper residuals come from the variants that
   benchmarks/tokenizer_ablation.py trained, if its result is there: small networks on a short budget, to be compared
   with each other.
2. Text to motion and motion to text by embed_text and embed_motion: R@1, 2, 3 in pools of 32 whose captions all
   differ, mean over many draws. Chance is 3, 6, 9 %. Mirror images are left out: half of the captions of a pair differ
   in a side only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import held_out
from benchmarks.machine import machine
from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.evaluation.embedders import OnnxEvaluator
from kinesphere.metrics import physics
from kinesphere.metrics.t2m import confidence, fid, retrieval
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray
from kinesphere.text import TextEncoder
from services.common.onnx_runtime import OnnxRuntime
from services.tokenizer.coding import FRAMES_PER_BLOCK, Coder

POOL: Final = 32
DRAWS: Final = 40
CODES: Final = 512


def perplexity(ids: np.ndarray) -> float:
    """2 to the entropy of the ids' distribution, in bits: as many entries, used evenly, would say as much."""
    share = np.bincount(ids) / len(ids)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def mpjpe(made: FloatArray, real: FloatArray) -> float:
    """Positions [T,22,3] twice -> mm, roots aligned in every frame."""
    apart = (made - made[:, :1]) - (real - real[:, :1])
    return float(np.linalg.norm(apart, axis=-1).mean() * 1000)


async def reconstruct(
    runtime: OnnxRuntime, motions: list[FloatArray], evaluator: OnnxEvaluator
) -> dict[str, float]:
    """Figures of coding and decoding raw hml263 motions of whole blocks."""
    rebuilt, semantic, detail = [], [], []
    for motion in track(motions, description="coding"):
        codes = await runtime.infer("tokenizer_encode", {"motion": motion[None]})
        tokens = {name: codes[name] for name in ("semantic", "detail")}
        rebuilt.append((await runtime.infer("tokenizer_decode", tokens))["motion"][0])
        semantic.append(tokens["semantic"][0])
        detail.append(tokens["detail"][0])
    pairs = [(hml263.decode(a), hml263.decode(b)) for a, b in zip(rebuilt, motions, strict=True)]
    ids = {"semantic": np.concatenate(semantic), "detail": np.concatenate(detail)}
    return {
        "MPJPE_mm": float(np.mean([mpjpe(a, b) for a, b in pairs])),
        "FID": float(fid(evaluator.motions(motions), evaluator.motions(rebuilt))),
        "skating": float(np.mean([physics.skating_ratio(a) for a, _ in pairs])),
        "skating_recorded": float(np.mean([physics.skating_ratio(b) for _, b in pairs])),
        **{f"{name}_perplexity": perplexity(one) for name, one in ids.items()},
        **{f"{name}_used": len(np.unique(one)) / CODES for name, one in ids.items()},
        "bits_per_second": (1 + 4) * np.log2(CODES) * hml263.FPS / FRAMES_PER_BLOCK,
    }


async def retrieve(runtime: OnnxRuntime, motions: list[FloatArray], clips: list[Clip]) -> dict[str, Any]:
    """Both ways, in pools of distinct captions; mean and 95 % interval over the draws."""
    coder = Coder(runtime, TextEncoder())
    texts = [clip.captions[0].text for clip in clips]
    known = {text: await coder.embed_text(text) for text in track(sorted(set(texts)), description="texts")}
    embedded = np.stack([await coder.embed_features(m) for m in track(motions, description="motions")])
    rng = np.random.default_rng(0)
    ways: dict[str, list[tuple[float, ...]]] = {"text_to_motion": [], "motion_to_text": []}
    for _ in range(DRAWS):
        # One clip of each caption, so that no pool holds two right answers.
        order = rng.permutation(len(texts))
        _, first = np.unique([texts[i] for i in order], return_index=True)
        picked = rng.permutation(order[first])
        words, moves = np.stack([known[texts[i]] for i in picked]), embedded[picked]
        ways["text_to_motion"].append(retrieval(words, moves, POOL)[0])
        ways["motion_to_text"].append(retrieval(moves, words, POOL)[0])
    return {
        "captions": len(known),
        **{
            way: {f"R@{k + 1}": confidence([draw[k] for draw in draws]) for k in range(3)}
            for way, draws in ways.items()
        },
    }


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    data = ClipDataset(options.data)
    clips = held_out.pick(data, options.split, options.limit, mirrored=False)
    motions = [
        data.features(clip)[: clip.frames // FRAMES_PER_BLOCK * FRAMES_PER_BLOCK].astype(np.float32)
        for clip in clips
    ]
    result: dict[str, Any] = {"machine": machine(), "split": options.split, "clips": len(clips)}
    async with OnnxRuntime(options.models) as runtime:
        result["shipped"] = await reconstruct(
            runtime, motions, OnnxEvaluator(options.models, encoder=TextEncoder(), threads=1)
        )
        result["retrieval"] = await retrieve(runtime, motions, clips)
    ablation = options.output.parent / "tokenizer_ablation.json"
    if ablation.is_file():
        result["ablation"] = json.loads(ablation.read_text())
    return result


def show(result: dict[str, Any]) -> None:
    console = Console()
    table = Table(
        "reconstruction (depth 1)", "value", title=f"{result['clips']} clips of the {result['split']} split"
    )
    for name, value in result["shipped"].items():
        table.add_row(name, f"{value:.3g}")
    console.print(table)
    table = Table("retrieval in pools of 32", "R@1", "R@2", "R@3")
    for way in ("text_to_motion", "motion_to_text"):
        table.add_row(way, *(f"{mean:.3f} ± {half:.3f}" for mean, half in result["retrieval"][way].values()))
    console.print(table)
    if "ablation" in result:
        rows = result["ablation"]["rows"]
        table = Table("variants, equal short budget", *next(iter(rows.values())))
        for name, row in rows.items():
            table.add_row(name, *(f"{value:.3g}" for value in row.values()))
        console.print(table)


def main() -> None:
    options = held_out.options("tokenizer", __doc__).parse_args()
    result = asyncio.run(measure(options))
    show(result)
    options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

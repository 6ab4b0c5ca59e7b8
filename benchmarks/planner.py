"""Planners side by side: how well each language model knows held-out clips, how well it plans, how fast, how large.

    python -m benchmarks.planner [planner_compact .cache/planners/planner_smollm2 ...]

A planner is a name in the model repository or a path, with ``@transformers`` to run it on that engine. Likelihoods are
of the served graph, token by token under the grammar, on clips of the validation split. Plans come from
PlannerService.Generate with the services as `kinesphere up` starts them; evaluator and probes as in `kinesphere eval`.
Needs `kinesphere data build`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from benchmarks.t2m import take_cores, write_tokens
from kinesphere.cli.served import Served
from kinesphere.cli.stack import FOR_SENTENCES, HOST, Ports, Stack, default_models
from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.evaluation.embedders import OnnxEvaluator
from kinesphere.evaluation.run_probes import run_probes
from kinesphere.evaluation.systems import System
from kinesphere.evaluation.t2m import Options, run_t2m
from kinesphere.motion_language import DETAILS_PER_BLOCK, FRAMES_PER_BLOCK
from kinesphere.skeleton import FloatArray
from kinesphere.text import TextEncoder
from services.planner.engines.base import LanguageModel
from services.planner.engines.onnx import make_session
from services.planner.generation import Block
from services.planner.grammar import CaptionGrammar, Grammar, PlanGrammar
from services.planner.loading import Planner, load_planner
from services.planner.settings import PlannerSettings
from services.trainer.thoughts import thought_of

DEFAULTS: Final = ("planner_compact", ".cache/planners/planner_smollm2")
CALLERS: Final = (1, 8)


@dataclass(frozen=True)
class Row:
    """One planner. *_nats: mean negative log-likelihood on held-out clips, of a motion token or of a character of text
    (tokenizers differ). real_r3: the same measure on the recorded motion. shipped_mb: what of it lies in models/, None
    for one that does not; graphs_mb: what is loaded to serve it.
    """

    planner: str
    engine: str
    motion_nats: float
    thought_nats: float
    caption_nats: float
    probes: float
    probes_without_thinking: float
    r3: float
    real_r3: float
    fid: float
    tokens_per_second: dict[int, float]
    shipped_mb: float | None
    graphs_mb: float


def settings(candidate: str, models: Path) -> PlannerSettings:
    """Settings that serve ``candidate``: NAME, PATH, NAME@ENGINE or PATH@ENGINE."""
    model, _, engine = candidate.partition("@")
    if len(Path(model).parts) > 1:
        model = str(Path(model).resolve())
    return PlannerSettings(
        models=models, model=model, engine="transformers" if engine == "transformers" else "onnx"
    )


@dataclass(frozen=True)
class Example:
    """A held-out clip: a caption, what is to be thought, its tokens and the features they came from."""

    caption: str
    thought: str
    blocks: list[Block]
    semantic: FloatArray
    detail: FloatArray


def examples(dataset: ClipDataset, models: Path, count: int) -> list[Example]:
    """``count`` clips spread over the validation split, by the shipped tokenizer."""
    session = make_session(models / "tokenizer_encode" / "1" / "model.onnx", 1)
    clips: list[Clip] = [c for c in dataset.split("val") if c.captions and c.frames >= 2 * FRAMES_PER_BLOCK]
    rng = np.random.default_rng(0)
    found = []
    for clip in clips[:: max(1, len(clips) // count)][:count]:
        motion = dataset.features(clip)[: clip.frames // FRAMES_PER_BLOCK * FRAMES_PER_BLOCK]
        names = ["semantic", "detail", "semantic_features", "detail_features"]
        semantic, detail, coarse, fine = (out[0] for out in session.run(names, {"motion": motion[None]}))
        details = detail.reshape(-1, DETAILS_PER_BLOCK).tolist()
        blocks = [Block(code, tuple(four)) for code, four in zip(semantic.tolist(), details, strict=True)]
        caption = clip.captions[int(rng.integers(len(clip.captions)))].text
        found.append(Example(caption, thought_of(clip.reading), blocks, coarse, fine))
    return found


def likelihoods(planner: Planner, found: Sequence[Example]) -> tuple[float, float, float]:
    """Nats of a motion token after caption and thought, of a thought's character, of a caption's character."""
    v, prompter = planner.vocabulary, planner.prompter
    encoder = TextEncoder() if prompter.wants_features else None
    plans, captions = [], []
    for example in found:
        features = None
        if encoder is not None:
            rows, mask = encoder.encode([example.caption])
            features = rows[0][mask[0]]
        answer = [token for block in example.blocks for token in v.block_ids(block.semantic, block.details)]
        written = [*v.encode(example.thought), v.think_end, v.answer, *answer]
        prompt = prompter.plan(example.caption, features=features, blocks=len(example.blocks))
        plans.append((prompt, written, PlanGrammar(v, max_thought=len(written))))
        seen = prompter.caption(
            semantic_features=example.semantic, detail_features=example.detail, blocks=example.blocks
        )
        said = [*v.encode(example.caption), v.text_end]
        captions.append((seen, said, CaptionGrammar(v, max_tokens=len(said))))
    motion = thought = 0.0
    tokens = 0
    for example, logs in zip(found, nats(planner.model, plans), strict=True):
        count = 5 * len(example.blocks)
        motion, tokens = motion + float(logs[-count:].sum()), tokens + count
        thought += float(logs[: -count - 1].sum())
    words = sum(float(logs.sum()) for logs in nats(planner.model, captions))
    return (
        motion / tokens,
        thought / sum(len(example.thought) for example in found),
        words / sum(len(example.caption) for example in found),
    )


def nats(model: LanguageModel, items: Sequence[tuple[FloatArray, list[int], Grammar]]) -> list[FloatArray]:
    """For every prompt [S,D] and what follows it: the negative log-likelihood of each following token, among those that
    the grammar allows there, as they are sampled."""
    found: list[list[float]] = [[] for _ in items]
    for start in range(0, len(items), model.max_rows):
        rows: dict[int, int] = {}
        logits: dict[int, FloatArray] = {}
        for index in range(start, min(start + model.max_rows, len(items))):
            row, logits_after = model.prefill(items[index][0])
            rows[row], logits[row] = index, logits_after
        while rows:
            feed = {}
            for row, index in list(rows.items()):
                _, following, grammar = items[index]
                token = following[len(found[index])]
                scores = logits[row].astype(np.float64)
                possible = scores[grammar.allowed()]
                peak = possible.max()
                found[index].append(float(peak + np.log(np.exp(possible - peak).sum()) - scores[token]))
                grammar.advance(token)
                if len(found[index]) == len(items[index][1]):
                    model.release(row)
                    del rows[row]
                else:
                    feed[row] = token
            logits = model.step(feed)
    return [np.array(values) for values in found]


def plans(
    chosen: PlannerSettings, dataset: ClipDataset, evaluator: OnnxEvaluator, options: argparse.Namespace
) -> dict[str, float]:
    """What the services make of probes and held-out captions with this planner."""
    os.environ["KINESPHERE_PLANNER_MODEL"], os.environ["KINESPHERE_PLANNER_ENGINE"] = (
        chosen.model,
        chosen.engine,
    )
    ports = Ports.free()
    with Stack(ports, chosen.models.resolve(), services=FOR_SENTENCES) as stack:
        stack.wait_ready()

        def system(thinking: bool | None) -> System:
            planner, decoder = (f"{HOST}:{port}" for port in (ports.planner, ports.decoder))
            return System("generated", Served(planner, decoder, options.decoder, thinking=thinking))

        probes = run_probes(system(None), seeds=options.seeds).rate
        mute = run_probes(system(False), seeds=options.seeds).rate
        table = run_t2m(
            dataset,
            [system(None)],
            evaluator,
            Options(split="val", repeats=10, generations=1, limit=options.clips, multimodality_texts=0),
        )

    def mean(row: str, metric: str) -> float:
        return float(np.mean(table.row(row).values[metric]))

    return {
        "probes": probes,
        "probes_without_thinking": mute,
        "r3": mean("generated", "r_precision_3"),
        "real_r3": mean("real", "r_precision_3"),
        "fid": mean("generated", "fid"),
    }


def sizes(chosen: PlannerSettings, title: str) -> dict[str, Any]:
    """Megabytes in the repository (the rest of a merged model comes from its wheel) and of the graphs served."""
    names = [title, *(f"{title}_{part}" for part in ("embed", "prefix", "motion"))]
    shipped = [
        file
        for name in names
        for file in (chosen.models / name).rglob("*")
        if file.is_file() and not (file.parent.name == "hf" and file.suffix == ".safetensors")
    ]
    given = Path(chosen.model)
    base = chosen.models / given if len(given.parts) == 1 else given
    folders = [base, *(base.with_name(f"{base.name}_{part}") for part in ("embed", "prefix", "motion"))]
    kind = "*.safetensors" if chosen.engine == "transformers" else "1/model.onnx"
    served = [file for folder in folders for file in folder.glob(kind)] + [*base.glob(f"hf/{kind}")]
    return {
        "shipped_mb": round(sum(file.stat().st_size for file in shipped) / 1e6, 1) if shipped else None,
        "graphs_mb": round(sum(file.stat().st_size for file in served) / 1e6, 1),
    }


def measure(
    candidate: str,
    dataset: ClipDataset,
    found: Sequence[Example],
    evaluator: OnnxEvaluator,
    options: argparse.Namespace,
) -> Row:
    chosen = settings(candidate, options.models)
    planner = load_planner(chosen)
    motion, thought, caption = likelihoods(planner, found)
    write_tokens(planner.model, 1)
    speed = {rows: round(max(write_tokens(planner.model, rows) for _ in range(3)), 1) for rows in CALLERS}
    return Row(
        planner=planner.title,
        engine=planner.model.name,
        motion_nats=motion,
        thought_nats=thought,
        caption_nats=caption,
        tokens_per_second=speed,
        **plans(chosen, dataset, evaluator, options),
        **sizes(chosen, planner.title),
    )


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table(title="Planners", caption="nats: lower is better; R@3 and FID on held-out captions")
    table.add_column("")
    for row in rows:
        table.add_column(f"{row.planner}\n{row.engine}", justify="right")
    lines: dict[str, Callable[[Row], str]] = {
        "nats a motion token": lambda row: f"{row.motion_nats:.3f}",
        "nats a character, thought": lambda row: f"{row.thought_nats:.3f}",
        "nats a character, caption": lambda row: f"{row.caption_nats:.3f}",
        "probes": lambda row: f"{row.probes:.1%}",
        "probes without thinking": lambda row: f"{row.probes_without_thinking:.1%}",
        "R@3": lambda row: f"{row.r3:.3f}",
        "R@3 of recorded motion": lambda row: f"{row.real_r3:.3f}",
        "FID": lambda row: f"{row.fid:.3f}",
        **{f"tokens/s, {n} at once": lambda row, n=n: f"{row.tokens_per_second[n]:.0f}" for n in CALLERS},
        "MB in the repository": lambda row: "-" if row.shipped_mb is None else f"{row.shipped_mb:.1f}",
        "MB of graphs": lambda row: f"{row.graphs_mb:.1f}",
    }  # fmt: skip
    for name, line in lines.items():
        table.add_row(name, *map(line, rows))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("planners", nargs="*", help=f"names or paths [{' '.join(DEFAULTS)}]")
    parser.add_argument("--models", type=Path, default=default_models())
    parser.add_argument("--data", type=Path, default=Path(".data/kinesphere"))
    parser.add_argument(
        "--clips", type=int, default=128, help="held-out clips; 0: all of the validation split"
    )
    parser.add_argument("--seeds", type=int, default=2, help="motions for each probe")
    parser.add_argument("--decoder", choices=("diffusion", "direct"), default="diffusion")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "planner.json")
    options = parser.parse_args()
    take_cores()
    console, before = Console(), machine()
    dataset = ClipDataset(options.data)
    found = examples(dataset, options.models, options.clips or 10**6)
    evaluator = OnnxEvaluator(options.models, threads=1)
    rows = []
    for candidate in options.planners or DEFAULTS:
        console.print(f"measuring {candidate}")
        rows.append(measure(candidate, dataset, found, evaluator, options))
    show(rows, console)
    told = {key: getattr(options, key) for key in ("clips", "seeds", "decoder")} | {"split": "val"}
    result = {"machine": before, "settings": told, "planners": [asdict(row) for row in rows]}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"saved {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

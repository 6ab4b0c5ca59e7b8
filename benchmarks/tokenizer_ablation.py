"""What each part of the tokenizer is worth: one codebook or two at the same bit rate, residual depth 1, 2 and 4.

    python -m benchmarks.tokenizer_ablation [--data .data/kinesphere] [--limit 200]

Trains the recipes ``tokenizer/ablation_*`` on one short, equal budget (they resume if trained before), then codes
held-out test clips and prints MPJPE (mm, root aligned), FID of the reconstruction under the evaluator, codebook
perplexity and text-to-motion R@3. The shipped tokenizer, trained longer and wider, stands beside them.
Saves benchmarks/results/tokenizer_ablation.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from kinesphere.datasets.clips import Clip
from kinesphere.evaluation.embedders import OnnxEvaluator
from kinesphere.metrics.t2m import fid
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray
from services.trainer.data import MotionData, TextFeatures
from services.trainer.networks.tokenizer import MotionTokenizer
from services.trainer.recipes import load_recipe
from services.trainer.run import train
from services.trainer.stages.tokenizer import encode_clip, perplexity
from services.trainer.trained import trained_tokenizer

VARIANTS = {
    "ablation_dual": "two codebooks, 512 + 512, depth 1",
    "ablation_single": "one codebook, 2435, same bit rate",
    "ablation_depth2": "two codebooks, depth 2",
    "ablation_depth4": "two codebooks, depth 4",
}
# Motion to (rebuilt motion, detail codes, embedding); text features and mask to embedding.
Codec = tuple[Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]], Callable[..., FloatArray]]


def torch_codec(network: MotionTokenizer) -> Codec:
    """A trained network as a codec."""

    def code(motion: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        batch = torch.from_numpy(motion)[None]
        with torch.no_grad():
            semantic, detail = encode_clip(network, batch)
            if semantic is None:
                features = network.detail_features(batch)
            else:
                features = network.semantic_features(batch, torch.ones_like(batch[..., 0]))
            embedding = network.embed_motion(features, torch.ones_like(features[..., 0]))
            rebuilt = network.decode(detail, semantic)
        return rebuilt[0].numpy(), detail[0, :, 0].numpy(), embedding[0].numpy()

    def text(features: torch.Tensor, mask: torch.Tensor) -> FloatArray:
        with torch.no_grad():
            out: FloatArray = network.embed_text(features, mask)[0].numpy()
        return out

    return code, text


def shipped_codec(models: Path) -> Codec:
    """The exported graphs as a codec."""
    names = ("tokenizer_encode", "tokenizer_decode", "embed_motion", "embed_text")
    encode, decode, motion_tower, text_tower = (
        ort.InferenceSession(str(models / name / "1" / "model.onnx")) for name in names
    )

    def code(motion: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        semantic, detail, _, _ = encode.run(None, {"motion": motion[None]})
        rebuilt = decode.run(None, {"semantic": semantic, "detail": detail})[0][0]
        return rebuilt, detail[0], motion_tower.run(None, {"motion": motion[None]})[0][0]

    def text(features: torch.Tensor, mask: torch.Tensor) -> FloatArray:
        inputs = {"text_features": features.numpy(), "text_mask": mask.numpy()}
        out: FloatArray = text_tower.run(None, inputs)[0][0]
        return out

    return code, text


def recall(texts: FloatArray, motions: FloatArray, pool: int = 32) -> float:
    """Share of texts whose motion ranks among the first three of its pool of 32."""
    order, hits = np.random.default_rng(0).permutation(len(texts)), []
    for begin in range(0, len(order) - pool + 1, pool):
        some = order[begin : begin + pool]
        scores = texts[some] @ motions[some].T
        hits.append(((scores > np.diag(scores)[:, None]).sum(1) < 3).mean())
    return float(np.mean(hits))


def measure(codec: Codec, data: MotionData, clips: list[Clip], texts: TextFeatures, real: FloatArray,
            evaluator: OnnxEvaluator) -> dict[str, float]:  # fmt: skip
    """One row of the table."""
    code, embed = codec
    errors, counts, rebuilt, motions, sentences = [], np.zeros(4096), [], [], []
    for clip in clips:
        motion = data.motion(clip)
        made, detail, embedding = code(motion)
        a, b = hml263.decode(made), hml263.decode(motion)
        errors.append(np.linalg.norm((a - a[:, :1]) - (b - b[:, :1]), axis=-1).mean() * 1000)
        counts += np.bincount(detail.astype(int), minlength=len(counts))
        rebuilt.append(made)
        motions.append(embedding)
        text = texts.batch([clip.captions[0].text])
        sentences.append(embed(text.features, text.mask))
    return {
        "MPJPE_mm": float(np.mean(errors)),
        "FID": float(fid(real, evaluator.motions(rebuilt))),
        "detail_perplexity": perplexity(counts),
        "R@3": recall(np.stack(sentences), np.stack(motions)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=".data/kinesphere")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--limit", type=int, default=256)
    parser.add_argument("--steps", type=int, default=None, help="at most so many more updates a variant")
    options = parser.parse_args()
    for name in VARIANTS:
        recipe = load_recipe(f"tokenizer/{name}").model_copy(update={"data": options.data})
        train(recipe, export=False, steps=options.steps)
    data, evaluator = MotionData(Path(options.data), "test", minimum=32), OnnxEvaluator(options.models)
    clips = data.clips[:: max(1, len(data.clips) // options.limit)][: options.limit]
    texts = TextFeatures([clip.captions[0].text for clip in clips], Path(options.data) / "cache")
    real = evaluator.motions([data.motion(clip) for clip in clips])
    codecs = {
        label: torch_codec(trained_tokenizer(f"tokenizer/{name}")) for name, label in VARIANTS.items()
    } | {"shipped: two codebooks, depth 1, wider and longer": shipped_codec(options.models)}
    rows = {
        label: measure(codec, data, clips, texts, real, evaluator)
        for label, codec in track(codecs.items(), description="measuring")
    }
    table = Table("tokenizer", *next(iter(rows.values())))
    for label, row in rows.items():
        table.add_row(label, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)
    file = Path(__file__).parent / "results" / "tokenizer_ablation.json"
    file.write_text(json.dumps({"clips": len(clips), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

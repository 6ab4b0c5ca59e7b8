"""Stage ``evaluator``: the text-motion matching network that reports results."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from services.trainer.data import MotionData, TextFeatures, alike
from services.trainer.export import export_onnx, write_card
from services.trainer.loop import TrainingStage
from services.trainer.networks.evaluator import Evaluator
from services.trainer.recipes import Recipe, check_options

_SIZES = {"width", "layers", "text_layers", "outputs"}


class EvaluatorStage(TrainingStage):
    """Whole clips and one caption each, drawn anew every time a clip is drawn."""

    network: Evaluator

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, _SIZES, "network")
        root = Path(recipe.data)
        self.train, self.val = MotionData(root, "train"), MotionData(root, "val")
        texts = [c.text for data in (self.train, self.val) for clip in data.clips for c in clip.captions]
        self.texts = TextFeatures(texts, root / "cache")
        torch.manual_seed(recipe.seed)
        self.network = Evaluator(**recipe.network)
        self.network.motion.normalizer.set(self.train.mean, self.train.std)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        clips, rng = self.train.draw(self.recipe.seed, step, self.recipe.budget.batch)
        captions = [c.captions[rng.integers(len(c.captions))].text for c in clips]
        motion, lengths = self.train.padded(clips)
        text = self.texts.batch(captions)
        # Noise keeps the network from leaning on details too fine to be seen.
        motion = motion + 0.05 * self.train.std * torch.randn_like(motion)
        inputs = [
            t.to(self.device)
            for t in (motion, lengths, text.features, text.mask, alike(text.pooled, captions))
        ]
        loss, accuracy = self.network.loss(*inputs)
        return loss, {"accuracy": float(accuracy)}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        return retrieval(cast(Evaluator, network), self.val, self.texts, self.device)

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        network = cast(Evaluator, network).cpu()
        motion, text = models / "evaluator_motion", models / "evaluator_text"
        frames = torch.randn(2, 64, 263)
        export_onnx(
            network.motion, {"motion": frames, "lengths": torch.tensor([64, 48])}, ["embedding"], motion,
            dynamic={"motion": {1: "frames"}},
        )  # fmt: skip
        export_onnx(
            _TextOnly(network), {"text_features": torch.randn(2, 9, 384), "text_mask": torch.ones(2, 9)},
            ["embedding"], text, dynamic={"text_features": {1: "tokens"}, "text_mask": {1: "tokens"}},
        )  # fmt: skip
        purpose = "Text-motion matching network, for evaluation only: motions and sentences as unit vectors."
        for folder in (motion, text):
            write_card(folder, folder.name, purpose, f"evaluator/{self.recipe.preset}", metrics)
        return [motion, text]


class _TextOnly(nn.Module):
    def __init__(self, network: Evaluator) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.network.embed_text(features, mask)


def retrieval(
    network: Evaluator, data: MotionData, texts: TextFeatures, device: torch.device
) -> dict[str, float]:
    """R-precision in pools of 32 on a split (first caption of every clip), and the matching distance."""
    clips = data.clips[: len(data.clips) // 32 * 32] or data.clips
    order = torch.randperm(len(clips), generator=torch.Generator().manual_seed(0)).tolist()
    hits, distances, pools = torch.zeros(3), [], 0
    for begin in range(0, len(clips), 32):
        some = [clips[i] for i in order[begin : begin + 32]]
        motion, lengths = data.padded(some)
        text = texts.batch([c.captions[0].text for c in some])
        a = network.motion(motion.to(device), lengths.to(device))
        b = network.embed_text(text.features.to(device), text.mask.to(device))
        apart = torch.cdist(b, a)
        rank = (apart < apart.diagonal()[:, None]).sum(1)
        hits += torch.stack([(rank < k).float().mean() for k in (1, 2, 3)]).cpu()
        distances.append(apart.diagonal().mean())
        pools += 1
    first, second, third = (hits / pools).tolist()
    return {"R@1": first, "R@2": second, "R@3": third, "MM-Dist": float(torch.stack(distances).mean())}

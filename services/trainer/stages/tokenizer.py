"""Stage ``tokenizer``: DMoTok, semantic and detail paths trained together."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.representations import hml263
from services.trainer.data import MotionData, TextFeatures, alike
from services.trainer.export import export_onnx, write_card
from services.trainer.loop import TrainingStage
from services.trainer.networks.tokenizer import MotionTokenizer, TokenizerConfig
from services.trainer.recipes import Recipe, check_options

_OPTIONS = {"crop", "contrast_weight", "velocity_weight", "crops_per_clip"}


class TokenizerStage(TrainingStage):
    """Each batch: whole clips with one caption for the semantic path, random crops of them for the detail path."""

    network: MotionTokenizer

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(TokenizerConfig)}, "network")
        check_options(recipe, recipe.options, _OPTIONS, "options")
        root = Path(recipe.data)
        self.crop = int(recipe.options.get("crop", 64))
        self.train, self.val = MotionData(root, "train", minimum=32), MotionData(root, "val", minimum=32)
        texts = [c.text for data in (self.train, self.val) for clip in data.clips for c in clip.captions]
        self.texts = TextFeatures(texts, root / "cache")
        torch.manual_seed(recipe.seed)
        self.network = MotionTokenizer(TokenizerConfig(**recipe.network))
        self.network.normalizer.set(self.train.mean, self.train.std)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        network, options = self.network, self.recipe.options
        clips, rng = self.train.draw(self.recipe.seed, step, self.recipe.budget.batch)
        motion, lengths = self.train.padded(clips)
        motion, lengths = motion.to(self.device), lengths.to(self.device)
        blocks = self.crop // 16
        starts = [int(rng.integers(0, max(0, int(n) // 16 - blocks) + 1)) for n in lengths]
        crops = torch.stack([_crop(motion[i], 16 * s, self.crop) for i, s in enumerate(starts)])

        notes: dict[str, float] = {}
        total = motion.new_zeros(())
        semantic = None
        captions = [c.captions[rng.integers(len(c.captions))].text for c in clips]
        text = self.texts.batch(captions)
        if network.config.semantic_codes:
            mask = (torch.arange(motion.shape[1], device=self.device)[None] < lengths[:, None]).float()
            features = network.semantic_features(motion, mask)
            block_mask = mask[:, ::16]
            quantized, _, commit = network.semantic_quantizer(features, mask=block_mask.bool())
            keep = (1 - F.cosine_similarity(quantized, features.detach(), dim=-1)) * block_mask
            cosine = keep.sum() / block_mask.sum()
            semantic = torch.stack([_crop(quantized[i], s, blocks) for i, s in enumerate(starts)])
            total = total + commit.sum() + 0.1 * cosine
            notes["cosine"] = float(cosine)

        detail_features = network.detail_features(crops)
        detail, _, commits = network.detail_quantizer(detail_features)
        if not network.config.semantic_codes:
            features, block_mask = detail_features, torch.ones_like(detail_features[..., 0])
        contrast, accuracy = network.contrast(
            features, block_mask, text.features.to(self.device), text.mask.to(self.device),
            alike(text.pooled, captions).to(self.device),
        )  # fmt: skip
        total = total + options.get("contrast_weight", 0.1) * contrast
        notes |= {"contrast": float(contrast), "accuracy": float(accuracy)}
        rebuilt = network.decode_features(detail, semantic)
        wanted = network.normalizer(crops)
        reconstruction = F.smooth_l1_loss(rebuilt, wanted)
        velocity = F.smooth_l1_loss(rebuilt.diff(dim=1), wanted.diff(dim=1))
        total = total + reconstruction + options.get("velocity_weight", 0.5) * velocity + 0.02 * commits.sum()
        return total, {**notes, "reconstruction": float(reconstruction), "velocity": float(velocity)}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        return reconstruction_report(cast(MotionTokenizer, network), self.val, self.texts, self.device)

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        tokenizer = cast(MotionTokenizer, network).cpu()
        motion = torch.randn(2, 64, 263)
        detail = torch.randint(0, tokenizer.config.detail_codes, (2, 16))
        semantic = torch.randint(0, tokenizer.config.semantic_codes, (2, 4))
        frames, blocks, codes = {1: "frames"}, {1: "blocks"}, {1: "codes"}
        export_onnx(
            _Encode(tokenizer), {"motion": motion},
            ["semantic", "detail", "semantic_features", "detail_features"], models / "tokenizer_encode",
            dynamic={"motion": frames, "semantic": blocks, "detail": codes, "semantic_features": blocks,
                     "detail_features": codes},
        )  # fmt: skip
        export_onnx(
            _Decode(tokenizer), {"semantic": semantic, "detail": detail}, ["motion"], models / "tokenizer_decode",
            dynamic={"semantic": blocks, "detail": codes, "motion": frames},
        )  # fmt: skip
        export_onnx(
            _EmbedMotion(tokenizer), {"motion": motion}, ["embedding"], models / "embed_motion",
            dynamic={"motion": frames},
        )  # fmt: skip
        export_onnx(
            _EmbedText(tokenizer), {"text_features": torch.randn(2, 9, 384), "text_mask": torch.ones(2, 9)},
            ["embedding"], models / "embed_text",
            dynamic={"text_features": {1: "tokens"}, "text_mask": {1: "tokens"}},
        )  # fmt: skip
        purposes = {
            "tokenizer_encode": "Motion to semantic and detail tokens and to the continuous features before them.",
            "tokenizer_decode": "Tokens straight to motion, without the diffusion decoder.",
            "embed_motion": "Motion to the space it shares with sentences.",
            "embed_text": "Sentences to the space they share with motion.",
        }
        for name, purpose in purposes.items():
            write_card(models / name, name, purpose, f"tokenizer/{self.recipe.preset}", metrics)
        return [models / name for name in purposes]


def _crop(rows: Tensor, start: int, length: int) -> Tensor:
    """rows[start:start+length], its last row repeated when it is too short."""
    part = rows[start : start + length]
    if len(part) < length:
        part = torch.cat([part, part[-1:].expand(length - len(part), *part.shape[1:])])
    return part


class _Encode(nn.Module):
    def __init__(self, tokenizer: MotionTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        semantic = self.tokenizer.semantic_features(motion, torch.ones_like(motion[..., 0]))
        detail = self.tokenizer.detail_features(motion)
        semantic_codes = (semantic @ self.tokenizer.semantic_quantizer.codebook.T).argmax(dim=-1)
        book = self.tokenizer.detail_quantizer.codebooks[0]
        # The nearest entry: |x - c|^2 without |x|^2, which is the same for every c.
        detail_codes = (2 * detail @ book.T - (book**2).sum(-1)).argmax(dim=-1)
        return semantic_codes, detail_codes, semantic, detail


class _Decode(nn.Module):
    def __init__(self, tokenizer: MotionTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, semantic: Tensor, detail: Tensor) -> Tensor:
        return self.tokenizer.decode(detail, semantic)


class _EmbedMotion(nn.Module):
    def __init__(self, tokenizer: MotionTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, motion: Tensor) -> Tensor:
        features = self.tokenizer.semantic_features(motion, torch.ones_like(motion[..., 0]))
        return self.tokenizer.embed_motion(features, torch.ones_like(features[..., 0]))


class _EmbedText(nn.Module):
    def __init__(self, tokenizer: MotionTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.tokenizer.embed_text(features, mask)


def encode_clip(network: MotionTokenizer, motion: Tensor) -> tuple[Tensor | None, Tensor]:
    """Codes of one clip [1,T,263]: semantic [1,N] (None without that path) and detail [1,4N,depth]."""
    _, detail, _ = network.detail_quantizer(network.detail_features(motion))
    if not network.config.semantic_codes:
        return None, detail
    features = network.semantic_features(motion, torch.ones_like(motion[..., 0]))
    return (features @ network.semantic_quantizer.codebook.T).argmax(-1), detail


def reconstruction_report(
    network: MotionTokenizer, data: MotionData, texts: TextFeatures, device: torch.device, limit: int = 160
) -> dict[str, float]:
    """On held-out clips: MPJPE (mm, root aligned), perplexity and use of both codebooks,
    text-to-motion R@3 in pools of 32."""
    errors: list[float] = []
    semantic_counts = np.zeros(max(1, network.config.semantic_codes))
    detail_counts = np.zeros(network.config.detail_codes)
    motions, sentences, used = [], [], data.clips[:: max(1, len(data.clips) // limit)][:limit]
    for clip in used:
        motion = torch.from_numpy(data.motion(clip))[None].to(device)
        semantic, detail = encode_clip(network, motion)
        rebuilt = network.decode(detail, semantic)[0].cpu().numpy()
        a, b = hml263.decode(rebuilt), hml263.decode(data.motion(clip))
        errors.append(float(np.linalg.norm((a - a[:, :1]) - (b - b[:, :1]), axis=-1).mean() * 1000))
        detail_counts += np.bincount(detail[..., 0].flatten().cpu().numpy(), minlength=len(detail_counts))
        if semantic is not None:
            semantic_counts += np.bincount(semantic.flatten().cpu().numpy(), minlength=len(semantic_counts))
            features = network.semantic_features(motion, torch.ones_like(motion[..., 0]))
        else:
            features = network.detail_features(motion)
        motions.append(network.embed_motion(features, torch.ones_like(features[..., 0]))[0])
        text = texts.batch([clip.captions[0].text])
        sentences.append(network.embed_text(text.features.to(device), text.mask.to(device))[0])
    report = {"MPJPE_mm": float(np.mean(errors)), "detail_perplexity": perplexity(detail_counts)}
    report["detail_used"] = float((detail_counts > 0).mean())
    if network.config.semantic_codes:
        report["semantic_perplexity"] = perplexity(semantic_counts)
    report["retrieval_R@3"] = _recall(sentences, motions)
    return report


def perplexity(counts: np.ndarray) -> float:
    share = counts / max(1.0, counts.sum())
    return float(np.exp(-(share * np.log(share + 1e-12)).sum()))


def _recall(sentences: list[Tensor], motions: list[Tensor], pool: int = 32) -> float:
    hits = []
    order = torch.randperm(len(motions), generator=torch.Generator().manual_seed(0)).tolist()
    for begin in range(0, len(order) - pool + 1, pool) or [0]:
        some = order[begin : begin + pool]
        a, b = torch.stack([sentences[i] for i in some]), torch.stack([motions[i] for i in some])
        scores = a @ b.T
        hits.append(((scores > scores.diagonal()[:, None]).sum(1) < 3).float().mean())
    return float(torch.stack(hits).mean())

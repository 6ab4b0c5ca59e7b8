"""Stage ``sft``: supervised fine-tuning of the planner on text to motion and motion to text.

Two candidates share everything but the language model: ``base: qwen3``, a compact model from scratch that also sees
MiniLM's features as a prefix, and ``base: smollm2``, SmolLM2-135M-Instruct with a low-rank adapter and new rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere import motion_language as words
from kinesphere.datasets.clips import Clip
from services.trainer.chaining import chain_captions, chain_readings
from services.trainer.data import MotionData, TextFeatures, pad_features
from services.trainer.language_models import build_qwen3, load_smollm2, save_planner
from services.trainer.loop import TrainingStage
from services.trainer.networks.planner import PlannerNetwork
from services.trainer.planner_tokenizer import train_tokenizer
from services.trainer.recipes import Recipe, check_options
from services.trainer.stages.tokenizer import encode_clip
from services.trainer.thoughts import rarity, thought_of
from services.trainer.trained import RUNS, trained_tokenizer

_OPTIONS = {
    "base", "tokenizer", "text_vocabulary", "caption_share", "drop_text", "drop_prefix", "no_thinking", "length_share",
    "chain_share", "name",
}  # fmt: skip
OFFSETS = (0, 8)
CHAIN_BLOCKS = 7  # a clip of a chain lasts 5.6 s at most: several actions in one are not joined to others


@dataclass
class CodedClip:
    """Tokens of a clip read from several first frames, and its features before quantization."""

    semantic: list[list[int]]
    detail: list[list[int]]
    semantic_features: Tensor
    detail_features: Tensor


@dataclass
class Sample:
    """One sequence: ids with ``None`` where features go, which ids are to be learned, and the features."""

    ids: list[int]
    learn: list[bool]
    slots: list[int]
    text: NDArray[np.floating] | None = None
    motion: CodedClip | None = None


class SFTStage(TrainingStage):
    """Samples are drawn anew every time: task, caption, first frame, with or without length, prefix and plan."""

    network: PlannerNetwork

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.options, _OPTIONS, "options")
        root = Path(recipe.data)
        options = recipe.options
        self.base = options.get("base", "qwen3")
        self.train, self.val = MotionData(root, "train", minimum=32), MotionData(root, "val", minimum=32)
        self.motion_tokenizer = trained_tokenizer(
            options.get("tokenizer", f"tokenizer/{recipe.preset}"), RUNS
        )
        both = self.train.clips + self.val.clips
        captions = [c.text for clip in both for c in clip.captions]
        torch.manual_seed(recipe.seed)
        if self.base == "qwen3":
            readings = [clip.reading for clip in both]
            self.tokenizer = train_tokenizer(captions + readings, int(options.get("text_vocabulary", 2048)))
            model = build_qwen3(self.tokenizer.get_vocab_size(), recipe.network)
            self.texts: TextFeatures | None = TextFeatures(captions, root / "cache")
        else:
            model, self.tokenizer = load_smollm2(recipe.network)
            self.texts = None
        self.network = PlannerNetwork(
            model, self.motion_tokenizer.config.code_dim, prefix=self.texts is not None
        )
        self.words = Words(self.tokenizer)
        self._coded: dict[str, CodedClip] = {}
        self.train.weights *= rarity([c.reading for c in self.train.clips])
        # No clip is drawn more often than four times the average: single odd takes would be learned by heart.
        self.train.weights = np.minimum(self.train.weights, 4 * self.train.weights.mean())
        self.train.weights /= self.train.weights.sum()
        short = [i for i, c in enumerate(self.train.clips) if self._short(c)]
        self.short = [self.train.clips[i] for i in short]
        self.short_weights = self.train.weights[short] / self.train.weights[short].sum()

    def coded(self, clip: Clip) -> CodedClip:
        """A clip's tokens and features, computed when it is first drawn."""
        if clip.id not in self._coded:
            self._coded[clip.id] = self._code(clip)
        return self._coded[clip.id]

    def _code(self, clip: Clip) -> CodedClip:
        motion = torch.from_numpy(self.train.motion(clip))[None]
        semantic, detail = [], []
        with torch.no_grad():
            for offset in OFFSETS:
                part = motion[:, offset:]
                part = part[:, : part.shape[1] // 16 * 16]
                s, d = encode_clip(self.motion_tokenizer, part)
                assert s is not None
                semantic.append(s[0].tolist())
                detail.append(d[0, :, 0].tolist())
            coarse = self.motion_tokenizer.semantic_features(motion, torch.ones_like(motion[..., 0]))[0]
            fine = self.motion_tokenizer.detail_features(motion)[0]
        return CodedClip(semantic, detail, coarse.half(), fine.half())

    def _short(self, clip: Clip) -> bool:
        return clip.source != "composite" and self.train.frames(clip) // 16 <= CHAIN_BLOCKS

    def sample(self, clip: Clip, rng: np.random.Generator) -> Sample:
        """One training sequence of a clip."""
        options, w, coded = self.recipe.options, self.words, self.coded(clip)
        caption = clip.captions[rng.integers(len(clip.captions))].text
        if rng.random() < options.get("caption_share", 0.2):
            slots = 5 * len(coded.semantic_features)
            head = [w.bos, w.m2t, *[w.pad] * slots, w.text]
            target = [*w.encode(caption), w.text_end, w.eos]
            return Sample(
                head + target,
                [False] * len(head) + [True] * len(target),
                list(range(2, 2 + slots)),
                None,
                coded,
            )
        version = int(rng.integers(len(OFFSETS)))
        semantic, detail, reading = coded.semantic[version], coded.detail[version], thought_of(clip.reading)
        if clip.split == "train" and self._short(clip) and rng.random() < options.get("chain_share", 0.0):
            after = self.short[rng.choice(len(self.short), p=self.short_weights)]
            caption = chain_captions(caption, after.captions[rng.integers(len(after.captions))].text, rng)
            reading = chain_readings(reading, thought_of(after.reading))
            semantic = semantic + self.coded(after).semantic[version]
            detail = detail + self.coded(after).detail[version]
        use_prefix = self.texts is not None and rng.random() >= options.get("drop_prefix", 0.1)
        use_text = not use_prefix or rng.random() >= options.get("drop_text", 0.2)
        features = self.texts.features(caption) if use_prefix and self.texts is not None else None
        slots = 0 if features is None else len(features)
        head = [w.bos, w.t2m, *[w.pad] * slots, *(w.encode(caption) if use_text else [])]
        if rng.random() < options.get("length_share", 0.6):
            head += [w.length, w.lengths[min(len(semantic), words.MAX_BLOCKS) - 1]]
        plan = [] if rng.random() < options.get("no_thinking", 0.15) else w.encode(reading)
        target = [w.think, *plan, w.think_end, w.answer, *w.blocks(semantic, detail), w.answer_end, w.eos]
        learn = [False] * len(head) + [bool(plan)] + [True] * (len(target) - 1)
        return Sample(head + target, learn, list(range(2, 2 + slots)), features, None)

    def collate(self, samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """Right-padded embeds [B,S,D], mask [B,S] and labels [B,S] (-100 where nothing is learned)."""
        longest = max(len(s.ids) for s in samples)
        ids = torch.full((len(samples), longest), self.words.pad)
        labels = torch.full((len(samples), longest), -100)
        mask = torch.zeros(len(samples), longest, dtype=torch.long)
        for row, sample in enumerate(samples):
            length = len(sample.ids)
            ids[row, :length] = torch.tensor(sample.ids)
            mask[row, :length] = 1
            labels[row, :length] = torch.where(torch.tensor(sample.learn), ids[row, :length], -100)
        embeds = self.network.embed(ids.to(self.device)).clone()
        told = [row for row, s in enumerate(samples) if s.text is not None]
        if told and self.network.prefix is not None:
            text = pad_features([cast(NDArray[np.floating], samples[row].text) for row in told])
            projected = self.network.prefix(text.features.to(self.device))
            for i, row in enumerate(told):
                slots = samples[row].slots
                embeds[row, slots] = projected[i, : len(slots)]
        for row, sample in enumerate(samples):
            if sample.motion is not None:
                coarse = sample.motion.semantic_features.float()[None].to(self.device)
                fine = sample.motion.detail_features.float()[None].to(self.device)
                embeds[row, sample.slots] = self.network.motion(coarse, fine)[0]
        return embeds, mask.to(self.device), labels.to(self.device)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        clips, rng = self.train.draw(self.recipe.seed, step, self.recipe.budget.batch)
        embeds, mask, labels = self.collate([self.sample(clip, rng) for clip in clips])
        logits = self.network(embeds, mask)[:, :-1]
        wanted = labels[:, 1:]
        # Only positions that are learned go through the softmax: most of a prompt does not.
        where = wanted != -100
        loss = F.cross_entropy(logits[where], wanted[where])
        return loss, {}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Loss on held-out clips, apart for words and for motion tokens, and the motion tokens' top-1 accuracy."""
        planner = cast(PlannerNetwork, network)
        rng = np.random.default_rng(0)
        first = self.words.first_motion
        sums = {"text": 0.0, "motion": 0.0, "hits": 0.0}
        counts = {"text": 0, "motion": 0}
        clips = self.val.clips[:: max(1, len(self.val.clips) // 96)][:96]
        for begin in range(0, len(clips), 16):
            embeds, mask, labels = self.collate([self.sample(c, rng) for c in clips[begin : begin + 16]])
            logits, wanted = planner(embeds, mask)[:, :-1], labels[:, 1:]
            for part, where in (("text", (wanted != -100) & (wanted < first)), ("motion", wanted >= first)):
                sums[part] += float(F.cross_entropy(logits[where], wanted[where], reduction="sum"))
                counts[part] += int(where.sum())
            moved = wanted >= first
            sums["hits"] += float((logits[moved].argmax(-1) == wanted[moved]).sum())
        return {
            "text_loss": sums["text"] / max(1, counts["text"]),
            "motion_loss": sums["motion"] / max(1, counts["motion"]),
            "motion_accuracy": sums["hits"] / max(1, counts["motion"]),
        }

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        name = self.recipe.options.get("name", "planner_compact")
        return save_planner(
            cast(PlannerNetwork, network), self.tokenizer, self.base, models, name, self.recipe, metrics
        )


class Words:
    """Ids of the special tokens in a tokenizer's vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        def at(name: str) -> int:
            found: Any = tokenizer.token_to_id(name)
            if found is None:
                raise RuntimeError(f"the tokenizer has no token {name}")
            return int(found)

        self.tokenizer = tokenizer
        self.pad, self.bos, self.eos = at(words.PAD), at(words.BOS), at(words.EOS)
        self.t2m, self.m2t = at(words.TEXT_TO_MOTION), at(words.MOTION_TO_TEXT)
        self.text, self.text_end = at(words.TEXT), at(words.TEXT_END)
        self.think, self.think_end = at(words.THINK), at(words.THINK_END)
        self.answer, self.answer_end, self.length = at(words.ANSWER), at(words.ANSWER_END), at(words.LENGTH)
        self.lengths = [at(words.length_token(k)) for k in range(1, words.MAX_BLOCKS + 1)]
        self.semantic = [at(words.semantic_token(i)) for i in range(words.SEMANTIC_CODES)]
        self.detail = [at(words.detail_token(i)) for i in range(words.DETAIL_CODES)]
        self.first_motion = self.semantic[0]

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def blocks(self, semantic: list[int], detail: list[int]) -> list[int]:
        """Codes to ids, block by block, at most ``MAX_BLOCKS``."""
        out: list[int] = []
        for block, code in enumerate(semantic[: words.MAX_BLOCKS]):
            out.append(self.semantic[code])
            out += [self.detail[d] for d in detail[4 * block : 4 * block + 4]]
        return out

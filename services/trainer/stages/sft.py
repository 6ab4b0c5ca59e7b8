"""Stage ``sft``: supervised fine-tuning of the planner on text to motion and motion to text.

Two candidates share everything but the language model: ``base: qwen3``, a compact model from scratch that also sees
MiniLM's features as a prefix, and ``base: smollm2``, SmolLM2-135M-Instruct with a low-rank adapter and new rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
from services.trainer.chaining import STILL, chain_captions, prolonged
from services.trainer.data import MotionData, TextFeatures, pad_features
from services.trainer.language_models import build_qwen3, load_smollm2, save_planner
from services.trainer.loop import TrainingStage
from services.trainer.networks.planner import PlannerNetwork
from services.trainer.planner_import import read_planner
from services.trainer.planner_tokenizer import train_tokenizer
from services.trainer.recipes import Recipe, check_options
from services.trainer.thoughts import rarity, thought_of
from services.trainer.trained import CodedMotion, FrozenTokenizer

_OPTIONS = {
    "base", "init", "text_vocabulary", "caption_share", "drop_text", "drop_prefix", "no_thinking", "length_share",
    "chain_share", "prolong", "corrupt", "dropout", "name",
}  # fmt: skip
OFFSETS = (0, 4, 8, 12)
SHORTEST_LATE = 80  # frames of a clip that is also read from a later first frame
ACTION_BLOCKS = 7  # a clip of a chain lasts 5.6 s at most: several actions in one are not joined to others
CHAIN_BLOCKS = 14
GESTURES = ("wave", "raise", "bow", "kick", "jump", "stand")  # topics that end where they began
GROUP = 8  # sequences that are padded to one length


@dataclass
class Action:
    """What one thought leads to: its caption, the thought, and the blocks' codes."""

    caption: str
    thought: str
    semantic: list[int]
    detail: list[int]


@dataclass
class Sample:
    """One sequence: ids with padding where features go, which ids are to be learned, and the features.

    inputs: the ids as the network sees them, where they differ from those it has to learn.
    """

    ids: list[int]
    learn: list[bool]
    slots: list[int]
    text: NDArray[np.floating] | None = None
    motion: CodedMotion | None = None
    inputs: list[int] | None = None


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
        self.motion_tokenizer = FrozenTokenizer(Path(recipe.models))
        both = self.train.clips + self.val.clips
        captions = [c.text for clip in both for c in clip.captions]
        torch.manual_seed(recipe.seed)
        projectors: dict[str, dict[str, Tensor]] = {}
        if self.base == "smollm2":
            model, self.tokenizer = load_smollm2(recipe.network)
        elif "init" in options:
            model, self.tokenizer, projectors = read_planner(Path(recipe.models), options["init"])
        else:
            readings = [clip.reading for clip in both]
            self.tokenizer = train_tokenizer(captions + readings, int(options.get("text_vocabulary", 2048)))
            model = build_qwen3(self.tokenizer.get_vocab_size(), recipe.network)
        self.texts = TextFeatures(captions, root / "cache") if self.base == "qwen3" else None
        self.network = PlannerNetwork(
            model,
            self.motion_tokenizer.code_dim,
            prefix=self.texts is not None,
            dropout=float(options.get("dropout", 0.0)),
        )
        for part, state in projectors.items():
            self.network.get_submodule(part).load_state_dict(state)
        self.words = Words(self.tokenizer)
        self._coded: dict[tuple[str, int], CodedMotion] = {}
        self.train.weights *= rarity([c.reading for c in self.train.clips])
        # No clip is drawn more often than four times the average: single odd takes would be learned by heart.
        self.train.weights = np.minimum(self.train.weights, 4 * self.train.weights.mean())
        self.train.weights /= self.train.weights.sum()
        short = [i for i, c in enumerate(self.train.clips) if self._short(c)]
        self.short = [self.train.clips[i] for i in short]
        self.short_by_topic: defaultdict[str, list[Clip]] = defaultdict(list)
        for clip in self.short:
            self.short_by_topic[clip.topic].append(clip)
        self.short_weights = self.train.weights[short] / self.train.weights[short].sum()

    def coded(self, clip: Clip, offset: int = 0) -> CodedMotion:
        """A clip's codes from frame ``offset`` on, computed when they are first drawn."""
        key = clip.id, offset
        if key not in self._coded:
            motion = self.train.motion(clip)[offset:]
            self._coded[key] = self.motion_tokenizer.encode(motion[: len(motion) // 16 * 16])
        return self._coded[key]

    def _short(self, clip: Clip) -> bool:
        return clip.source != "composite" and self.train.frames(clip) // 16 <= ACTION_BLOCKS

    def action(self, clip: Clip, rng: np.random.Generator) -> Action:
        """A clip from one of several first frames, in the words of one of its captions."""
        # A short clip begins where it was cut: what it shows would else lose its beginning and a block.
        offset = OFFSETS[rng.integers(len(OFFSETS))] if clip.frames >= SHORTEST_LATE else 0
        coded = self.coded(clip, offset)
        caption = clip.captions[rng.integers(len(clip.captions))].text
        return Action(caption, thought_of(clip.reading), coded.semantic, coded.detail)

    def chain(self, clip: Clip, rng: np.random.Generator) -> list[Action]:
        """The clip's action: of some going on for longer, of some short ones with another action or two behind it."""
        actions = [self.action(clip, rng)]
        if clip.split == "train" and rng.random() < self.recipe.options.get("prolong", 0.0):
            return [self.longer(actions[0], clip, rng)]
        share = self.recipe.options.get("chain_share", 0.0)
        while clip.split == "train" and self._short(clip) and len(actions) < 3 and rng.random() < share:
            after = self.action(self.short[rng.choice(len(self.short), p=self.short_weights)], rng)
            if sum(len(a.semantic) for a in (*actions, after)) > CHAIN_BLOCKS:
                break
            actions.append(after)
        return actions

    def longer(self, action: Action, clip: Clip, rng: np.random.Generator) -> Action:
        """The action in the same words for as long as somebody might ask: travel goes on, after gestures one stands."""
        stands = clip.topic in GESTURES
        alike = self.short_by_topic["stand" if stands else clip.topic]
        for at in rng.permutation(len(alike))[:16]:
            more = self.action(alike[at], rng)
            thought = prolonged(STILL if stands else action.thought, more.thought)
            blocks = int(rng.integers(1, len(more.semantic) + 1)) if stands else len(more.semantic)
            if not thought or len(action.semantic) + blocks > CHAIN_BLOCKS:
                continue
            semantic = action.semantic + more.semantic[:blocks]
            detail = action.detail + more.detail[: 4 * blocks]
            action = Action(action.caption, action.thought if stands else thought, semantic, detail)
            if rng.random() < 0.5:
                break
        return action

    def sample(self, clip: Clip, rng: np.random.Generator) -> Sample:
        """One training sequence of a clip."""
        options, w = self.recipe.options, self.words
        if rng.random() < options.get("caption_share", 0.2):
            coded = self.coded(clip)
            slots = 5 * len(coded.semantic)
            head = [w.bos, w.m2t, *[w.pad] * slots, w.text]
            target = [*w.encode(clip.captions[rng.integers(len(clip.captions))].text), w.text_end, w.eos]
            learn = [False] * len(head) + [True] * len(target)
            return Sample(head + target, learn, list(range(2, 2 + slots)), None, coded)
        actions = self.chain(clip, rng)
        caption = actions[0].caption
        for action in actions[1:]:
            caption = chain_captions(caption, action.caption, rng)
        use_prefix = self.texts is not None and rng.random() >= options.get("drop_prefix", 0.1)
        use_text = not use_prefix or rng.random() >= options.get("drop_text", 0.2)
        features = self.texts.features(caption) if use_prefix and self.texts is not None else None
        slots = 0 if features is None else len(features)
        head = [w.bos, w.t2m, *[w.pad] * slots, *(w.encode(caption) if use_text else [])]
        if rng.random() < options.get("length_share", 0.6):
            head += [w.length, w.lengths[min(sum(len(a.semantic) for a in actions), words.MAX_BLOCKS) - 1]]
        thinking = rng.random() >= options.get("no_thinking", 0.15)
        target = w.plan([(a.thought if thinking else "", a.semantic, a.detail) for a in actions])
        learn = [False] * (len(head) + 1) + [True] * (len(target) - 1)
        ids = head + target
        # Wrong codes before the next one, as sampling brings them (Zhang et al. 2023, T2M-GPT).
        share = options.get("corrupt", 0.0) if clip.split == "train" else 0.0
        wrong = rng.random(len(ids)) < rng.random() * share
        inputs = [w.another(i, rng) if bad else i for i, bad in zip(ids, wrong, strict=True)]
        return Sample(ids, learn, list(range(2, 2 + slots)), features, None, inputs)

    def collate(self, samples: list[Sample]) -> tuple[Tensor, Tensor, Tensor]:
        """Right-padded embeds [B,S,D], mask [B,S] and labels [B,S] (-100 where nothing is learned)."""
        longest = max(len(s.ids) for s in samples)
        seen = torch.full((len(samples), longest), self.words.pad)
        labels = torch.full((len(samples), longest), -100)
        mask = torch.zeros(len(samples), longest, dtype=torch.long)
        for row, sample in enumerate(samples):
            length = len(sample.ids)
            seen[row, :length] = torch.tensor(sample.inputs or sample.ids)
            mask[row, :length] = 1
            labels[row, :length] = torch.where(torch.tensor(sample.learn), torch.tensor(sample.ids), -100)
        embeds = self.network.embed(seen.to(self.device)).clone()
        told = [row for row, s in enumerate(samples) if s.text is not None]
        if told and self.network.prefix is not None:
            text = pad_features([cast(NDArray[np.floating], samples[row].text) for row in told])
            projected = self.network.prefix(text.features.to(self.device))
            for i, row in enumerate(told):
                slots = samples[row].slots
                embeds[row, slots] = projected[i, : len(slots)]
        for row, sample in enumerate(samples):
            if sample.motion is not None:
                coarse = torch.from_numpy(sample.motion.semantic_features).float()[None]
                fine = torch.from_numpy(sample.motion.detail_features).float()[None]
                embeds[row, sample.slots] = self.network.motion(coarse.to(self.device), fine.to(self.device))[
                    0
                ]
        return embeds, mask.to(self.device), labels.to(self.device)

    def predict(self, samples: list[Sample]) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits [N,V] of the ids to be learned, and those ids [N], group by group of about the same length.

        What the grammar rules out at serving time is ruled out here too: nothing is spent on learning not to say it.
        """
        samples = sorted(samples, key=lambda sample: len(sample.ids))
        for begin in range(0, len(samples), GROUP):
            embeds, mask, labels = self.collate(samples[begin : begin + GROUP])
            wanted = F.pad(labels[:, 1:], (0, 1), value=-100)
            where = wanted != -100
            yield self.words.ruled(self.network(embeds, mask, where), wanted[where]), wanted[where]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        clips, rng = self.train.draw(self.recipe.seed, step, self.recipe.budget.batch)
        parts = [
            (F.cross_entropy(logits, wanted, reduction="sum"), len(wanted))
            for logits, wanted in self.predict([self.sample(clip, rng) for clip in clips])
        ]
        return torch.stack([part for part, _ in parts]).sum() / sum(count for _, count in parts), {}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Loss on held-out clips, apart for words and for motion tokens, and the motion tokens' top-1 accuracy."""
        assert network is self.network
        rng = np.random.default_rng(0)
        sums = {"text": 0.0, "motion": 0.0, "hits": 0.0}
        counts = {"text": 0, "motion": 0}
        clips = self.val.clips[:: max(1, len(self.val.clips) // 96)][:96]
        for logits, wanted in self.predict([self.sample(clip, rng) for clip in clips]):
            moved = wanted >= self.words.first_motion
            for part, where in (("text", ~moved), ("motion", moved)):
                sums[part] += float(F.cross_entropy(logits[where], wanted[where], reduction="sum"))
                counts[part] += int(where.sum())
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
        # At a block's border, within a block, and everywhere else: which ids may come, by any id that does.
        border, within = [*self.semantic, self.answer_end, self.think], self.detail
        self._may = torch.zeros(3, tokenizer.get_vocab_size(), dtype=torch.bool)
        self._may[0] = True
        self._may[0, [*self.semantic, *self.detail]] = False
        self._may[1, border], self._may[2, within] = True, True
        self._place = torch.zeros(tokenizer.get_vocab_size(), dtype=torch.long)
        self._place[border], self._place[within] = 1, 2

    def ruled(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Logits [N,V] with minus infinity for what the grammar does not allow where ``wanted`` [N] comes."""
        may = self._may.to(logits.device)[self._place.to(logits.device)[wanted]]
        return logits[:, : may.shape[1]].masked_fill(~may, -torch.inf)

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def plan(self, actions: Sequence[tuple[str, list[int], list[int]]]) -> list[int]:
        """Thought and blocks (semantic, detail) of one action after the other, at most ``MAX_BLOCKS`` in all."""
        out, left = list[int](), words.MAX_BLOCKS
        for number, (thought, semantic, detail) in enumerate(actions):
            if thought or number == 0:
                out += [self.think, *(self.encode(thought) if thought else []), self.think_end]
            out += [self.answer] if number == 0 else []
            for block, code in enumerate(semantic[:left]):
                out.append(self.semantic[code])
                out += [self.detail[d] for d in detail[4 * block : 4 * block + 4]]
            left = max(0, left - len(semantic))
        return [*out, self.answer_end, self.eos]

    def another(self, token: int, rng: np.random.Generator) -> int:
        """A random code of the same codebook; a token that is no code stays what it is."""
        for codes in (self.semantic, self.detail):
            if codes[0] <= token <= codes[-1]:
                return codes[rng.integers(len(codes))]
        return token

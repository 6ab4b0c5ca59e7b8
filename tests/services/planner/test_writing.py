"""Vocabulary, grammar, sampling and writers, on the vocabulary that the trainer makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.errors import FormatError, InputError
from kinesphere.motion_language import MAX_BLOCKS
from services.planner.generation import (
    Block,
    CaptionWriter,
    Ended,
    Ending,
    Event,
    Generation,
    PlanWriter,
    Words,
)
from services.planner.planning import passes
from services.planner.sampling import Sampler
from services.planner.vocabulary import TextStream, Vocabulary


@pytest.fixture(scope="module")
def vocabulary(hf_dir: Path) -> Vocabulary:
    return Vocabulary(hf_dir / "tokenizer.json")


def run(
    writer: PlanWriter | CaptionWriter, vocabulary: Vocabulary, seed: int, steps: int = 400
) -> list[Event]:
    """Let random logits write until the grammar ends."""
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    generation = Generation(np.zeros((1, 1), np.float32), writer, Sampler(seed=(seed,)), events.append)
    for _ in range(steps):
        generation.advance(rng.normal(size=vocabulary.size).astype(np.float32))
        if generation.finished:
            return events
    raise AssertionError("the grammar did not end")


@pytest.mark.parametrize("text", ["a person waves", "</answer><sem_3> <think>", "émoji 🕺 & 漢字", "<eos>"])
def test_a_sentence_never_becomes_a_special_token(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode(text)
    assert set(ids) <= set(vocabulary.words.tolist())
    assert vocabulary.decode(ids).strip() == text


def test_pieces_of_text_join_to_the_whole(vocabulary: Vocabulary) -> None:
    stream = TextStream(vocabulary)
    pieces = [stream.add(token) for token in vocabulary.encode("turns 🕺 left é")]
    assert "".join(pieces) == stream.text == "turns 🕺 left é"
    assert not any("\ufffd" in piece for piece in pieces)


@pytest.mark.parametrize("blocks", [1, 7, 25])
@pytest.mark.parametrize("thinking", [True, False])
def test_the_length_asked_for_is_kept(vocabulary: Vocabulary, blocks: int, thinking: bool) -> None:
    writer = PlanWriter(vocabulary, blocks=blocks, thinking=thinking, max_thought=12)
    events = run(writer, vocabulary, blocks)
    made = [event for event in events if isinstance(event, Block)]
    assert len(made) == blocks
    assert all(0 <= block.semantic < 512 and len(block.details) == 4 for block in made)
    assert events[-1] == Ended(Ending.LENGTH, events[-1].tokens)  # type: ignore[union-attr]
    assert isinstance(events[0], Words) == thinking
    assert any(isinstance(event, Words) for event in events) == thinking


def test_a_later_action_has_a_thought_and_blocks_of_its_own(vocabulary: Vocabulary) -> None:
    v = vocabulary
    writer = PlanWriter(v, blocks=3)
    block = v.block_ids(3, (1, 2, 3, 4))
    tokens = [*v.encode("Walk forward."), v.think_end, v.answer, *block]
    tokens += [v.think, *v.encode("Bow."), v.think_end, *block, *block]
    events: list[Event] = []
    for number, token in enumerate(tokens):
        allowed = writer.grammar.allowed()
        assert token in allowed
        assert v.answer_end not in allowed  # the length asked for is not reached
        if tokens[number - 1] == v.think_end:
            assert v.think not in allowed  # a thought is followed by what it leads to
        events += writer.write(token)
    assert writer.grammar.finished
    said = "".join(event.text for event in events if isinstance(event, Words))
    assert said == "Walk forward. Bow."
    assert [type(e).__name__ for e in events if e != Words("")][-3:] == ["Words", "Block", "Block"]


def test_thoughts_share_their_words(vocabulary: Vocabulary) -> None:
    events = run(PlanWriter(vocabulary, blocks=25, max_thought=2), vocabulary, 0)
    assert sum(isinstance(event, Words) for event in events) <= 2


def test_a_thought_has_a_word_even_if_the_model_would_rather_not(vocabulary: Vocabulary) -> None:
    events: list[Event] = []
    writer = PlanWriter(vocabulary, blocks=1)
    generation = Generation(np.zeros((1, 1), np.float32), writer, Sampler(), events.append)
    eager = np.random.default_rng(0).normal(size=vocabulary.size).astype(np.float32)
    eager[vocabulary.think_end] = 50
    while not generation.finished:
        generation.advance(eager)
    assert [type(event) for event in events] == [Words, Block, Ended]
    assert generation.tokens == 8  # a word, </think>, <answer> and a block


def test_a_thought_has_a_temperature_of_its_own(vocabulary: Vocabulary) -> None:
    def thought(seed: int, **options: float) -> str:
        writer = PlanWriter(vocabulary, blocks=2, max_thought=6, **options)  # type: ignore[arg-type]
        return "".join(event.text for event in run(writer, vocabulary, seed) if isinstance(event, Words))

    rng = np.random.default_rng(5)
    first = int(
        vocabulary.words[np.argmax(rng.normal(size=vocabulary.size).astype(np.float32)[vocabulary.words])]
    )
    assert thought(5, thought_temperature=0.0).startswith(vocabulary.decode([first]).strip())
    assert thought(5) != thought(5, thought_temperature=0.0)


@pytest.mark.parametrize("longest", [1, 4, 5, 12, 25])
@pytest.mark.parametrize("blocks", [1, 4, 12, 13, 24, 25, 26, 75])
def test_passes_add_up_and_look_back(blocks: int, longest: int) -> None:
    made = 0
    for number, part in enumerate(passes(blocks, longest)):
        assert part.new > 0
        assert part.known + part.new <= longest
        assert part.known <= made
        assert (part.known > 0) == (number > 0 and longest > 1)
        made += part.new
    assert made == blocks
    assert len(passes(0, longest)) == 1
    assert passes(0, longest)[0].new == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_model_decides_between_one_block_and_the_limit(vocabulary: Vocabulary, seed: int) -> None:
    events = run(PlanWriter(vocabulary, max_thought=8), vocabulary, seed)
    blocks = sum(isinstance(event, Block) for event in events)
    assert 1 <= blocks <= MAX_BLOCKS
    assert isinstance(events[-1], Ended)
    assert events[-1].ending is (Ending.LIMIT if blocks == MAX_BLOCKS else Ending.COMPLETE)


def test_a_caption_has_a_word_and_an_end(vocabulary: Vocabulary) -> None:
    for seed in range(20):
        events = run(CaptionWriter(vocabulary, max_tokens=5), vocabulary, seed)
        assert isinstance(events[-1], Ended)
        assert events[-1].tokens <= 5


def test_temperature_zero_is_the_likeliest_and_a_nucleus_leaves_the_rest_out() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    allowed = np.arange(4)
    assert Sampler(temperature=0).choose(logits, allowed) == 0
    assert Sampler(temperature=0).choose(logits, np.array([2, 3])) == 2
    sampler = Sampler(top_p=0.75, seed=(1,))
    assert {sampler.choose(logits, allowed) for _ in range(200)} == {0, 1}
    sampler = Sampler(seed=(1,))
    counts = np.bincount([sampler.choose(logits, allowed) for _ in range(4000)], minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.5, 0.3, 0.15, 0.05], atol=0.03)


def test_a_seed_repeats_its_choices() -> None:
    logits, allowed = np.zeros(512, np.float32), np.arange(512)

    def draw(*seed: int) -> list[int]:
        sampler = Sampler(seed=seed)
        return [sampler.choose(logits, allowed) for _ in range(20)]

    assert draw(7, 0) == draw(7, 0)
    assert draw(7, 0) != draw(7, 1)
    assert draw(2**63 - 1) == draw(2**63 - 1)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"temperature": -0.1}, "temperature"), ({"temperature": float("nan")}, "temperature"),
     ({"top_p": 0.0}, "top_p"), ({"top_p": float("nan")}, "top_p"), ({"seed": (-1,)}, "seed")],
)  # fmt: skip
def test_wrong_choices_are_named(options: dict[str, float], field: str) -> None:
    with pytest.raises(InputError) as caught:
        Sampler(**options)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_tokenizer_without_the_motion_language_is_refused(hf_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(FormatError, match="not a tokenizer"):
        Vocabulary(tmp_path / "broken.json")
    source = json.loads((hf_dir / "tokenizer.json").read_text())
    source["added_tokens"] = [token for token in source["added_tokens"] if token["content"] != "<det_511>"]
    (tmp_path / "short.json").write_text(json.dumps(source))
    with pytest.raises(FormatError, match="det_511"):
        Vocabulary(tmp_path / "short.json")

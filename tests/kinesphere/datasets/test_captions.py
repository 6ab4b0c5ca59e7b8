"""Captions: grammar, sides, variety, and that they only say what the joints confirm."""

from __future__ import annotations

import pytest

from kinesphere.datasets import labels
from kinesphere.datasets.build import mirror
from kinesphere.datasets.captions import captions
from kinesphere.datasets.grammar import HE, conjugate, render, swap_sides
from kinesphere.datasets.reading import read
from tests.kinesphere.datasets.bodies import raised, standing, walking


@pytest.mark.parametrize(
    ("verb", "third", "gerund"),
    [("wave", "waves", "waving"), ("run", "runs", "running"), ("stretch", "stretches", "stretching"), ("go", "goes", "going"),
     ("carry", "carries", "carrying"), ("stay", "stays", "staying"), ("lie", "lies", "lying"), ("bow", "bows", "bowing")],
)  # fmt: skip
def test_verbs(verb: str, third: str, gerund: str) -> None:
    assert (conjugate(verb, "third"), conjugate(verb, "gerund"), conjugate(verb, "base")) == (
        third,
        gerund,
        verb,
    )


def test_templates_in_three_forms() -> None:
    template = "[raise] <their> left hand and [wave]"
    assert render(template, "third", HE) == "raises his left hand and waves"
    assert render(template, "base") == "raise your left hand and wave"
    assert render(template, "gerund") == "raising their left hand and waving"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("a person turns left and waves the right hand.", "a person turns right and waves the left hand."),
        ("He spins counterclockwise, then clockwise", "He spins clockwise, then counterclockwise"),
        ("Left leg up", "Right leg up"),
        ("he turns at a right angle, right away", "he turns at a right angle, right away"),
        ("all right, step rightwards", "all right, step leftwards"),
    ],
)
def test_swapped_sides(text: str, other: str) -> None:
    assert swap_sides(text) == other


def test_captions_of_a_labelled_wave_name_the_right_hand_and_vary() -> None:
    label = labels.bandai("dataset-2_wave-right-hand_elderly_012")
    motion = raised(standing(5.0), "right", 0.5, 4.5, waves=1.5)
    found = captions(label, read(motion), [], mirrored=False, seed="a")
    texts = [caption.text.lower() for caption in found]
    assert len(set(texts)) == len(texts) >= 8
    assert not any("left" in text for text in texts)
    assert sum("right" in text for text in texts) >= 6
    elderly = labels.STYLES["elderly"]
    assert any(word in text for text in texts for word in (*elderly.adverbs, *elderly.subjects))
    mirrored = captions(label, read(mirror(motion)), [], mirrored=True, seed="a")
    assert not any("right" in caption.text.lower() for caption in mirrored)
    assert found == captions(label, read(motion), [], mirrored=False, seed="a")


def test_a_label_that_the_joints_contradict_is_not_repeated() -> None:
    label = labels.bandai("dataset-2_wave-right-hand_normal_001")
    found = captions(label, read(walking(4.0)), [], mirrored=False, seed="b")
    assert {caption.kind for caption in found} == {"reading"}
    assert not any("wav" in caption.text for caption in found)


def test_written_sentences_come_first() -> None:
    found = captions(
        labels.Label(), read(walking(4.0)), ["a man walks to the shop."], mirrored=False, seed="c"
    )
    assert (found[0].text.lower(), found[0].kind) == ("a man walks to the shop.", "humanml3d")


def test_cmu_descriptions() -> None:
    assert "[walk] slowly" in labels.cmu("slow walk").templates
    assert labels.cmu("Unknown").templates == ()

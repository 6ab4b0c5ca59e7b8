"""The probes' sentences are not those that planners are trained on: no template, no chain of templates, no caption."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kinesphere.datasets import captions, labels, phrases
from kinesphere.datasets.grammar import HE, IT, SHE, THEY, Form, render, swap_sides
from kinesphere.evaluation.probes import PROBES, Probe

# How captions join what happens in a row, once their punctuation is gone.
LINKS = r" and then | then | before | and afterwards | after that (?:they|he|she|it) | and "
FORMS: tuple[Form, ...] = ("third", "base", "gerund")


def templates() -> Iterator[str]:
    """Every wording in the tables that captions are made from."""

    def inside(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for each in value.values():
                yield from inside(each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                yield from inside(each)
        elif isinstance(value, (labels.Label, labels.Content)):
            yield from inside(value.templates)

    for module in (phrases, labels):
        for value in vars(module).values():
            yield from (text for text in inside(value) if "[" in text)


def plain(text: str) -> str:
    """Lower case without punctuation, "is" of the progressive or a leading subject of one or two words."""
    text = " ".join(re.sub(r"[^a-z0-9 -]", " ", text.lower()).split())
    subjects = "|".join(sorted({name for name, _, _ in captions._SUBJECTS if name}, key=len, reverse=True))
    return re.sub(rf"^(?:{subjects}) (?:is )?", "", text)


@cache
def phrases_said() -> frozenset[str]:
    said = set()
    for template in templates():
        for side, other, clock in (
            ("left", "right", "counterclockwise"),
            ("right", "left", "clockwise"),
        ):
            filled = template.replace("{s}", side).replace("{o}", other).replace("{clock}", clock)
            for form in FORMS:
                for pronouns in (THEY, HE, SHE, IT):
                    for text in (filled, swap_sides(filled)):
                        said.add(plain(render(text, form, pronouns)))
    return frozenset(said)


def is_chain(text: str) -> bool:
    """True if every piece of ``text`` between links is a wording of the tables."""
    text = plain(text)
    return text in phrases_said() or all(part in phrases_said() for part in re.split(LINKS, text))


@pytest.mark.parametrize(
    "caption",
    [
        "A person walks ahead and then turns to the left.",
        "raise your left hand",
        "the man is waving hello with his right hand",
        "somebody bows, then walks forward",
    ],
)
def test_captions_are_recognised(caption: str) -> None:
    assert len(phrases_said()) > 1000
    assert is_chain(caption)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
def test_no_probe_is_made_of_training_templates(probe: Probe) -> None:
    assert not is_chain(probe.text)


@pytest.mark.shared_data
def test_no_probe_is_a_training_caption(shared_data: Path) -> None:
    """Of the data set as it was built, with what people wrote and CMU's index."""
    from kinesphere.datasets.clips import ClipDataset

    built = Path(".data/kinesphere")
    if not (built / "clips.jsonl").is_file():
        pytest.skip("no data set is built here: `kinesphere data build`")
    trained = {plain(caption.text) for clip in ClipDataset(built).split("train") for caption in clip.captions}
    assert len(trained) > 1000
    assert not [probe.id for probe in PROBES if plain(probe.text) in trained]

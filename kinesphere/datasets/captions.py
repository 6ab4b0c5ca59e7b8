"""Many ways of saying what a clip shows: its label, what people wrote about it, and what is read off its joints."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, Literal

from kinesphere.datasets import grammar
from kinesphere.datasets.events import Event
from kinesphere.datasets.grammar import HE, SHE, THEY, Form, Pronouns, render, swap_sides
from kinesphere.datasets.labels import STYLES, Label
from kinesphere.datasets.phrases import PACE, TIMES, templates
from kinesphere.datasets.reading import Reading

CaptionKind = Literal["name", "index", "humanml3d", "reading"]
# Subjects and how they are spoken of afterwards; "" is the imperative.
_SUBJECTS: Final[tuple[tuple[str, Pronouns, int], ...]] = (
    ("a person", THEY, 10), ("someone", THEY, 4), ("the person", THEY, 3), ("a man", HE, 4), ("a woman", SHE, 2), ("the man", HE, 2),
    ("a figure", grammar.IT, 1), ("the figure", grammar.IT, 2), ("he", HE, 2), ("she", SHE, 2), ("somebody", THEY, 2),
    ("the subject", THEY, 1), ("a human", THEY, 1), ("this person", THEY, 1), ("", grammar.YOU, 9),
)  # fmt: skip
_LINKS: Final = (
    " and ",
    " and then ",
    ", then ",
    " before {g}",
    ", and ",
    " and afterwards ",
    ", after that {they} ",
)
_PER_CLIP: Final = {"name": 7, "index": 4, "humanml3d": 8, "reading": 6}


@dataclass(frozen=True)
class Caption:
    """text: lower-case English mostly. kind: where its content comes from."""

    text: str
    kind: CaptionKind


def captions(
    label: Label, reading: Reading, written: list[str], *, mirrored: bool, seed: str
) -> list[Caption]:
    """Varied captions of one clip, no two alike; the same ``seed`` gives the same ones.

    label: the take's own words, written for the take as recorded. reading: of this clip's joints, so mirrored when the
    clip is. written: sentences by people about this very clip, already the right way round.
    """
    chance = random.Random(f"captions {seed}")
    found: dict[str, CaptionKind] = {}

    def add(text: str, kind: CaptionKind) -> None:
        found.setdefault(_spelled(text, chance), kind)

    for text in written[: _PER_CLIP["humanml3d"]]:
        add(text, "humanml3d")
    if label.content is not None:
        for text in _from_content(label, reading, mirrored, chance):
            add(text, "name")
    elif label.templates:
        for _ in range(_PER_CLIP["index"]):
            template = _sided(chance.choice(label.templates), mirrored)
            second = _second_beat(reading, chance) if chance.random() < 0.3 else None
            add(_sentence([template] + ([second] if second else []), chance), "index")
    # Standing is all that is read off small gestures: their label says more.
    unread = [event.kind for event in reading.beats] == ["stand"] and (label.content or label.activity)
    for _ in range(0 if unread and found else _PER_CLIP["reading"]):
        add(_from_beats(list(reading.beats), chance), "reading")
    return [Caption(text, kind) for text, kind in found.items()]


def _from_content(label: Label, reading: Reading, mirrored: bool, chance: random.Random) -> list[str]:
    """Captions of a labelled take: only of events that this window's joints confirm."""
    content = label.content
    assert content is not None
    side = swap_sides(content.side) if mirrored else content.side
    main = [event for event in reading.beats if event.kind in content.kinds and _same_side(event, side)]
    if content.kinds and not main:
        return []
    style = STYLES[label.style]
    texts = []
    for index in range(_PER_CLIP["name"]):
        own = content.templates and (not main or chance.random() < 0.45)
        if own:
            said = [_sided(chance.choice(content.templates), mirrored)]
        else:
            said = [_phrase(event, chance) for event in _pick(main, chance)]
        if style.adverbs and index >= 4:
            texts.append(_styled(said, label.style, chance))
        else:
            texts.append(_sentence(said, chance))
    return texts


def _same_side(event: Event, side: str) -> bool:
    return not side or event.kind == "walk" or not event.side or event.side == side or event.kind == "turn"


def _pick(main: list[Event], chance: random.Random) -> list[Event]:
    """One, or two in order, of the confirmed events; a turn is always among them when there is one."""
    turns = [event for event in main if event.kind == "turn"]
    if turns:
        first = main.index(turns[0])
        if first > 0 and chance.random() < 0.65:
            return main[first - 1 : first + 1] if chance.random() < 0.7 else main[first - 1 : first + 2]
        return main[first : first + (2 if chance.random() < 0.3 else 1)]
    return main[:1] if chance.random() < 0.8 else main[:2]


def _from_beats(beats: list[Event], chance: random.Random) -> str:
    """A caption of the beats in order: all of a short story, a run of neighbours of a long one."""
    if len(beats) > 3:
        at = chance.randrange(0, len(beats) - 2)
        beats = beats[at : at + chance.choice((2, 3))]
    elif len(beats) > 1 and chance.random() < 0.15:
        beats = sorted(beats, key=lambda event: event.kind in ("walk", "raise", "stand"))[:1]
    return _sentence([_phrase(event, chance) for event in beats], chance)


def _second_beat(reading: Reading, chance: random.Random) -> str | None:
    others = [event for event in reading.beats if event.kind in ("turn", "jump", "wave", "kick", "bow")]
    return _phrase(chance.choice(others), chance) if others else None


def _phrase(event: Event, chance: random.Random) -> str:
    text = chance.choice(templates(event))
    if event.kind in ("bow", "kick", "raise", "crouch") and event.count > 1 and chance.random() < 0.6:
        return f"{text} {TIMES.get(event.count, 'several times')}"
    if event.kind in ("walk", "run", "turn", "wave", "raise", "bow"):
        words = PACE[event.pace]
        often = {"normal": 0.06 if event.kind in ("walk", "run") else 0.0, "slow": 0.5, "fast": 0.5}[
            event.pace
        ]
        if event.kind not in ("walk", "run"):
            words, often = words[:1], often * 0.5
        if chance.random() < often and "slow" not in text and "fast" not in text:
            text += " " + chance.choice(words)
        elif (
            event.kind in ("walk", "run")
            and chance.random() < 0.12
            and "step" not in text
            and event.amount > 0.8
        ):
            unit = chance.choice(("meters", "metres", "m"))
            text += f" for {chance.choice(('about ', ''))}{max(1, round(event.amount))} {unit}".replace(
                " 1 meters", " 1 meter"
            ).replace(" 1 metres", " 1 metre")
    return text


def _sentence(said: list[str], chance: random.Random) -> str:
    names, weights = zip(*(((name, who), weight) for name, who, weight in _SUBJECTS), strict=True)
    ((subject, pronouns),) = chance.choices(names, weights)
    return _said(subject, pronouns, said, chance)


def _styled(said: list[str], style: str, chance: random.Random) -> str:
    words = STYLES[style]
    if chance.random() < 0.45:
        subject = chance.choice(words.subjects)
        female = any(word in subject.split() for word in ("woman", "lady", "girl"))
        male = any(word in subject.split() for word in ("man", "guy", "grandfather", "thug"))
        return _said(subject, SHE if female else HE if male else THEY, said, chance)
    text = _sentence(said, chance)
    return f"{text} {chance.choice(words.adverbs)}"


def _said(subject: str, pronouns: Pronouns, said: list[str], chance: random.Random) -> str:
    progressive = bool(subject) and chance.random() < 0.14
    form: Form = "base" if not subject else "gerund" if progressive else "third"
    parts = [render(template, form, pronouns) for template in said]
    text = parts[0]
    for template, part in zip(said[1:], parts[1:], strict=True):
        link = chance.choice(_LINKS if not progressive else _LINKS[:3])
        if "{g}" in link:
            text += " before " + render(template, "gerund", grammar.YOU if not subject else pronouns)
        elif "{they}" in link:
            they = pronouns[0]
            text += ", after that "
            text += (
                part
                if not subject
                else f"{they} {render(template, 'base' if they == 'they' else 'third', pronouns)}".replace(
                    "your", pronouns[2]
                )
            )
        else:
            text += link + part
    lead = "" if not subject else subject + (" is " if progressive else " ")
    return lead + text


def _sided(template: str, mirrored: bool) -> str:
    """Fills ``{s}`` (right as recorded) and ``{o}`` (left as recorded); plain words are swapped too."""
    text = template.replace("{s}", "right").replace("{o}", "left")
    return swap_sides(text) if mirrored else text


def _spelled(text: str, chance: random.Random) -> str:
    """Now and then a capital and a full stop, as people write."""
    text = " ".join(text.split())
    if chance.random() < 0.15 and not text.endswith("."):
        return text[0].upper() + text[1:] + "."
    return text

"""A small grammar for describing movement: one template, said as a statement, an order, or in the progressive.

In a template ``[raise]`` is a verb in its base form and ``<their>``, ``<them>``, ``<they>`` stand for the person:
``[raise] <their> left hand`` becomes "raises his left hand", "raise your left hand" or "raising their left hand".
"""

from __future__ import annotations

import re
from typing import Final, Literal

Form = Literal["third", "base", "gerund"]
Pronouns = tuple[str, str, str]  # they, them, their

THEY: Final[Pronouns] = ("they", "them", "their")
HE: Final[Pronouns] = ("he", "him", "his")
SHE: Final[Pronouns] = ("she", "her", "her")
YOU: Final[Pronouns] = ("you", "you", "your")
IT: Final[Pronouns] = ("it", "it", "its")

_IRREGULAR_THIRD: Final = {"be": "is", "have": "has"}
_IRREGULAR_GERUND: Final = {"be": "being", "lie": "lying", "die": "dying"}
_DOUBLED: Final = frozenset(
    [
        "run",
        "jog",
        "step",
        "hop",
        "spin",
        "sit",
        "put",
        "get",
        "stop",
        "set",
        "trot",
        "clap",
        "nod",
        "squat",
        "drop",
        "dip",
        "skip",
        "shut",
        "cut",
        "slap",
        "grab",
        "rub",
        "tip",
        "tap",
        "begin",
        "jab",
        "flap",
        "bob",
        "plod",
        "pop",
        "chop",
        "hit",
        "wag",
        "swim",
    ]
)


def render(template: str, form: Form, pronouns: Pronouns = THEY) -> str:
    """The template's words in ``form``, with the person's pronouns."""
    they, them, their = YOU if form == "base" else pronouns
    text = re.sub(r"\[([a-z-]+)\]", lambda found: conjugate(found[1], form), template)
    return text.replace("<their>", their).replace("<them>", them).replace("<they>", they)


def conjugate(verb: str, form: Form) -> str:
    """A base-form English verb as third person singular ("third"), "gerund", or as it is ("base")."""
    if form == "base":
        return verb
    if form == "third":
        if verb in _IRREGULAR_THIRD:
            return _IRREGULAR_THIRD[verb]
        if verb.endswith("y") and verb[-2] not in "aeiou":
            return verb[:-1] + "ies"
        return verb + ("es" if verb.endswith(("s", "sh", "ch", "x", "o", "z")) else "s")
    if verb in _IRREGULAR_GERUND:
        return _IRREGULAR_GERUND[verb]
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + "ing"


_SWAPS: Final = {
    "left": "right", "right": "left", "leftward": "rightward", "rightward": "leftward", "leftwards": "rightwards",
    "rightwards": "leftwards", "clockwise": "counterclockwise", "counterclockwise": "clockwise",
    "anticlockwise": "clockwise", "counter-clockwise": "clockwise", "anti-clockwise": "clockwise", "lefthand": "righthand",
    "righthand": "lefthand", "left-hand": "right-hand", "right-hand": "left-hand", "lefts": "rights", "rights": "lefts",
}  # fmt: skip
# "Right" that is no side: "right away", "right in front", "all right", "right angle".
_NOT_A_SIDE: Final = re.compile(
    r"\bright (?:away|angle|before|after|behind|in front|next to|now|back)\b|\b(?:all|just|is) right\b(?! (?:hand|arm|leg|foot))",
    re.IGNORECASE,
)
_WORD: Final = re.compile(
    r"\b(?:counter-?|anti-?)?clockwise\b|\b(?:left|right)(?:-?hand|wards?|s)?\b", re.IGNORECASE
)


def swap_sides(text: str) -> str:
    """The sentence about the mirrored movement: left and right, clockwise and counterclockwise change places."""
    kept = [found.span() for found in _NOT_A_SIDE.finditer(text)]

    def swapped(found: re.Match[str]) -> str:
        if any(start <= found.start() and found.end() <= stop for start, stop in kept):
            return found[0]
        other = _SWAPS.get(found[0].lower(), found[0])
        return other.capitalize() if found[0][0].isupper() else other

    return _WORD.sub(swapped, text)

"""Clips said one after the other: how the planner meets more sequences of actions, and longer ones, than were recorded.

Only the words and the tokens are joined. That the body comes smoothly from one to the next is the decoder's work, which
sees the frames before.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

_SUBJECT: Final = re.compile(
    r"^(?:the |a |an |some)?(?:\w+ )??(?:person|man|woman|figure|human|body|one|subject|individual|he|she|they|guy)\s+"
    r"(?=(?:is |are )?\w+(?:s|es|ing)\b)",
    re.IGNORECASE,
)
STILL: Final = "Stand still."
_TRAVEL: Final = re.compile(r"^(?P<way>(?:Walk|Run) [a-z ]+?) (?P<metres>[\d.]+) m (?P<pace>[a-z ]+)\.$")


def chain_captions(first: str, second: str, rng: np.random.Generator) -> str:
    """One caption for ``first`` and then ``second``; the second's subject is left out or becomes a pronoun."""
    first, second = first.strip().rstrip("."), second.strip().rstrip(".")
    subject = _SUBJECT.match(second)
    if subject:
        second = second[subject.end() :]
        if second.startswith(("is ", "are ")):
            second = second.split(" ", 1)[1] if rng.random() < 0.3 else f"they {second}"
        elif rng.random() < 0.3:
            second = f"{('he', 'she', 'the person')[rng.integers(3)]} {second}"
    else:
        second = _lower(second)
    if rng.random() < 0.2:
        return f"first {_lower(first)}, {('then', 'afterwards', 'after that')[rng.integers(3)]} {second}"
    return (
        first
        + (", then ", " and then ", ", and after that ", ". Then ", ", afterwards ")[rng.integers(5)]
        + second
    )


def prolonged(first: str, second: str) -> str | None:
    """The reading of a movement that goes on as ``second`` after ``first``; None when it would be another movement.

    Standing still, and travel of one kind and pace, whose metres add up.
    """
    if first == second == STILL:
        return STILL
    a, b = _TRAVEL.match(first), _TRAVEL.match(second)
    if not a or not b or a["way"] != b["way"] or a["pace"] != b["pace"]:
        return None
    return f"{a['way']} {float(a['metres']) + float(b['metres']):g} m {a['pace']}."


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

"""What the planner is taught to think: a clip's reading, and how often clips of one kind are drawn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_TOPIC: Final = re.compile(r"^[A-Z][^:.]*: ")
_COMMON: Final = 0.1  # share of the clips that say a word, above which it is not rare
_FEWEST: Final = 20  # a word of fewer clips belongs to one odd take


def thought_of(reading: str) -> str:
    """A reading without the recording session's topic ("Salsa dance: ..."), which would bring that take to mind."""
    plain = _TOPIC.sub("", reading)
    return plain[:1].upper() + plain[1:]


def rarity(readings: Sequence[str]) -> NDArray[np.float64]:
    """Weight of each clip: more for what few clips do, less for one that does many things.

    The rarest word counts with the square root of its rarity, so that kicks and punches are learned beside walking
    without being seen ten times as often; a clip of several actions says less about the words of its caption.
    """
    spoken = [set(re.findall(r"[a-z]+", thought_of(reading).lower())) for reading in readings]
    counts = Counter(word for words in spoken for word in words)
    rarest = [min((c for w in words if (c := counts[w]) >= _FEWEST), default=_FEWEST) for words in spoken]
    beats = [1 + len(re.findall(r"[,.] |\band\b", thought_of(reading))) for reading in readings]
    rare = np.sqrt(np.maximum(1.0, _COMMON * len(readings) / np.array(rarest, np.float64)))
    return np.asarray(rare / np.sqrt(np.array(beats, np.float64)))

"""Made-up clips that hide a number each, and an evaluator that can read it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from kinesphere.representations import hml263
from kinesphere.skeleton import SMPL22, FloatArray

UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TENS = ("", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def spelled(number: int) -> str:
    """0 to 99 in words, each another."""
    tens, units = divmod(number, 10)
    return " ".join(filter(None, (TENS[tens], UNITS[units])))


def standing(frames: int, number: int) -> FloatArray:
    """A person standing, [frames,263]; the number hides in the root height, a tenth of a millimetre each."""
    features = np.repeat(_pose(), frames, axis=0)
    features[:, hml263.LAYOUT["root_height"]] = 0.9 + 1e-4 * number
    return features


@cache
def _pose() -> FloatArray:
    positions = np.repeat(SMPL22.rest_positions()[None], 3, axis=0).astype(np.float64)
    positions[..., 1] -= positions[..., 1].min()
    return hml263.encode(positions, retarget=False)[:1].astype(np.float32)


def number_of(features: FloatArray) -> int:
    return round((float(features[0, hml263.LAYOUT["root_height"]][0]) - 0.9) / 1e-4)


class Counting:
    """Evaluator: the sentence "number n" and the motion that hides n are the same point, others far away."""

    name = "counting"

    def __init__(self, width: int = 96) -> None:
        self.points = np.random.default_rng(5).normal(size=(width, 24)).astype(np.float32)

    def texts(self, texts: Sequence[str]) -> FloatArray:
        known = {spelled(n): n for n in range(len(self.points))}
        return self.points[[known[text.split(" of ")[0].removeprefix("number ")] for text in texts]]

    def motions(self, motions: Sequence[FloatArray]) -> FloatArray:
        return self.points[[number_of(motion) for motion in motions]]

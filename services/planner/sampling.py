"""Choosing a token from logits: temperature, nucleus, and a seed of the request's own."""

from __future__ import annotations

import numpy as np

from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray
from services.planner.vocabulary import IdArray


class Sampler:
    """One request's random choices. Others in the batch do not move its generator, so a seed gives the same plan.

    temperature: 0 (the likeliest token) to 2. top_p: above 0 to 1, nucleus sampling (Holtzman et al. 2020). seed: any
    non-negative numbers. Raises InputError.
    """

    def __init__(self, *, temperature: float = 1.0, top_p: float = 1.0, seed: tuple[int, ...] = (0,)) -> None:
        if not 0.0 <= temperature <= 2.0:
            raise InputError("temperature", f"{temperature:g} is outside 0 to 2")
        if not 0.0 < top_p <= 1.0:
            raise InputError("top_p", f"{top_p:g} is outside 0 (not included) to 1")
        if any(number < 0 for number in seed):
            raise InputError("seed", "must be 0 or more")
        self.temperature, self.top_p = temperature, top_p
        self._random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))

    def choose(self, logits: FloatArray, allowed: IdArray, *, temperature: float | None = None) -> int:
        """A token of ``allowed`` by its logit in ``logits`` [V]. temperature: for this token alone, where given."""
        if len(allowed) == 1:
            return int(allowed[0])
        scores = logits[allowed]
        heat = self.temperature if temperature is None else temperature
        if heat == 0.0:
            return int(allowed[np.argmax(scores)])
        weights = np.exp((scores - scores.max()).astype(np.float64) / heat)
        weights /= weights.sum()
        if self.top_p < 1.0:
            # Tokens below this together weigh less than what the nucleus leaves out: they need no sorting.
            likely = np.flatnonzero(weights >= (1.0 - self.top_p) / len(weights))
            order = likely[np.argsort(-weights[likely], kind="stable")]
            # In the order of their ids: two of nearly equal weight would change places with the last bit of a logit.
            kept = np.sort(order[: int(np.searchsorted(np.cumsum(weights[order]), self.top_p)) + 1])
            allowed, weights = allowed[kept], weights[kept]
        heights = np.cumsum(weights)
        at = int(np.searchsorted(heights, self._random.random() * heights[-1], side="right"))
        return int(allowed[min(at, len(allowed) - 1)])

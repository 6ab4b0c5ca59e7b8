"""Figures of one row of the reaction tables: of motion, of answers, and of what the evaluator makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.evaluation.answers import DETECTORS, Answer, answer
from kinesphere.evaluation.reacting import Trial, joints_of
from kinesphere.metrics import physics
from kinesphere.metrics import reaction as measures
from kinesphere.metrics.t2m import fid, retrieval
from kinesphere.representations.primitive276 import FUTURE, HISTORY
from kinesphere.skeleton import FloatArray

POOL: Final = 32
_SHARED: Final = ("fid", "r_precision_3", "mm_dist")
_MOVING: Final = ("skating", "jerk", "jerk_borders", "jerk_inside", "latency")
PAIRS: Final = (
    *_SHARED, "accuracy", "delay", "early", "facing", "distance", "overlap", "overlap_mm", *_MOVING,
)  # fmt: skip
SCENES: Final = (*_SHARED, "goal_distance", "reached", "collision", "collision_mm", "contact", *_MOVING)
# Situations in which the agent is to face its partner: all the time, or at the end.
FACING: Final = frozenset({"wave_back", "bow_back", "greet", "mirror", "step_away", "meet"})
FACING_AT_END: Final = frozenset({"turn_to_face"})
_END: Final = 20  # frames
_REACHED: Final = 0.5  # metres


def pools_of(texts: list[str], rng: np.random.Generator) -> list[list[int]]:
    """Indices in pools of 32, of which no two have the same text; those that fill no whole pool are left out."""
    left = [int(index) for index in rng.permutation(len(texts))]
    pools: list[list[int]] = []
    while len(left) >= POOL:
        # The most frequent texts first: otherwise they are what is left over, and fill no pool.
        often = {text: sum(texts[index] == text for index in left) for text in {texts[i] for i in left}}
        pool: dict[str, int] = {}
        for index in sorted(left, key=lambda index: -often[texts[index]]):
            if len(pool) < POOL:
                pool.setdefault(texts[index], index)
        if len(pool) < POOL:
            break
        pools.append(list(pool.values()))
        left = [index for index in left if index not in set(pools[-1])]
    return pools


def embedded_scores(
    text: NDArray[np.floating],
    motion: NDArray[np.floating],
    real: NDArray[np.floating],
    pools: list[list[int]],
) -> dict[str, float]:
    found = {"mm_dist": float(np.linalg.norm(text - motion, axis=1).mean())}
    if len(motion) >= 2:
        found["fid"] = fid(real, motion)
    if pools:
        order = [index for pool in pools for index in pool]
        found["r_precision_3"] = retrieval(text[order], motion[order], POOL, 3)[0][2]
    return found


def scores(
    row: str,
    trials: Sequence[Trial],
    joints: Sequence[FloatArray],
    answers: dict[str, dict[str, list[Answer]]] | None,
) -> dict[str, float]:
    """Means over the reactions; of delays the median. Left out is what none of them says anything about."""
    found: dict[str, list[float]] = {}
    given: list[Answer] = []
    for each, body in zip(trials, joints, strict=True):
        for metric, value in (_pair if each.partner is not None else _scene)(each, body).items():
            found.setdefault(metric, []).append(value)
        situation = each.item.situation
        if answers is None or each.partner is None or each.onset is None or situation not in DETECTORS:
            continue
        if (one := answer(situation, body, each.partner, each.onset)) is not None:
            given.append(one)
            answers.setdefault(situation, {}).setdefault(row, []).append(one)
    return {metric: float(np.mean(values)) for metric, values in found.items()} | summary(given)


def summary(answers: Sequence[Answer]) -> dict[str, float]:
    """accuracy and early, 0..1, and the median delay in ms; what there is no answer for is left out."""
    if not answers:
        return {}
    found = {
        "accuracy": float(np.mean([one.given for one in answers])),
        "early": float(np.mean([one.early for one in answers])),
    }
    delays = [one.delay for one in answers if one.delay is not None]
    return found | ({"delay": float(np.median(delays))} if delays else {})


def _moving(body: FloatArray) -> dict[str, float]:
    across, inside = measures.jerk_at(body, range(HISTORY, len(body), FUTURE))
    return {
        "skating": physics.skating_ratio(body),
        "jerk": float(physics.jerk(body, 20.0).mean()),
        "jerk_borders": across,
        "jerk_inside": inside,
    }


def _pair(each: Trial, body: FloatArray) -> dict[str, float]:
    assert each.partner is not None
    share, depth = measures.overlap(body, each.partner)
    found = {
        "distance": measures.distance_error(body, joints_of(each.rows), each.partner),
        "overlap": share,
        "overlap_mm": depth,
        **_moving(body),
    }
    if each.item.situation in FACING | FACING_AT_END:
        error = measures.facing_error(body, each.partner)
        found["facing"] = float(error[-_END if each.item.situation in FACING_AT_END else 0 :].mean())
    return found


def _scene(each: Trial, body: FloatArray) -> dict[str, float]:
    found = _moving(body)
    if each.scene is not None:
        found["collision"], found["collision_mm"] = measures.collision(body, each.scene)
        found["contact"] = measures.foot_contact(body, each.scene)
    if each.item.goal is not None:
        found["goal_distance"] = measures.goal_distance(body, each.item.goal)
        found["reached"] = float(found["goal_distance"] <= _REACHED)
    return found

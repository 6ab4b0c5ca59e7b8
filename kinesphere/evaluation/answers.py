"""Whether a body answers its partner, from geometry alone: one detector for each situation that has a definite answer.

A detector says at which frames of a reaction the answer is to be seen. It knows both bodies' joints and where the agent
was at frame ``since``, nothing of texts or takes. Thresholds lie between what real agents do and what a body does that
just stands (tests hold both).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, label
from scipy.signal import find_peaks

from kinesphere.datasets.reactions.strips import Refused
from kinesphere.datasets.reactions.travels import pointing
from kinesphere.datasets.windows import FPS
from kinesphere.evaluation.measures import SIDES, Measures, Side, other
from kinesphere.metrics.reaction import facing_error
from kinesphere.skeleton import FloatArray

Mask = NDArray[np.bool_]
Curve = NDArray[np.float64]
# Agent [T,22,3], partner [T,22,3], since -> [T].
Detector = Callable[[FloatArray, FloatArray, int], Mask]

_LIFTED: Final = (
    -0.25
)  # metres of a wrist above the shoulders: hands hang at -0.5, and some wave at the chest
_UP: Final = -0.15
_LONG: Final = round(0.25 * FPS)  # frames for which a hand is up, at least
_LIFTING: Final = round(0.3 * FPS)
_SWING, _SMALL_SWING = 0.03, 0.012  # metres to and fro
_BOW: Final = 12.0  # degrees that the trunk leans farther than before
_TURNED: Final = 45.0  # degrees
_STEP: Final = 0.3  # metres
_WAY: Final = 45.0  # degrees between the way shown and the way taken


def waving(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A hand is up and swings: twice to and fro, or four times in small (some wave from the wrist)."""
    del partner, since
    found = np.zeros(len(agent), dtype=bool)
    measured = Measures(agent, FPS)
    for side in SIDES:
        for start, stop in _stretches(measured.raised(side, _LIFTED)):
            # Less its ends, where the arm comes up and goes down: that is no swing.
            held = slice(start + _LIFTING * (start > 0), stop - _LIFTING * (stop < len(agent)))
            hand = measured.hand(side)[held]
            if _swings(hand, _SWING) >= 4 or _swings(hand, _SMALL_SWING) >= 8:
                found[start:stop] = True
    return found


def raising(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A hand is up."""
    del partner, since
    return _raised(agent, "left") | _raised(agent, "right")


def mirroring(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """The hand is up that is on the same side of the room as the one that the partner lifts; both, if both are."""
    del since
    found = np.ones(len(agent), dtype=bool)
    shown: list[Side] = [side for side in SIDES if _raised(partner, side).any()]
    for side in shown:
        found &= _raised(agent, other(side))
    return found if shown else np.zeros(len(agent), dtype=bool)


def bowing(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """The trunk leans farther forward than it did."""
    del partner
    lean = gaussian_filter1d(Measures(agent, FPS).lean, 0.1 * FPS, mode="nearest")
    return np.asarray(lean - lean[: since + 1].min() > _BOW)


def turned_to(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """The partner is in front."""
    del since
    return facing_error(agent, partner) < _TURNED


def stepped_back(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """Farther from where the partner was, by a step."""
    ahead, _ = _moved(agent, _towards(agent, partner, since), since)
    return ahead < -_STEP


def out_of_reach(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A step away from its place, to the back or to a side, not to the partner."""
    ahead, aside = _moved(agent, _towards(agent, partner, since), since)
    return np.asarray((np.hypot(ahead, aside) > _STEP) & (ahead < 0.5 * np.hypot(ahead, aside)))


def off_the_path(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A step farther than before from the line that the partner walks, which has not come past yet."""
    along = _walked(partner, since)
    if along is None:
        return np.zeros(len(agent), dtype=bool)
    apart = _ground(agent) - _ground(partner)
    away = np.abs((_ground(agent) - _ground(partner)[since]) @ np.array([-along[1], along[0]]))
    return np.asarray((away - away[since] > _STEP) & (apart @ along > 0.0))


def met(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A step towards where the partner was."""
    ahead, _ = _moved(agent, _towards(agent, partner, since), since)
    return ahead > _STEP


def went_as_shown(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A step or more, in the direction of the partner's outstretched arm."""
    try:
        shown = pointing(partner[since:])
    except Refused:  # no arm points anywhere
        return np.zeros(len(agent), dtype=bool)
    ahead, aside = _moved(agent, np.array([np.sin(shown), np.cos(shown)]), since)
    near = np.degrees(np.arctan2(np.abs(aside), ahead)) < _WAY
    return np.asarray(near & (np.hypot(ahead, aside) > _STEP))


def walked_along(agent: FloatArray, partner: FloatArray, since: int) -> Mask:
    """A step the way that the partner walks."""
    along = _walked(partner, since)
    if along is None:
        return np.zeros(len(agent), dtype=bool)
    ahead, _ = _moved(agent, along, since)
    return ahead > _STEP


DETECTORS: Final[dict[str, Detector]] = {
    "wave_back": waving,
    "bow_back": bowing,
    "greet": raising,
    "mirror": mirroring,
    "turn_to_face": turned_to,
    "step_away": stepped_back,
    "step_aside": off_the_path,
    "meet": met,
    "back_off": out_of_reach,
    "follow_guide": went_as_shown,
    "join_in": walked_along,
}


@dataclass(frozen=True)
class Answer:
    """Whether the agent answers, and not before it is asked to; how soon after the cue, ms (None without an answer);
    early: the answer is to be seen before the cue."""

    given: bool
    delay: float | None
    early: bool


def answer(situation: str, agent: FloatArray, partner: FloatArray, onset: int) -> Answer | None:
    """How the agent answers the cue that its partner begins at frame ``onset``; [T,22,3] each, 20 frames a second.

    None for a situation without a definite answer. What is to be seen before the cue is no answer to it.
    """
    detector = DETECTORS.get(situation)
    if detector is None:
        return None
    early = bool(detector(agent, partner, 0)[:onset].any())
    after = np.flatnonzero(detector(agent, partner, onset)[onset:])
    given = bool(len(after)) and not early
    return Answer(given, 1000.0 * float(after[0]) / FPS if given else None, early)


def _ground(joints: FloatArray) -> Curve:
    """[T,2] x and z of the pelvis."""
    return joints[:, 0][:, [0, 2]].astype(np.float64)


def _walked(body: FloatArray, since: int) -> Curve | None:
    """[2] unit direction over the floor from where a body is at frame ``since`` to its end; None where it stays."""
    way = _ground(body)[-1] - _ground(body)[since]
    length = float(np.linalg.norm(way))
    return np.asarray(way / length) if length > _STEP else None


def _towards(agent: FloatArray, partner: FloatArray, at: int) -> Curve:
    """[2] unit direction over the floor from the agent to its partner at frame ``at``."""
    away = _ground(partner)[at] - _ground(agent)[at]
    return np.asarray(away / max(float(np.linalg.norm(away)), 1e-6))


def _moved(agent: FloatArray, along: Curve, since: int) -> tuple[Curve, Curve]:
    """[T] twice: metres from the place at ``since``, along the unit direction [2] and across it."""
    path = _ground(agent)
    away = path - path[since]
    return away @ along, away @ np.array([-along[1], along[0]])


def _raised(joints: FloatArray, side: Side) -> Mask:
    found = np.zeros(len(joints), dtype=bool)
    for start, stop in _stretches(Measures(joints, FPS).raised(side, _UP)):
        found[start:stop] = True
    return found


def _stretches(mask: Mask) -> list[tuple[int, int]]:
    """[start, stop) of every run of at least ``_LONG`` frames."""
    numbered, count = label(mask)
    runs = [np.flatnonzero(numbered == number) for number in range(1, count + 1)]
    return [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run) >= _LONG]


def _swings(hand: Curve, least: float) -> int:
    """How often the hand [T,3] changes direction by at least ``least`` metres, along the line that it swings on."""
    if len(hand) < 3:
        return 0
    quick = hand - gaussian_filter1d(hand, 0.4 * FPS, axis=0, mode="nearest")
    _, _, axes = np.linalg.svd(quick, full_matrices=False)
    swing = quick @ axes[0]
    return sum(len(find_peaks(curve, prominence=least)[0]) for curve in (swing, -swing))

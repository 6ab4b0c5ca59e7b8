"""Predicates on ``Measures``: what must be true of the joints for a sentence to hold.

Thresholds lie between what recorded people do when asked for the movement and what they do when asked for another
(tests hold both rates); sides, directions and order are always part of a check.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter1d

from kinesphere.evaluation.measures import SIDES, Measures, Side, other
from kinesphere.skeleton import JOINT_INDEX

Check = Callable[[Measures], bool]

# Metres of the wrist against the shoulders: hands hang at -0.5, so a hand above the first is up, below the second not.
_UP, _NOT_UP = -0.08, -0.15


def all_of(*checks: Check) -> Check:
    return lambda m: all(check(m) for check in checks)


def any_of(*checks: Check) -> Check:
    return lambda m: any(check(m) for check in checks)


def _held(m: Measures, side: Side, share: float = 0.9) -> float:
    """The level that the hand is above for (1 - share) of the time."""
    return float(np.quantile(m.hand_level(side), share))


def _long_up(m: Measures, side: Side, level: float = _UP) -> bool:
    """The hand is above ``level`` for at least 0.3 s."""
    return int(m.raised(side, level).sum()) >= 0.3 * m.fps


def stays(m: Measures) -> bool:
    """Goes nowhere: less than a step or two over the floor, all in all, and no net travel."""
    return m.path() < 1.5 and float(np.hypot(m.ahead(), m.leftward())) < 0.8


def raises(side: Side, above: float = _UP) -> Check:
    """That hand up and the other one not."""
    return lambda m: _long_up(m, side, above) and _held(m, other(side)) < _NOT_UP and stays(m)


def raises_both(above: float = _UP) -> Check:
    """Both up at the same time."""

    def check(m: Measures) -> bool:
        together = m.raised("left", above) & m.raised("right", above)
        return int(together.sum()) >= 0.3 * m.fps and stays(m)

    return check


def lowers(side: Side) -> Check:
    """A hand that was up ends well below its height."""

    def check(m: Measures) -> bool:
        level = m.hand_level(side)
        return bool(level.max() > _UP and level[-3:].mean() < level.max() - 0.3)

    return check


def _waving(m: Measures, side: Side) -> bool:
    """Twice to and fro, or five times in small (some wave from the wrist, which moves it by 2 cm)."""
    return m.swings(side) >= 4 or m.swings(side, 0.012) >= 10


def waves(side: Side) -> Check:
    """The lifted hand swings to and fro; the other hand is not up."""
    return lambda m: (
        _waving(m, side) and _long_up(m, side, -0.2) and _held(m, other(side)) < _NOT_UP and stays(m)
    )


def waves_both(m: Measures) -> bool:
    up = m.raised("left", -0.2) & m.raised("right", -0.2)
    return all(_waving(m, side) for side in SIDES) and int(up.sum()) >= 0.5 * m.fps and stays(m)


def hands_down(m: Measures) -> bool:
    return max(_held(m, side) for side in SIDES) < _UP


def walks_forward(least: float = 0.8) -> Check:
    """Ahead by ``least`` metres or more, straight, at a walk's speed."""

    def check(m: Measures) -> bool:
        return (
            m.ahead() > least and abs(m.leftward()) < 0.4 * m.ahead() and abs(m.turned) < 45 and m.pace < 1.8
        )

    return check


def walks_backward(m: Measures) -> bool:
    return m.ahead() < -0.7 and abs(m.leftward()) < 0.6 * -m.ahead() and abs(m.turned) < 60


def walks_sideways(side: Side) -> Check:
    """To that side, at an angle of more than 20 degrees to straight ahead (recorded people step diagonally)."""
    sign = 1 if side == "left" else -1
    return lambda m: (
        sign * m.leftward() > 0.6 and sign * m.leftward() > 0.36 * abs(m.ahead()) and abs(m.turned) < 60
    )


def runs(m: Measures) -> bool:
    return m.ahead() > 1.5 and m.pace > 1.7 and abs(m.turned) < 60


def walks(m: Measures) -> bool:
    """On the move at a walk's speed, whatever the direction."""
    return m.path() > 0.8 and 0.3 < m.pace < 1.8


def pace_between(low: float, high: float) -> Check:
    return lambda m: low < m.pace < high


def turns(side: Side, least: float = 40, most: float = 160) -> Check:
    """Ends facing that side, by ``least`` to ``most`` degrees."""
    sign = 1 if side == "left" else -1
    return lambda m: least < sign * m.turned < most


def turns_around(m: Measures) -> bool:
    return 120 < abs(m.turned) < 260


def circles(m: Measures) -> bool:
    """Round by at least three quarters of a circle while travelling, in one sense."""
    steps = np.diff(gaussian_filter1d(m.heading, 0.3 * m.fps))
    one_way = abs(steps.sum()) / max(np.abs(steps).sum(), 1e-6)
    return bool(abs(m.turned) > 240 and one_way > 0.8 and m.path() > 1.5)


def walks_then_turns(side: Side) -> Check:
    """At least half a metre ahead before the turn is half done, and the turn not at once."""
    sign = 1 if side == "left" else -1

    def check(m: Measures) -> bool:
        when = m.turn_time(60.0 * sign)
        if when is None or not 40 < sign * m.turned < 160:
            return False
        return when > 0.2 and m.ahead(0, int(when * len(m.heading))) > 0.5

    return check


def bows(m: Measures) -> bool:
    """The trunk goes forward by 18 degrees or more on straight legs, in place."""
    lean = gaussian_filter1d(m.lean, 0.1 * m.fps)
    return bool(
        lean.max() - np.quantile(lean, 0.15) > 18 and lean.max() > 18 and stays(m) and m.lowest > 0.82
    ) and (hands_down(m))


def straightens(m: Measures) -> bool:
    """Ends upright after having leant."""
    lean = gaussian_filter1d(m.lean, 0.1 * m.fps)
    return bool(lean[-3:].mean() < lean.max() - 12)


def kicks(side: Side | None = None) -> Check:
    """A stretched leg, its ankle above 0.33 m; with a side, that leg higher than the other."""

    def check(m: Measures) -> bool:
        heights = {name: m.kick(name) for name in SIDES}
        if side is None:
            return max(heights.values()) > 0.33
        return heights[side] > 0.33 and heights[side] > heights[other(side)]

    return check


def punches(side: Side | None = None) -> Check:
    """A fist driven forward at chest height: the arm stretches faster than 1.5 m/s to over 3/4 of its length."""

    def check(m: Measures) -> bool:
        if m.path() > 3.0:
            return False
        thrusts = {name: m.thrust(name) for name in SIDES}
        hit = {name: speed > 1.5 and reach > 0.75 for name, (speed, reach) in thrusts.items()}
        return (
            any(hit.values())
            if side is None
            else hit[side] and thrusts[side][0] >= 0.8 * thrusts[other(side)][0]
        )

    return check


def jumps(m: Measures) -> bool:
    """Both feet 10 cm or more off the floor at once, the pelvis above its usual height and that of straight legs."""
    height = m.body[:, 0, 1]
    return bool(m.flights() > 0 and height.max() > max(np.median(height) + 0.08, m.standing))


def crouches(m: Measures) -> bool:
    return m.lowest < 0.8


def reaches_floor(m: Measures) -> bool:
    """A hand comes below the knees' standing height."""
    return bool(min(m.body[:, JOINT_INDEX[f"{side}_wrist"], 1].min() for side in SIDES) < 0.5)


def still(m: Measures) -> bool:
    """No travel, little stir, hands down, upright, no hop, no leg lifted."""
    pelvis = m.body[:, 0, 1]
    ankles = m.body[:, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]], 1]
    quiet = (
        m.path() < 0.6
        and m.stir < 0.2
        and float(np.ptp(pelvis)) < 0.12
        and float(np.ptp(ankles, axis=0).max()) < 0.2
    )
    return (
        quiet
        and hands_down(m)
        and float(np.ptp(m.lean)) < 18
        and float(m.lean.max()) < 25
        and abs(m.turned) < 30
    )


def stops(m: Measures) -> bool:
    """Was on the move and stands at the end."""
    return bool(m.speed.max() > 0.5 and m.speed[-max(3, round(0.3 * m.fps)) :].mean() < 0.3)


def starts(m: Measures) -> bool:
    """Stands at first and is on the move later."""
    return bool(m.speed[: max(3, round(0.3 * m.fps))].mean() < 0.35 and m.speed.max() > 0.5)


def first(check: Check, then: Check, *, at: float = 0.5) -> Check:
    """``check`` holds of the first part of the clip and ``then`` of the rest, for some border within ``at`` +- 0.2."""

    def both(m: Measures) -> bool:
        frames = len(m.joints)
        for share in (at, at - 0.1, at + 0.1, at - 0.2, at + 0.2):
            border = int(share * frames)
            if min(border, frames - border) < 8:
                continue
            if check(Measures(m.joints[:border], m.fps)) and then(Measures(m.joints[border:], m.fps)):
                return True
        return False

    return both

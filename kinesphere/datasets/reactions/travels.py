"""Situations in which somebody walks: towards the agent, away from it, ahead of it or beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinesphere.datasets.reactions.bodies import clearance
from kinesphere.datasets.reactions.cast import MOST, Cast, Composed, place_by, put
from kinesphere.datasets.reactions.library import Entry
from kinesphere.datasets.reactions.steps import JOIN, come_to_rest, set_off, step_turn
from kinesphere.datasets.reactions.strips import Refused, Strip, held, then
from kinesphere.datasets.windows import FPS
from kinesphere.skeleton import FloatArray

_UNTHREATENED = 0.15  # metres: nearer than this nobody stands calmly to somebody ready to fight
_ARMS = ((20, 16), (21, 17))  # wrist, shoulder: left, right
_PIVOT = np.radians(45)  # what the first stride alone may turn


def step_away(cast: Cast) -> Composed:
    """The partner walks up too close; the agent steps back and keeps its distance."""
    walk = cast.pick("walk", lambda entry: entry.speed < 1.5)
    onset = cast.frames(0.7, 2.0)
    more, back = cast.between(0.3, 1.2), cast.between(0.5, 1.6)
    answer = onset + cast.frames(0.2, 0.7)
    retreat = cast.pick("walk-back")
    mine = walk_and_stop(cast, retreat, answer, 0.0, back, pace=0.5)
    total = min(MOST, mine.frames + cast.frames(0.5, 1.2))
    theirs = cast.walking_up(_later(cast, walk, onset + 40), onset + round(more / walk.speed * FPS), total)
    placed = _coming(cast, theirs, cast.prolonged(mine, total), onset, cast.between(1.5, 2.3))
    words = (
        "[step] back",
        "[step] back from the other person",
        "[back] away as the other person comes closer",
        "[move] backwards to keep some distance",
        "[take] a few steps back",
    )
    return Composed(cast.prolonged(mine, total), placed, onset, answer, words, (retreat.take, walk.take))


def step_aside(cast: Cast) -> Composed:
    """The partner walks straight at the agent and on; the agent gets out of the way."""
    walk = cast.pick("walk", lambda entry: entry.speed < 1.7)
    onset = cast.frames(0.4, 1.2)
    answer = onset + cast.frames(0.1, 0.5)
    own = cast.pick("walk")
    angle = cast.either() * np.radians(cast.between(60, 100))
    mine = walk_and_stop(cast, own, answer, float(angle), cast.between(0.6, 1.3), pace=0.6)
    total = min(MOST, max(mine.frames + 10, onset + 60))
    theirs = _later(cast, walk, total).piece
    total = min(total, theirs.frames)
    if total < mine.frames:
        raise Refused("the walk is too short")
    placed = _coming(cast, theirs.cut(0, total), mine.cut(0, 1), 0, 2.6 + walk.speed * onset / FPS, aim=3)
    side = "left" if angle > 0 else "right"
    words = (
        f"[step] aside to the {side}",
        f"[make] way for the other person on the {side}",
        f"[get] out of the other person's way, to the {side}",
        "[let] the other person pass",
        f"[dodge] to the {side} to let someone through",
    )
    return Composed(cast.prolonged(mine, total), placed, onset, answer, words, (own.take, walk.take))


def meet(cast: Cast) -> Composed:
    """The partner walks up; the agent walks to meet it, and both stop in front of each other."""
    walk, own = cast.pick("walk"), cast.pick("walk")
    onset = cast.frames(0.5, 1.5)
    answer = onset + cast.frames(0.3, 0.9)
    theirs_more, mine_more = cast.between(1.0, 2.6), cast.between(0.8, 2.4)
    mine = walk_and_stop(cast, own, answer, np.radians(cast.between(-10, 10)), mine_more)
    until = onset + round(theirs_more / walk.speed * FPS)
    total = min(MOST, max(mine.frames, until + 2 * JOIN) + cast.frames(0.4, 1.2))
    theirs = cast.walking_up(_later(cast, walk, until + 40), until, total)
    apart = _travelled(theirs, onset, total) + _travelled(mine, answer, mine.frames) + cast.between(0.9, 1.4)
    placed = _coming(cast, theirs, cast.prolonged(mine, total), onset, apart, aim=4)
    words = (
        "[walk] up to the other person",
        "[go] to meet the other person",
        "[walk] towards the other person and [stop] in front of them",
        "[approach] the other person",
        "[meet] the other person halfway",
    )
    return Composed(cast.prolonged(mine, total), placed, onset, answer, words, (own.take, walk.take))


def back_off(cast: Cast) -> Composed:
    """The partner punches or kicks; the agent backs off, or gets away to the side."""
    kind = ("punch", "kick")[int(cast.chance.random() < 0.4)]
    attack = cast.pick(kind)
    lead = max(0, 16 - attack.cue[0])
    onset = attack.cue[0] + lead
    answer = onset + cast.frames(0.05, 0.3)
    aside = cast.chance.random() < 0.3
    own = cast.pick("walk" if aside else "walk-back")
    angle = float(cast.either() * np.radians(cast.between(70, 120))) if aside else 0.0
    mine = walk_and_stop(cast, own, answer, angle, cast.between(0.5, 1.6), pace=0.9)
    total = min(MOST, max(mine.frames, lead + attack.piece.frames, 80) + cast.frames(0.2, 0.8))
    fighter = attack.piece
    if lead:
        fighter = then(held(fighter, 0, lead, cast.sway(lead), before=True), fighter)
    fighter = cast.prolonged(fighter, total)
    reach = cast.between(1.1, 1.7)
    mine = cast.prolonged(mine, total)
    heading = mine.heading(0)
    placed = put(fighter, onset, heading + np.pi, place_by(mine, 0, reach, heading))
    if clearance(mine.motion.positions[:onset], placed.motion.positions[:onset]).min() < _UNTHREATENED:
        raise Refused("too near before the attack")
    side = "left" if angle > 0 else "right"
    words = (
        f"[dodge] the {kind} to the {side}" if aside else f"[back] off from the {kind}",
        f"[avoid] the {kind}",
        f"[get] away from the {kind} to the {side}" if aside else f"[jump] back to avoid the {kind}",
        "[dodge] the attack",
        f"[evade] the other person's {kind}" + (f" by moving {side}" if aside else " by stepping back"),
    )
    return Composed(mine, placed, onset, answer, words, (own.take, attack.take))


def follow_guide(cast: Cast) -> Composed:
    """The partner, beside the agent, shows the way with an arm; the agent goes where it points."""
    guide = cast.pick("guide", lambda entry: entry.rests[0])
    theirs, onset, ends = cast.performing(guide, cast.frames(0.5, 1.2))
    answer = onset + cast.frames(0.7, 1.6)
    angle = np.radians(cast.between(-75, 75))
    own = cast.pick("walk")
    mine = walk_and_stop(cast, own, answer, angle, cast.between(1.2, 3.0))
    total = min(MOST, mine.frames + cast.frames(0.4, 1.0))
    mine, theirs = cast.prolonged(mine, total), cast.prolonged(theirs, total)
    # The partner stands on the side that the agent does not go to, turned so that its arm points along the way.
    beside = -np.sign(angle) * np.radians(cast.between(35, 100))
    place = place_by(mine, 0, cast.between(0.9, 1.6), mine.heading(0) + beside)
    placed = put(theirs, 0, mine.heading(0) + angle - pointing(theirs.motion.positions[onset:ends]), place)
    side = "left" if angle > 0 else "right"
    words = (
        "[walk] the way that the other person shows",
        f"[walk] to the {side} where the other person points"
        if abs(angle) > 0.3
        else "[walk] ahead as shown",
        "[go] where the other person guides <them>",
        "[follow] the other person's hand and [walk] on",
        "[accept] the invitation and [walk] on",
    )
    return Composed(mine, placed, onset, answer, words, (own.take, guide.take))


def pointing(positions: FloatArray) -> float:
    """Direction in which the guiding arm of a body [T,22,3] points, radians about Y (0 is +Z).

    Raises Refused when no arm is ever stretched out far from the body.
    """
    arms = [(positions[:, wrist] - positions[:, shoulder])[:, [0, 2]] for wrist, shoulder in _ARMS]
    reach = np.stack([np.linalg.norm(arm, axis=-1) for arm in arms])
    arm, frame = np.unravel_index(int(np.argmax(reach)), reach.shape)
    out = positions[frame, _ARMS[arm][0], 1] > positions[frame, 0, 1]
    if reach[arm, frame] < 0.35 or not out:
        raise Refused("the guide's arm does not point")
    shown = arms[arm][reach[arm] > 0.85 * reach[arm, frame]].mean(axis=0)
    return float(np.arctan2(shown[0], shown[1]))


def walk_and_stop(
    cast: Cast, walk: Entry, start: int, heading: float, metres: float, *, pace: float = 0.3
) -> Strip:
    """Somebody who stands facing +Z until frame ``start``, walks off with the body turned to ``heading`` and stops.

    More than a stride can turn is turned on the spot first.
    """
    stance = cast.stance(walk.style)
    if abs(heading) > _PIVOT:
        standing = cast.waiting(stance, start)
        turn = heading - np.sign(heading) * _PIVOT * 0.7
        standing = then(standing, step_turn(standing, float(turn)))
    else:
        # The walk blends in over the last frames of the standing.
        standing = cast.waiting(stance, start + JOIN)
    strides = int(cast.chance.integers(3))
    moving = set_off(standing, walk.piece, heading, late=strides, pace=pace)
    after = standing.frames + round(metres / max(walk.speed, 0.3) * FPS)
    return _stopping(cast, moving, walk, after)


def _stopping(cast: Cast, moving: Strip, walk: Entry, after: int) -> Strip:
    rest = cast.stance(walk.style)
    standing = held(rest.piece, 0, 3 * JOIN, cast.sway(3 * JOIN), before=False)
    return come_to_rest(moving, after, standing)


def _later(cast: Cast, walk: Entry, needed: int) -> Entry:
    """The walk from some stride on, so that not every sample begins with the same step."""
    spare = max(0, walk.piece.frames - needed - 20)
    start = int(cast.chance.integers(spare + 1))
    return replace(walk, piece=walk.piece.cut(start, walk.piece.frames))


def _travelled(piece: Strip, start: int, stop: int) -> float:
    """Metres between the pelvis' places at two frames."""
    root = piece.motion.translation[:, [0, 2]]
    return float(np.linalg.norm(root[min(stop, piece.frames) - 1] - root[start]))


def _coming(cast: Cast, theirs: Strip, mine: Strip, frame: int, distance: float, *, aim: float = 8) -> Strip:
    """A walk that goes along +Z, placed ``distance`` metres from the agent at ``frame`` and coming towards it.

    aim: degrees by which it misses the agent at most.
    """
    bearing = np.radians(cast.between(-20, 20)) if aim > 4 else np.radians(cast.between(-8, 8))
    heading = mine.heading(0) + float(bearing)
    turn = heading + np.pi + np.radians(cast.between(-aim, aim))
    return put(theirs, frame, float(turn), place_by(mine, 0, distance, heading))

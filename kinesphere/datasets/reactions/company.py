"""Situations in which both walk the same way: side by side, one behind the other, round a corner too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.reactions.cast import LEAST, MOST, Cast, Composed, place_by, put
from kinesphere.datasets.reactions.library import Entry
from kinesphere.datasets.reactions.steps import set_off
from kinesphere.datasets.reactions.strips import Refused, Strip, moved, sampled
from kinesphere.datasets.windows import FPS

Floats = NDArray[np.floating]
_COMPANY = 1.8  # metres: farther apart nobody is with the other
_TURNS = ("walk-turn-left", "walk-turn-right")


@dataclass(frozen=True, eq=False)
class Corner:
    """Where a walk turns: place [2] (x, z), the frame nearest to it, and the directions [2] before and after."""

    place: Floats
    frame: int
    before: Floats
    after: Floats


def side_by_side(cast: Cast) -> Composed:
    """Both walk beside each other, straight on or round a corner."""
    lateral = cast.either() * cast.between(0.65, 1.1)
    return _together(cast, lateral, cast.between(-0.3, 0.3), _beside(lateral))


def follow(cast: Cast) -> Composed:
    """The agent walks behind the partner, straight on or round a corner."""
    words = (
        "[follow] the other person",
        "[walk] behind the other person",
        "[follow] at a short distance",
        "[go] after the other person",
        "[walk] after the person ahead",
    )
    return _together(cast, cast.between(-0.25, 0.25), -cast.between(0.9, 1.8), words)


def join_in(cast: Cast) -> Composed:
    """The partner walks past; the agent, who stood, walks along beside or behind it."""
    walk = cast.pick("walk", lambda entry: entry.speed < 1.6)
    own = cast.pick("walk", lambda entry: 0.8 < entry.speed / max(walk.speed, 0.1) < 1.5)
    onset = cast.frames(0.8, 1.8)
    answer = onset + cast.frames(0.1, 0.5)
    lateral = cast.either() * cast.between(0.8, 1.2)
    stance = cast.stance(own.style)
    mine = set_off(
        cast.waiting(stance, answer), _paced(own, walk.speed).piece, np.radians(cast.between(-4, 4))
    )
    total = min(MOST, mine.frames, walk.piece.frames, cast.frames(5, 8))
    if total < max(LEAST, answer + 50):
        raise Refused("the walk is too short")
    # At the onset the partner is about level with the agent.
    beside = place_by(mine, 0, lateral, mine.heading(0) + np.pi / 2)
    placed = put(walk.piece.cut(0, total), onset, mine.heading(0), beside)
    mine = mine.cut(0, total)
    if np.linalg.norm(mine.motion.translation[-1] - placed.motion.translation[-1]) > _COMPANY:
        raise Refused("the two walk apart")
    side = "left" if lateral > 0 else "right"
    words = (
        "[walk] along with the other person",
        f"[join] the other person who passes on the {side}",
        "[set] off and [walk] beside the other person",
        "[accompany] the other person",
        "[start] to walk and [keep] up with the other person",
    )
    return Composed(mine, placed, onset, answer, words, (own.take, walk.take))


def _together(cast: Cast, lateral: float, ahead: float, words: tuple[str, ...]) -> Composed:
    """Two walks of one kind at the same pace, the agent ``lateral`` metres to the partner's right (negative: left) and
    ``ahead`` metres in front (negative: behind)."""
    kind = ("walk", "walk", *_TURNS)[int(cast.chance.integers(4))]
    walk = cast.pick(kind, lambda entry: entry.speed > 0.4)
    own = cast.pick(
        kind,
        lambda entry: entry.take != walk.take and 0.8 < entry.speed / max(walk.speed, 0.1) < 1.25,
    )
    own = _paced(own, walk.speed)
    theirs, mine = _corner(walk.piece, kind), _corner(own.piece, kind)
    # Both corners are rounded at the same distance: on the outside the corner itself lies farther out.
    beside = _right(theirs.before) + (_right(theirs.after) if kind in _TURNS else 0.0)
    turn = float(np.arctan2(*theirs.before) - np.arctan2(*mine.before))
    at = theirs.place + lateral * beside
    turned = put(own.piece, 0, turn, np.zeros(3))
    corner = _corner(turned, kind)
    shift = at - corner.place
    placed = moved(turned, 0.0, np.array([shift[0], 0.0, shift[1]]))
    lag = round(-ahead / max(walk.speed, 0.3) * FPS)
    # The agent is at its corner ``lag`` frames after the partner is at its own.
    first = max(0, theirs.frame - mine.frame + lag)
    partner = walk.piece.cut(first, walk.piece.frames)
    start = mine.frame - (theirs.frame - first) - lag
    if start < 0 or start >= placed.frames:
        raise Refused("the two walks do not overlap")
    agent = placed.cut(start, placed.frames)
    total = min(agent.frames, partner.frames, MOST)
    if total < LEAST:
        raise Refused("the two walks do not overlap")
    return Composed(agent.cut(0, total), partner.cut(0, total), 0, 0, words, (own.take, walk.take))


def _paced(entry: Entry, speed: float) -> Entry:
    """The walk at another speed, its stride kept and its rhythm changed."""
    share = float(np.clip(speed / max(entry.speed, 0.1), 0.8, 1.25))
    piece = sampled(entry.piece, np.arange(0, entry.piece.frames - 1, share))
    return replace(entry, piece=piece, speed=entry.speed * share)


def _corner(piece: Strip, kind: str) -> Corner:
    """The corner of a walk that turns; of a straight walk, its middle. Raises Refused if the walk does not turn."""
    path = piece.motion.translation[:, [0, 2]].astype(np.float64)
    n = min(16, len(path) // 4)
    if kind not in _TURNS:
        along = _unit(path[-1] - path[0])
        return Corner(path[len(path) // 2], len(path) // 2, along, along)
    before, after = _unit(path[n] - path[0]), _unit(path[-1] - path[-1 - n])
    across = before[0] * after[1] - before[1] * after[0]
    if abs(across) < 0.5:
        raise Refused("the walk does not turn")
    away = path[-1] - path[0]
    place = path[0] + before * (away[0] * after[1] - away[1] * after[0]) / across
    return Corner(place, int(np.argmin(np.linalg.norm(path - place, axis=-1))), before, after)


def _right(along: Floats) -> Floats:
    """[2] (x, z) to the right of a direction."""
    return np.array([-along[1], along[0]])


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def _beside(lateral: float) -> tuple[str, ...]:
    side = "right" if lateral > 0 else "left"
    return (
        "[walk] side by side with the other person",
        "[walk] beside the other person",
        f"[walk] along on the other person's {side}",
        "[accompany] the other person",
        "[keep] step beside the other person",
    )

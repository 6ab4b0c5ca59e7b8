"""Situations in which somebody who stands answers a gesture, or turns to whoever makes it."""

from __future__ import annotations

import numpy as np

from kinesphere.datasets.reactions.cast import MOST, OPPOSITE, Cast, Composed, facing_agent
from kinesphere.datasets.reactions.library import Entry
from kinesphere.datasets.reactions.steps import step_turn
from kinesphere.datasets.reactions.strips import Refused, then

_HAND = {"left": "the left hand", "right": "the right hand", "both": "both hands", "": "a hand"}
_ARM = {"left": "<their> left arm", "right": "<their> right arm", "both": "both arms", "": "an arm"}


def wave_back(cast: Cast) -> Composed:
    """The partner waves; the agent waves back."""
    partner, agent = cast.gesture("wave"), cast.gesture("wave")
    hand = _HAND[agent.side]
    words = (
        "[wave] back",
        f"[wave] back with {hand}",
        f"[return] the wave with {hand}",
        f"[answer] the wave by waving {hand}",
        "[greet] the other person by waving back",
        f"[wave] to the other person with {hand}",
    )
    return _answered(cast, partner, agent, words, distance=(1.4, 5.0), bearing=25, delay=(0.3, 1.2))


def bow_back(cast: Cast) -> Composed:
    """The partner bows; the agent bows back."""
    words = (
        "[bow] back",
        "[return] the bow",
        "[bow] to the other person in return",
        "[answer] the bow with a bow",
        "[bow] politely to the other person",
    )
    pair = cast.pick("bow", _at_ease), cast.pick("bow", _at_ease)
    return _answered(cast, *pair, words, distance=(1.5, 3.0), bearing=12, delay=(0.4, 1.4))


def greet(cast: Cast) -> Composed:
    """The partner raises a hand or calls; the agent raises a hand in answer."""
    called = cast.chance.random() < 0.1
    try:
        partner = cast.gesture("call" if called else "raise")
    except Refused:
        partner = cast.gesture("raise")
    agent = cast.gesture("raise", lambda entry: entry.side != "both")
    hand, arm = _HAND[agent.side], _ARM[agent.side]
    words = (
        f"[raise] {hand} in answer",
        f"[greet] the other person with {hand} raised",
        f"[raise] {arm} to answer the other person",
        f"[answer] by raising {hand}",
        f"[respond] to the greeting and [raise] {hand}",
    )
    return _answered(cast, partner, agent, words, distance=(1.4, 5.0), bearing=25, delay=(0.3, 1.2))


def mirror(cast: Cast) -> Composed:
    """The agent does what the partner does, as a mirror shows it: with the hand on the same side of the room."""
    content = ("wave", "raise")[int(cast.chance.integers(2))]
    partner = cast.gesture(content)
    agent = cast.gesture(
        content, lambda entry: entry.side == OPPOSITE[partner.side] and entry.take != partner.take
    )
    hand = _HAND[agent.side]
    verb = "waving" if content == "wave" else "raising"
    words = (
        "[mirror] the other person",
        f"[mirror] the other person, {verb} {hand}",
        "[copy] what the other person does, as in a mirror",
        "[imitate] the other person's movement like a mirror",
        f"[be] a mirror of the other person and [{'wave' if content == 'wave' else 'raise'}] {hand}",
    )
    return _answered(cast, partner, agent, words, distance=(1.2, 3.0), bearing=10, delay=(0.2, 0.6))


def turn_to_face(cast: Cast) -> Composed:
    """Somebody behind or beside the agent waves, raises a hand or calls; the agent turns on the spot to face them."""
    content = ("wave", "raise", "raise", "call")[int(cast.chance.integers(4))]
    try:
        partner = cast.gesture(content)
    except Refused:
        partner = cast.gesture("wave")
    lead = cast.frames(0.8, 1.8)
    theirs, onset, ends = cast.performing(partner, lead)
    angle = cast.either() * np.radians(cast.between(55, 175))
    answer = onset + cast.frames(0.3, 1.1)
    stance = cast.stance(partner.style)
    standing = cast.waiting(stance, answer)
    mine = then(standing, step_turn(standing, angle + np.radians(cast.between(-10, 10))))
    total = min(MOST, max(mine.frames + cast.frames(0.6, 1.5), min(ends, mine.frames + 40)))
    mine = cast.prolonged(mine, total)
    placed = facing_agent(cast.prolonged(theirs, total), mine, 0, cast.between(1.2, 3.5), float(angle))
    side = "left" if angle > 0 else "right"
    words = (
        "[turn] to face the other person",
        f"[turn] to the {side} to face the other person",
        f"[turn] around to the {side} to see who is there"
        if abs(angle) > 2
        else f"[turn] {side} to see who is there",
        "[face] the other person",
        f"[look] round by turning {side}",
    )
    return Composed(mine, placed, onset, answer, words, (stance.take, partner.take))


def _answered(
    cast: Cast,
    partner: Entry,
    agent: Entry,
    words: tuple[str, ...],
    *,
    distance: tuple[float, float],
    bearing: float,
    delay: tuple[float, float],
) -> Composed:
    """The partner's gesture, and after a delay the agent's; both stand before and after. bearing: degrees, at most."""
    theirs, onset, ends = cast.performing(partner, cast.frames(0.6, 1.6))
    # The agent waits until the cue is seen; a gesture's own first frames, before it shows, belong to the waiting.
    answer = onset + cast.frames(*delay)
    mine, begins, done = cast.performing(agent, max(4, answer - agent.cue[0] - 3))
    total = min(MOST, max(done, min(ends, done + 20)) + cast.frames(0.4, 1.0))
    mine, theirs = cast.prolonged(mine, total), cast.prolonged(theirs, total)
    placed = facing_agent(
        theirs,
        mine,
        0,
        cast.between(*distance),
        np.radians(cast.between(-bearing, bearing)),
        np.radians(cast.between(-12, 12)),
    )
    return Composed(mine, placed, onset, begins, words, (agent.take, partner.take))


def _at_ease(entry: Entry) -> bool:
    """Bows end with a nod that not everybody straightens from at once: it is enough to begin at ease."""
    return entry.rests[0]

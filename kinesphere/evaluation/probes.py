"""Geometric probes: sentences whose meaning reads off the joints, and the check that says whether a motion obeys.

The wordings are those of people typing a wish, not of the captions that networks are trained on (a test compares them).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinesphere.evaluation import checks as c
from kinesphere.evaluation.checks import Check


@dataclass(frozen=True)
class Probe:
    """kind: group for pass rates. seconds: the length asked for."""

    id: str
    kind: str
    text: str
    check: Check
    seconds: float = 4.8


def _probes() -> tuple[Probe, ...]:
    found: list[Probe] = []

    def add(kind: str, name: str, text: str, check: Check, seconds: float = 4.8) -> None:
        found.append(Probe(name, kind, text, check, seconds))

    stay = 4.0
    add(
        "raise",
        "raise-left",
        "Someone standing lifts just the left arm up into the air.",
        c.raises("left"),
        stay,
    )
    add(
        "raise",
        "raise-right",
        "Someone standing lifts just the right arm up into the air.",
        c.raises("right"),
        stay,
    )
    add(
        "raise",
        "ask-left",
        "The pupil wants to ask something and puts the left hand up.",
        c.raises("left"),
        stay,
    )
    add(
        "raise",
        "ask-right",
        "The pupil wants to ask something and puts the right hand up.",
        c.raises("right"),
        stay,
    )
    add("raise", "raise-both", "He throws both of his arms up toward the ceiling.", c.raises_both(), stay)
    add("raise", "surrender", "A man surrenders, with his two hands held up high.", c.raises_both(), stay)
    add(
        "raise", "left-then-down", "She raises the left arm and after that lets it fall down again.",
        c.all_of(c.raises("left"), c.lowers("left")), stay,
    )  # fmt: skip
    add(
        "raise", "right-then-down", "She raises the right arm and after that lets it fall down again.",
        c.all_of(c.raises("right"), c.lowers("right")), stay,
    )  # fmt: skip

    long = 5.6
    add(
        "wave", "wave-left", "A person is waving hello to a friend with his left hand.", c.waves("left"), long
    )
    add(
        "wave",
        "wave-right",
        "A person is waving hello to a friend with his right hand.",
        c.waves("right"),
        long,
    )
    add(
        "wave",
        "swing-left",
        "The left hand goes up and is swung from side to side many times.",
        c.waves("left"),
        long,
    )
    add(
        "wave",
        "swing-right",
        "The right hand goes up and is swung from side to side many times.",
        c.waves("right"),
        long,
    )
    add("wave", "wave-both", "Two hands in the air, the woman waves at a ship far away.", c.waves_both, long)
    add("wave", "wave-both-tired", "An old man wearily waves both of his arms.", c.waves_both, long)
    add(
        "wave",
        "farewell",
        "He says farewell, right arm raised, moving it to and fro.",
        c.waves("right"),
        long,
    )

    add("walk", "walk-forward", "A man is walking straight on.", c.walks_forward())
    add("walk", "stroll", "The woman strolls along the street in front of her.", c.walks_forward())
    add("walk", "walk-old", "A very old person makes his way ahead on foot.", c.walks_forward(0.6))
    add("walk", "walk-proud", "Head up and proud, someone marches on.", c.walks_forward())
    add("walk", "walk-back", "A person goes backwards a few steps without looking.", c.walks_backward)
    add(
        "walk",
        "retreat",
        "Frightened, he walks in reverse, away from something in front of him.",
        c.walks_backward,
    )
    add("walk", "side-left", "The person moves over to his left with side steps.", c.walks_sideways("left"))
    add(
        "walk", "side-right", "The person moves over to his right with side steps.", c.walks_sideways("right")
    )
    add("walk", "sidle-left", "Someone walks sideways, going left.", c.walks_sideways("left"))
    add("walk", "sidle-right", "Someone walks sideways, going right.", c.walks_sideways("right"))

    add("pace", "run", "A boy is running as if late for school.", c.runs, 3.2)
    add(
        "pace",
        "jog",
        "Someone goes for a jog.",
        c.all_of(c.pace_between(1.4, 9.0), lambda m: m.ahead() > 1.5),
        3.2,
    )
    add(
        "pace",
        "sprint",
        "The athlete sprints down the track with all his might.",
        c.all_of(c.runs, c.pace_between(2.0, 12)),
        3.2,
    )
    add(
        "pace",
        "slow",
        "An exhausted person drags along very slowly.",
        c.all_of(c.walks, c.pace_between(0.2, 1.1)),
    )
    add(
        "pace",
        "fast",
        "Briskly and full of energy somebody walks ahead.",
        c.all_of(c.walks_forward(), c.pace_between(1.1, 1.9)),
    )
    add("pace", "still", "Nothing happens, the man just stands there and waits.", c.still, 4.0)
    add("pace", "idle", "She is standing on one spot with her arms hanging down.", c.still, 4.0)

    left, right = c.turns("left"), c.turns("right")
    add(
        "turn",
        "corner-left",
        "While walking the man makes a left turn round a corner.",
        c.all_of(c.walks, left),
    )
    add(
        "turn",
        "corner-right",
        "While walking the man makes a right turn round a corner.",
        c.all_of(c.walks, right),
    )
    add(
        "turn",
        "then-left",
        "The man walks ahead for a while and turns off to the left at the end.",
        c.walks_then_turns("left"),
    )
    add(
        "turn",
        "then-right",
        "The man walks ahead for a while and turns off to the right at the end.",
        c.walks_then_turns("right"),
    )
    add("turn", "go-left", "Go on for two metres, then turn left and continue.", c.walks_then_turns("left"))
    add(
        "turn", "go-right", "Go on for two metres, then turn right and continue.", c.walks_then_turns("right")
    )
    add("turn", "around", "The walker turns round completely and comes back.", c.turns_around, 5.6)
    add("turn", "circle", "Someone walks in a circle.", c.circles, 8.0)

    add("body", "bow", "A butler greets the guests with a bow.", c.bows, 4.0)
    add("body", "bow-deep", "In the Japanese way she bends deeply from the hips.", c.bows, 4.0)
    add(
        "body",
        "bow-up",
        "The actor bows to the audience and stands upright again.",
        c.all_of(c.bows, c.straightens),
        4.8,
    )
    add("body", "jump", "The child jumps up with both feet.", c.jumps, 3.2)
    add("body", "leap", "He takes a big leap off the ground.", c.jumps, 3.2)
    add("body", "pick-up", "The person stoops to get something from the floor.", c.reaches_floor, 5.6)
    add("body", "kick", "The fighter does a high kick.", c.kicks(), 4.8)
    add(
        "body", "kick-ball", "The football player shoots the ball with his right foot.", c.kicks("right"), 4.0
    )
    add("body", "punch", "A boxer is punching the air in front of him.", c.punches(), 4.8)
    add("body", "punch-right", "A straight punch with the right fist.", c.punches("right"), 4.0)

    add(
        "order",
        "walk-stop",
        "After some steps forward the man comes to a halt.",
        c.all_of(c.walks_forward(0.6), c.stops),
    )
    add(
        "order",
        "stand-walk",
        "First he stands, then he begins to walk.",
        c.all_of(c.walks_forward(0.6), c.starts),
    )
    add(
        "order", "walk-wave", "He walks a few steps and then waves with the right hand.",
        c.first(c.walks_forward(0.4), c.waves("right")), 8.0,
    )  # fmt: skip
    add(
        "order", "left-right", "First the left hand is put up, afterwards the right hand.",
        c.first(c.raises("left"), c.raises("right")), 8.0,
    )  # fmt: skip
    return tuple(found)


PROBES: Final[tuple[Probe, ...]] = _probes()

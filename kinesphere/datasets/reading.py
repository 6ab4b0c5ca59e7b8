"""The kinematic reading: a movement put into one or two short plain sentences, from its joints alone.

The text says what to do in order ("Walk forward 2.1 m at a normal pace, turn left 90 degrees, then stop."), so that it
serves a language model as a plan to think before it moves, and a reader as a check on what was made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.events import Event, find_events
from kinesphere.datasets.kinematics import kinematics
from kinesphere.datasets.phrases import TIMES, turn_size

_SALIENCE: Final = {
    "inverted": 9.0, "lie": 8.0, "jump": 7.0, "kick": 6.5, "wave": 6.0, "sit": 5.5, "bow": 5.0, "walk": 5.0, "run": 5.5, "turn": 4.5,
    "punch": 5.0, "crouch": 4.0, "raise": 4.0, "leg": 3.0, "energetic": 2.0, "stand": 1.0,
}  # fmt: skip
MOST_BEATS: Final = 5


@dataclass(frozen=True)
class Reading:
    """events: everything found, by start. beats: the few that tell the story, in order. text: the plan sentence."""

    events: tuple[Event, ...]
    beats: tuple[Event, ...]
    text: str


def read(
    positions: NDArray[np.floating], fps: float = 20.0, *, gait: str = "", activity: str = ""
) -> Reading:
    """Reads joint positions [T,22,3] (metres, Y up).

    gait: "walk" or "run" where a label is known to decide between the two. activity: a known name of the whole ("salsa
    dance"), put before the sentence.
    """
    events = find_events(positions, fps, gait=gait)
    seconds = len(positions) / fps
    beats = storyline(events, seconds)
    if not beats:
        energy = float(kinematics(positions, fps).energy.mean())
        beats = [
            Event(
                "energetic" if energy > 0.8 else "stand", 0.0, seconds, way="" if energy < 0.25 else "gesture"
            )
        ]
    return Reading(tuple(events), tuple(beats), plan(beats, seconds, activity))


def storyline(events: list[Event], seconds: float, most: int = MOST_BEATS) -> list[Event]:
    """The beats of the story: travel cut where the person turns, wobbles dropped, at most ``most`` by weight."""
    turns = _without_wobbles([event for event in events if event.kind == "turn"])
    beats: list[Event] = []
    for event in events:
        if event.kind in ("walk", "run"):
            beats += _cut_at_turns(event, turns)
        elif event.kind == "raise" and (event.way == "chest" or event.end - event.start < 0.3):
            continue
        elif event.kind != "turn":
            beats.append(event)
    beats += turns
    beats.sort(key=lambda event: (event.start, event.end))
    beats = _merge_travel(beats)
    if len(beats) > most:
        weights = [
            _SALIENCE[b.kind]
            + min(b.end - b.start, 4.0) * 0.5
            - (2 if b.amount < 0.6 and b.kind == "walk" else 0)
            for b in beats
        ]
        kept = sorted(np.argsort(weights)[::-1][:most].tolist())
        beats = _merge_travel([beats[index] for index in kept])
    return beats


def _without_wobbles(turns: list[Event]) -> list[Event]:
    kept: list[Event] = []
    for turn in sorted(turns, key=lambda event: event.start):
        last = kept[-1] if kept else None
        if (
            last
            and last.side != turn.side
            and turn.start - last.end < 1.0
            and abs(last.amount - turn.amount) < 35
            and turn.amount < 70
        ):
            kept.pop()
        elif last and last.side == turn.side and turn.start - last.end < 0.8:
            kept[-1] = replace(last, end=turn.end, amount=last.amount + turn.amount)
        else:
            kept.append(turn)
    return kept


def _cut_at_turns(travel: Event, turns: list[Event]) -> list[Event]:
    pieces, start = [], travel.start
    for turn in turns:
        if turn.end <= travel.start or turn.start >= travel.end or turn.amount < 50:
            continue
        middle_start, middle_end = max(turn.start, start), min(turn.end, travel.end)
        pieces.append((start, middle_start + 0.35 * (middle_end - middle_start)))
        start = middle_start + 0.65 * (middle_end - middle_start)
    pieces.append((start, travel.end))
    rate = travel.amount / max(travel.end - travel.start, 1e-6)
    cut = [replace(travel, start=a, end=b, amount=rate * (b - a)) for a, b in pieces if b > a]
    kept = [piece for piece in cut if piece.amount >= (0.5 if len(cut) > 1 else 0.3)]
    return kept or [max(cut, key=lambda piece: piece.amount)]


def _merge_travel(beats: list[Event]) -> list[Event]:
    """Consecutive travel of one gait and direction is one beat; the same gesture again is counted."""
    merged: list[Event] = []
    for beat in beats:
        last = merged[-1] if merged else None
        if (
            last
            and beat.kind in ("walk", "run")
            and (last.kind, last.way, last.side) == (beat.kind, beat.way, beat.side)
        ):
            merged[-1] = replace(last, end=beat.end, amount=last.amount + beat.amount)
        elif last and beat.kind in _COUNTED and (last.kind, last.side) == (beat.kind, beat.side):
            higher = last if last.way in ("overhead", "deep", "high") or last.way == beat.way else beat
            merged[-1] = replace(
                higher, start=last.start, end=beat.end, count=max(last.count, 1) + max(beat.count, 1)
            )
        else:
            merged.append(beat)
    return merged


_COUNTED: Final = ("bow", "kick", "raise", "crouch", "punch", "jump", "leg")


def plan(beats: list[Event], seconds: float, activity: str = "") -> str:
    """The beats as one or two sentences in the imperative."""
    if activity and len(beats) == 1 and beats[0].kind in ("stand", "energetic"):
        return f"{activity.capitalize()} in one place."
    parts, previous = [], None
    for beat in beats:
        parts.append(_say(beat, previous))
        previous = beat
    last = beats[-1]
    if last.kind in ("walk", "run") and seconds - last.end > 0.4:
        parts.append("stop")
    if beats[0].kind in ("wave", "raise", "bow", "punch", "kick"):
        parts[0] = "stand and " + parts[0]
    if len(parts) == 1:
        text = parts[0]
    elif len(parts) <= 3:
        text = ", ".join(parts[:-1]) + ", then " + parts[-1]
    else:
        half = (len(parts) + 1) // 2
        first, second = ", ".join(parts[:half]), parts[half:]
        text = (
            first
            + ". Then "
            + (", ".join(second[:-1]) + " and " + second[-1] if len(second) > 1 else second[0])
        )
    if activity:
        return f"{activity.capitalize()}: {text}."
    return text[0].upper() + text[1:] + "."


def _say(beat: Event, previous: Event | None) -> str:
    match beat.kind:
        case "walk" | "run":
            return _say_travel(beat, previous)
        case "turn":
            degrees = {"slight": 45, "quarter": 90}.get(turn_size(beat.amount), 45 * round(beat.amount / 45))
            verb = "spin" if degrees >= 270 else "turn"
            return f"{verb} {beat.side} {degrees} degrees"
        case "raise":
            return f"raise {_hands(beat)} {_LEVELS[beat.way]}{_again(beat)}"
        case "wave":
            return f"wave {_hands(beat)} {_HELD[beat.way]} {TIMES.get(beat.count, f'{beat.count} times')}"
        case "jump":
            way = {"place": "up", "sideways": f"to the {beat.side}"}.get(beat.way, beat.way)
            return f"jump {way}{_again(beat)}"
        case "bow":
            return {
                "floor": "bend down and reach to the floor",
                "deep": "bow deeply",
                "slight": "bow slightly",
            }.get(beat.way, "bow forward") + _again(beat)
        case "crouch":
            return ("squat down low" if beat.way == "deep" else "crouch down") + _again(beat)
        case "kick":
            return f"kick {beat.way} with the {beat.side} foot".replace("waist", "at waist height") + _again(
                beat
            )
        case "leg":
            return f"raise the {beat.side} leg"
        case "punch":
            with_ = "both hands" if beat.side == "both" else f"the {beat.side} hand"
            return f"punch with {with_} {TIMES.get(beat.count, f'{beat.count} times')}"
        case "lie":
            return {
                "up": "get up from the floor",
                "down": "go down to the floor",
                "through": "roll on the floor and get up",
                "crawl": "crawl forward",
            }.get(beat.way, "stay on the floor")
        case "inverted":
            return {
                "cartwheel": "do a cartwheel",
                "handstand": "do a handstand",
                "roll": "roll over the ground",
            }.get(beat.way, "flip over")
        case "sit":
            return "sit down"
        case "energetic":
            return "move energetically on the spot"
        case _:
            return "stand still"


_LEVELS: Final = {
    "overhead": "above the head",
    "head": "to head height",
    "shoulder": "to shoulder height",
    "chest": "to the chest",
}
_HELD: Final = {
    "overhead": "above the head",
    "head": "at head height",
    "shoulder": "at shoulder height",
    "chest": "at the chest",
}
_PACES: Final = {"slow": "slowly", "normal": "at a normal pace", "fast": "fast"}


def _again(beat: Event) -> str:
    return f" {TIMES.get(beat.count, f'{beat.count} times')}" if beat.count > 1 else ""


def _hands(beat: Event) -> str:
    return "both hands" if beat.side == "both" else f"the {beat.side} hand"


def _say_travel(beat: Event, previous: Event | None) -> str:
    way = {
        "forward": "forward",
        "backward": "backward",
        "sideways": f"sideways to the {beat.side}",
        "diagonal": f"diagonally forward to the {beat.side}",
        "back-diagonal": f"diagonally backward to the {beat.side}",
    }[beat.way]
    again = previous is not None and previous.kind == "turn" and beat.way == "forward"
    metres = f"{beat.amount:.1f}" if beat.amount < 2 else f"{round(beat.amount)}"
    return f"{beat.kind} {'on' if again else way} {metres} m {_PACES[beat.pace] if not again else ''}".strip()

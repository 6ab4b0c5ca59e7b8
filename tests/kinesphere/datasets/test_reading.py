"""The kinematic reading of synthetic bodies: sides, directions and order must be right."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.datasets.build import mirror
from kinesphere.datasets.events import find_events
from kinesphere.datasets.reading import read
from tests.kinesphere.datasets.bodies import bowing, jumping, raised, standing, walking


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_wave_is_read_with_its_hand_and_count(side: str) -> None:
    events = find_events(raised(standing(5.0), side, 0.5, 4.5, waves=1.5))
    waves = [event for event in events if event.kind == "wave"]
    assert [event.side for event in waves] == [side]
    assert 4 <= waves[0].count <= 7
    assert waves[0].way == "overhead"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_raised_hand_that_is_held_still_is_no_wave(side: str) -> None:
    reading = read(raised(standing(4.0), side, 1.0, 3.0))
    assert [(event.kind, event.side) for event in reading.beats] == [("raise", side)]
    assert f"raise the {side} hand above the head" in reading.text


def test_both_hands_make_one_event() -> None:
    both = raised(raised(standing(4.0), "left", 1.0, 3.0), "right", 1.1, 3.1)
    assert [(event.kind, event.side) for event in read(both).beats] == [("raise", "both")]


def test_the_order_of_two_gestures_is_kept() -> None:
    motion = raised(raised(standing(6.0), "right", 0.5, 2.2), "left", 3.5, 5.3)
    assert [event.side for event in read(motion).beats] == ["right", "left"]


@pytest.mark.parametrize(
    ("speed", "sideways", "way", "side"),
    [
        (1.2, 0.0, "forward", ""),
        (-0.8, 0.0, "backward", ""),
        (0.0, 0.7, "sideways", "left"),
        (0.0, -0.7, "sideways", "right"),
    ],
)
def test_direction_of_travel(speed: float, sideways: float, way: str, side: str) -> None:
    events = find_events(walking(4.0, speed, sideways=sideways))
    travel = [event for event in events if event.kind in ("walk", "run")]
    assert [(event.kind, event.way, event.side) for event in travel] == [("walk", way, side)]
    assert travel[0].amount == pytest.approx(4.0 * abs(speed + sideways), rel=0.15)


def test_running_and_pace() -> None:
    assert read(walking(3.0, 3.4)).text.startswith("Run forward 10 m fast")
    assert "slowly" in read(walking(4.0, 0.6)).text


@pytest.mark.parametrize(("degrees", "side"), [(90.0, "left"), (-90.0, "right"), (180.0, "left")])
def test_turning_while_walking(degrees: float, side: str) -> None:
    reading = read(walking(5.0, 1.0, turn=degrees))
    turns = [event for event in reading.events if event.kind == "turn"]
    assert [event.side for event in turns] == [side]
    assert turns[0].amount == pytest.approx(abs(degrees), abs=12)
    assert [event.kind for event in reading.beats] == ["walk", "turn", "walk"]


def test_jump_bow_and_stillness() -> None:
    assert [event.kind for event in read(jumping()).beats] == ["jump"]
    assert [event.kind for event in read(bowing()).beats] == ["bow"]
    assert read(standing(3.0)).text == "Stand still."


@pytest.mark.parametrize(
    "motion",
    [
        raised(standing(4.0), "left", 1.0, 3.0, waves=1.6),
        walking(4.0, 1.0, turn=90),
        walking(4.0, 0.0, sideways=0.7),
    ],
)
def test_the_mirrored_movement_reads_with_sides_swapped(motion: np.ndarray) -> None:
    def sides(reading: object) -> list[str]:
        return [event.side for event in reading.beats]  # type: ignore[attr-defined]

    swap = {"left": "right", "right": "left", "both": "both", "": ""}
    seen, mirrored = read(motion), read(mirror(motion))
    assert sides(mirrored) == [swap[side] for side in sides(seen)]
    assert mirrored.text == seen.text.replace("left", "right")


@pytest.mark.shared_data
def test_bandai_namcos_own_labels_agree_with_the_reading(shared_data: object) -> None:
    from pathlib import Path

    from kinesphere.datasets import sources

    takes = [
        take for take in sources.enumerate_takes([Path(str(shared_data))]) if take.source == "bandai-namco"
    ]
    wanted = {"wave-left-hand": ("wave", "left"), "wave-right-hand": ("wave", "right"), "raise-up-left-hand": ("raise", "left"),
              "raise-up-right-hand": ("raise", "right"), "walk-turn-left": ("turn", "left"), "walk-turn-right": ("turn", "right")}  # fmt: skip
    right = wrong = 0
    for take in takes[::9]:
        content = take.path.stem.split("_")[1]
        if content in wanted:
            kind, side = wanted[content]
            if kind == "turn":
                found = {event.side for event in find_events(sources.load(take)) if event.kind == "turn"}
            else:
                found = {
                    event.side for event in find_events(sources.load(take)) if event.kind in ("wave", "raise")
                }
            right, wrong = right + (found == {side}), wrong + (found != {side})
    assert right + wrong > 60
    assert wrong / (right + wrong) < 0.03

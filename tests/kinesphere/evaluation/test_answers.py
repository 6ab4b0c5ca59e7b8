"""Detectors of answers: what recorded and composed agents do is seen, and at the right time; standing is no answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets.reactions.composed import Sample, Task, compose_all
from kinesphere.datasets.reactions.library import Entry, load_entries
from kinesphere.datasets.sources import enumerate_takes
from kinesphere.evaluation.answers import DETECTORS, answer
from kinesphere.skeleton import FloatArray
from tests.kinesphere.datasets.bodies import bowing, raised, standing
from tests.kinesphere.datasets.reactions.actors import write_archive

# No fights among the synthetic takes.
SYNTHETIC = sorted(set(DETECTORS) - {"back_off"})


def facing_pair(agent: FloatArray, metres: float = 2.0) -> tuple[FloatArray, FloatArray]:
    """The agent, and a partner who stands ``metres`` in front of it, facing it."""
    partner = standing(len(agent) / 20.0) * np.array([-1, 1, -1], np.float32)
    return agent, partner + np.array([0, 0, metres], np.float32)


def test_a_wave_is_seen_from_when_the_hand_is_up() -> None:
    agent, partner = facing_pair(raised(standing(4.0), "right", 1.0, 3.5, waves=1.5))
    found = answer("wave_back", agent, partner, 10)
    assert found is not None
    assert found.given
    assert not found.early
    assert found.delay is not None
    assert 500 <= found.delay <= 800  # from 0.5 s the hand is on its way up from 1.0 s to 1.3 s
    still = answer("wave_back", *facing_pair(raised(standing(4.0), "right", 1.0, 3.5)), 10)
    assert still is not None
    assert not still.given  # a hand that is only raised does not wave


def test_what_was_there_before_the_cue_is_no_answer() -> None:
    agent, partner = facing_pair(raised(standing(4.0), "right", 0.0, 3.5, waves=1.5))
    found = answer("wave_back", agent, partner, 30)
    assert found is not None
    assert found.early
    assert not found.given
    assert found.delay is None


def test_a_mirrored_hand_is_the_one_on_the_same_side_of_the_room() -> None:
    # Face to face, the partner's right hand is on the agent's left.
    partner = raised(standing(4.0), "right", 0.5, 3.5) * np.array([-1, 1, -1], np.float32)
    partner = partner + np.array([0, 0, 2], np.float32)
    given = {
        side: answer("mirror", raised(standing(4.0), side, 1.0, 3.5), partner, 10)
        for side in ("left", "right")
    }
    assert given["left"] is not None
    assert given["left"].given
    assert given["right"] is not None
    assert not given["right"].given


def test_a_bow_is_a_trunk_that_leans_farther_than_it_did() -> None:
    found = answer("bow_back", *facing_pair(bowing(45)), 10)
    assert found is not None
    assert found.given
    bent = np.repeat(bowing(45)[40:41], 80, axis=0)  # bent all the time
    found = answer("bow_back", *facing_pair(bent), 10)
    assert found is not None
    assert not found.given
    assert not found.early


@pytest.mark.parametrize(
    ("situation", "way", "given"),
    [
        ("step_away", (0.0, -0.62), True),
        ("step_away", (0.0, 0.62), False),
        ("step_away", (0.62, 0.0), False),
        ("meet", (0.0, 0.62), True),
        ("meet", (0.0, -0.62), False),
        ("back_off", (0.0, -0.62), True),
        ("back_off", (0.62, 0.0), True),
        ("back_off", (0.0, 0.62), False),
    ],
)
def test_steps_have_a_direction(situation: str, way: tuple[float, float], given: bool) -> None:
    agent = standing(4.0)
    moved = np.clip((np.arange(80) - 20) / 20, 0, 1)[:, None] * np.array(way)
    agent[..., [0, 2]] += moved[:, None].astype(np.float32)
    found = answer(situation, *facing_pair(agent), 10)
    assert found is not None
    assert found.given == given
    if given:  # more than 0.3 m are gone 1.5 s after the start, 1 s after the cue
        assert found.delay == pytest.approx(1000)


@pytest.mark.parametrize(("begins", "aside", "given"), [(10, 0.8, True), (10, 0.2, False), (60, 0.8, False)])
def test_the_way_is_to_be_cleared_before_the_partner_is_there(begins: int, aside: float, given: bool) -> None:
    agent = standing(4.0)
    agent[..., 0] += aside * np.clip((np.arange(80) - begins) / 10, 0, 1).astype(np.float32)[:, None]
    _, partner = facing_pair(agent, 2.5)
    partner[..., 2] -= np.linspace(0, 5, 80, dtype=np.float32)[:, None]  # past the agent after 2 s
    found = answer("step_aside", agent, partner, 5)
    assert found is not None
    assert found.given == given


def test_there_is_no_answer_where_none_is_definite() -> None:
    assert answer("salsa", *facing_pair(standing(2.0)), 5) is None


def rates(samples: Sequence[Sample]) -> tuple[float, float]:
    """How often the agents answer, and how often they would if each stood as in its first frame."""
    given, stood = [], []
    for sample in samples:
        assert sample.partner is not None
        assert sample.onset is not None
        assert sample.answer is not None
        agent, partner = sample.agent.positions, sample.partner.positions
        found = answer(sample.situation, agent, partner, sample.onset)
        still = answer(sample.situation, np.repeat(agent[:1], len(agent), axis=0), partner, sample.onset)
        assert found is not None
        assert still is not None
        assert not found.early
        given.append(found.given)
        stood.append(still.given or still.early)
    return float(np.mean(given)), float(np.mean(stood))


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    archive = write_archive(tmp_path_factory.mktemp("archive"))
    return load_entries(enumerate_takes([archive]))[0]


@pytest.mark.parametrize("situation", SYNTHETIC)
def test_composed_agents_answer_and_standing_ones_do_not(entries: list[Entry], situation: str) -> None:
    samples, _ = compose_all(entries, [Task(situation, "train", number, 0) for number in range(6)])
    assert len(samples) >= 3
    assert rates(samples) == (1.0, 0.0)


@pytest.mark.shared_data
def test_real_answers_are_seen(shared_data: Path) -> None:
    entries, _ = load_entries(enumerate_takes([shared_data]), limit=12)
    for situation in DETECTORS:
        samples, _ = compose_all(entries, [Task(situation, "train", number, 0) for number in range(20)])
        assert len(samples) >= 10, situation
        given, stood = rates(samples)
        assert given >= 0.9, situation
        assert stood == 0.0, situation

"""Every situation, composed of synthetic takes: who stands where, who answers what, and when."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.body import facing
from kinesphere.datasets.reactions.bodies import clearance
from kinesphere.datasets.reactions.composed import COUNTS, SITUATIONS, Sample, Task, _compose, _prepare, tasks
from kinesphere.datasets.reactions.library import Entry
from kinesphere.legs import TOES
from kinesphere.metrics.physics import skating_ratio
from kinesphere.skeleton import JOINT_INDEX as J
from kinesphere.skeleton import FloatArray

# No fights among the synthetic takes.
COMPOSED = sorted(set(SITUATIONS) - {"back_off"})


def compose(entries: list[Entry], situation: str, numbers: int = 4) -> list[Sample]:
    _prepare(entries)
    made = [_compose(Task(situation, "train", number, 0)) for number in range(numbers)]
    found = [sample for sample, _ in made if sample is not None]
    assert len(found) >= numbers // 2, [reasons for _, reasons in made]
    return found


def looks_at(who: FloatArray, whom: FloatArray) -> np.ndarray:
    """Degrees between where somebody [T,22,3] faces and where somebody else is, frame by frame."""
    way = (whom[:, 0] - who[:, 0]) * np.array([1, 0, 1])
    way /= np.linalg.norm(way, axis=-1, keepdims=True)
    return np.degrees(np.arccos(np.clip(np.sum(facing(who) * way, axis=-1), -1, 1)))


def apart(sample: Sample) -> np.ndarray:
    """Metres between the pelvises over the floor, frame by frame."""
    assert sample.partner is not None
    away = (sample.agent.translation - sample.partner.translation)[:, [0, 2]]
    return np.linalg.norm(away, axis=-1)


@pytest.mark.parametrize("situation", COMPOSED)
def test_bodies_are_sound(entries: list[Entry], situation: str) -> None:
    for sample in compose(entries, situation):
        agent, partner = sample.agent, sample.partner
        assert partner is not None
        assert agent.num_frames == partner.num_frames
        assert 80 <= agent.num_frames <= 200
        assert clearance(agent.positions, partner.positions).min() >= 0.03
        assert agent.positions[0, 0, [0, 2]] == pytest.approx([0, 0], abs=1e-4)
        assert facing(agent.positions[:1])[0] == pytest.approx([0, 0, 1], abs=1e-3)
        for body in (agent.positions, partner.positions):
            assert body[..., 1].min() > -0.03
            # Somebody's toes are on the floor in every frame.
            assert body[:, TOES, 1].min(axis=1).max() < 0.08
            assert skating_ratio(body) < 0.4
        assert len(sample.text) >= 4
        assert len(set(sample.text)) == len(sample.text)
        assert not any(mark in text for text in sample.text for mark in "[]<>{}")
        assert sample.take.count(" | ") == 1
        assert sample.onset is not None
        assert sample.answer is not None
        assert sample.answer >= sample.onset


@pytest.mark.parametrize(
    ("situation", "joints"),
    [("wave_back", "wrist"), ("greet", "wrist"), ("mirror", "wrist"), ("bow_back", "head")],
)
def test_gesture_is_answered_after_the_cue(entries: list[Entry], situation: str, joints: str) -> None:
    for sample in compose(entries, situation):
        assert sample.partner is not None
        indices = [J["head"]] if joints == "head" else [J["left_wrist"], J["right_wrist"]]

        def begins(body: FloatArray, indices: list[int] = indices) -> int:
            relative = body[:, indices] - body[:, :1]
            away = np.linalg.norm(relative - relative[0], axis=-1).max(axis=1) > 0.25
            assert away.any()
            return int(np.argmax(away))

        cue, answer = begins(sample.partner.positions), begins(sample.agent.positions)
        assert 0 < answer - cue < 40
        assert abs(cue - (sample.onset or 0)) <= 4
        assert abs(answer - (sample.answer or 0)) <= 4
        assert looks_at(sample.agent.positions, sample.partner.positions).max() < 45
        assert looks_at(sample.partner.positions, sample.agent.positions).max() < 45


def test_words_name_the_hand_that_answers(entries: list[Entry]) -> None:
    for sample in compose(entries, "wave_back", 6):
        heights = sample.agent.positions[:, [J["left_wrist"], J["right_wrist"]], 1].max(axis=0)
        side, other = ("left", "right") if heights[0] > heights[1] else ("right", "left")
        assert any(side in text for text in sample.text)
        assert not any(other in text for text in sample.text)


def test_mirror_raises_the_hand_on_the_same_side_of_the_room(entries: list[Entry]) -> None:
    for sample in compose(entries, "mirror"):
        assert sample.partner is not None
        wrists = [J["left_wrist"], J["right_wrist"]]
        mine = int(sample.agent.positions[:, wrists, 1].max(axis=0).argmax())
        theirs = int(sample.partner.positions[:, wrists, 1].max(axis=0).argmax())
        assert mine != theirs


def test_turn_ends_facing_the_partner(entries: list[Entry]) -> None:
    for sample in compose(entries, "turn_to_face"):
        assert sample.partner is not None
        angle = looks_at(sample.agent.positions, sample.partner.positions)
        assert angle[0] > 50
        assert angle[-1] < 15
        assert np.linalg.norm(sample.agent.translation[-1] - sample.agent.translation[0]) < 0.15
        # It turns to the side that the words say.
        turned = facing(sample.agent.positions)[(sample.answer or 0) + 12]
        assert any(("left" if turned[0] > 0 else "right") in text for text in sample.text)


def test_who_steps_away_keeps_the_distance(entries: list[Entry]) -> None:
    for sample in compose(entries, "step_away"):
        assert sample.partner is not None
        assert apart(sample).min() > 0.5
        assert looks_at(sample.agent.positions, sample.partner.positions).max() < 45
        back = sample.agent.translation[-1] - sample.agent.translation[0]
        assert back[2] < -0.3
        came = apart(sample)[0] - apart(sample)[sample.onset or 0]
        assert came > 0.3


def test_who_meets_stops_in_front_of_the_other(entries: list[Entry]) -> None:
    for sample in compose(entries, "meet"):
        assert sample.partner is not None
        assert 0.5 < apart(sample)[-1] < 2.2
        assert apart(sample)[0] > apart(sample)[-1] + 1.0
        assert looks_at(sample.agent.positions, sample.partner.positions)[-1] < 35


def test_who_steps_aside_lets_the_other_pass(entries: list[Entry]) -> None:
    for sample in compose(entries, "step_aside"):
        assert sample.partner is not None
        way = sample.partner.translation[-1] - sample.partner.translation[0]
        way /= np.linalg.norm(way)
        before, after = (
            float(np.sum((sample.agent.translation[at] - sample.partner.translation[at]) * way))
            for at in (0, -1)
        )
        assert before > 1.0
        assert after < before - 1.5


def test_guided_body_goes_where_the_arm_points(entries: list[Entry]) -> None:
    for sample in compose(entries, "follow_guide"):
        assert sample.partner is not None
        body = sample.partner.positions
        arm = body[:, J["right_wrist"]] - body[:, J["right_shoulder"]]
        out = arm[int(np.linalg.norm(arm[:, [0, 2]], axis=-1).argmax())][[0, 2]]
        gone = (sample.agent.translation[-1] - sample.agent.translation[0])[[0, 2]]
        cosine = np.sum(out * gone) / np.linalg.norm(out) / np.linalg.norm(gone)
        assert np.linalg.norm(gone) > 0.8
        assert np.degrees(np.arccos(cosine)) < 30


def along_and_right(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Metres by which the agent is ahead of the partner and to its right, frame by frame."""
    assert sample.partner is not None
    ahead = facing(sample.partner.positions)[:, [0, 2]]
    away = (sample.agent.translation - sample.partner.translation)[:, [0, 2]]
    right = np.stack([-ahead[:, 1], ahead[:, 0]], axis=-1)
    return np.sum(away * ahead, axis=-1), np.sum(away * right, axis=-1)


def test_who_follows_is_behind(entries: list[Entry]) -> None:
    for sample in compose(entries, "follow"):
        ahead, right = along_and_right(sample)
        assert np.median(ahead) < -0.7
        assert np.abs(np.median(right)) < 0.8


def test_who_walks_beside_is_on_the_side_that_is_said(entries: list[Entry]) -> None:
    for sample in compose(entries, "side_by_side"):
        _, right = along_and_right(sample)
        side = "right" if np.median(right) > 0 else "left"
        assert 0.4 < np.abs(np.median(right)) < 1.6
        assert any(f"other person's {side}" in text for text in sample.text)


def test_the_same_seed_gives_the_same_sample(entries: list[Entry]) -> None:
    first, again = (compose(entries, "meet", 2)[0] for _ in range(2))
    assert np.array_equal(first.agent.positions, again.agent.positions)
    assert first.text == again.text
    other = [_compose(Task("meet", "train", 0, 1))[0]]
    assert other[0] is None or not np.array_equal(first.agent.positions, other[0].agent.positions)


def test_takes_of_a_sample_are_of_its_split(entries: list[Entry]) -> None:
    split_of = {entry.take: entry.split for entry in entries}
    _prepare(entries)
    for split in ("train", "test"):
        for number in range(3):
            sample, _ = _compose(Task("wave_back", split, number, 0))
            if sample is not None:
                assert {split_of[take] for take in sample.take.split(" | ")} == {split}


def test_tasks_cover_every_situation_and_split() -> None:
    assert len(tasks(0)) == len(SITUATIONS) * sum(COUNTS.values())
    assert len(tasks(0, limit=2)) == len(SITUATIONS) * 6
    assert len({task.name for task in tasks(0)}) == len(tasks(0))


def test_fights_that_nobody_recorded_are_refused(entries: list[Entry]) -> None:
    _prepare(entries)
    sample, reasons = _compose(Task("back_off", "train", 0, 0))
    assert sample is None
    assert set(reasons) <= {"no take of punch fits", "no take of kick fits"}

"""The mathematics around the reactor's graphs: what goes in is where the body is, what comes out is where it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.reaction import rollout
from kinesphere.reaction.features import PARTNER
from kinesphere.reaction.rolling import Mode, Rollout, Start
from kinesphere.reaction.rollout import Surroundings
from kinesphere.representations import primitive276
from kinesphere.representations.primitive276 import LAYOUT
from kinesphere.scenes import Box, Raster, Scene
from kinesphere.skeleton import FloatArray


def curved_walk(frames: int) -> Motion:
    """A body that walks a curve from (2, 0.9, -1), all its joints moving."""
    rng = np.random.default_rng(0)
    turns = np.cumsum(rng.normal(size=(frames, 22, 3)) * 0.03, axis=0)
    rotations = rot.from_axis_angle(turns)
    heading = rot.about_y(0.05 * np.arange(frames))
    rotations[:, 0] = rot.multiply(heading, rotations[:, 0])
    path = np.cumsum(rot.rotate(heading, np.array([0.0, 0.002, 0.05])), axis=0) + [2.0, 0.9, -1.0]
    return Motion.from_rotations(path.astype(np.float32), rotations.astype(np.float32), 20.0)


class Recorded:
    """Both graphs in one: the answer is the recording, told in the frame that its own rows say the history is in."""

    def __init__(self, motion: Motion) -> None:
        self.rows = rollout.rows_of(motion.translation, motion.rotations)
        self.asked: list[dict[str, NDArray[Any]]] = []

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
        self.asked.append(dict(inputs))
        start = inputs.get("start", inputs["history"])
        ends = [
            i for i in range(2, len(self.rows) - 8)
            if np.allclose(rollout.segment_history(self.rows[:i])[0], start[0], atol=1e-4)
        ]  # fmt: skip
        assert ends, "the history is no part of the recording"
        _, frame = rollout.segment_history(self.rows[: ends[0]])
        ahead = primitive276.to_canonical(self.rows[ends[0] : ends[0] + 8], frame)
        return {"future": ahead[None], "latent": np.zeros((1, 1, 64), np.float32)}


@pytest.mark.parametrize(("mode", "calls"), [("segment", 3), ("refine", 3 + 24), ("slide", 20)])
def test_a_network_that_knows_the_recording_walks_it_again(mode: Mode, calls: int) -> None:
    motion = curved_walk(60)
    graph = Recorded(motion)
    rows = rollout.rows_of(motion.translation[:12], motion.rotations[:12])
    # What leads on from the last known frame is a guess; a real service knows the frame that left before.
    rows[-1] = graph.rows[11]
    made = rollout.poses(Rollout(graph, graph, mode).run(rows, 20, Surroundings()))
    assert made.num_frames == 32
    np.testing.assert_allclose(made.positions, motion.positions[:32], atol=2e-4)
    assert len(graph.asked) == calls


def test_a_segment_stands_on_the_floor_at_the_heading_of_its_first_frame() -> None:
    motion = curved_walk(4)
    history, frame = rollout.segment_history(rollout.rows_of(motion.translation, motion.rotations))
    first = motion.positions[2]
    np.testing.assert_allclose(frame.origin, [first[0, 0], 0.0, first[0, 2]], atol=1e-6)
    joints = history[0, LAYOUT["joints"]].reshape(22, 3)
    np.testing.assert_allclose(joints[0], [0.0, first[0, 1], 0.0], atol=1e-6)
    across = joints[1] - joints[2]
    assert across[0] > 0
    assert across[2] == pytest.approx(0.0, abs=1e-6)


def test_bones_keep_their_lengths_whatever_a_network_says() -> None:
    noise = np.random.default_rng(1).normal(size=(8, 276)).astype(np.float32)
    rows = rollout.emit(noise, rollout.floor_frame(curved_walk(2).positions[0]))
    joints = rows[:, LAYOUT["joints"]].reshape(8, 22, 3)
    thigh = np.linalg.norm(joints[:, 4] - joints[:, 1], axis=-1)
    np.testing.assert_allclose(thigh, 0.39362, atol=1e-4)


def test_standing_still_has_no_steps() -> None:
    row = rollout.rows_of(curved_walk(3).translation, curved_walk(3).rotations)[-1]
    still = rollout.standing(row)
    np.testing.assert_allclose(rollout.linked(still), still, atol=1e-6)
    np.testing.assert_array_equal(still[1, LAYOUT["joints"]], row[LAYOUT["joints"]])


def test_what_has_not_arrived_leaves_its_places_empty() -> None:
    partner = curved_walk(20).positions
    frame = rollout.floor_frame(partner[0])
    whole, _ = rollout.late_window(frame, partner)
    late, mask = rollout.late_window(frame, partner[:-3], late=3)
    np.testing.assert_array_equal(mask, [1] * 7 + [0] * 3)
    np.testing.assert_array_equal(late[7:], 0.0)
    np.testing.assert_allclose(late[1:7], whole[1:7], atol=1e-6)
    assert rollout.late_window(frame, partner, late=40)[1].sum() == 0


def test_the_graph_is_told_of_partner_and_goal_where_the_body_stands() -> None:
    motion = curved_walk(60)
    graph = Recorded(motion)
    partner = motion.positions + np.array([0.0, 0.0, 2.0], dtype=np.float32)
    ahead = Surroundings(partner=partner, goal=motion.positions[11, 0] + [0.0, 0.0, 3.0], alpha=(0.5, 0.25))
    Rollout(graph, late=4).run(graph.rows[:12], 8, ahead, seed=3)
    (asked,) = graph.asked
    frame = rollout.floor_frame(motion.positions[10])
    pelvis = asked["partner"][0, 5, PARTNER["joints"]][:3]
    np.testing.assert_allclose(frame.axes @ pelvis + frame.origin, partner[7, 0], atol=1e-5)
    np.testing.assert_array_equal(asked["partner_mask"][0], [1] * 6 + [0] * 4)
    goal = asked["goal"][0]
    np.testing.assert_allclose(frame.axes @ goal[:3] + frame.origin, ahead.goal, atol=1e-5)
    assert goal[3] == 1.0
    np.testing.assert_array_equal(asked["alpha"], [[0.5, 0.25]])
    np.testing.assert_array_equal(asked["text"], 0.0)


def test_too_little_history_is_refused() -> None:
    motion = curved_walk(1)
    with pytest.raises(InputError, match="history: has 1 frames"):
        rollout.rows_of(motion.translation, motion.rotations)


def trembling(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Both graphs in one: each row goes on from its history, shaken by everything else that it is told."""
    rows = len(inputs["history"])
    told = np.zeros((rows, 64), np.float32)
    for name, array in sorted(inputs.items()):
        spread = np.cos(np.arange(array[0].size) + len(name)).astype(np.float32)
        told += np.sin(array.reshape(rows, -1) @ spread)[:, None] * np.linspace(-1, 1, 64, dtype=np.float32)
    future = np.repeat(inputs["history"][:, 1:], 8, axis=1)
    future = future + 0.01 * np.tile(told, (1, 5))[:, None, :276] * np.arange(1, 9)[:, None].astype(
        np.float32
    )
    return {"future": future, "latent": told[:, None]}


@pytest.mark.parametrize("mode", ["segment", "refine", "slide"])
@pytest.mark.parametrize("lead", [0, 3])
def test_bodies_side_by_side_move_as_each_alone(mode: Mode, lead: int) -> None:
    starts = []
    for number, (frames, known) in enumerate([(19, 2), (40, 5), (8, 2), (0, 3)]):
        motion = curved_walk(60)
        moved = motion.translation + np.float32(number)
        around = Surroundings(
            partner=motion.positions[: 50 - 10 * number] - np.float32(number),
            scene=Raster(Scene("", (Box((2.0, 0.5, number - 1.0), (0.5, 0.5, 0.5)),)))
            if number % 2
            else None,
            goal=np.array([number, 0.0, 1.0]) if number else None,
            text=np.full(384, 0.05 * number, np.float32),
            alpha=(1.0, 0.3 * number),
        )
        starts.append(
            Start(rollout.rows_of(moved, motion.rotations)[10 : 10 + known], frames, around, number)
        )
    rolled = Rollout(trembling, trembling, mode, lead=lead)
    for start, made in zip(starts, rolled.together(starts), strict=True):
        assert len(made) == len(start.history) + start.frames
        alone = rolled.run(start.history, start.frames, start.around, start.seed)
        np.testing.assert_allclose(made, alone, atol=1e-4)


def test_a_segment_made_ahead_sees_the_partner_as_it_was_then() -> None:
    motion = curved_walk(60)
    graph = Recorded(motion)
    partner = motion.positions + np.array([0.0, 0.0, 2.0], dtype=np.float32)
    around = Surroundings(partner=partner)
    Rollout(graph, graph, "refine", lead=3).run(graph.rows[:12], 16, around)
    segments = [place for place, asked in enumerate(graph.asked) if "start" not in asked]
    assert segments == [0, 6]  # before the first frame, and with three of its frames left
    frame = rollout.floor_frame(motion.positions[18])

    def sees_what_was_known(asked: dict[str, Any]) -> None:
        np.testing.assert_array_equal(asked["partner_mask"][0], [1] * 7 + [0] * 3)
        pelvis = asked["partner"][0, 6, PARTNER["joints"]][:3]
        np.testing.assert_allclose(frame.axes @ pelvis + frame.origin, partner[16, 0], atol=1e-4)

    sees_what_was_known(graph.asked[6])
    Rollout(graph, lead=3).run(graph.rows[:12], 16, around)
    sees_what_was_known(graph.asked[-1])

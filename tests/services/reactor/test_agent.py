"""The body that reacts, on real graphs with random weights and on answers made by hand; partners and their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.motion import Motion, forward_kinematics
from kinesphere.reaction.rolling import Rollout
from kinesphere.reaction.rollout import Surroundings, on_the_floor, rows_of
from kinesphere.representations.primitive276 import LAYOUT
from kinesphere.scenes import Box, Raster, Scene
from kinesphere.v1 import reactor_pb2 as pb
from services.reactor import poses
from services.reactor.agent import Agent, Conditions, advance, steps_for
from services.reactor.events import Events
from services.reactor.partners import Partners
from services.reactor.streams import interpolation_seconds

NOBODY = Conditions(np.zeros(384, np.float32), np.ones(2, np.float32))
Graph = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def graphs(reactor_models: Path) -> tuple[Graph, Graph]:
    import onnxruntime

    def load(name: str) -> Graph:
        session = onnxruntime.InferenceSession(str(reactor_models / name / "1" / "model.onnx"))
        names = [output.name for output in session.get_outputs()]
        return lambda feed: dict(zip(names, session.run(names, feed), strict=True))

    return load("reactor_segment"), load("reactor_refine")


def ran(agent: Agent, graphs: tuple[Graph, Graph], frames: int, seen: Any, refine: bool = True) -> np.ndarray:
    """World poses [frames,91] of a session that is never late; seen(frame) gives the partners' windows."""
    segment, refined = graphs
    made = []
    one = np.ones(1, np.float32)
    while len(made) < frames:
        if not agent.left and agent.following is None:
            draft = agent.draft(None)
            answer = segment(agent.segment_inputs(draft, seen(agent.frames), NOBODY))
            agent.begin(draft, answer["latent"], answer["future"], one)
        assert agent.turn_over()
        if refine:
            agent.refined(refined(agent.refine_inputs(seen(agent.frames), NOBODY))["future"], one)
        assert advance([agent], [1]) == [0]
        made.append(agent.poses[1].copy())
    return np.stack(made)


def test_it_moves_as_a_rollout_without_a_server(graphs: tuple[Graph, Graph]) -> None:
    """The reference is the library's own way of running the graphs, which evaluation uses."""
    agent = Agent(5)
    start = poses.split(agent.poses)
    walk = np.stack([_person(0.02 * frame, 1.5) for frame in range(40)])
    noises = [
        np.random.Generator(np.random.Philox(key=5, counter=number)).standard_normal((1, 1, 64), np.float32)
        for number in range(4)
    ]
    numbered = iter(noises)
    reference = Rollout(
        lambda feed: graphs[0]({**feed, "noise": next(numbered)}), graphs[1], mode="refine"
    ).run(rows_of(*start), 24, Surroundings(partner=walk))
    made = ran(agent, graphs, 24, lambda frame: [walk[max(0, frame - 8) : frame + 2]])
    joints = forward_kinematics(*poses.split(made))
    # What leaves is lifted onto the floor where the networks sink; they go on from what they made.
    sinking = reference[2:, LAYOUT["joints"]].reshape(-1, 22, 3)
    expected = on_the_floor(reference[2:, :3], sinking)
    np.testing.assert_allclose(joints[:, 0], expected, atol=2e-3)


def test_another_replica_goes_on_as_the_first_would_have(graphs: tuple[Graph, Graph]) -> None:
    def seen(frame: int) -> list[np.ndarray]:
        return [np.stack([_person(0.01 * (frame - back), 2.0) for back in range(9, -1, -1)])]

    first = Agent(7)
    ran(first, graphs, 13, seen)
    second = Agent.resumed(7, first.state(), None)
    np.testing.assert_array_equal(ran(first, graphs, 11, seen), ran(second, graphs, 11, seen))


def test_nonsense_from_the_network_is_held(graphs: tuple[Graph, Graph]) -> None:
    agent = Agent(1)
    ran(agent, graphs, 8, lambda frame: [])
    draft = agent.draft(None)
    future = np.full((1, 8, 276), np.nan, np.float32)
    agent.begin(draft, np.zeros((1, 1, 64), np.float32), future, np.ones(1, np.float32))
    assert advance([agent], [4]) == [4]
    assert np.isfinite(agent.poses).all()
    assert np.isfinite(agent.rows).all()


def test_nonsense_is_not_gone_on_from() -> None:
    agent = Agent(1)
    draft = agent.draft(None)
    future = np.repeat(draft.start[None, 1:], 8, axis=1)
    latent, one = np.zeros((1, 1, 64), np.float32), np.ones(1, np.float32)
    agent.begin(draft, latent, future, one)
    assert advance([agent], [2]) == [0]
    agent.refined(np.full_like(future, np.nan), one)
    assert advance([agent], [1]) == [1]
    again = agent.draft(None)
    assert np.isfinite(again.start).all()
    agent.begin(again, latent, np.full_like(future, np.nan), one)
    assert agent.following is None
    agent.begin(again, latent, future, one)
    assert advance([agent], [1]) == [0]


def test_a_jump_of_the_network_is_walked() -> None:
    agent = Agent(1)
    draft = agent.draft(None)
    far = np.repeat(draft.start[1:], 8, axis=0)
    far[:, 0] += 3.0
    agent.begin(draft, np.zeros((1, 1, 64), np.float32), far[None], np.ones(1, np.float32))
    path = []
    for _ in range(8):
        advance([agent], [1])
        path.append(agent.poses[1, 0])
    steps = np.diff([0.0, *path])
    assert np.abs(steps).max() <= 0.5 + 1e-6  # 10 m/s
    assert (steps > 0).all()
    assert path[-1] > 2.7  # the last of it dies away


def test_without_a_segment_movement_dies_down() -> None:
    agent = Agent(1)
    turn = rot.from_axis_angle(np.array([[0, 0.1, 0]], np.float32))[0]
    agent.poses[1, :3] += [0.05, 0, 0]
    agent.poses[1, 3:7] = turn
    assert advance([agent], [40]) == [40]
    assert agent.frames == 40
    still = np.diff(agent.poses, axis=0)
    assert np.abs(still).max() < 1e-5
    assert 0.05 < agent.poses[1, 0] < 0.25  # a little farther, not for ever


def test_a_scene_is_seen_in_the_agents_frame() -> None:
    box = Scene("room", (Box((0.0, 0.5, 1.0), (0.5, 1.0, 0.5)),))
    cells = Agent(1).draft(Raster(box)).occupancy
    assert cells[12, 2, 19]  # a metre ahead
    assert not cells[12, 2, 4]


@pytest.mark.parametrize("fps", [10, 12.5, 20, 25, 29.97, 30, 60])
def test_every_rate_is_made_of_whole_model_frames(fps: float) -> None:
    frames, behind = 0, []
    for sequence in range(round(20 * fps)):
        steps, place = steps_for(sequence, fps, frames)
        frames += steps
        assert 0 <= steps <= 2
        assert 0 <= place <= 1
        at = frames - 2 + place  # where the client's frame lies, in the model's frames
        assert at == pytest.approx(sequence * 20 / fps, abs=1e-5)
        behind.append((frames - 1 - at) / 20)
    assert max(behind) <= interpolation_seconds(fps) + 1e-6
    assert max(behind) >= interpolation_seconds(fps) - 1e-3


def test_the_nearest_and_most_active_weigh_most() -> None:
    partners = Partners(Events())
    for frame in range(60):
        time = frame / 20
        for person, joints in (
            ("near", _person(0.0, 1.0)),
            ("far", _person(0.0, 4.0)),
            ("lively", _person(0.05 * np.sin(6 * time), 4.0)),
        ):
            message = pb.PartnerFrame(person_id=person, index=frame, seconds=time, positions=joints.ravel())
            partners.add(message, 10 + time)
        view = partners.view(np.zeros(3, np.float32), 10 + time)
    near, far, lively = view.weights
    assert view.weights.sum() == pytest.approx(1, abs=1e-5)
    assert near > lively > far > 0


def _person(x: float, z: float) -> np.ndarray:
    """[22,3] of somebody who stands at (x, z)."""
    motion = Motion.from_rotations(*poses.split(poses.standing()[None]), 20)
    joints: np.ndarray = motion.positions[0] + np.array([x, 0, z], np.float32)
    return joints


def test_a_body_leaves_on_the_floor() -> None:
    motion = Motion.from_rotations(
        np.array([[0, 1.2, 0], [1, 0.7, 2]], np.float32),
        np.tile(np.eye(4, dtype=np.float32)[0], (2, 22, 1)),
        20.0,
    )
    lifted = on_the_floor(motion.translation, motion.positions)
    np.testing.assert_array_equal(lifted[0], motion.translation[0])  # above it: as it is
    lowest = forward_kinematics(lifted, motion.rotations)[1, :, 1].min()
    assert lowest == pytest.approx(0, abs=1e-5)
    np.testing.assert_array_equal(lifted[1, [0, 2]], motion.translation[1, [0, 2]])

"""``examples/unitree_g1``: the robot's pose is the person's, as MuJoCo's own forward kinematics sees it."""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mink")
import mujoco

from examples.unitree_g1.model import find_model
from kinesphere import rotations as rot
from kinesphere.formats import save_motion
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX
from services.reactor.poses import split, standing
from tests.examples.conftest import FPS, Example, react
from tests.services.reactor.conftest import Replica

if importlib.util.find_spec("holosoma") is None:
    pytest.skip("no robot: make setup, or pip install --no-deps holosoma", allow_module_level=True)

HEADING = 0.6
WALKED = 0.8
SECONDS = 1.5


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(find_model()))


@pytest.fixture
def person() -> Motion:
    """Somebody who faces a little to the left, glides 0.8 m ahead, raises the right arm overhead and the left knee."""
    frames = round(SECONDS * 30)
    translation, turns = (np.repeat(part, frames, axis=0) for part in split(standing()[None]))
    ramp = np.linspace(0, 1, frames)[:, None]
    ahead = np.array([np.sin(HEADING), 0, np.cos(HEADING)])
    translation = translation + WALKED * ramp * ahead
    turns[:, 0] = rot.about_y(HEADING)
    shoulder = JOINT_INDEX["right_shoulder"]
    # In the parent's frame, before the arm is let down: about X, backwards over the head.
    raised = rot.from_axis_angle(ramp * np.array([-2.6, 0.0, 0.0]))
    turns[:, shoulder] = rot.multiply(raised, turns[:, shoulder])
    for joint, angle in (("left_hip", -0.7), ("left_knee", 1.2), ("left_ankle", -0.5)):
        turns[:, JOINT_INDEX[joint]] = rot.from_axis_angle(ramp * np.array([angle, 0.0, 0.0]))
    return Motion.from_rotations(translation, turns, 30.0)


def test_the_robot_does_what_the_person_does(
    example: Callable[..., Example], model: mujoco.MjModel, person: Motion, tmp_path: Path
) -> None:
    file = save_motion(person, tmp_path / "person.npz")
    kinds = "npz,png" if ctypes.util.find_library("EGL") else "npz"
    told = json.loads(
        example("unitree_g1", "--motion", file, "-o", tmp_path / "g1", "--files", kinds, "--json").finish()
    )
    assert told["frames"] == person.num_frames
    assert told["error_mm"]["p50"] < 15
    assert told["error_degrees"]["p95"] < 15

    robot = Played(model, tmp_path / "g1.npz")
    robot.stands_within_its_limits()
    for frame in (0, -1):
        at = robot.at(frame)
        # Left is on the left: the cross product of up and ahead.
        ahead, left = (
            np.array([np.cos(HEADING), np.sin(HEADING), 0]),
            np.array([-np.sin(HEADING), np.cos(HEADING), 0]),
        )
        for link in ("hip_roll", "knee", "ankle_roll", "shoulder_roll"):
            assert (at(f"left_{link}_link") - at(f"right_{link}_link")) @ left > 0.1
        # Upright, facing as the person does.
        assert (at("torso_link") - at("pelvis"))[2] > 0.04
        assert robot.pointing("torso_link", frame) @ ahead > 0.98
        assert robot.pointing("right_ankle_roll_link", frame) @ ahead > 0.98
        assert (at("left_wrist_yaw_link") - at("left_shoulder_roll_link"))[2] < -0.3
    # The right arm goes up, and only that one.
    first, last = robot.at(0), robot.at(-1)
    assert (first("right_wrist_yaw_link") - first("right_shoulder_roll_link"))[2] < -0.3
    assert (last("right_wrist_yaw_link") - last("right_shoulder_roll_link"))[2] > 0.2
    # As far as its legs are long, measured on the robot: hip to ankle.
    legs = sum(
        np.linalg.norm(first(f"left_{a}_link") - first(f"left_{b}_link"))
        for a, b in (("hip_roll", "knee"), ("knee", "ankle_roll"))
    )
    joints = person.positions[0]
    own = sum(
        np.linalg.norm(joints[JOINT_INDEX[f"left_{a}"]] - joints[JOINT_INDEX[f"left_{b}"]])
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    )
    assert np.linalg.norm(last("pelvis") - first("pelvis")) == pytest.approx(WALKED * legs / own, abs=0.02)
    # One foot is lifted as high as the person's, scaled, the other stands.
    lifted = np.ptp(person.positions[-1, [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]], 1])
    assert lifted > 0.1
    ankles = [last(f"{side}_ankle_roll_link")[2] for side in ("left", "right")]
    assert ankles[0] - ankles[1] == pytest.approx(lifted * legs / own, abs=0.03)
    assert ankles[1] == pytest.approx(0.035, abs=0.005)
    if kinds != "npz":
        check_picture(tmp_path / "g1.png")


def check_picture(path: Path) -> None:
    """Six moments, the person's limbs in blue and orange at the right of each."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), np.int16)
    orange = (pixels[..., 0] > 180) & (pixels[..., 0] > pixels[..., 2] + 80)
    panels = np.split(orange, 6, axis=1)
    for panel in panels:
        assert panel.sum() > 200
        assert np.flatnonzero(panel.any(axis=0)).min() > panel.shape[1] / 3
    # The arm: higher in the picture in the end.
    tops = [np.flatnonzero(panel.any(axis=1)).min() for panel in panels]
    assert tops[-1] < tops[0] - 20


@pytest.mark.slow
def test_the_robot_follows_a_session(
    example: Callable[..., Example], model: mujoco.MjModel, replica: Replica, tmp_path: Path
) -> None:
    listener = example(
        "unitree_g1", "--address", replica.address, "-o", tmp_path / "g1", "--files", "npz", "--json"
    )
    made = react(replica, listener, 25)
    told = json.loads(listener.finish())
    assert told["left_out"] == 0
    assert told["fps"] == FPS
    assert told["frames"] >= 20
    assert told["first_sequence"] + told["frames"] == len(made)
    assert 0 < told["ik_ms"]["p50"] <= told["ik_ms"]["p99"]
    robot = Played(model, tmp_path / "g1.npz")
    assert robot.sequence.tolist() == [frame.sequence for frame in made[told["first_sequence"] :]]
    robot.stands_within_its_limits()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--motion", "missing.bvh"], "unitree_g1: "),
        (["--files", "fbx"], "unitree_g1: files: is 'fbx', expected some of npz,png,mp4"),
    ],
)
def test_what_is_wrong_is_one_line(example: Callable[..., Example], options: list[str], line: str) -> None:
    run = example("unitree_g1", *options)
    assert run.process.wait(60) == 1
    (told,) = run.err.read_text().splitlines()
    assert told.startswith(line)


class Played:
    """What the example wrote, on the model in MuJoCo."""

    def __init__(self, model: mujoco.MjModel, path: Path) -> None:
        with np.load(path) as file:
            self.qpos, self.sequence, self.fps = file["qpos"], file["sequence"], float(file["fps"])
            names = file["joints"].tolist()
        self.model = model
        assert names == [self.model.joint(index).name for index in range(1, self.model.njnt)]
        self._data = mujoco.MjData(self.model)

    def at(self, frame: int) -> Callable[[str], np.ndarray]:
        """Places of links in one frame."""
        self._pose(frame)
        places = {
            self.model.body(index).name: self._data.xpos[index].copy() for index in range(self.model.nbody)
        }
        return places.__getitem__

    def pointing(self, link: str, frame: int) -> np.ndarray:
        """Where a link's X axis points."""
        self._pose(frame)
        axis: np.ndarray = self._data.body(link).xmat.reshape(3, 3)[:, 0].copy()
        return axis

    def stands_within_its_limits(self) -> None:
        """Angles within the model's ranges, speeds within the robot's, and a sole on the floor in every frame."""
        angles, ranges = self.qpos[:, 7:], self.model.jnt_range[1:]
        assert (angles >= ranges[:, 0] - 1e-6).all()
        assert (angles <= ranges[:, 1] + 1e-6).all()
        assert np.abs(np.diff(angles, axis=0)).max() * self.fps <= 37 + 1e-6
        feet = [self.model.body(f"{side}_foot_contact_point").id for side in ("left", "right")]
        for frame in range(len(self.qpos)):
            self._pose(frame)
            # Of the model's own contact points, 37 mm below the ankles, one is on the floor (soles are 35 mm below).
            assert -0.01 < self._data.xpos[feet, 2].min() < 0.03

    def _pose(self, frame: int) -> None:
        self._data.qpos[:] = self.qpos[frame]
        mujoco.mj_kinematics(self.model, self._data)

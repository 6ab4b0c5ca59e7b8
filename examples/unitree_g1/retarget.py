"""A person's pose onto the robot: the person's joints become targets for links, and differential IK follows them.

Limbs keep their directions and get the robot's lengths, so that the robot's pose is the person's. Where the pelvis and
the feet are in the world is scaled by the ratio of leg lengths: steps are as long as the robot's legs can take. Each
frame starts from the last one's solution, within the joints' limits of range and speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import mink
import numpy as np
from numpy.typing import NDArray

from examples.axes import z_up, z_up_rotations
from examples.unitree_g1.model import SIDES, Robot
from kinesphere import rotations as rot
from kinesphere.skeleton import JOINT_INDEX, PARENTS

Array = NDArray[np.float64]

# Link -> how much its place (a metre) and its orientation (a radian) count. Feet before hands.
COSTS: Final = {
    "pelvis": (20.0, 5.0),
    "torso_link": (0.0, 4.0),
    **{f"{side}_knee_link": (8.0, 0.0) for side in SIDES},
    **{f"{side}_ankle_roll_link": (50.0, 5.0) for side in SIDES},
    **{f"{side}_elbow_link": (12.0, 0.0) for side in SIDES},
    **{f"{side}_wrist_yaw_link": (12.0, 0.0) for side in SIDES},
}
_REST: Final = 0.2  # pulls joints that no target tells (wrists, twists) to their zero: a radian
_FIRST, _EACH = 60, 5  # iterations at most, of the first frame and of a later one
_ENOUGH: Final = 3e-3  # radians: no more iterations after a smaller step
_CONTACT: Final = 0.03  # metres: a person whose lower foot is lower than that stands on it
_LIFTED: Final = 0.04  # metres: a foot that high is turned as the person's, a lower one flatter
_AHEAD, _LEFT = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
# Limb -> the person's joints at its ends, and the robot's.
_LIMBS: Final = {
    "thigh": ("hip", "knee", "hip_roll", "knee"),
    "shank": ("knee", "ankle", "knee", "ankle_roll"),
    "upper arm": ("shoulder", "elbow", "shoulder_roll", "elbow"),
    "forearm": ("elbow", "wrist", "elbow", "wrist_yaw"),
}


@dataclass(frozen=True, eq=False)
class Followed:
    """One frame. qpos [36]: place and orientation (wxyz) of the pelvis, 29 joint angles. Z up, metres, radians.

    millimetres: link -> how far its place is from its target. degrees: what is turned otherwise than the person's:
    pelvis, trunk, and the directions of upper arms, forearms, thighs and shanks.
    """

    qpos: Array
    millimetres: dict[str, float]
    degrees: dict[str, float]


class Retargeter:
    """Feed it a person's frames in order, ``fps`` a second.

    leg: the person's hip to ankle, stretched; ankle_height: above the floor when the person stands; metres.
    """

    def __init__(self, robot: Robot, leg: float, ankle_height: float, fps: float) -> None:
        self.robot = robot
        self._seconds = 1 / fps
        self.scale = robot.leg / leg
        self._standing = ankle_height
        self._configuration = mink.Configuration(robot.model)
        self._tasks = {
            link: mink.FrameTask(link, "body", place, turn, lm_damping=1e-3)
            for link, (place, turn) in COSTS.items()
        }
        rest = mink.PostureTask(robot.model, _REST)
        rest.set_target(np.r_[0.0, 0.0, 0.0, 1.0, np.zeros(robot.model.nq - 4)])
        self._all = [*self._tasks.values(), rest]
        self._range = mink.ConfigurationLimit(robot.model)
        self._speed = mink.VelocityLimit(robot.model, robot.speeds)
        self._started = False

    @classmethod
    def of(
        cls, robot: Robot, positions: NDArray[np.floating], rotations: NDArray[np.floating], fps: float
    ) -> Retargeter:
        """For the person of a frame: joints [22,3] and local rotations [22,4], as in ``follow``."""
        at = {name: np.asarray(positions[index], np.float64) for name, index in JOINT_INDEX.items()}
        leg = np.linalg.norm(at["left_hip"] - at["left_knee"]) + np.linalg.norm(
            at["left_knee"] - at["left_ankle"]
        )
        # A foot's own frame at rest is that of a person who stands: how much lower than the ankle the toes are then.
        ankle = world_rotations(rotations)[JOINT_INDEX["left_ankle"]]
        toes = rot.rotate(rot.inverse(ankle), at["left_foot"] - at["left_ankle"])
        return cls(robot, float(leg), float(-toes[1]), fps)

    def follow(self, positions: NDArray[np.floating], rotations: NDArray[np.floating]) -> Followed:
        """The robot's pose for a person's joints [22,3] and local rotations [22,4] (wxyz), in Kinesphere's axes."""
        joints = self._on_its_feet(z_up(positions))
        targets = self._targets(joints, z_up_rotations(world_rotations(rotations)))
        for link, (place, turn) in targets.items():
            self._tasks[link].set_target(mink.SE3.from_rotation_and_translation(mink.SO3(turn), place))
        if self._started:
            self._solve(_EACH, self._seconds / _EACH, [self._range, self._speed])
        else:
            self._stand(*targets["pelvis"])
            self._solve(_FIRST, 1.0, [self._range])
            self._started = True
        self._put_on_the_floor(min(self._height(joints, side) for side in SIDES))
        return Followed(self._configuration.q.copy(), self._off(targets), self._turned_away(joints, targets))

    def _targets(self, joints: Array, turns: Array) -> dict[str, tuple[Array, Array]]:
        """Link -> place [3] and orientation [4], for joints [22,3] and their world rotations [22,4]; Z up."""
        at = dict(zip(JOINT_INDEX, joints, strict=True))
        pelvis, trunk = turns[JOINT_INDEX["pelvis"]], turns[JOINT_INDEX["spine3"]]
        hips = np.mean([side.hip for side in self.robot.sides], axis=0)
        here = self._scaled((at["left_hip"] + at["right_hip"]) / 2) - rot.rotate(pelvis, hips)
        chest = here + rot.rotate(pelvis, self.robot.chest)
        # The robot's hips are wider than a person's, scaled: it stands as much wider.
        width = float(np.linalg.norm(at["left_hip"] - at["right_hip"])) / 2
        found = {"pelvis": (here, pelvis), "torso_link": (chest, trunk)}
        for name, side in zip(SIDES, self.robot.sides, strict=True):
            hip = here + rot.rotate(pelvis, side.hip)
            shoulder = chest + rot.rotate(trunk, side.shoulder)
            elbow = shoulder + side.upper_arm * _direction(at, f"{name}_shoulder", f"{name}_elbow")
            outward = np.sign(side.hip[1]) * rot.rotate(level(pelvis), _LEFT)
            ankle = self._scaled(at[f"{name}_ankle"]) + (abs(side.hip[1]) - self.scale * width) * outward
            height = self._height(joints, name)
            foot = self._foot(turns[JOINT_INDEX[f"{name}_ankle"]], height)
            ankle[2] = self.scale * height + self.robot.depth(name, foot)
            places = {
                "knee": hip + side.thigh * _direction(at, f"{name}_hip", f"{name}_knee"),
                "ankle_roll": ankle,
                "elbow": elbow,
                "wrist_yaw": elbow + side.forearm * _direction(at, f"{name}_elbow", f"{name}_wrist"),
            }
            found |= {f"{name}_{link}_link": (place, foot) for link, place in places.items()}
        return found

    def _scaled(self, place: Array) -> Array:
        """A place of the person's world in the robot's: an ankle of who stands is where the robot's is."""
        return self.scale * (place - [0, 0, self._standing]) + [0, 0, self.robot.ankle_height]

    def _on_its_feet(self, joints: Array) -> Array:
        """The person [22,3] lowered, or raised, by what the lower foot is from the floor, unless it is in the air."""
        low = min(self._height(joints, side) for side in SIDES)
        return joints - [0, 0, min(low, _CONTACT)]

    def _height(self, joints: Array, side: str) -> float:
        """How far a person's foot is above where it would touch the floor, metres; joints [22,3], Z up."""
        ankle = joints[JOINT_INDEX[f"{side}_ankle"], 2] - self._standing
        return float(min(ankle, joints[JOINT_INDEX[f"{side}_foot"], 2]))

    @staticmethod
    def _foot(turn: Array, height: float) -> Array:
        """The orientation of a foot: flat while it stands, the person's (``turn``) when it is lifted."""
        return np.asarray(rot.slerp(level(turn), turn, min(height / _LIFTED, 1.0)))

    def _stand(self, place: Array, turn: Array) -> None:
        """Begin upright, in the zero pose, where the person is."""
        self._configuration.update(np.concatenate([place, level(turn), np.zeros(self.robot.model.nq - 7)]))

    def _solve(self, iterations: int, seconds: float, limits: list[mink.Limit]) -> None:
        """So many steps of ``seconds`` each, or until one is small."""
        for _ in range(iterations):
            step = mink.solve_ik(self._configuration, self._all, seconds, "daqp", limits=limits)
            self._configuration.integrate_inplace(step, seconds)
            if float(np.abs(step).max()) * seconds < _ENOUGH:
                return

    def _put_on_the_floor(self, height: float) -> None:
        """Raise or lower the robot so that its lower sole is as high as the person's lower foot, scaled."""
        moved = self._configuration.q.copy()
        moved[2] += self.scale * height - self.robot.height(self._configuration.data)
        self._configuration.update(moved)

    def _off(self, targets: dict[str, tuple[Array, Array]]) -> dict[str, float]:
        data = self._configuration.data
        return {
            link: 1000 * float(np.linalg.norm(data.body(link).xpos - targets[link][0]))
            for link, (cost, _) in COSTS.items()
            if cost
        }

    def _turned_away(self, joints: Array, targets: dict[str, tuple[Array, Array]]) -> dict[str, float]:
        data = self._configuration.data
        at = dict(zip(JOINT_INDEX, joints, strict=True))
        found = {
            link: np.degrees(_angle(data.body(link).xquat, targets[link][1]))
            for link in ("pelvis", "torso_link")
        }
        for side in SIDES:
            for name, (a, b, upper, lower) in _LIMBS.items():
                limb = data.body(f"{side}_{lower}_link").xpos - data.body(f"{side}_{upper}_link").xpos
                cosine = _direction(at, f"{side}_{a}", f"{side}_{b}") @ limb / np.linalg.norm(limb)
                found[f"{side} {name}"] = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
        return found


def world_rotations(rotations: NDArray[np.floating]) -> Array:
    """Local rotations [22,4] -> each joint's rotation in the world [22,4]."""
    world = np.array(rotations, np.float64)
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            world[joint] = rot.multiply(world[parent], world[joint])
    return world


def level(turn: Array) -> Array:
    """What is left of a rotation [4] when who faces so stands upright: its turn about the vertical (Z up)."""
    ahead = rot.rotate(turn, _AHEAD)
    half = np.arctan2(ahead[1], ahead[0]) / 2
    return np.array([np.cos(half), 0.0, 0.0, np.sin(half)])


def _direction(at: dict[str, Array], a: str, b: str) -> Array:
    bone = at[b] - at[a]
    return np.asarray(bone / max(float(np.linalg.norm(bone)), 1e-6))


def _angle(a: Array, b: Array) -> float:
    """Radians between two orientations [4]."""
    return 2 * float(np.arccos(np.clip(abs(a @ b), 0, 1)))

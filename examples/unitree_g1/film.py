"""The robot beside the person that it follows, drawn by MuJoCo's own renderer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import imageio_ffmpeg
import mujoco
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.axes import z_up
from examples.unitree_g1.model import Robot
from kinesphere.drawing.figure import PALETTES, body_points, capsules
from kinesphere.errors import InputError

Array = NDArray[np.float64]

FILM_FPS: Final = 25.0
_APART: Final = 0.9  # metres between the two: beside each other, as the camera sees them
_AZIMUTH: Final = 25.0  # degrees: from the robot's front, a little to its right
_PANEL, _FILM = (290, 300), (640, 480)
_SMOOTH: Final = 0.9  # of the camera's place that the next frame of a film keeps


class Studio:
    """Draws poses of ``robot``. size: pixels. heading: degrees about the vertical that the robot faces at first.

    shadows: they take most of the time where a processor draws.

    Raises InputError(``MUJOCO_GL``) where no OpenGL is to be had.
    """

    def __init__(self, robot: Robot, size: tuple[int, int], heading: float, *, shadows: bool) -> None:
        self._model = robot.model
        self._model.vis.global_.offwidth, self._model.vis.global_.offheight = size
        try:
            self._renderer = mujoco.Renderer(self._model, height=size[1], width=size[0])
        except Exception as error:  # each backend raises its own
            raise InputError(
                "MUJOCO_GL",
                f"no OpenGL for a picture ({error}); apt install libegl1 libgl1-mesa-dri, or --files npz",
            ) from error
        self._flags = {mujoco.mjtRndFlag.mjRND_REFLECTION: False, mujoco.mjtRndFlag.mjRND_SHADOW: shadows}
        self._data = mujoco.MjData(self._model)
        self._camera = mujoco.MjvCamera()
        self._camera.azimuth = heading + 180 + _AZIMUTH
        self._camera.elevation, self._camera.distance = -8, 3.4
        view = np.radians(self._camera.azimuth)
        self._aside = _APART * np.array([np.sin(view), -np.cos(view), 0.0])  # to the right in the picture

    def close(self) -> None:
        self._renderer.close()

    def shot(self, qpos: Array, person: Array, look_at: Array) -> NDArray[np.uint8]:
        """[height,width,3]. qpos [36]; person: [26,3] points of ``body_points``, Z up; look_at: [3]."""
        self._data.qpos[:] = qpos
        mujoco.mj_forward(self._model, self._data)
        self._camera.lookat[:] = look_at + self._aside / 2
        self._renderer.update_scene(self._data, self._camera)
        scene = self._renderer.scene
        for flag, wanted in self._flags.items():
            scene.flags[flag] = wanted
        beside = person + (qpos[:3] - person[0]) * [1, 1, 0] + self._aside
        for limb in capsules():
            ends = beside[limb.a], beside[limb.b]
            _capsule(scene, *ends, (limb.ra + limb.rb) / 2, PALETTES[0].of(limb.side))
        pixels: NDArray[np.uint8] = self._renderer.render()
        return pixels


def write_picture(
    robot: Robot, qpos: Array, positions: NDArray[np.floating], path: Path, moments: int = 6
) -> Path:
    """A PNG of so many moments, evenly spaced. qpos [T,36], positions [T,22,3] in Kinesphere's axes."""
    chosen = np.linspace(0, len(qpos) - 1, moments).round().astype(int)
    people = z_up(body_points(positions[chosen]))
    studio = Studio(robot, _PANEL, _heading(qpos[0]), shadows=True)
    try:
        shots = [
            studio.shot(qpos[frame], person, np.array([*qpos[frame, :2], 0.85]))
            for frame, person in zip(chosen, people, strict=True)
        ]
    finally:
        studio.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(shots, axis=1)).quantize(200).save(path, optimize=True)
    return path


def write_film(robot: Robot, qpos: Array, positions: NDArray[np.floating], fps: float, path: Path) -> Path:
    """An MP4 of the whole movement."""
    people = z_up(body_points(positions))
    at = np.arange(0, len(qpos) - 1e-6, max(fps / FILM_FPS, 1e-6))
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: Any = imageio_ffmpeg.write_frames(
        str(path),
        _FILM,
        fps=FILM_FPS,
        codec="libx264",
        output_params=["-crf", "23", "-movflags", "+faststart"],
    )
    studio = Studio(robot, _FILM, _heading(qpos[0]), shadows=False)
    look_at = np.array([*qpos[0, :2], 0.85])
    writer.send(None)
    try:
        for frame in at.astype(int):
            look_at[:2] = _SMOOTH * look_at[:2] + (1 - _SMOOTH) * qpos[frame, :2]
            writer.send(studio.shot(qpos[frame], people[frame], look_at).tobytes())
    finally:
        writer.close()
        studio.close()
    return path


def _heading(qpos: Array) -> float:
    ahead = np.empty(3)
    mujoco.mju_rotVecQuat(ahead, np.array([1.0, 0.0, 0.0]), qpos[3:7])
    return float(np.degrees(np.arctan2(ahead[1], ahead[0])))


def _capsule(scene: Any, a: Array, b: Array, radius: float, colour: Sequence[int]) -> None:
    """Add one to what is drawn, if there is room."""
    if scene.ngeom >= scene.maxgeom:
        return
    geom = scene.geoms[scene.ngeom]
    shade = np.array([*colour, 255], np.float32) / 255
    kind = mujoco.mjtGeom.mjGEOM_CAPSULE
    mujoco.mjv_initGeom(geom, kind, np.zeros(3), np.zeros(3), np.eye(3).ravel(), shade)
    mujoco.mjv_connector(geom, kind, radius, a, b)
    scene.ngeom += 1

"""``Motion``: the interchange type. Everything that reads, writes, draws, encodes or sends motion speaks it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.skeleton import MIRROR, SMPL22, FloatArray, Skeleton

MIN_FPS, MAX_FPS = 1.0, 480.0
_FEW_FRAMES = 64


@dataclass(frozen=True, eq=False)
class Motion:
    """A person moving. Y up, metres, right-handed, facing +Z at rest.

    translation: [T,3] root position in the world. rotations: [T,J,4] unit quaternions wxyz, each joint's rotation in
    its parent's frame (the root's in the world). positions: [T,J,3] joint positions in the world, always what forward
    kinematics of the other two gives on ``skeleton``. fps: frames a second. betas: SMPL shape, if known.
    """

    translation: FloatArray
    rotations: FloatArray
    positions: FloatArray
    fps: float
    skeleton: Skeleton = field(default=SMPL22)
    betas: FloatArray | None = None
    person_id: str | None = None

    @classmethod
    def from_rotations(
        cls,
        translation: NDArray[np.floating],
        rotations: NDArray[np.floating],
        fps: float,
        skeleton: Skeleton = SMPL22,
        *,
        betas: FloatArray | None = None,
        person_id: str | None = None,
    ) -> Motion:
        """Build from root translation [T,3] and local rotations [T,J,4]; positions follow by forward kinematics.

        Raises InputError naming ``motion.translation``, ``motion.rotations`` or ``motion.fps``.
        """
        check_fps(fps)
        frames, joints = len(translation), skeleton.num_joints
        _check("motion.translation", translation, (frames, 3))
        _check("motion.rotations", rotations, (frames, joints, 4))
        if frames == 0:
            raise InputError("motion.translation", "a motion has at least 1 frame")
        norms = np.linalg.norm(rotations, axis=-1)
        if np.any(norms < 1e-3):
            raise InputError(
                "motion.rotations", "a quaternion is (near) zero; unit quaternions wxyz are expected"
            )
        unit = rot.continuous((rotations / norms[..., None]).astype(np.float32))
        root = np.ascontiguousarray(translation, dtype=np.float32)
        positions = forward_kinematics(root, unit, skeleton)
        return cls(root, unit.astype(np.float32), positions, float(fps), skeleton, betas, person_id)

    @classmethod
    def from_positions(
        cls, positions: NDArray[np.floating], fps: float, skeleton: Skeleton = SMPL22
    ) -> Motion:
        """Build from joint positions [T,22,3] by inverse kinematics (see ``kinesphere.ik``)."""
        from kinesphere.ik import solve

        check_fps(fps)
        _check("motion.positions", positions, (len(positions), skeleton.num_joints, 3))
        translation, rotations = solve(positions, skeleton)
        return cls.from_rotations(translation, rotations, fps, skeleton)

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.translation)

    @property
    def seconds(self) -> float:
        """How long the frames last, each 1 / fps: T / fps."""
        return self.num_frames / self.fps

    def slice(self, start: int, stop: int) -> Motion:
        """Frames ``start`` (included) to ``stop`` (left out). Raises InputError(``motion``) if none is left."""
        if not range(self.num_frames)[start:stop]:
            raise InputError("motion", f"has {self.num_frames} frames; {start} to {stop} leaves none")
        return replace(
            self,
            translation=self.translation[start:stop],
            rotations=self.rotations[start:stop],
            positions=self.positions[start:stop],
        )

    def resampled(self, fps: float) -> Motion:
        """The same movement at another rate: linear on the root, spherical on rotations."""
        check_fps(fps)
        if abs(fps - self.fps) < 1e-6 or self.num_frames == 1:
            return replace(self, fps=float(fps)) if self.num_frames == 1 else self
        count = max(1, int(np.floor((self.num_frames - 1) / self.fps * fps + 1e-6)) + 1)
        return self.sampled(np.arange(count) / fps * self.fps, fps)

    def sampled(self, frames: NDArray[np.floating], fps: float | None = None) -> Motion:
        """The movement at fractional ``frames`` [n] of this motion, at ``fps`` frames a second (by default its own).

        Linear on the root, spherical on rotations; before the first frame and after the last it stands still.
        """
        at = np.clip(np.asarray(frames, dtype=np.float64), 0, self.num_frames - 1)
        low = np.clip(np.floor(at).astype(int), 0, max(self.num_frames - 2, 0))
        high = np.minimum(low + 1, self.num_frames - 1)
        weight = (at - low).astype(np.float32)
        translation = self.translation[low] + weight[:, None] * (
            self.translation[high] - self.translation[low]
        )
        turned = rot.slerp(self.rotations[low], self.rotations[high], weight[:, None, None])
        return Motion.from_rotations(
            translation,
            turned,
            self.fps if fps is None else fps,
            self.skeleton,
            betas=self.betas,
            person_id=self.person_id,
        )

    def mirrored(self) -> Motion:
        """The same movement seen in a mirror: left and right change places (the YZ plane is the mirror)."""
        if self.skeleton.num_joints != len(MIRROR):
            raise InputError("motion.skeleton", "only the 22-joint skeleton can be mirrored")
        translation = self.translation * np.array([-1, 1, 1], dtype=np.float32)
        turned = self.rotations[:, list(MIRROR)] * np.array([1, 1, -1, -1], dtype=np.float32)
        return Motion.from_rotations(
            translation, turned, self.fps, self.skeleton, betas=self.betas, person_id=self.person_id
        )


def forward_kinematics(
    translation: FloatArray, rotations: FloatArray, skeleton: Skeleton = SMPL22
) -> FloatArray:
    """Joint positions [T,J,3] from root translation [T,3] and local rotations [T,J,4]."""
    # A few frames cost what the calls cost, so joints go level by level; many cost arithmetic, and matrices need more.
    if len(rotations) <= _FEW_FRAMES:
        return _by_levels(translation, rotations, skeleton)
    world = np.empty_like(rotations)
    positions = np.empty((*rotations.shape[:2], 3), dtype=np.float32)
    for joint, parent in enumerate(skeleton.parents):
        if parent < 0:
            world[:, joint] = rotations[:, joint]
            positions[:, joint] = translation
        else:
            world[:, joint] = rot.multiply(world[:, parent], rotations[:, joint])
            positions[:, joint] = positions[:, parent] + rot.rotate(world[:, parent], skeleton.offsets[joint])
    return positions


def _by_levels(translation: FloatArray, rotations: FloatArray, skeleton: Skeleton) -> FloatArray:
    local = rot.to_matrix(np.asarray(rotations, dtype=np.float64))
    world = np.empty_like(local)
    positions = np.empty((*rotations.shape[:2], 3))
    for joints, parents in _levels(skeleton.parents):
        if parents[0] < 0:
            world[:, joints] = local[:, joints]
            positions[:, joints] = translation[:, None]
        else:
            turned = world[:, parents]
            world[:, joints] = turned @ local[:, joints]
            bones = turned @ skeleton.offsets[joints][:, :, None]
            positions[:, joints] = positions[:, parents] + bones[..., 0]
    return positions.astype(np.float32)


@lru_cache(maxsize=64)
def _levels(parents: tuple[int, ...]) -> tuple[tuple[list[int], list[int]], ...]:
    """Joints as far from the root as each other, and their parents, level after level."""
    depths: list[int] = []
    for parent in parents:
        depths.append(0 if parent < 0 else depths[parent] + 1)
    levels = []
    for depth in range(max(depths) + 1):
        joints = [joint for joint, found in enumerate(depths) if found == depth]
        levels.append((joints, [parents[joint] for joint in joints]))
    return tuple(levels)


def check_fps(fps: float) -> None:
    """Raise InputError unless ``fps`` is a finite rate within the limits."""
    if not np.isfinite(fps) or not MIN_FPS <= fps <= MAX_FPS:
        raise InputError("motion.fps", f"{fps} is outside {MIN_FPS:g} to {MAX_FPS:g} frames a second")


def _check(name: str, array: NDArray[np.floating], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InputError(name, f"has shape {list(array.shape)}, expected {list(shape)}")
    if not np.all(np.isfinite(array)):
        raise InputError(name, "holds NaN or infinite values")

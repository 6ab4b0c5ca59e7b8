"""Features to motion, piece by piece: the same frames come out however the stream is cut.

Features are integrated along the root's path, put on the skeleton by inverse kinematics, their feet held where they are
planted, and interpolated to the rate that was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kinesphere import ik
from kinesphere.motion import Motion, forward_kinematics
from kinesphere.representations import hml263
from kinesphere.skeleton import SMPL22, FloatArray
from services.decoder.foot_lock import FootLock
from kinesphere.legs import put_toes

_SAME_RATE: Final = 1e-6


@dataclass(frozen=True)
class Place:
    """Where the first frame stands. yaw: heading, radians about the vertical; ground: x, z; floor: y. Metres."""

    yaw: float = 0.0
    ground: tuple[float, float] = (0.0, 0.0)
    floor: float = 0.0


class FrameStream:
    """Raw hml263 features in, ``Motion`` pieces at ``fps`` out. Keeps a few frames, whatever the length."""

    def __init__(self, fps: float, *, foot_lock: bool, place: Place | None = None) -> None:
        place = place or Place()
        self.fps = float(fps)
        self._floor = place.floor
        self._integrator = hml263.Integrator(place.yaw, place.ground)
        self._lock = FootLock() if foot_lock else None
        self._resampler = Resampler(hml263.FPS, self.fps) if abs(fps - hml263.FPS) > _SAME_RATE else None
        self._last: FloatArray | None = None

    def push(self, features: FloatArray) -> Motion | None:
        """The frames that are final after ``features`` [n,263] have come; None when there is none yet."""
        positions = self._integrator.step(features)
        translation, rotations = ik.solve(positions)
        positions = put_toes(forward_kinematics(translation, rotations), positions).astype(np.float32)
        if self._lock is not None:
            positions = self._lock.step(positions, features[:, hml263.LAYOUT["contacts"]])
        if self._resampler is not None:
            positions = self._resampler.step(positions)
        return self._solved(positions)

    def finish(self) -> Motion | None:
        """The frames that waited for what would follow."""
        positions = np.zeros((0, SMPL22.num_joints, 3), np.float32)
        if self._lock is not None:
            positions = self._lock.finish()
        if self._resampler is not None:
            positions = np.concatenate([self._resampler.step(positions), self._resampler.finish()])
        return self._solved(positions)

    def _solved(self, positions: FloatArray) -> Motion | None:
        return self._motion(*ik.solve(positions)) if len(positions) else None

    def _motion(self, translation: FloatArray, rotations: FloatArray) -> Motion:
        """A piece whose quaternions have the signs of the piece before."""
        if self._last is not None:
            joined = np.concatenate([self._last[None], rotations])
        else:
            joined = rotations
        translation = translation + np.array([0.0, self._floor, 0.0], np.float32)
        padded = np.concatenate([translation[: len(joined) - len(translation)], translation])
        whole = Motion.from_rotations(padded, joined, self.fps)
        motion = whole.slice(len(joined) - len(translation), whole.num_frames)
        self._last = motion.rotations[-1]
        return motion


class Resampler:
    """Joint positions at another rate by cubic interpolation (Catmull and Rom 1974), one frame behind its input.

    A foot that stands still in four frames stands still between them. As many frames come out, at the same times, as
    from ``Motion.resampled``.
    """

    def __init__(self, source: float, target: float) -> None:
        self._ratio = source / target
        self._made = 0  # frames given so far
        self._first = 0  # index of the first frame kept
        self._kept: FloatArray = np.zeros((0, SMPL22.num_joints, 3), np.float32)

    def step(self, positions: FloatArray) -> FloatArray:
        """The frames that are final after ``positions`` [n,22,3] have come: [m,22,3]."""
        self._kept = np.concatenate([self._kept, positions])
        # The frame at u needs the frames floor(u)-1 to floor(u)+2.
        return self._until(self._first + len(self._kept) - 2, inclusive=False)

    def finish(self) -> FloatArray:
        """The rest, up to and with the last frame."""
        return self._until(self._first + len(self._kept) - 1, inclusive=True)

    def _until(self, stop: int, *, inclusive: bool) -> FloatArray:
        end = stop / self._ratio
        count = int(np.floor(end + 1e-6)) + 1 if inclusive else int(np.ceil(end - 1e-6))
        at = np.arange(self._made, max(self._made, count)) * self._ratio
        if not len(self._kept) or not len(at):
            return self._kept[:0]
        self._made += len(at)
        frames = self._interpolate(at - self._first)
        needed = int(np.floor(self._made * self._ratio + 1e-6)) - 1
        drop = max(0, min(needed - self._first, len(self._kept) - 4))
        self._kept, self._first = self._kept[drop:], self._first + drop
        return frames

    def _interpolate(self, at: np.ndarray) -> FloatArray:
        """``at``: places among the frames kept."""
        kept = self._kept.astype(np.float64)
        if len(kept) == 1:
            return np.repeat(self._kept, len(at), axis=0)
        # Beyond either end the motion goes on as it moved there.
        padded = np.concatenate([2 * kept[:1] - kept[1:2], kept, 2 * kept[-1:] - kept[-2:-1]])
        low = np.clip(np.floor(at + 1e-9).astype(int), 0, len(kept) - 2)
        t = (at - low)[:, None, None]
        p0, p1, p2, p3 = (padded[low + shift] for shift in range(4))
        curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
        return np.asarray(curve, dtype=np.float32)

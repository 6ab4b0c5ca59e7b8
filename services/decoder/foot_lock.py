"""Feet that are planted stand still: a correction of the legs, streamed.

Where the network says that a toe touches the ground, and the toe is low and slow, its horizontal movement is taken
away; the leg follows by two-bone inverse kinematics with the hip in its place. What has been taken away is given back
while the foot swings. All weights change smoothly, so that nothing jerks (after Kovar, Schreiner and Gleicher,
"Footskate Cleanup for Motion Capture Editing", SCA 2002, here causal but for three frames).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.representations import hml263
from kinesphere.skeleton import NUM_JOINTS, FloatArray
from kinesphere.legs import LEGS, TOES, move_foot

Floats = NDArray[np.floating]

# Columns of the four contacts that speak of the toes.
_TOE_CONTACTS: Final = [hml263.CONTACT_JOINTS.index(toe) for toe in TOES]
_FPS: Final = hml263.FPS

# Between the first and the second number a foot passes from free to planted (or back, where the first is larger).
_CONTACT: Final = (0.3, 0.7)
_HEIGHT: Final = (0.12, 0.06)  # metres above the floor
_SPEED: Final = (1.6, 0.9)  # metres a second, horizontally
# Frames on either side over which the lock is eased in and out, and the weights of the nearest to the farthest.
_EASE: Final = 3
_KERNEL: Final = np.array([1.0, 2.0, 3.0, 4.0, 3.0, 2.0, 1.0]) / 16.0
_RETURN: Final = 0.5  # 1 / frames: how fast a free foot goes back, as a critically damped spring does
_LIMIT: Final = 0.25  # metres: the most that a foot is moved


class FootLock:
    """Corrects positions [n,22,3] at 20 frames a second, on a floor at y = 0, bone lengths constant."""

    def __init__(self) -> None:
        self._kept: FloatArray = np.zeros((0, NUM_JOINTS, 3), np.float32)  # not given out yet
        self._strength: Floats = np.zeros((0, 2))  # of the three frames before those kept, and of those
        self._before: Floats | None = None  # toes [2,2] (foot; x, z) of the frame before those kept
        self._offset = np.zeros((2, 2))  # what is added to each foot now (foot; x, z), metres
        self._drift = np.zeros((2, 2))  # how that changes, metres a frame

    def step(self, positions: FloatArray, contacts: Floats) -> FloatArray:
        """positions [n,22,3], contacts [n,4] as predicted (near 0 or 1) -> the frames that are final now [m,22,3]."""
        if not len(positions):
            return positions
        first = not len(self._strength)
        previous = positions[:1] if first else self._kept[-1:]
        strength = _strength(np.concatenate([previous, positions]), contacts[:, _TOE_CONTACTS])
        if first:
            # Nothing is known of the first frame's speed: it is free, and so is what would lie before it.
            strength = np.concatenate([np.zeros((_EASE + 1, 2)), strength[1:]])
        self._strength = np.concatenate([self._strength, strength])
        self._kept = np.concatenate([self._kept, positions])
        return self._give(len(self._kept) - _EASE)

    def finish(self) -> FloatArray:
        """The last frames."""
        self._strength = np.concatenate([self._strength, np.repeat(self._strength[-1:], _EASE, axis=0)])
        return self._give(len(self._kept))

    def _give(self, count: int) -> FloatArray:
        if count <= 0:
            return self._kept[:0]
        frames = self._kept[:count]
        eased = np.stack([self._strength[i : i + count] for i in range(2 * _EASE + 1)]).T @ _KERNEL  # [2,n]
        toes = frames[:, TOES][..., [0, 2]].astype(np.float64)
        first = toes[:1] if self._before is None else self._before[None]
        steps = np.diff(np.concatenate([first, toes]), axis=0)
        offsets = np.empty((count, 2, 2))
        for frame in range(count):
            # The farther the foot has been moved, the more of its own movement it keeps.
            size = np.linalg.norm(self._offset, axis=1, keepdims=True)
            weight = eased[:, frame, None] * np.clip(1.0 - (size / _LIMIT) ** 2, 0.0, 1.0)
            pull = self._drift + _RETURN * self._offset
            free = (self._offset + pull) * np.exp(-_RETURN)
            drift = (self._drift - _RETURN * pull) * np.exp(-_RETURN)
            self._offset = self._offset + (1.0 - weight) * (free - self._offset) - weight * steps[frame]
            self._drift = (1.0 - weight) * drift - weight * steps[frame]
            offsets[frame] = self._offset
        self._before = toes[-1]
        self._kept, self._strength = self._kept[count:], self._strength[count:]
        result = frames.astype(np.float64)
        for foot, leg in enumerate(LEGS):
            shift = np.stack([offsets[:, foot, 0], np.zeros(count), offsets[:, foot, 1]], axis=-1)
            move_foot(result, leg, shift)
        return result.astype(np.float32)


def _strength(positions: FloatArray, contacts: Floats) -> Floats:
    """How planted each foot is, 0 to 1: positions [n+1,22,3] (one frame before), contacts [n,2] -> [n,2]."""
    toes = positions[:, TOES].astype(np.float64)
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * _FPS
    return _fade(contacts, *_CONTACT) * _fade(toes[1:, :, 1], *_HEIGHT) * _fade(speed, *_SPEED)


def _fade(x: Floats, none: float, full: float) -> Floats:
    t = np.clip((x - none) / (full - none), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))

"""Poses at the model's rate: [91] numbers, the root's translation (3, metres, world) and 22 local quaternions (wxyz).

What leaves is always near what left before: a limit on speed stands between the network and the world, and where the
network has nothing usable to say the movement dies down into standing still.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.motion import forward_kinematics
from kinesphere.reaction.rollout import FPS
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS, FloatArray

MODEL_FPS: Final = FPS
SIZE: Final = 3 + 4 * NUM_JOINTS
_MAX_STEP: Final = 10.0 / MODEL_FPS  # metres a frame of the root: people sprint at 10 m/s
_MAX_TURN: Final = 25.0 / MODEL_FPS  # radians a frame of a joint: a fast punch turns the elbow by 20 a second
_DYING: Final = 0.7  # of a frame's movement that the next one keeps
_ARM_DOWN: Final = np.deg2rad(70.0)


def join(translation: FloatArray, rotations: FloatArray) -> FloatArray:
    """[T,3] and [T,22,4] -> [T,91]."""
    return np.concatenate([translation, rotations.reshape(len(rotations), -1)], axis=1)


def split(poses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[T,91] -> [T,3] and [T,22,4]."""
    return poses[:, :3], poses[:, 3:].reshape(len(poses), NUM_JOINTS, 4)


def standing() -> FloatArray:
    """A person at the origin who faces +Z with the arms down: [91]."""
    angles = np.zeros((1, NUM_JOINTS, 3), np.float32)
    angles[0, JOINT_INDEX["left_shoulder"], 2] = -_ARM_DOWN
    angles[0, JOINT_INDEX["right_shoulder"], 2] = _ARM_DOWN
    rotations = rot.from_axis_angle(angles)
    height = -forward_kinematics(np.zeros((1, 3), np.float32), rotations)[0, :, 1].min()
    pose: FloatArray = join(np.array([[0.0, height, 0.0]], np.float32), rotations)[0]
    return pose


def died_down(poses: FloatArray, kept: float = _DYING) -> FloatArray:
    """The pose [91] after ``poses`` [2,91], when ``kept`` of their movement goes on."""
    translation, rotations = split(poses)
    turn = rot.multiply(rotations[1], rot.inverse(rotations[0]))
    turn = rot.slerp(np.broadcast_to(rot.IDENTITY, turn.shape), turn, kept)
    ahead = translation[1] + np.float32(kept) * (translation[1] - translation[0])
    pose: FloatArray = join(ahead[None], rot.normalize(rot.multiply(turn, rotations[1]))[None])[0]
    return pose


def limited(before: FloatArray, wanted: FloatArray) -> tuple[FloatArray, bool]:
    """The pose [91] on the way from ``before`` to ``wanted`` that a body can reach in a frame; whether it is less far.

    Quaternions get the signs of those before.
    """
    move = wanted[:3] - before[:3]
    length = float(np.linalg.norm(move))
    old, new = before[3:].reshape(NUM_JOINTS, 4), wanted[3:].reshape(NUM_JOINTS, 4)
    dots = np.sum(old * new, axis=1, keepdims=True)
    new = np.where(dots < 0, -new, new)
    angles = 2.0 * np.arccos(np.clip(np.abs(dots), 0.0, 1.0))
    if length <= _MAX_STEP and float(angles.max()) <= _MAX_TURN:
        return np.concatenate([wanted[:3], new.ravel()]), False
    if length > _MAX_STEP:
        move = move * np.float32(_MAX_STEP / length)
    part = np.minimum(1.0, _MAX_TURN / np.maximum(angles, 1e-6)).astype(np.float32)
    return np.concatenate([before[:3] + move, rot.slerp(old, new, part).ravel()]), True


def between(first: FloatArray, second: FloatArray, weights: FloatArray) -> FloatArray:
    """Poses [B,91] at ``weights`` [B] (0 to 1) of the way: linear on the root, spherical on rotations."""
    (place, turned), (next_place, next_turned) = split(first), split(second)
    moved = place + weights[:, None] * (next_place - place)
    return join(moved, rot.slerp(turned, next_turned, weights[:, None, None]))

"""Planted feet stand still, free feet are left alone, and nothing jerks."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.metrics import physics
from kinesphere.motion import Motion
from kinesphere.rotations import from_axis_angle
from kinesphere.skeleton import JOINT_INDEX, PARENTS
from services.decoder.foot_lock import FootLock

TOES = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]


def sliding(frames: int = 80, speed: float = 0.15) -> np.ndarray:
    """A body on bent legs whose feet slide with it at ``speed`` m/s, [T,22,3] on the floor."""
    turns = np.zeros((frames, 22, 3), np.float32)
    turns[:, 1:3, 0], turns[:, 4:6, 0], turns[:, 7:9, 0] = -0.4, 0.8, -0.4
    root = np.zeros((frames, 3), np.float32)
    root[:, 2] = speed * np.arange(frames) / 20.0
    positions = Motion.from_rotations(root, from_axis_angle(turns), 20.0).positions
    return positions - np.array([0, positions[..., 1].min(), 0], np.float32)


def locked(positions: np.ndarray, contacts: np.ndarray, cuts: tuple[int, ...] = (32, 64)) -> np.ndarray:
    lock = FootLock()
    parts = [
        lock.step(p, c) for p, c in zip(np.split(positions, cuts), np.split(contacts, cuts), strict=True)
    ]
    return np.concatenate([*parts, lock.finish()])


def bones(positions: np.ndarray) -> np.ndarray:
    return np.linalg.norm(positions[:, 1:] - positions[:, list(PARENTS[1:])], axis=-1)


def test_a_planted_foot_stands_still() -> None:
    positions = sliding(speed=0.08)
    held = locked(positions, np.ones((80, 4)))
    # It has slid 6 cm until frame 20; it follows ever more from there, before the leg is out of reach.
    moved = np.linalg.norm(np.diff(held[:, TOES], axis=0), axis=-1) * 20.0
    assert moved[6:20].max() < 0.02  # of 0.08 m/s
    np.testing.assert_allclose(bones(held), bones(positions), atol=1e-5)
    others = [joint for joint in range(22) if joint not in (4, 5, 7, 8, 10, 11)]
    np.testing.assert_array_equal(held[:, others], positions[:, others])


def test_free_feet_are_left_alone() -> None:
    positions = sliding()
    np.testing.assert_array_equal(locked(positions, np.zeros((80, 4))), positions)
    high = positions + np.array([0, 0.3, 0], np.float32)
    np.testing.assert_array_equal(locked(high, np.ones((80, 4))), high)
    fast = sliding(speed=3.0)
    np.testing.assert_array_equal(locked(fast, np.ones((80, 4))), fast)


def test_the_correction_is_given_back_when_the_foot_lifts() -> None:
    positions = sliding()
    contacts = np.ones((80, 4))
    contacts[30:] = 0.0
    held = locked(positions, contacts)
    assert np.abs(held[28] - positions[28]).max() > 0.05
    assert np.abs(held[60] - positions[60]).max() < 0.001


def test_planting_and_lifting_do_not_jerk() -> None:
    positions = sliding()
    contacts = np.zeros((80, 4))
    contacts[20:45] = 1.0
    held = locked(positions, contacts, ())
    # 0.15 m/s taken away within one frame would be 60 m/s^3 at the feet.
    assert np.linalg.norm(np.diff(held[:, TOES], n=3, axis=0), axis=-1).max() * 8000 < 45.0
    assert physics.jerk(held, 20.0).max() < 60.0


@pytest.mark.parametrize("cuts", [(1, 2, 3), (40,), tuple(range(1, 80))])
def test_cuts_change_nothing(cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    positions, contacts = sliding(), np.clip(rng.normal(0.5, 0.4, (80, 4)), 0, 1)
    np.testing.assert_allclose(locked(positions, contacts, cuts), locked(positions, contacts, ()), atol=1e-6)


def test_a_foot_is_never_dragged_further_than_the_leg_reaches() -> None:
    positions = sliding(frames=200, speed=0.5)
    held = locked(positions, np.ones((200, 4)))
    assert np.abs(held - positions)[:, TOES].max() < 0.25
    np.testing.assert_allclose(bones(held), bones(positions), atol=1e-4)

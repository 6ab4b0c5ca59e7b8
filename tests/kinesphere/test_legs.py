"""Toes are where the network had them, on bones that keep their length."""

from __future__ import annotations

import numpy as np

from kinesphere import ik
from kinesphere.motion import forward_kinematics
from kinesphere.skeleton import JOINT_INDEX, PARENTS, SMPL22
from kinesphere.legs import LEGS, TOES, move_foot, put_toes
from tests.services.decoder.walking import walking

KNEES = [JOINT_INDEX["left_knee"], JOINT_INDEX["right_knee"]]


def lengths(positions: np.ndarray) -> np.ndarray:
    return np.linalg.norm(positions[:, 1:] - positions[:, list(PARENTS[1:])], axis=-1)


def test_wrong_bone_lengths_do_not_move_the_toes() -> None:
    wanted = walking(60).positions.copy()
    wanted[:, KNEES] += np.random.default_rng(0).normal(0, 0.04, (60, 2, 3)).astype(np.float32)
    solved = forward_kinematics(*ik.solve(wanted))
    put = put_toes(solved, wanted)

    def miss(positions: np.ndarray) -> np.ndarray:
        return np.linalg.norm(positions[:, TOES] - wanted[:, TOES], axis=-1)

    assert miss(solved).mean() > 0.012
    assert miss(put).mean() < 0.2 * miss(solved).mean()
    expected = np.linalg.norm(SMPL22.offsets[1:], axis=-1)
    np.testing.assert_allclose(lengths(put), np.broadcast_to(expected, (60, 21)), atol=1e-4)


def test_a_toe_out_of_reach_is_approached() -> None:
    positions = walking(10).positions.astype(np.float64)
    moved = positions.copy()
    move_foot(moved, LEGS[0], np.broadcast_to([0.0, -1.0, 0.0], (10, 3)))
    np.testing.assert_allclose(lengths(moved), lengths(positions), atol=1e-6)
    assert (moved[:, TOES[0], 1] < positions[:, TOES[0], 1]).all()
    hip, ankle = moved[:, LEGS[0][0]], moved[:, LEGS[0][2]]
    assert np.linalg.norm(ankle - hip, axis=-1).max() <= lengths(positions)[0, [3, 6]].sum() + 1e-6

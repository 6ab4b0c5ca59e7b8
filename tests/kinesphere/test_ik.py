from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.ik import solve
from kinesphere.motion import forward_kinematics
from kinesphere.skeleton import JOINT_INDEX, PARENTS, SMPL22, Skeleton

HANDS_AND_FEET = [JOINT_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("wrist", "foot")]


def pose(frames: int = 1, /, **joints: np.ndarray) -> np.ndarray:
    """Local rotations [frames,22,4] from axis-angles of some joints, [3] or [frames,3]."""
    vectors = np.zeros((frames, 22, 3))
    for name, vector in joints.items():
        vectors[:, JOINT_INDEX[name]] = vector
    return rot.from_axis_angle(vectors).astype(np.float32)


def placed(rotations: np.ndarray) -> np.ndarray:
    return forward_kinematics(np.full((len(rotations), 3), 0.95, dtype=np.float32), rotations)


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    dots = np.clip(np.abs(np.sum(a.astype(np.float64) * b, axis=-1)), 0.0, 1.0)
    angles: np.ndarray = np.degrees(2.0 * np.arccos(dots))
    return angles


def world(rotations: np.ndarray) -> np.ndarray:
    result = rotations.copy()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            result[:, joint] = rot.multiply(result[:, parent], rotations[:, joint])
    return result


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.floats(0.0, 1.2))
def test_positions_come_back(seed: int, size: float) -> None:
    vectors = np.random.default_rng(seed).normal(0, size, (8, 22, 3))
    positions = placed(rot.from_axis_angle(vectors).astype(np.float32))
    translation, rotations = solve(positions)
    assert np.linalg.norm(forward_kinematics(translation, rotations) - positions, axis=-1).max() < 1e-3
    assert np.linalg.norm(rotations, axis=-1) == pytest.approx(1.0, abs=1e-5)


def test_rest_pose_is_nearly_the_identity() -> None:
    _, rotations = solve(SMPL22.rest_positions()[None])
    assert degrees(rotations[0], rot.IDENTITY).max() < 10.0


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("twist", [-0.5, 0.0, 0.5])
def test_bent_limbs_tell_their_twist(side: str, twist: float) -> None:
    """A thigh and an upper arm turned about themselves are found again, which swing alone cannot do."""
    sign = 1.0 if side == "left" else -1.0
    known = pose(
        pelvis=np.array([0.1, 0.8, -0.1]),
        **{
            f"{side}_hip": np.array([-0.6, twist, 0.1]),
            f"{side}_knee": np.array([1.2, 0.0, 0.0]),
            f"{side}_shoulder": np.array([twist, -0.4 * sign, -0.6 * sign]),
            f"{side}_elbow": np.array([0.0, -1.3 * sign, 0.0]),
        },
    )
    _, rotations = solve(placed(known))
    for joint in ("hip", "knee", "shoulder", "elbow"):
        index = JOINT_INDEX[f"{side}_{joint}"]
        assert degrees(rotations[:, index], known[:, index])[0] < 4.0, joint


def test_turned_feet_tell_the_twist_of_straight_legs() -> None:
    known = pose(left_hip=np.array([0.0, 0.5, 0.0]), right_hip=np.array([0.0, -0.5, 0.0]))
    _, rotations = solve(placed(known))
    for joint in ("left_hip", "right_hip"):
        assert degrees(rotations[:, JOINT_INDEX[joint]], known[:, JOINT_INDEX[joint]])[0] < 10.0


def test_knees_point_ahead_in_a_squat() -> None:
    down = np.linspace(0.0, 1.8, 20)[:, None]
    legs = {"hip": down * [-1.0, 0.0, 0.0], "knee": down * [1.4, 0.0, 0.0]}
    squat = pose(20, **{f"{side}_{name}": v for side in ("left", "right") for name, v in legs.items()})
    _, rotations = solve(placed(squat))
    for knee in ("left_knee", "right_knee"):
        bend = rot.to_axis_angle(rotations[:, JOINT_INDEX[knee]])
        assert bend[:, 0] == pytest.approx(legs["knee"][:, 0], abs=0.12)
        assert np.abs(bend[:, 1:]).max() < 0.2


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("raised", [-1.3, -0.4, 0.6, 1.3])
@pytest.mark.parametrize("ahead", [-0.3, 0.5, 1.3])
def test_a_straightening_arm_does_not_flip(side: str, raised: float, ahead: float) -> None:
    """From bent through straight to a little overstretched, in small steps: nothing jumps."""
    sign = 1.0 if side == "left" else -1.0
    bend = np.linspace(1.5, -0.1, 400)
    elbow = np.stack([0 * bend, -sign * bend, 0 * bend], axis=-1)
    shoulder = rot.multiply(
        rot.from_axis_angle(np.array([0.0, -sign * ahead, 0.0])),
        rot.from_axis_angle(np.array([0.0, 0.0, sign * raised])),
    )
    moving = pose(400, **{f"{side}_elbow": elbow})
    moving[:, JOINT_INDEX[f"{side}_shoulder"]] = shoulder
    _, rotations = solve(placed(moving))
    assert degrees(rotations[1:], rotations[:-1]).max() < 5.0


@pytest.mark.parametrize("overstretched", [-0.2, -0.05, 0.0, 0.05])
def test_noise_does_not_spin_straight_limbs(overstretched: float) -> None:
    bends = {
        "left_elbow": [0.0, -overstretched, 0.0], "right_elbow": [0.0, overstretched, 0.0],
        "left_knee": [overstretched, 0.0, 0.0], "right_knee": [overstretched, 0.0, 0.0],
        "left_shoulder": [0.0, 0.0, -1.2], "right_shoulder": [0.0, 0.0, 1.2],
    }  # fmt: skip
    still = pose(200, **{name: np.array(value) for name, value in bends.items()})
    noisy = placed(still) + np.random.default_rng(0).normal(0, 0.002, (200, 22, 3))
    _, rotations = solve(noisy)
    limbs = [JOINT_INDEX[f"{s}_{n}"] for s in ("left", "right") for n in ("hip", "knee", "shoulder", "elbow")]
    middle = rotations[:, limbs].mean(axis=0)
    assert degrees(rotations[:, limbs], rot.normalize(middle)).max() < 12.0


def test_hanging_arms_turn_the_palms_to_the_thighs() -> None:
    hanging = pose(left_shoulder=np.array([0.0, 0.0, -1.35]), right_shoulder=np.array([0.0, 0.0, 1.35]))
    _, rotations = solve(placed(hanging))
    palms = rot.rotate(world(rotations)[0, [20, 21]], np.array([0.0, -1.0, 0.0]))
    assert palms[0, 0] < -0.8
    assert palms[1, 0] > 0.8


def test_every_frame_is_solved_by_itself() -> None:
    rng = np.random.default_rng(3)
    positions = placed(rot.from_axis_angle(rng.normal(0, 0.5, (40, 22, 3))).astype(np.float32))
    translation, rotations = solve(positions)
    pieces = [solve(positions[start : start + 7]) for start in range(0, 40, 7)]
    assert np.array_equal(np.concatenate([piece[0] for piece in pieces]), translation)
    assert np.concatenate([piece[1] for piece in pieces]) == pytest.approx(rotations, abs=1e-6)


def test_another_persons_pose_is_kept() -> None:
    """A body half as large again, with longer arms: bone directions stay, lengths are the skeleton's."""
    rng = np.random.default_rng(4)
    vectors = rng.normal(0, 0.4, (10, 22, 3))
    positions = placed(rot.from_axis_angle(vectors).astype(np.float32))
    tall = positions * 1.5
    for wrist, elbow in ((20, 18), (21, 19)):
        tall[:, wrist] += 0.3 * (tall[:, wrist] - tall[:, elbow])
    translation, rotations = solve(tall)
    assert translation == pytest.approx(tall[:, 0], abs=1e-6)
    assert degrees(rotations, solve(positions)[1]).max() < 0.5


@pytest.mark.shared_data
def test_a_recorded_body_with_other_hips(golden: Path) -> None:
    """Its hips and collars sit at other angles than the skeleton's, so the trunk cannot fit; hands and feet do."""
    positions = np.load(golden / "hml_012314_ref.npz")["joints_full"]
    translation, rotations = solve(positions)
    error = np.linalg.norm(forward_kinematics(translation, rotations) - positions, axis=-1)
    assert error.max() < 0.025
    assert error[:, HANDS_AND_FEET].max() < 0.005
    assert error[:, HANDS_AND_FEET].mean() < 0.001
    # A knee is a hinge: it bends backwards only by noise, and hardly to the side.
    bend = rot.to_axis_angle(rotations[:, [4, 5]])
    assert bend[..., 0].min() > -0.05


def test_refusals() -> None:
    with pytest.raises(InputError) as caught:
        solve(np.zeros((3, 21, 3)))
    assert caught.value.field == "positions"
    with pytest.raises(InputError, match="NaN"):
        solve(np.full((3, 22, 3), np.nan))
    other = Skeleton(("a", "b"), (-1, 0), np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(InputError) as caught:
        solve(np.zeros((3, 22, 3)), other)
    assert caught.value.field == "skeleton"


def test_a_collapsed_body_is_solved_finitely() -> None:
    """All joints in one point carry no directions: bones point as at rest, and nothing is NaN."""
    _, rotations = solve(np.zeros((2, 22, 3)))
    assert np.isfinite(rotations).all()
    assert degrees(rotations[0], rot.IDENTITY).max() < 10.0

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion, forward_kinematics
from kinesphere.skeleton import JOINT_INDEX, MIRROR, PARENTS, SMPL22


def some_motion(seed: int = 0, frames: int = 12, fps: float = 30.0) -> Motion:
    rng = np.random.default_rng(seed)
    ends = rng.normal(0, 0.4, (2, 22, 3))
    weights = np.linspace(0, 1, frames)[:, None, None]
    path = np.cumsum(rng.normal(0, 0.01, (frames, 3)), axis=0) + [0.5, 0.9, -0.5]
    turned = rot.from_axis_angle((1 - weights) * ends[0] + weights * ends[1])
    return Motion.from_rotations(path, turned, fps, betas=np.arange(10, dtype=np.float32), person_id="anna")


def test_forward_kinematics_agrees_with_matrices() -> None:
    motion = some_motion()
    frame = 5
    world: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        local = Rotation.from_quat(motion.rotations[frame, joint], scalar_first=True).as_matrix()
        world.append(local if parent < 0 else world[parent] @ local)
        offset = SMPL22.offsets[joint]
        places.append(motion.translation[frame] if parent < 0 else places[parent] + world[parent] @ offset)
    assert motion.positions[frame] == pytest.approx(np.array(places), abs=1e-5)


def test_rest_pose_is_the_identity() -> None:
    rest = np.tile(rot.IDENTITY, (1, 22, 1))
    positions = forward_kinematics(np.zeros((1, 3), np.float32), rest)
    assert positions[0] == pytest.approx(SMPL22.rest_positions(), abs=1e-6)
    assert positions[0, JOINT_INDEX["left_wrist"], 0] > 0.5  # the left is +X


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_mirrored_twice_is_the_motion(seed: int) -> None:
    motion = some_motion(seed)
    twice = motion.mirrored().mirrored()
    assert twice.positions == pytest.approx(motion.positions, abs=1e-5)
    assert np.abs(np.sum(twice.rotations * motion.rotations, axis=-1)) == pytest.approx(1.0, abs=1e-5)
    assert (twice.fps, twice.person_id) == (motion.fps, "anna")
    assert twice.betas is motion.betas


def test_mirrored_positions_are_the_mirror_image() -> None:
    """But for the body's own asymmetry, whose legs and arms differ by up to a centimetre a bone."""
    motion = some_motion()
    image = motion.positions[:, list(MIRROR)] * np.array([-1.0, 1.0, 1.0])
    assert np.abs(motion.mirrored().positions - image).max() < 0.03


def test_resampling_keeps_time_and_ends() -> None:
    motion = some_motion(frames=31, fps=30.0)
    slow = motion.resampled(20.0)
    assert (slow.num_frames, slow.fps) == (21, 20.0)
    assert slow.positions[::2] == pytest.approx(motion.positions[::3], abs=1e-4)
    assert (slow.person_id, slow.betas is motion.betas) == ("anna", True)
    fast = motion.resampled(60.0)
    assert fast.num_frames == 61
    assert fast.positions[::2] == pytest.approx(motion.positions, abs=1e-4)
    assert motion.resampled(30.0) is motion
    assert motion.slice(3, 4).resampled(20.0).num_frames == 1


def test_slice() -> None:
    part = some_motion().slice(3, 7)
    assert part.num_frames == 4
    assert part.positions == pytest.approx(some_motion().positions[3:7])
    assert part.seconds == pytest.approx(4 / 30)
    with pytest.raises(InputError, match="leaves none"):
        some_motion().slice(12, 20)


def test_quaternions_are_made_unit_and_continuous() -> None:
    motion = some_motion()
    scaled = motion.rotations * 3.0
    scaled[::2] *= -1.0
    again = Motion.from_rotations(motion.translation, scaled, 30.0)
    assert np.linalg.norm(again.rotations, axis=-1) == pytest.approx(1.0, abs=1e-5)
    assert np.all(np.sum(again.rotations[1:] * again.rotations[:-1], axis=-1) > 0.0)
    assert again.positions == pytest.approx(motion.positions, abs=1e-5)


def test_from_positions_comes_back_to_the_positions() -> None:
    motion = some_motion()
    solved = Motion.from_positions(motion.positions, motion.fps)
    assert solved.positions == pytest.approx(motion.positions, abs=1e-3)


@pytest.mark.parametrize(
    ("translation", "rotations", "fps", "field"),
    [
        (np.zeros((2, 2)), np.ones((2, 22, 4)), 30.0, "motion.translation"),
        (np.zeros((0, 3)), np.ones((0, 22, 4)), 30.0, "motion.translation"),
        (np.full((2, 3), np.nan), np.ones((2, 22, 4)), 30.0, "motion.translation"),
        (np.zeros((2, 3)), np.ones((2, 21, 4)), 30.0, "motion.rotations"),
        (np.zeros((2, 3)), np.zeros((2, 22, 4)), 30.0, "motion.rotations"),
        (np.zeros((2, 3)), np.full((2, 22, 4), np.inf), 30.0, "motion.rotations"),
        (np.zeros((2, 3)), np.ones((2, 22, 4)), 0.5, "motion.fps"),
        (np.zeros((2, 3)), np.ones((2, 22, 4)), np.nan, "motion.fps"),
    ],
)
def test_refusals(translation: np.ndarray, rotations: np.ndarray, fps: float, field: str) -> None:
    with pytest.raises(InputError) as caught:
        Motion.from_rotations(translation, rotations, fps)
    assert caught.value.field == field


@pytest.mark.parametrize("shape", [(5, 21, 3), (22, 3), (0, 22, 3)])
def test_from_positions_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        Motion.from_positions(np.zeros(shape), 20.0)

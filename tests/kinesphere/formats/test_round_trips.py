"""What is written is read back: exactly where the format holds rotations, and never a millimetre off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinesphere.body import facing
from kinesphere.errors import InputError
from kinesphere.formats import FORMATS, load_motion, load_positions, save_motion
from kinesphere.motion import Motion
from kinesphere.skeleton import SMPL22, Skeleton

MILLIMETRE = 1e-3
WRITTEN = [suffix for suffix, format in FORMATS.items() if format.write]


def test_five_formats_are_written() -> None:
    assert WRITTEN == [".bvh", ".glb", ".npz", ".npy", ".csv"]


@pytest.mark.parametrize("suffix", [".bvh", ".glb", ".npz", ".csv"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    frames=st.integers(2, 30),
    fps=st.sampled_from([10.0, 20.0, 29.97, 30.0, 60.0, 120.0]),
    stretch=st.sampled_from([1.0, 0.7, 1.2]),
)
def test_rotations_positions_and_rate_survive(
    suffix: str, seed: int, frames: int, fps: float, stretch: float, tmp_path: Path, make_motion
) -> None:
    motion = make_motion(seed, frames, fps, stretch=stretch)
    path = save_motion(motion, tmp_path / f"motion{suffix}")
    back = load_motion(path)
    assert back.num_frames == frames
    assert back.fps == pytest.approx(fps, rel=1e-5)
    assert np.abs(back.positions - motion.positions).max() < 0.1 * MILLIMETRE
    aligned = np.abs(np.sum(back.rotations * motion.rotations, axis=-1))
    assert aligned.min() > 1 - 1e-5
    assert np.abs(load_positions(path).positions - motion.positions).max() < 0.1 * MILLIMETRE


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_joints_in_npy_keep_positions(seed: int, tmp_path: Path, make_motion) -> None:
    motion = make_motion(seed, 9, 20.0, calm=0.4)
    back = load_positions(save_motion(motion, tmp_path / "joints.npy"))
    assert back.fps == 20.0
    assert np.abs(back.positions - motion.positions).max() < 1e-6


def test_npy_is_written_at_the_rate_of_humanml3d(tmp_path: Path, make_motion) -> None:
    motion = make_motion(1, 61, 60.0)
    back = load_positions(save_motion(motion, tmp_path / "joints.npy"))
    assert len(back.positions) == 21
    assert np.abs(back.positions - motion.positions[::3]).max() < 1e-5


def test_features_in_npy_are_on_humanml3ds_skeleton_from_the_origin(tmp_path: Path, make_motion) -> None:
    motion = make_motion(3, 25, 20.0, calm=0.3, stretch=1.2)
    path = save_motion(motion, tmp_path / "walk_263.npy")
    assert np.load(path).shape == (24, 263)
    back = load_motion(path)
    assert back.skeleton is SMPL22
    assert np.abs(back.positions[0, 0, [0, 2]]).max() < 1e-3
    assert facing(back.positions)[0, 2] > 0.99


def test_a_csv_without_rotations_is_solved(tmp_path: Path, make_motion) -> None:
    motion = make_motion(5, 10, 20.0, calm=0.3)
    full = save_motion(motion, tmp_path / "full.csv").read_text().splitlines()
    cut = tmp_path / "positions.csv"
    cut.write_text("\n".join(",".join(line.split(",")[: 1 + 22 * 3]) for line in full))
    solved = load_motion(cut)
    # The random rotations bend joints in ways that no body does, which inverse kinematics does not follow.
    assert np.abs(solved.positions - motion.positions).mean() < 0.03
    assert np.abs(load_positions(cut).positions - motion.positions).max() < 1e-5


def test_uniform_puts_any_body_on_humanml3ds_skeleton(tmp_path: Path, make_motion) -> None:
    path = save_motion(make_motion(4, 8, 20.0, stretch=0.7), tmp_path / "child.bvh")
    assert load_motion(path, uniform=True).skeleton is SMPL22
    assert load_motion(path).skeleton is not SMPL22


def test_one_frame_is_enough(tmp_path: Path, make_motion) -> None:
    motion = make_motion(2, 1, 20.0)
    for suffix in (".bvh", ".glb", ".npz", ".csv"):
        back = load_motion(save_motion(motion, tmp_path / f"pose{suffix}"))
        assert np.abs(back.positions - motion.positions).max() < 0.1 * MILLIMETRE


def test_gimbal_lock_survives_bvh(tmp_path: Path) -> None:
    turned = np.zeros((3, 22, 4))
    turned[..., 0] = 1.0
    for frame, angle in enumerate((89.9, 90.0, 90.1)):
        half = np.deg2rad(angle) / 2
        turned[frame, 4] = [np.cos(half), np.sin(half), 0, 0]
    motion = Motion.from_rotations(np.zeros((3, 3)), turned, 20.0)
    back = load_motion(save_motion(motion, tmp_path / "pole.bvh"))
    assert np.abs(back.positions - motion.positions).max() < 0.1 * MILLIMETRE


def test_unknown_suffixes_and_skeletons_are_refused(tmp_path: Path, make_motion) -> None:
    motion = make_motion()
    with pytest.raises(InputError, match=r"path: .*\.bvh, \.glb") as caught:
        save_motion(motion, tmp_path / "motion.fbx")
    assert caught.value.field == "path"
    with pytest.raises(InputError, match="path"):
        save_motion(motion, tmp_path / "motion.amc")
    pair = Skeleton(("a", "b"), (-1, 0), np.zeros((2, 3), dtype=np.float32))
    still = Motion.from_rotations(np.zeros((2, 3)), np.tile([1.0, 0, 0, 0], (2, 2, 1)), 20.0, pair)
    with pytest.raises(InputError, match=r"motion\.skeleton"):
        save_motion(still, tmp_path / "motion.bvh")

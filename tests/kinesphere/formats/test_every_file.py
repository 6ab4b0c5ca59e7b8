"""Every file of the real archives is read as what it is, or refused with a reason; every writer keeps what was read."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets import check
from kinesphere.formats import load_motion, load_positions, save_motion
from kinesphere.motion import Motion
from kinesphere.representations import hml263

pytestmark = pytest.mark.shared_data
FOLDERS = ("bandai-namco", "cmu", "deepmimic", "formats", "humanml3d", "reactidle")
MILLIMETRE = 1e-3
# Takes in which nobody stands on their feet with the toes ahead for most of the time.
FLOOR_WORK = {"crawl", "getup_facedown"}


@pytest.fixture(scope="module")
def files(shared_data: Path) -> list[check.FileCheck]:
    return check.check_files(check.files_under(shared_data / folder for folder in FOLDERS), workers=2)


@pytest.fixture(scope="module")
def takes(files: list[check.FileCheck]) -> dict[str, list[tuple[Path, check.Measures]]]:
    found = defaultdict(list)
    for file in files:
        if file.measures is not None:
            found[file.measures.rig].append((file.path, file.measures))
    return found


def test_every_take_is_read_but_one_that_is_cut_short(files: list[check.FileCheck]) -> None:
    refused = {file.path.name: file.reason for file in files if file.measures is None}
    motion = {name: reason for name, reason in refused.items() if not check.no_motion(Path(name))}
    furniture = {name: reason for name, reason in motion.items() if name.endswith(".glb")}
    assert motion.keys() - furniture.keys() == {"golf_01.amc"}
    assert "cut short" in motion["golf_01.amc"]
    assert len(furniture) == 11
    assert all("no node is called 'pelvis'" in reason for reason in furniture.values())
    # The rest is no motion by its kind; nothing with a motion format's suffix hides among it.
    others = Counter(Path(name).suffix for name in refused.keys() - motion.keys())
    assert others.keys() == {"", ".asf", ".csv", ".json", ".md", ".npy", ".pkl", ".txt"}
    assert not {".bvh", ".amc", ".glb", ".npz"} & others.keys()
    assert len(files) > 1500


def test_every_source_is_there_with_its_rates(takes: dict[str, list[tuple[Path, check.Measures]]]) -> None:
    counts = {rig: len(found) for rig, found in takes.items()}
    assert counts == {
        "bandai-namco": 1272,
        "cmu-asf": 50,
        "cmu-bvh": 1,
        "cmu-daz": 48,
        "cmu-iclone": 54,
        "salsa-pairs": 22,
        "deepmimic": 20,
        "reactidle": 6,
        "humanml3d": 2,
    }
    rates = {rig: {measures.fps for _, measures in found} for rig, found in takes.items()}
    assert rates["bandai-namco"] == {30.0}
    assert rates["cmu-asf"] == rates["cmu-daz"] == rates["salsa-pairs"] == {120.0}
    assert rates["cmu-iclone"] == {60.0}
    assert rates["reactidle"] == {24.0}
    assert rates["humanml3d"] == {20.0}
    assert rates["deepmimic"] == {16.0, 24.0, 30.0, 60.0, 120.0}


def test_bodies_are_of_human_size_and_rigid(takes: dict[str, list[tuple[Path, check.Measures]]]) -> None:
    for rig, found in takes.items():
        # The idle takes are of people of many sizes; all others are of grown-ups.
        low, high = (0.60, 0.85) if rig == "reactidle" else (0.79, 0.87)
        for path, measures in found:
            assert low < measures.leg < high, path
            assert 0.42 < measures.arm < 0.63, path
            assert 0.5 < measures.arm / measures.leg < 0.76, path
            assert measures.stretch < MILLIMETRE, path


def test_feet_are_on_the_floor_and_heads_above(takes: dict[str, list[tuple[Path, check.Measures]]]) -> None:
    sunken = []
    for found in takes.values():
        for path, measures in found:
            if abs(measures.floor) > 0.2:
                sunken.append(path.name)
            if not any(word in path.stem for word in FLOOR_WORK):
                assert measures.tall > 1.4 * measures.leg, path
    # One run has its root 0.7 m too low in the file; clips are grounded anyway.
    assert sunken == ["09_10.bvh"]


def test_left_is_left_and_toes_are_ahead(takes: dict[str, list[tuple[Path, check.Measures]]]) -> None:
    for found in takes.values():
        for path, measures in found:
            if not any(word in path.stem for word in FLOOR_WORK):
                assert measures.toes > 0.6, path


def test_people_go_where_their_takes_say_and_as_fast(
    takes: dict[str, list[tuple[Path, check.Measures]]],
) -> None:
    means = defaultdict(list)
    for path, measures in takes["bandai-namco"]:
        content = path.stem.split("_")[1]
        means[content].append((measures.along, measures.top_speed))
    along = {content: float(np.mean([a for a, _ in found])) for content, found in means.items()}
    speed = {content: float(np.median([v for _, v in found])) for content, found in means.items()}
    assert min(along["walk"], along["run"], along["dash"]) > 0.9
    assert along["walk-back"] < -0.9
    assert 0.8 < speed["walk"] < 2.0 < speed["run"] < 5.0 < speed["dash"] + 2.0
    assert max(measures.top_speed for found in takes.values() for _, measures in found) < 12


def _samples(takes: dict[str, list[tuple[Path, check.Measures]]]) -> list[Path]:
    """Two files of every rig: the shortest, and the one in the middle by name."""
    chosen = []
    for found in takes.values():
        by_length = sorted(found, key=lambda take: take[1].seconds)
        chosen += [by_length[0][0], found[len(found) // 2][0]]
    return sorted(set(chosen))


def test_every_writer_keeps_a_sample_of_every_source_to_a_millimetre(
    takes: dict[str, list[tuple[Path, check.Measures]]], tmp_path: Path
) -> None:
    samples = _samples(takes)
    assert len(samples) >= 16
    for path in samples:
        motion = load_motion(path)
        motion = motion.slice(0, min(motion.num_frames, 240))
        for suffix in (".bvh", ".glb", ".npz", ".csv"):
            back = load_motion(save_motion(motion, tmp_path / f"motion{suffix}"))
            assert back.fps == pytest.approx(motion.fps, rel=1e-5)
            assert back.num_frames == motion.num_frames
            assert np.abs(back.positions - motion.positions).max() < MILLIMETRE, (path, suffix)
            turned = np.abs(np.sum(back.rotations * motion.rotations, axis=-1))
            assert turned.min() > 1 - 1e-5, (path, suffix)
        slow = motion.resampled(20.0)
        joints = load_positions(save_motion(motion, tmp_path / "joints.npy"))
        assert np.abs(joints.positions - slow.positions).max() < MILLIMETRE, path
        _check_features(slow, save_motion(motion, tmp_path / "motion_263.npy"), path)


def _check_features(slow: Motion, written: Path, path: Path) -> None:
    """The 263 numbers hold the movement on HumanML3D's body, from the origin and facing ahead."""
    expected = hml263.canonicalize(hml263.uniform_positions(slow.positions))
    back = load_positions(written).positions
    assert np.abs(back - expected[: len(back)]).max() < MILLIMETRE, path


def test_inverse_kinematics_keeps_real_bodies(takes: dict[str, list[tuple[Path, check.Measures]]]) -> None:
    """Rotations on a skeleton of the person's own limb lengths give the file's joints back."""
    for path in _samples(takes):
        source = load_positions(path)
        error = np.linalg.norm(load_motion(path).positions - source.positions, axis=-1)
        assert error.mean() < 0.01, path
        limbs = error[:, [4, 5, 7, 8, 18, 19, 20, 21]]
        assert np.percentile(limbs, 95) < 0.05, path

"""``kinesphere convert`` and ``kinesphere view`` on files, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinesphere.formats import load_motion, save_motion
from kinesphere.motion import Motion
from kinesphere.rotations import about_y
from tests.cli.conftest import Run


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """Two seconds of a person who turns on the spot while drifting, at 30 fps."""
    time = np.arange(60) / 30
    rotations = np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (60, 22, 1))
    rotations[:, 0] = about_y(time)
    place = np.stack([0.3 * time, np.full(60, 0.92), 0.1 * time], axis=1).astype(np.float32)
    return save_motion(Motion.from_rotations(place, rotations, 30), tmp_path / "take.bvh")


@pytest.mark.parametrize("suffix", ["glb", "npz", "csv", "bvh"])
def test_conversion_keeps_the_movement(run: Run, take: Path, suffix: str) -> None:
    target = take.with_name(f"made.{suffix}")
    result = run("convert", take, target, "--json")
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert (told["frames"], told["fps"], told["joints"]) == (60, 30.0, 22)
    assert told["bytes"] == target.stat().st_size
    np.testing.assert_allclose(load_motion(target).positions, load_motion(take).positions, atol=1e-3)


def test_resampling_changes_the_rate_and_not_the_length(run: Run, take: Path) -> None:
    assert run("convert", take, "made.bvh", "--fps", "60").returncode == 0
    made = load_motion(take.with_name("made.bvh"))
    assert made.fps == pytest.approx(60, abs=1e-3)
    assert made.num_frames == 119


@pytest.mark.parametrize("fps", ["0", "nan", "100000"])
def test_a_rate_outside_the_limits_is_named(run: Run, take: Path, fps: str) -> None:
    result = run("convert", take, "made.bvh", "--fps", fps)
    assert result.returncode == 2
    assert result.stderr.startswith("kinesphere: motion.fps: ")
    assert not take.with_name("made.bvh").exists()


def test_a_broken_file_is_refused_in_one_line(run: Run, take: Path) -> None:
    text = take.read_text()
    take.write_text(text[: len(text) // 2])
    result = run("convert", take, "made.glb")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1


def test_pictures_are_what_their_suffix_says(run: Run, take: Path) -> None:
    heads = {"png": b"\x89PNG", "gif": b"GIF89a", "html": b"<!"}
    for suffix, head in heads.items():
        assert run("convert", take, f"made.{suffix}").returncode == 0
        assert take.with_name(f"made.{suffix}").read_bytes()[: len(head)] == head


def test_the_viewer_holds_every_motion_and_needs_no_network(run: Run, take: Path) -> None:
    result = run("view", take, take, "--out", "both.html", "--json")
    assert json.loads(result.stdout) == {"page": "both.html", "motions": 2}
    page = take.with_name("both.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page

"""Climbing over boxes: the 53 joints of the published takes, their boxes, and broken files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets.reactions import climbing
from kinesphere.errors import FormatError
from kinesphere.skeleton import JOINT_INDEX as J
from tests.kinesphere.datasets.bodies import standing

# SMPL's joint for each of the landmarks.
_SMPL = {
    "neck": "neck", "head": "head", "left_clavicle": "left_collar", "right_clavicle": "right_collar",
    **{f"{side}_{part}": f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
    "left_toe": "left_foot", "right_toe": "right_foot",
}  # fmt: skip


def published(seconds: float = 6.0, step: float = 0.0) -> np.ndarray:
    """[T,53,3] Z up at 120 fps: somebody who stands, lifted by ``step`` metres in the middle second."""
    body = np.repeat(standing(0.1)[:1], round(seconds * 120), axis=0).astype(np.float64)
    times = np.arange(len(body)) / 120
    body[..., 1] += step * np.clip(times - seconds / 2 + 0.5, 0, 1)[:, None]
    joints = np.zeros((len(body), climbing.JOINTS, 3))
    for name, index in climbing._LANDMARKS.items():
        joints[:, index] = body[:, J[_SMPL[name]]]
    joints[:, climbing._SPINE] = body[:, J["spine1"]]
    # Y up, front +Z -> Z up, front -Y.
    return np.round(np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1), 2)


def boxes(height: float = 0.4) -> str:
    """A box of 1 x 1 m in front (along -Y) of somebody at the origin, Z up."""
    corners = [(x, y, z) for x in (-0.5, 0.5) for y in (-1.4, -0.4) for z in (0.0, height)]
    faces = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {x} {y} {z}" for x, y, z in corners]
    lines += [f"f {a} {b} {c}\nf {a} {c} {d}" for a, b, c, d in faces]
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "climb" / "mocap_climb_seq_7"
    found.mkdir(parents=True)
    np.save(found / "joints_f0-720.npy", published(6.0, 0.4).astype(np.float32))
    (found / "multi_boxes.obj").write_text(boxes())
    return found


def test_joints_become_smpls() -> None:
    body = climbing.smpl22(published())
    there = standing(0.1)[0]
    for name in ("left_hip", "right_knee", "left_ankle", "right_wrist", "left_shoulder", "right_foot"):
        assert np.linalg.norm(body[100, J[name]] - there[J[name]]) < 0.06, name
    assert body[100, J["left_wrist"], 0] > 0 > body[100, J["right_wrist"], 0]
    assert body[100, J["left_foot"], 2] > body[100, J["left_ankle"], 2]


def test_body_and_boxes_stay_in_one_frame(folder: Path) -> None:
    motion, scene = climbing.read(folder)
    assert motion.fps == 20.0
    assert motion.num_frames == 120
    assert motion.translation[-1, 1] - motion.translation[0, 1] == pytest.approx(0.4, abs=0.02)
    # Half a metre over the box's middle, which is 0.9 m ahead.
    assert scene.distance(np.array([[0.0, 0.9, 0.9]])) == pytest.approx(0.5, abs=0.08)
    assert scene.distance(np.array([[0.0, 0.2, 0.9]])) < 0
    assert scene.distance(np.array([[0.0, 0.2, -0.9]])) > 0.8


def test_windows_say_what_is_done(folder: Path) -> None:
    samples, refused = climbing.load_climbs([folder])
    assert refused == []
    assert samples
    for sample in samples:
        assert sample.origin == "recorded"
        assert sample.partner is None
        assert sample.scene is not None
        assert sample.goal == pytest.approx(sample.agent.translation[-1].tolist())
        rose = sample.agent.translation[-1, 1] - sample.agent.translation[0, 1] > 0.25
        assert any("up" in text for text in sample.text) == rose


def test_takes_are_found_in_the_wheel(folder: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "holosoma_retargeting-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    inside = "holosoma_retargeting/demo_data/climb"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"{inside}/{folder.name}/{path.name}")
        archive.writestr(f"{inside}/../../evil/multi_boxes.obj", "v 0 0 0\n")
        archive.writestr(f"{inside}/{folder.name}/notes.txt", "no")
    for root in (wheel.parent, wheel):
        found = climbing.find([root], tmp_path / "cache")
        assert [path.name for path in found] == [folder.name]
    assert sorted(path.name for path in found[-1].iterdir()) == ["joints_f0-720.npy", "multi_boxes.obj"]
    assert all((tmp_path / "cache") in path.parents for path in found)
    assert folder in climbing.find([tmp_path], tmp_path / "cache")


def test_broken_takes_are_refused(folder: Path) -> None:
    np.save(folder / "joints_f0-720.npy", np.zeros((300, 52, 3)))
    with pytest.raises(FormatError):
        climbing.read(folder)
    np.save(folder / "joints_f0-720.npy", np.full((300, 53, 3), np.nan))
    _, refused = climbing.load_climbs([folder])
    assert "NaN" in refused[0][1]
    np.save(folder / "second.npy", np.zeros((300, 53, 3)))
    with pytest.raises(FormatError, match=r"2 \.npy"):
        climbing.read(folder)

"""HumanML3D and KIT-ML folders in their authors' layout, made here from synthetic people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets.build import build, mirror
from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.sources import kit_joints
from kinesphere.errors import FormatError
from kinesphere.representations import hml263
from kinesphere.skeleton import JOINT_INDEX as J
from kinesphere.skeleton import FloatArray
from tests.kinesphere.datasets.bodies import raised, standing, walking

# The Master Motor Map's joints in KIT-ML's order, each from the SMPL joint that is nearest.
_MMM = (
    "pelvis", "spine1", "spine3", "neck", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder",
    "right_elbow", "right_wrist", "left_hip", "left_knee", "left_ankle", "left_ankle", "left_foot", "right_hip",
    "right_knee", "right_ankle", "right_ankle", "right_foot",
)  # fmt: skip


def _kit(positions: FloatArray) -> FloatArray:
    """[T,22,3] metres -> KIT-ML's [T,21,3] millimetres."""
    return positions[:, [J[name] for name in _MMM]] * 1000


def _publish(root: Path, folder: str, takes: dict[str, tuple[FloatArray, str]], **splits: str) -> Path:
    (root / folder).mkdir(parents=True)
    (root / "texts").mkdir()
    for name, (array, text) in takes.items():
        np.save(root / folder / f"{name}.npy", array)
        (root / "texts" / f"{name}.txt").write_text(text)
    for split, names in splits.items():
        (root / f"{split}.txt").write_text("\n".join(names.split()))
    return root


def _built(root: Path, out: Path) -> dict[str, Clip]:
    build([root], out, workers=1)
    return {clip.id: clip for clip in ClipDataset(out).clips}


def _said(clip: Clip) -> list[str]:
    return [caption.text.lower().rstrip(".") for caption in clip.captions if caption.kind == "humanml3d"]


def test_humanml3d_keeps_its_splits_words_and_mirrored_copies(tmp_path: Path) -> None:
    wave = raised(standing(5.1), "left", 0.5, 4.5, waves=1.5)
    left = "a person waves the left hand#a/DET person/NOUN wave/VERB#0.0#0.0\n"
    right = "a person waves the right hand#a/DET person/NOUN wave/VERB#nan#nan\n"
    timed = "a man walks on#a/DET man/NOUN#0.0#4.5\nsomething short at the end#some/DET#4.0#4.8\nno hash marks\n\n"
    root = _publish(
        tmp_path / "HumanML3D",
        "new_joint_vecs",
        {
            "000001": (hml263.encode(wave), left),
            "M000001": (hml263.encode(mirror(wave)), right),
            "000002": (hml263.encode(walking(5.1, 1.0)), timed),
        },
        train="000001 M000001 000099",
        test="000002",
    )
    clips = _built(root, tmp_path / "out")
    assert {clip.take: clip.split for clip in clips.values()} == {
        "humanml3d/000001": "train",
        "humanml3d/000002": "test",
    }
    plain = next(clip for name, clip in clips.items() if name.startswith("humanml3d/000001/"))
    copy = next(clip for name, clip in clips.items() if name.startswith("humanml3d/M000001/"))
    assert (plain.mirrored, _said(plain)) == (False, ["a person waves the left hand"])
    assert (copy.mirrored, _said(copy)) == (True, ["a person waves the right hand"])
    assert "left hand" in plain.reading
    assert "right hand" in copy.reading
    (walk,) = [clip for clip in clips.values() if clip.take.endswith("2")]
    assert _said(walk) == ["a man walks on"]


def test_kit_ml_is_read_in_millimetres_and_at_its_rate(tmp_path: Path) -> None:
    # 12.5 frames a second of a body that turns right while walking at 1 m/s.
    walk = walking(8.0, 1.0, turn=-90)[np.round(np.arange(0, 160, 1.6)).astype(int)]
    text = "A person walks and turns right.#A/DET person/NOUN#0.0#0.0"
    root = _publish(
        tmp_path / "KIT-ML",
        "new_joints",
        {"00001": (_kit(walk), text), "M00001": (_kit(mirror(walk)), text.replace("right", "left"))},
        train="00001 M00001",
    )
    clips = _built(root, tmp_path / "out")
    assert {clip.source for clip in clips.values()} == {"kit"}
    assert {clip.take for clip in clips.values()} == {"kit/00001"}
    for clip in clips.values():
        side = "left" if clip.mirrored else "right"
        whole = 7.0 < clip.seconds <= 8.0
        # Sentences about the whole are not said of its halves.
        assert _said(clip) == ([f"a person walks and turns {side}"] if whole else [])
        if whole:
            assert f"turn {side} 90 degrees" in clip.reading
            assert "Walk forward 4 m" in clip.reading
    assert {clip.mirrored for clip in clips.values() if clip.seconds > 7} == {False, True}


@pytest.mark.parametrize("seen_in_mirror", [False, True])
def test_kit_ml_left_is_left_whichever_way_its_axes_were_exchanged(seen_in_mirror: bool) -> None:
    body = raised(walking(3.0, 1.0), "left", 0.5, 2.5)
    joints = _kit(body)
    if seen_in_mirror:
        joints = joints * np.array(
            [-1, 1, 1]
        )  # positions only: the left hand's place, mirrored, is the right's
    found = kit_joints(joints)
    for name in ("left_hip", "left_knee", "left_foot", "right_wrist", "left_wrist", "head"):
        np.testing.assert_allclose(found[:, J[name]], body[:, J[name]], atol=1e-5)


def test_kit_ml_of_another_shape_is_refused() -> None:
    with pytest.raises(FormatError, match="joints"):
        kit_joints(np.zeros((4, 22, 3)))

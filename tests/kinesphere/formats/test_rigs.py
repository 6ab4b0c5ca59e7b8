"""Rigs: a known person written in somebody else's names, units and axes comes back as that person."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats import bvh, bvh_writer, deepmimic, landmarks, source
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS

MIXAMO = {
    "pelvis": "mixamorig:Hips", "spine1": "mixamorig:Spine", "spine2": "mixamorig:Spine1", "spine3": "mixamorig:Spine2",
    "neck": "mixamorig:Neck", "head": "mixamorig:Head",
    **{f"{side}_{part}": f"mixamorig:{side.capitalize()}{name}" for side in ("left", "right") for part, name in {
        "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
        "elbow": "ForeArm", "wrist": "Hand"}.items()},
}  # fmt: skip
UNREAL = {
    "pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01",
    "head": "head",
    **{f"{side}_{part}": f"{name}_{side[0]}" for side in ("left", "right") for part, name in {
        "hip": "thigh", "knee": "calf", "ankle": "foot", "foot": "ball", "collar": "clavicle", "shoulder": "upperarm",
        "elbow": "lowerarm", "wrist": "hand"}.items()},
}  # fmt: skip
PLAIN = {name: f"{name}_" for name in JOINT_NAMES}
LIMBS = [
    f"{side}_{part}" for side in ("left", "right") for part in ("knee", "ankle", "elbow", "wrist", "foot")
]


def _renamed(motion: Motion, names: dict[str, str], scale: float, z_up: bool) -> bytes:
    """The BVH of ``motion`` with other names, bigger by ``scale``, and lying on its back if ``z_up``."""
    place, turned = motion.translation, motion.rotations.copy()
    if z_up:
        turn = rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))
        place = rot.rotate(turn, place)
        turned[:, 0] = rot.multiply(turn, turned[:, 0])
    text = bvh_writer.dumps(Motion.from_rotations(place, turned, motion.fps))
    head, body = text.split("MOTION\n")
    lines = []
    for line in head.splitlines():
        words = line.split()
        if words[0] in ("ROOT", "JOINT"):
            words[1] = names[words[1]]
        if words[0] == "OFFSET":
            words[1:] = [str(float(word) * scale) for word in words[1:]]
        lines.append(" ".join(words))
    frames, step, *rows = body.splitlines()
    scaled = []
    for row in rows:
        values = row.split()
        values[:3] = [str(float(value) * scale) for value in values[:3]]
        scaled.append(" ".join(values))
    return "\n".join([*lines, "MOTION", frames, step, *scaled]).encode()


def _standing(make_motion, seed: int) -> Motion:
    motion = make_motion(seed, 10, 30.0, calm=0.3)
    turned = motion.rotations.copy()
    turned[:, 0] = rot.about_y(np.linspace(-1, 2, 10))
    return Motion.from_rotations(motion.translation, turned, 30.0)


@pytest.mark.parametrize("names", [MIXAMO, UNREAL, PLAIN], ids=["mixamo", "unreal", "smpl"])
@pytest.mark.parametrize(("scale", "z_up"), [(1.0, False), (100.0, False), (100.0, True), (1000.0, False)])
def test_a_rig_with_usual_names_is_recognised(
    names: dict[str, str], scale: float, z_up: bool, make_motion
) -> None:
    motion = _standing(make_motion, 3)
    found = source.from_hierarchy(bvh.parse(_renamed(motion, names, scale, z_up)))
    assert found.rig == "generic"
    assert found.fps == 30
    # Limbs point where they pointed, left stays left, and the person is as tall.
    for name in LIMBS:
        joint = JOINT_INDEX[name]
        start = PARENTS[joint]
        np.testing.assert_allclose(
            found.positions[:, joint] - found.positions[:, start],
            motion.positions[:, joint] - motion.positions[:, start],
            atol=2e-4,
        )
    assert np.abs(found.positions - motion.positions).max() < 0.12


def test_landmarks_of_smpl_give_smpl_back(make_motion) -> None:
    motion = _standing(make_motion, 5)
    turned = motion.rotations.copy()
    for joint in (3, 6, 9, 12, 13, 14):  # a trunk at rest, so that pelvis and chest are one orientation
        turned[:, joint] = [1, 0, 0, 0]
    motion = Motion.from_rotations(motion.translation, turned, 30.0)
    points = {
        name.replace("foot", "toe").replace("collar", "clavicle"): motion.positions[:, joint].astype(
            np.float64
        )
        for name, joint in JOINT_INDEX.items()
    }
    heading = motion.rotations[:, 0].astype(np.float64)
    rest = {
        "left_clavicle": motion.skeleton.offsets[16], "right_clavicle": motion.skeleton.offsets[17],
        "neck": motion.skeleton.offsets[15],
    }  # fmt: skip
    built = landmarks.smpl_joints(
        landmarks.Landmarks(
            points, heading, heading, {name: tuple(map(float, v)) for name, v in rest.items()}
        )
    )
    trunk = [
        JOINT_INDEX[name]
        for name in ("pelvis", "spine1", "spine2", "spine3", "neck", "left_collar", "left_hip")
    ]
    np.testing.assert_allclose(built[:, trunk], motion.positions[:, trunk], atol=1e-4)


def test_rigs_without_a_landmark_are_refused_by_its_name(make_motion) -> None:
    names = MIXAMO | {"left_knee": "mixamorig:Gadget"}
    with pytest.raises(FormatError, match="left_knee"):
        source.from_hierarchy(bvh.parse(_renamed(_standing(make_motion, 1), names, 1.0, False)))


def test_bodies_that_cannot_be_are_refused(make_motion) -> None:
    positions = make_motion(1, 5).positions.astype(np.float64)
    source.check_body(positions, 20.0)
    with pytest.raises(FormatError, match="thigh is"):
        source.check_body(positions * 3, 20.0)
    with pytest.raises(FormatError, match="upper arm is"):
        source.check_body(_short_arm(positions), 20.0)
    with pytest.raises(FormatError, match="pelvis moves at"):
        source.check_body(positions + np.arange(5)[:, None, None] * 10, 20.0)
    with pytest.raises(FormatError, match="NaN"):
        source.check_body(positions * np.nan, 20.0)


def _short_arm(positions: np.ndarray) -> np.ndarray:
    shoulder, elbow = JOINT_INDEX["left_shoulder"], JOINT_INDEX["left_elbow"]
    changed = positions.copy()
    changed[:, elbow] = changed[:, shoulder] + 0.1 * (changed[:, elbow] - changed[:, shoulder])
    return changed


def _deepmimic(frames: int = 3, **changes: object) -> bytes:
    frame = [0.05, 0.0, 0.9, 0.0, *[1.0, 0, 0, 0] * 4, 0.0, *[1.0, 0, 0, 0] * 2, 0.0, *[1.0, 0, 0, 0], 0.0]
    frame += [*[1.0, 0, 0, 0] * 2, 0.0]
    rows = [list(frame) for _ in range(frames)]
    for column, value in changes.items():
        rows[1][int(column[1:])] = value  # type: ignore[call-overload]
    return json.dumps({"Loop": "none", "Frames": rows}).encode()


def test_deepmimic_at_rest_stands_and_faces_forward() -> None:
    marks, fps = deepmimic.parse(_deepmimic())
    joints = landmarks.smpl_joints(marks)
    assert fps == 20
    assert joints[0, JOINT_INDEX["left_hip"], 0] > 0.03
    assert joints[0, JOINT_INDEX["left_foot"], 2] > joints[0, JOINT_INDEX["left_ankle"], 2] + 0.08
    assert joints[0, JOINT_INDEX["head"], 1] > 1.4
    assert joints[0, JOINT_INDEX["left_wrist"], 1] < joints[0, JOINT_INDEX["left_shoulder"], 1] - 0.4


def test_a_deepmimic_knee_bends_backwards_and_an_elbow_forwards() -> None:
    # Columns 20 and 34 are the right and left knee, 29 and 43 the elbows.
    marks, _ = deepmimic.parse(_deepmimic(c20=-1.2, c43=1.2))
    joints = landmarks.smpl_joints(marks)[1]
    assert joints[JOINT_INDEX["right_ankle"], 2] < joints[JOINT_INDEX["right_knee"], 2] - 0.3
    assert joints[JOINT_INDEX["left_wrist"], 2] > joints[JOINT_INDEX["left_elbow"], 2] + 0.2
    assert joints[JOINT_INDEX["left_ankle"], 2] == pytest.approx(
        joints[JOINT_INDEX["left_knee"], 2], abs=1e-6
    )


def test_uneven_deepmimic_frames_are_resampled() -> None:
    marks, fps = deepmimic.parse(_deepmimic(5, c0=0.1, c1=1.0))
    assert fps == 20
    # 0.05 s, 0.1 s, 0.05 s, 0.05 s: six instants instead of five, the long one split in two.
    path = marks.points["root"]
    assert len(path) == 6
    np.testing.assert_allclose(path[:, 2], [0, 1, 0.5, 0, 0, 0], atol=1e-9)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"[" * 100_000, b'{"Frames": 5}', b'{"Frames": []}', b'{"Frames": [[1, 2]]}',
        _deepmimic(c5=float("nan")), _deepmimic(c5=1e300), _deepmimic(c5="x"), _deepmimic(c5=True), _deepmimic(c5=None),
        _deepmimic(c0=-1.0), _deepmimic(c0=1e5), _deepmimic(c4=0.0), _deepmimic()[:-3],
        _deepmimic().replace(b"0.05", b"0.0"), _deepmimic().replace(b"0.05", b"1" * 400),
    ],
)  # fmt: skip
def test_broken_deepmimic_files_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        deepmimic.parse(data)

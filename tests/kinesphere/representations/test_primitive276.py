from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import primitive276 as primitive

LAYOUT = primitive.LAYOUT


def whole(motion: Motion) -> tuple[np.ndarray, primitive.Frame]:
    return primitive.encode(motion.translation, motion.rotations, motion.positions)


@pytest.mark.shared_data
def test_agrees_with_dart(golden: Path) -> None:
    reference = {name: array[0] for name, array in np.load(golden / "dart_ref.npz").items()}
    own = {"pelvis_offset": reference["pelvis_delta"], "convention": primitive.DART}
    rotations = rot.from_matrix(reference["rotmats"].astype(np.float64))
    joints = reference["joints"].reshape(-1, 22, 3)
    features, frame = primitive.encode(reference["transl"], rotations, joints, **own)
    assert np.abs(features - reference["feat276"]).max() < 1e-6
    assert np.abs(frame.axes - reference["R"]).max() < 1e-6
    assert np.abs(frame.origin - reference["t"][0]).max() < 1e-6
    world = primitive.to_world(features, frame, **own)
    assert np.abs(world - reference["world"]).max() < 1e-6
    # The next primitive's frame and history, found from what was made so far.
    following = primitive.frame_of(world[-2, LAYOUT["joints"]].reshape(22, 3), primitive.DART)
    assert np.abs(following.axes - reference["R2"]).max() < 1e-6
    assert np.abs(following.origin - reference["t2"][0]).max() < 1e-6
    history = primitive.to_canonical(world[-2:], following, **own)
    assert np.abs(history - reference["hist"]).max() < 1e-6
    decoded = primitive.decode(world, primitive.DART)[1]
    assert np.abs(rot.to_matrix(decoded) - reference["rotmats"][:-1]).max() < 1e-6


def test_canonical_frame_stands_in_the_pelvis_and_looks_ahead(walker: Motion) -> None:
    features, frame = whole(walker)
    assert features.shape == (walker.num_frames - 1, 276)
    assert features[0, LAYOUT["joints"]][:3] == pytest.approx(0.0, abs=1e-6)
    hips = features[0, LAYOUT["joints"]].reshape(22, 3)[[1, 2]]
    assert hips[0, 0] > 0.0 > hips[1, 0]
    assert hips[0, 2] - hips[1, 2] == pytest.approx(0.0, abs=1e-6)
    assert frame.axes[:, 1] == pytest.approx([0.0, 1.0, 0.0])
    assert features[0, LAYOUT["translation_delta"]][2] > 0.03  # the walker goes ahead


def test_world_round_trip(walker: Motion) -> None:
    features, frame = whole(walker)
    translation, rotations, joints = primitive.decode(primitive.to_world(features, frame))
    assert translation == pytest.approx(walker.translation[:-1], abs=1e-5)
    assert joints == pytest.approx(walker.positions[:-1], abs=1e-5)
    assert np.abs(np.sum(rotations * walker.rotations[:-1], axis=-1)) == pytest.approx(1.0, abs=1e-6)


def test_deltas_lead_to_the_next_frame(walker: Motion) -> None:
    features, _ = whole(walker)
    delta = rot.from_6d(features[:-1, LAYOUT["orientation_delta"]].astype(np.float64))
    root = rot.from_6d(features[:, LAYOUT["rotations"]][:, :6].astype(np.float64))
    assert np.abs(np.sum(rot.multiply(delta, root[:-1]) * root[1:], axis=-1)) == pytest.approx(1.0, abs=1e-6)
    joints = features[:, LAYOUT["joints"]]
    assert joints[:-1] + features[:-1, LAYOUT["joint_deltas"]] == pytest.approx(joints[1:], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(yaw=st.floats(-3.1, 3.1), shift=st.tuples(*[st.floats(-20, 20)] * 3))
def test_canonical_features_do_not_know_place_and_direction(
    walker: Motion, yaw: float, shift: tuple[float, ...]
) -> None:
    turn = rot.about_y(yaw)
    rotations = walker.rotations.astype(np.float64)
    rotations[:, 0] = rot.multiply(turn, rotations[:, 0])
    moved = [
        rot.rotate(turn, array.astype(np.float64)) + shift for array in (walker.translation, walker.positions)
    ]
    features, _ = primitive.encode(moved[0], rotations, moved[1])
    assert features == pytest.approx(whole(walker)[0], abs=1e-5)


def test_pieces_overlap_and_join_to_the_world(walker: Motion) -> None:
    pieces, frames = primitive.segments(walker)
    count = (walker.num_frames - 11) // 8 + 1
    assert pieces.shape == (count, 10, 276)
    for number, frame in enumerate(frames):
        assert frame.origin == pytest.approx(walker.positions[8 * number, 0], abs=1e-6)
    joined = primitive.join(pieces, frames[0])
    features, frame = whole(walker)
    assert joined == pytest.approx(primitive.to_world(features, frame)[: len(joined)], abs=1e-4)
    assert len(joined) == 2 + 8 * count


def test_rows_are_the_columns_of_the_inverse(walker: Motion) -> None:
    rows = primitive.Convention("y", "rows")
    features, _ = primitive.encode(walker.translation, walker.rotations, walker.positions, convention=rows)
    ours, _ = whole(walker)
    assert np.abs(features - ours)[:, LAYOUT["rotations"]].max() > 0.1
    here, there = primitive.decode(features, rows)[1], primitive.decode(ours)[1]
    assert np.abs(np.sum(here * there, axis=-1)) == pytest.approx(1.0, abs=1e-6)


def test_refusals(walker: Motion) -> None:
    with pytest.raises(InputError, match="11") as caught:
        primitive.segments(walker.slice(0, 10))
    assert caught.value.field == "motion"
    with pytest.raises(InputError) as caught:
        primitive.encode(walker.translation[:-1], walker.rotations, walker.positions)
    assert caught.value.field == "translation"
    with pytest.raises(InputError, match="at least 2"):
        whole(walker.slice(0, 1))
    with pytest.raises(InputError, match="hips"):
        primitive.frame_of(np.zeros((22, 3)))
    with pytest.raises(InputError, match="276"):
        primitive.decode(np.zeros((4, 263)))
    with pytest.raises(InputError) as caught:
        primitive.join(np.zeros((2, 9, 276), dtype=np.float32), primitive.Frame(np.eye(3), np.zeros(3)))
    assert caught.value.field == "pieces"

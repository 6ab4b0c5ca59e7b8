from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.skeleton import BONE_LENGTHS, MIRROR, PARENTS, SMPL22

LAYOUT = hml263.LAYOUT


def standing(frames: int) -> np.ndarray:
    """The rest pose, arms out, above the ground and away from the origin, again and again."""
    return np.repeat(SMPL22.rest_positions()[None] + [3.0, 1.5, -2.0], frames, axis=0)


@pytest.mark.shared_data
def test_agrees_with_the_reference(golden: Path) -> None:
    reference = np.load(golden / "hml_012314_ref.npz")
    features = hml263.encode(reference["joints_full"])
    assert np.abs(features - reference["vec_ref"]).max() < 1e-5
    assert np.abs(hml263.decode(reference["vec_ref"]) - reference["joints_ref"]).max() < 1e-5


@pytest.mark.shared_data
def test_retargeting_agrees_with_the_reference_on_another_body(golden: Path) -> None:
    """The same person 1.2 times as tall leaves the same features, so bones and root path were scaled together."""
    reference = np.load(golden / "hml_012314_ref.npz")
    features = hml263.encode(reference["joints_full"] * 1.2)
    assert np.abs(features - reference["vec_ref"]).max() < 1e-4


def test_walking_ahead() -> None:
    positions = standing(50)
    positions[:, :, 2] += 0.05 * np.arange(50)[:, None]
    features = hml263.encode(positions)
    assert features.shape == (49, 263)
    # Frame 0's heading is the reference's exception, and this body's hips are a little askew to its shoulders.
    assert features[1:, LAYOUT["root_yaw_velocity"]] == pytest.approx(0.0, abs=1e-6)
    assert features[:, LAYOUT["root_velocity"]] == pytest.approx(np.tile([0.0, 0.05], (49, 1)), abs=5e-4)
    ground = SMPL22.rest_positions()[:, 1].min()
    assert features[:, LAYOUT["root_height"]] == pytest.approx(-ground, abs=1e-6)
    # 5 cm a frame, squared, is above the threshold: nothing is in contact.
    assert features[:, LAYOUT["contacts"]].max() == 0.0
    assert hml263.encode(standing(50))[:, LAYOUT["contacts"]].min() == 1.0


def test_yaw_velocity_is_half_the_turn_and_negative_to_the_left() -> None:
    turned = rot.rotate(rot.about_y(0.02 * np.arange(200))[:, None], standing(200))
    yaw = hml263.encode(turned)[:, 0]
    # Far from the ends, where smoothing has nothing to repeat.
    assert yaw[90:110] == pytest.approx(-0.01, abs=1e-4)


def test_decoding_returns_the_canonical_clip(walker: Motion) -> None:
    positions = hml263.decode(hml263.encode(walker.positions))
    assert np.abs(positions - hml263.canonicalize(walker.positions)[:-1]).max() < 1e-5


@settings(max_examples=30, deadline=None)
@given(yaw=st.floats(-3.1, 3.1), shift=st.tuples(*[st.floats(-20, 20)] * 3))
def test_features_do_not_know_place_and_direction(
    walker: Motion, yaw: float, shift: tuple[float, ...]
) -> None:
    moved = rot.rotate(rot.about_y(yaw), walker.positions.astype(np.float64)) + np.array(shift)
    difference = np.abs(hml263.encode(moved) - hml263.encode(walker.positions))
    contacts = difference[:, LAYOUT["contacts"]]
    assert difference[:, : LAYOUT["contacts"].start].max() < 1e-4
    assert contacts.max() == 0.0


def test_ground_is_kept_where_it_is_known(walker: Motion) -> None:
    raised = walker.positions + np.array([0.0, 0.5, 0.0], dtype=np.float32)
    low, kept = hml263.encode(raised), hml263.encode(raised, ground=False)
    lowest = raised[..., 1].min()
    assert kept[:, 3] - low[:, 3] == pytest.approx(lowest, abs=1e-5)
    assert hml263.canonicalize(raised)[..., 1].min() == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_streaming_equals_the_whole(walker: Motion, data: st.DataObject) -> None:
    features = hml263.encode(walker.positions)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(features)), max_size=8)))
    integrator = hml263.Integrator()
    edges = [0, *cuts, len(features)]
    pieces = [integrator.step(features[a:b]) for a, b in pairwise(edges)]
    assert np.abs(np.concatenate(pieces) - hml263.decode(features)).max() < 1e-6


def test_integrator_starts_where_it_is_told(walker: Motion) -> None:
    features = hml263.encode(walker.positions)
    placed = hml263.Integrator(yaw=0.7, ground=(2.0, -1.0)).step(features)
    expected = rot.rotate(rot.about_y(0.7), hml263.decode(features)) + np.array([2.0, 0.0, -1.0])
    assert np.abs(placed - expected).max() < 1e-5


def test_a_refused_piece_leaves_the_integrator_as_it_was(walker: Motion) -> None:
    features = hml263.encode(walker.positions)
    integrator = hml263.Integrator()
    integrator.step(features[:10])
    with pytest.raises(InputError) as caught:
        integrator.step(np.full((3, 263), np.nan))
    assert caught.value.field == "features"
    assert np.abs(integrator.step(features[10:]) - hml263.decode(features)[10:]).max() < 1e-6


@settings(max_examples=20, deadline=None)
@given(size=st.floats(0.3, 3.0))
def test_retargeting_keeps_directions_and_sets_lengths(walker: Motion, size: float) -> None:
    stretched = walker.positions * size
    stretched[:, 15] += (stretched[:, 15] - stretched[:, 12]) * 0.5  # a long neck, too
    result = hml263.uniform_positions(stretched)
    bones = result[:, 1:] - result[:, PARENTS[1:]]
    assert np.linalg.norm(bones, axis=-1) == pytest.approx(
        np.tile(BONE_LENGTHS[1:], (len(bones), 1)), abs=1e-5
    )
    assert result == pytest.approx(walker.positions, abs=2e-5)
    assert hml263.has_uniform_bones(result)
    assert not hml263.has_uniform_bones(stretched)


def test_another_body_is_retargeted_unless_told_otherwise(walker: Motion) -> None:
    tall = walker.positions * 1.1
    assert hml263.encode(tall) == pytest.approx(hml263.encode(walker.positions), abs=1e-3)
    height = hml263.encode(tall, retarget=False)[:, 3] / hml263.encode(walker.positions)[:, 3]
    assert height == pytest.approx(1.1, abs=1e-4)


def test_a_mirrored_clip_turns_the_other_way(walker: Motion) -> None:
    mirrored = walker.positions[:, list(MIRROR)] * np.array([-1.0, 1.0, 1.0])
    here = hml263.encode(walker.positions, retarget=False)
    there = hml263.encode(mirrored, retarget=False)
    assert there[:, 0] == pytest.approx(-here[:, 0], abs=1e-5)
    assert there[:, 1:3] == pytest.approx(here[:, 1:3] * [-1.0, 1.0], abs=1e-5)


def test_a_body_on_its_side_faces_ahead_instead_of_at_random() -> None:
    lying = standing(10)[..., [1, 0, 2]]
    assert np.isfinite(hml263.encode(lying)).all()
    assert hml263.canonicalize(lying)[0, 0, [0, 2]] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "positions",
    [
        np.zeros((5, 21, 3)),
        np.zeros((22, 3)),
        np.zeros((5, 22, 2)),
        np.zeros((1, 22, 3)),
        np.full((5, 22, 3), np.nan),
    ],
)
def test_encode_refuses(positions: np.ndarray) -> None:
    with pytest.raises(InputError) as caught:
        hml263.encode(positions)
    assert caught.value.field == "positions"


def test_a_person_without_legs_is_refused() -> None:
    with pytest.raises(InputError, match="leg"):
        hml263.uniform_positions(np.zeros((5, 22, 3)))


@pytest.mark.parametrize("shape", [(5, 262), (263,), (2, 3, 263)])
def test_decode_refuses(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        hml263.decode(np.zeros(shape))
    assert caught.value.field == "features"

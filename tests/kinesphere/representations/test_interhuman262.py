from pathlib import Path

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import interhuman262 as interhuman
from kinesphere.skeleton import SMPL22

LAYOUT = interhuman.LAYOUT


def six(motion: Motion) -> np.ndarray:
    return rot.to_6d(motion.rotations[:, 1:])


@pytest.mark.shared_data
def test_agrees_with_intergen(golden: Path) -> None:
    reference = np.load(golden / "intergen_ref.npz")

    def raw(name: str) -> tuple[np.ndarray, np.ndarray]:
        positions = reference[name][:, :66].reshape(-1, 22, 3)
        # InterHuman's files have Z up.
        return positions[..., [0, 2, 1]] * [1.0, 1.0, -1.0], reference[name][:, 66:].reshape(-1, 21, 6)

    a, b, relation = interhuman.encode(*raw("m1"), *raw("m2"))
    assert np.abs(a - reference["out1"]).max() < 1e-5
    assert np.abs(b - reference["out2"]).max() < 1e-5
    # The reference tells half the angle, the other way round.
    assert [-relation.yaw / 2, relation.x, relation.z] == pytest.approx(reference["rel"], abs=1e-5)


def test_two_people_face_each_other(walker: Motion) -> None:
    """B stands 2 m ahead of A, turned to A, wherever both are in the world."""
    about = rot.about_y(np.array(2.0))
    opposite = rot.rotate(rot.about_y(np.array(np.pi)), walker.positions) + np.array([0.0, 0.3, 2.0])
    start = interhuman.encode(walker.positions, six(walker), walker.positions, six(walker))
    assert [start[2].yaw, start[2].x, start[2].z] == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)
    a, b, relation = interhuman.encode(
        rot.rotate(about, walker.positions) + 5.0, six(walker), rot.rotate(about, opposite) + 5.0, six(walker)
    )
    assert a == pytest.approx(start[0], abs=1e-4)
    assert abs(relation.yaw) == pytest.approx(np.pi, abs=1e-4)
    first = walker.positions[0, 0]
    distance = np.hypot(-2 * first[0], 2.0 - 2 * first[2])
    assert np.hypot(relation.x, relation.z) == pytest.approx(distance, abs=1e-4)
    # Both on the ground, though B was 30 cm higher.
    assert a[:, 1:66:3].min() == pytest.approx(0.0, abs=1e-5)
    assert b[:, 1:66:3].min() == pytest.approx(0.0, abs=1e-2)


def test_what_is_encoded_can_be_read_back(walker: Motion) -> None:
    a, _, _ = interhuman.encode(walker.positions, six(walker), walker.positions, six(walker))
    positions, rotations = interhuman.decode(a)
    assert np.abs(np.sum(rotations * walker.rotations[:-1, 1:], axis=-1)) == pytest.approx(1.0, abs=1e-5)
    assert np.diff(positions, axis=0) == pytest.approx(
        a[:-1, LAYOUT["velocities"]].reshape(-1, 22, 3), abs=1e-5
    )


def test_a_foot_in_the_air_is_not_in_contact() -> None:
    positions = np.repeat(SMPL22.rest_positions()[None], 5, axis=0)
    positions[:, [4, 7, 10], 1] += 0.2
    a, _, _ = interhuman.encode(positions, np.zeros((5, 21, 6)), positions, np.zeros((5, 21, 6)))
    assert a[:, LAYOUT["contacts"]] == pytest.approx(np.tile([0.0, 0.0, 1.0, 1.0], (4, 1)))


def test_refusals(walker: Motion) -> None:
    good = (walker.positions, six(walker))
    for arrays, field in (
        ((walker.positions[:, :21], six(walker), *good), "positions"),
        ((walker.positions, six(walker)[:, :20], *good), "rotations"),
        ((*good, walker.positions[:-1], six(walker)), "other_positions"),
        ((*good, walker.positions, six(walker) * np.nan), "other_rotations"),
    ):
        with pytest.raises(InputError) as caught:
            interhuman.encode(*arrays)
        assert caught.value.field == field
    with pytest.raises(InputError, match="262"):
        interhuman.decode(np.zeros((3, 263)))

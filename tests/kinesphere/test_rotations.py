import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from kinesphere import rotations as rot

VECTORS = arrays(np.float64, (4, 3), elements=st.floats(-10, 10))
QUATERNIONS = arrays(np.float64, (4, 4), elements=st.floats(-1, 1)).map(rot.normalize)
EXAMPLES = settings(max_examples=60, deadline=None)


def same(a: np.ndarray, b: np.ndarray) -> None:
    """Equal as rotations: q and -q are one."""
    assert np.abs(np.sum(a * b, axis=-1)) == pytest.approx(1.0, abs=1e-6)


@EXAMPLES
@given(q=QUATERNIONS)
def test_round_trips(q: np.ndarray) -> None:
    same(rot.from_matrix(rot.to_matrix(q)), q)
    same(rot.from_axis_angle(rot.to_axis_angle(q)), q)
    same(rot.from_6d(rot.to_6d(q)), q)
    same(rot.multiply(q, rot.inverse(q)), np.broadcast_to([1.0, 0.0, 0.0, 0.0], q.shape))


@EXAMPLES
@given(a=QUATERNIONS, b=QUATERNIONS, v=VECTORS)
def test_product_applies_the_second_first(a: np.ndarray, b: np.ndarray, v: np.ndarray) -> None:
    assert rot.rotate(rot.multiply(a, b), v) == pytest.approx(rot.rotate(a, rot.rotate(b, v)), abs=1e-9)
    assert rot.rotate(a, v) == pytest.approx(np.einsum("nij,nj->ni", rot.to_matrix(a), v), abs=1e-9)


@EXAMPLES
@given(a=VECTORS, b=VECTORS)
def test_between_turns_one_direction_into_the_other(a: np.ndarray, b: np.ndarray) -> None:
    a[np.linalg.norm(a, axis=-1) < 1e-3] = [1.0, 0.0, 0.0]
    b[np.linalg.norm(b, axis=-1) < 1e-3] = [0.0, 0.0, -1.0]
    a /= np.linalg.norm(a, axis=-1, keepdims=True)
    b /= np.linalg.norm(b, axis=-1, keepdims=True)
    assert rot.rotate(rot.between(a, b), a) == pytest.approx(b, abs=2e-3)
    # The least turn: its angle is the angle between the directions.
    angle = np.linalg.norm(rot.to_axis_angle(rot.between(a, b)), axis=-1)
    assert np.cos(angle) == pytest.approx(np.sum(a * b, axis=-1), abs=1e-5)


@pytest.mark.parametrize("direction", np.concatenate([np.eye(3), -np.eye(3), [[0.6, 0.8, 0.0]]]))
def test_between_opposite_directions(direction: np.ndarray) -> None:
    q = rot.between(direction[None], -direction[None])
    assert np.linalg.norm(q, axis=-1) == pytest.approx(1.0)
    assert rot.rotate(q, direction[None])[0] == pytest.approx(-direction, abs=1e-6)


def test_wxyz_and_handedness() -> None:
    quarter = rot.about_y(np.array([np.pi / 2]))
    assert quarter[0] == pytest.approx([np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0])
    assert rot.rotate(quarter, np.array([[0.0, 0.0, 1.0]]))[0] == pytest.approx([1.0, 0.0, 0.0], abs=1e-12)


def test_six_numbers_are_the_first_two_columns() -> None:
    q = rot.from_axis_angle(np.array([[0.1, 0.7, -0.4]]))
    matrix = Rotation.from_rotvec([0.1, 0.7, -0.4]).as_matrix()
    assert rot.to_6d(q)[0] == pytest.approx(np.concatenate([matrix[:, 0], matrix[:, 1]]))


@pytest.mark.parametrize(
    "six", [np.zeros(6), np.array([0, 2.0, 0, 0, 5.0, 0]), np.array([0, 0, 0, 0, 1.0, 0])]
)
def test_six_numbers_without_two_directions_still_make_a_rotation(six: np.ndarray) -> None:
    matrix = rot.matrix_from_6d(six[None])[0]
    assert matrix @ matrix.T == pytest.approx(np.eye(3), abs=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    assert np.linalg.norm(rot.from_6d(six[None])) == pytest.approx(1.0)


@EXAMPLES
@given(a=QUATERNIONS, b=QUATERNIONS, t=st.floats(0, 1))
def test_slerp_goes_evenly_on_the_shorter_arc(a: np.ndarray, b: np.ndarray, t: float) -> None:
    def angle(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        angles: np.ndarray = 2 * np.arccos(np.clip(np.abs(np.sum(p * q, axis=-1)), 0, 1))
        return angles

    middle = rot.slerp(a, b, t)
    assert angle(a, middle) == pytest.approx(t * angle(a, b), abs=1e-4)
    assert angle(middle, b) == pytest.approx((1 - t) * angle(a, b), abs=1e-4)


def test_continuous_changes_signs_only() -> None:
    q = rot.about_y(np.linspace(0, 4 * np.pi, 50))[:, None]
    flipped = q * np.where(np.random.default_rng(0).random((50, 1, 1)) < 0.5, -1.0, 1.0)
    smooth = rot.continuous(flipped)
    assert np.all(np.sum(smooth[1:] * smooth[:-1], axis=-1) > 0.9)
    same(smooth, q)


def test_zero_quaternion_becomes_the_identity() -> None:
    assert rot.normalize(np.zeros((1, 4)))[0] == pytest.approx([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(dtype: type) -> None:
    q: np.ndarray = rot.about_y(np.array([0.3, 1.0])).astype(dtype)
    v: np.ndarray = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]], dtype=dtype)
    results = (
        rot.multiply(q, q), rot.inverse(q), rot.rotate(q, v), rot.to_matrix(q), rot.to_6d(q), rot.to_axis_angle(q),
        rot.from_axis_angle(v), rot.from_6d(rot.to_6d(q)), rot.between(v, v[::-1]), rot.slerp(q, q[::-1], 0.5),
    )  # fmt: skip
    assert {result.dtype for result in results} == {np.dtype(dtype)}

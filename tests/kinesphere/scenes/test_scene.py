"""Boxes and distance fields against distances worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere.errors import InputError
from kinesphere.scenes import Box, DistanceField, Scene


def test_distance_to_a_box() -> None:
    box = Box((1.0, 0.5, 0.0), (2.0, 1.0, 0.5))
    points = np.array([[3.0, 0.5, 0.0], [1.0, 1.3, 0.0], [2.3, 0.5, 0.65], [1.0, 0.5, 0.0], [1.9, 0.5, 0.0]])
    assert box.distance(points) == pytest.approx([1.0, 0.3, 0.5, -0.25, -0.1])


def test_box_turns_to_the_left() -> None:
    # Long along its own Z; turned by a quarter to the left, its front looks to +X.
    box = Box((0.0, 0.5, 0.0), (0.2, 1.0, 2.0), yaw=np.pi / 2)
    assert box.distance(np.array([[1.5, 0.5, 0.0], [0.0, 0.5, 0.6]])) == pytest.approx([0.5, 0.5], abs=1e-6)
    turned = Box((0.0, 0.5, 0.0), (0.2, 1.0, 2.0), yaw=np.pi / 4)
    assert turned.distance(np.array([0.6, 0.5, 0.6])) < 0 < turned.distance(np.array([0.6, 0.5, -0.6]))


def test_nearest_solid_of_a_scene_counts() -> None:
    near, far = Box((0, 0.5, 2), (1, 1, 1)), Box((0, 0.5, -5), (1, 1, 1))
    scene = Scene("room", (far, near))
    assert scene.distance(np.array([[0, 0.5, 0], [0, 0.5, -4]])) == pytest.approx([1.5, 0.5])
    assert Scene().distance(np.zeros((2, 3))).tolist() == [100.0, 100.0]


def test_field_of_filled_cells_is_the_distance_to_their_box() -> None:
    filled = np.zeros((40, 20, 40), dtype=bool)
    filled[10:20, 0:10, 10:30] = True  # x 0.5 to 1, y 0 to 0.5, z 0.5 to 1.5 from the corner
    field = DistanceField.from_occupancy(filled, 0.05, np.array([-1.0, 0.0, -1.0]))
    box = Box((-0.25, 0.25, 0.0), (0.5, 0.5, 1.0))
    rng = np.random.default_rng(0)
    points = rng.uniform([-1, 0, -1], [1, 1, 1], (500, 3))
    # Beyond edges and corners the distance to the nearest cell centre less half a cell is up to 0.7 cells short.
    assert np.abs(field.distance(points) - box.distance(points)).max() < 0.05
    assert np.array_equal(field.occupancy, filled)


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.floats(-4, 4), st.floats(0, 3), st.floats(-4, 4)))
def test_field_never_understates_beyond_its_grid(point: tuple[float, float, float]) -> None:
    filled = np.zeros((8, 8, 8), dtype=bool)
    filled[3:5, 0:4, 3:5] = True
    field = DistanceField.from_occupancy(filled, 0.1, np.array([-0.4, 0.0, -0.4]))
    box = Box((0.0, 0.2, 0.0), (0.2, 0.4, 0.2))
    found, true = float(field.distance(np.array(point))), float(box.distance(np.array(point)))
    assert found > true - 0.1
    assert found < true + 1.0


def test_empty_field_is_far_from_everything() -> None:
    field = DistanceField.from_occupancy(np.zeros((2, 2, 2), dtype=bool), 0.1, np.zeros(3))
    assert field.distance(np.zeros((1, 3))) >= 100.0


@pytest.mark.parametrize(
    ("filled", "cell", "origin", "field"),
    [
        (np.zeros((2, 2), dtype=bool), 0.1, np.zeros(3), "occupancy"),
        (np.zeros((2, 0, 2), dtype=bool), 0.1, np.zeros(3), "occupancy"),
        (np.zeros((300, 300, 300), dtype=bool), 0.1, np.zeros(3), "occupancy"),
        (np.zeros((2, 2, 2), dtype=bool), 0.001, np.zeros(3), "cell"),
        (np.zeros((2, 2, 2), dtype=bool), np.nan, np.zeros(3), "cell"),
        (np.zeros((2, 2, 2), dtype=bool), 0.1, np.full(3, np.inf), "origin"),
    ],
)
def test_bad_grids_are_refused(filled: np.ndarray, cell: float, origin: np.ndarray, field: str) -> None:
    with pytest.raises(InputError) as caught:
        DistanceField.from_occupancy(filled, cell, origin)
    assert caught.value.field == field


def test_bad_boxes_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        Box((0, 0, 0), (1, 0, 1))
    assert caught.value.field == "box.size"
    with pytest.raises(InputError) as caught:
        Box((0, np.nan, 0), (1, 1, 1))
    assert caught.value.field == "box.centre"
    with pytest.raises(InputError) as caught:
        Scene("crowded", tuple(Box((0, 0, 0), (1, 1, 1)) for _ in range(257)))
    assert caught.value.field == "scene.boxes"

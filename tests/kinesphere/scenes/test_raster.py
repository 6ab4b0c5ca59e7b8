"""Looked-up scenes against the distances that they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.scenes import Box, DistanceField, Raster, Scene

CELL = 0.125
BORDER = 0.0354  # metres: half the diagonal between columns 5 cm apart

places = st.floats(-1.5, 1.5)
sizes = st.floats(0.02, 2.0)
boxes = st.builds(
    lambda x, y, z, width, height, depth, yaw: Box((x, y, z), (width, height, depth), yaw),
    places, st.floats(-1.0, 2.5), places, sizes, sizes, sizes, st.floats(-3.1, 3.1),
)  # fmt: skip


def centres(axes: NDArray[np.floating], origin: NDArray[np.floating]) -> NDArray[np.floating]:
    """[24,12,24,3] world: the middles of the cells around a body, as the networks were taught to read them."""
    across, up = (np.arange(24) - 11.5) * CELL, (np.arange(12) + 0.5) * CELL
    local = np.stack(np.meshgrid(across, up, across, indexing="ij"), axis=-1)
    world: NDArray[np.floating] = local @ axes.T + origin * np.array([1.0, 0.0, 1.0])
    return world


def check(scene: Scene, yaw: float, origin: NDArray[np.floating], border: float = BORDER) -> int:
    """Cells are filled within half a cell of a solid; only those at the border may differ. How many are filled."""
    axes = rot.to_matrix(rot.about_y(np.array(yaw)))
    distance = scene.distance(centres(axes, origin))
    cells = Raster(scene).around(axes, origin)
    assert cells.shape == (24, 12, 24)
    assert set(np.unique(cells)) <= {0.0, 1.0}
    wrong = (distance <= CELL / 2) != (cells > 0)
    assert np.abs(distance[wrong] - CELL / 2).max(initial=0.0) <= border + 1e-4
    return int(cells.sum())


@settings(max_examples=60, deadline=None)
@given(found=st.lists(boxes, max_size=5), yaw=st.floats(-3.1, 3.1), x=places, z=places)
def test_cells_are_filled_where_a_box_is_near(found: list[Box], yaw: float, x: float, z: float) -> None:
    check(Scene(boxes=tuple(found)), yaw, np.array([x, 0.93, z]))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), yaw=st.floats(-3.1, 3.1), x=st.floats(-2.5, 2.5), z=places)
def test_cells_are_filled_where_a_field_is_near(seed: int, yaw: float, x: float, z: float) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.random((4, 5, 4)) < 0.2
    filled = coarse.repeat(6, 0).repeat(6, 1).repeat(6, 2)
    field = DistanceField.from_occupancy(filled, rng.uniform(0.03, 0.15), rng.uniform(-1.2, 0.2, 3))
    # Where distances are interpolated they may grow faster than the way.
    check(Scene(boxes=(Box((0.5, 0.2, 0.9), (0.4, 0.4, 0.4)),), field=field), yaw, np.array([x, 0, z]), 0.07)


@pytest.mark.parametrize("x", [0.0, -9_999.0, 9_876.54])
def test_things_kilometres_apart_are_seen_beside_them(x: float) -> None:
    scene = Scene(boxes=(Box((9_876.0, 0.5, -9_000.0), (1, 1, 1)), Box((-9_999.5, 0.5, 9_000.0), (1, 1, 1))))
    filled = check(scene, 0.3, np.array([x, 0.9, 9_000.0 if x < 0 else -9_000.0]))
    assert (filled > 0) == (x != 0.0)
    assert Raster(scene).nbytes < 50_000


def test_a_raster_comes_back_from_its_bytes() -> None:
    boxes = tuple(Box((x, 0.5, 0.4 * x), (0.5, 0.7, 0.3), x) for x in (-90.0, 0.0, 1.0, 700.0))
    raster = Raster(Scene(boxes=boxes))
    data = raster.packed()
    again = Raster.unpacked(data)
    assert len(data) < 0.2 * raster.nbytes
    for x in (-90.0, 0.5, 350.0, 700.0):
        place = np.array([x, 0.9, 0.4 * x])
        np.testing.assert_array_equal(again.around(np.eye(3), place), raster.around(np.eye(3), place))
    for broken in (b"", data[:-1], data[:8], b"\2" + data[1:], data[:4] + b"\7" + data[5:]):
        with pytest.raises(ValueError, match="raster"):
            Raster.unpacked(broken)


def test_what_lies_under_the_floor_or_over_the_head_is_not_seen() -> None:
    buried, ceiling = Box((0, -0.3, 0.5), (1, 0.4, 1)), Box((0, 1.9, 0.5), (150, 0.6, 150))
    assert check(Scene(boxes=(buried, ceiling)), 0.2, np.zeros(3)) == 0
    # The lowest cells' centres are 6.25 cm over the floor: what ends below it is just not within half a cell.
    assert check(Scene(boxes=(Box((0, -0.2, 0.5), (1, 0.41, 1)),)), 0.0, np.zeros(3)) > 50


def test_nothing_around() -> None:
    assert check(Scene(), 0.0, np.zeros(3)) == 0
    assert check(Scene(boxes=(Box((9, 0.5, 9), (1, 1, 1)),)), 0.5, np.zeros(3)) == 0


def test_too_much_floor_is_refused() -> None:
    wall = Scene(boxes=(Box((0, 1, 0), (2_000, 2, 0.2)),))
    assert check(wall, 0.0, np.array([900.0, 0.0, 0.5])) > 300
    for scene in (
        Scene(boxes=(Box((0, 1, 0), (150, 2, 150)),)),
        Scene(boxes=(Box((0, 1, 0), (20_000, 2, 20_000)),)),
        Scene(boxes=tuple(Box((0, 1, 0), (10, 2, 10), 0.01 * turn) for turn in range(256))),
        Scene(field=DistanceField.from_occupancy(np.ones((200, 2, 200), bool), 1.0, np.zeros(3))),
    ):
        with pytest.raises(InputError, match="m2 of floor, at most 20000") as error:
            Raster(scene)
        assert error.value.field == "scene"


@settings(max_examples=20, deadline=None)
@given(box=boxes, seed=st.integers(0, 99))
def test_grids_of_places_are_as_far_as_the_places(box: Box, seed: int) -> None:
    rng = np.random.default_rng(seed)
    field = DistanceField.from_occupancy(rng.random((9, 5, 7)) < 0.1, 0.2, np.array([-1.0, 0.0, -0.5]))
    x, y, z = (np.sort(rng.uniform(-3, 3, count)) for count in (5, 6, 7))
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    for solid in (box, field):
        np.testing.assert_allclose(solid.on_grid(x, y, z), solid.distance(points), atol=2e-5)
        low, high = solid.bounds()
        outside = ((points < low) | (points > high)).any(axis=-1)
        assert (solid.distance(points)[outside] > -1e-6).all()

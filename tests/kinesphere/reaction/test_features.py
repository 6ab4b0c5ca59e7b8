"""What a reacting body sees, checked by arithmetic and by moving the whole world."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.reaction.features import (
    PARTNER,
    occupancy_around,
    partner_features,
    partner_window,
)
from kinesphere.representations.primitive276 import frame_of
from kinesphere.scenes import Box, Raster, Scene
from kinesphere.scenes.raster import CELL
from kinesphere.skeleton import MIRROR, SMPL22, FloatArray

FPS = 20.0


def standing(x: float, z: float, yaw: float = 0.0) -> FloatArray:
    """[22,3] the rest pose with its pelvis 0.9 m over (x, z), facing ``yaw``; made the same on both sides."""
    rest = SMPL22.rest_positions().astype(np.float64)
    rest = (rest + rest[list(MIRROR)] * np.array([-1.0, 1.0, 1.0])) / 2
    pose = rot.rotate(rot.about_y(yaw), rest)
    return (pose + np.array([x, 0.9, z])).astype(np.float32)


def coming(start: float, speed: float, frames: int = 10) -> FloatArray:
    """[frames,22,3] somebody ``start`` metres ahead who faces -Z and comes nearer at ``speed`` m/s."""
    return np.stack([standing(0.0, start - speed * index / FPS, np.pi) for index in range(frames)])


def test_partner_who_comes_from_ahead() -> None:
    features = partner_features(frame_of(standing(0, 0)), coming(3.0, 1.2), FPS)
    assert features.shape == (10, 72)
    assert features.dtype == np.float32
    assert features[0, PARTNER["joints"]][:3] == pytest.approx([0, 0, 3.0], abs=1e-6)
    assert features[9, PARTNER["joints"]][:3] == pytest.approx([0, 0, 3.0 - 1.2 * 9 / 20], abs=1e-5)
    for row in features:
        assert row[PARTNER["velocity"]] == pytest.approx([0, 0, -1.2], abs=1e-4)
        assert row[PARTNER["facing"]] == pytest.approx([0, -1], abs=1e-6)
        assert row[PARTNER["approach"]] == pytest.approx([1.2], abs=1e-4)


def test_left_of_the_body_is_positive_x_and_leaving_is_negative() -> None:
    # An agent at (2, 1) who faces +X has its left at -Z.
    frame = frame_of(standing(2, 1, np.pi / 2))
    leaving = np.stack([standing(2, 1 - 1.0 - 0.05 * index) for index in range(3)])
    row = partner_features(frame, leaving, FPS)[-1]
    assert row[PARTNER["joints"]][:3] == pytest.approx([1.1, 0, 0], abs=1e-5)
    assert row[PARTNER["velocity"]] == pytest.approx([1.0, 0, 0], abs=1e-4)
    assert row[PARTNER["facing"]] == pytest.approx([-1, 0], abs=1e-5)  # +Z: away from the left
    assert row[PARTNER["approach"]] == pytest.approx([-1.0], abs=1e-4)


def test_left_facing_sign() -> None:
    """A partner who faces the agent's left has a facing of +x."""
    row = partner_features(frame_of(standing(0, 0)), standing(0, 2, np.pi / 2)[None], FPS)[0]
    assert row[PARTNER["facing"]] == pytest.approx([1, 0], abs=1e-6)
    assert row[PARTNER["velocity"]] == pytest.approx([0, 0, 0])


places = st.floats(-30, 30)


@settings(max_examples=40, deadline=None)
@given(yaw=st.floats(-3.1, 3.1), x=places, z=places)
def test_moving_the_whole_world_changes_nothing(yaw: float, x: float, z: float) -> None:
    turn, shift = rot.about_y(yaw), np.array([x, 0.0, z])

    def moved(points: FloatArray) -> FloatArray:
        return (rot.rotate(turn, points.astype(np.float64)) + shift).astype(np.float32)

    agent, partner = standing(0.3, -0.2, 0.4), coming(2.0, 0.8)
    before = partner_features(frame_of(agent), partner, FPS)
    after = partner_features(frame_of(moved(agent)), moved(partner), FPS)
    # float32 places 30 m away are 2 micrometres apart, and velocities are 20 times their difference.
    assert after == pytest.approx(before, abs=2e-4)
    here = Scene(boxes=(Box((0.81, 0.4, 0.63), (0.5, 0.8, 0.7), 0.3),))
    cells = occupancy_around(Raster(here), frame_of(agent))
    place = rot.rotate(turn, np.array([0.81, 0.4, 0.63])) + shift
    there = Scene(boxes=(Box((place[0], 0.4, place[2]), (0.5, 0.8, 0.7), 0.3 + yaw),))
    differ = cells != occupancy_around(Raster(there), frame_of(moved(agent)))
    assert cells.sum() > 50
    assert differ.sum() < 0.25 * cells.sum()  # cells at the border may fall to either side


def test_window_masks_what_was_not_seen() -> None:
    frame = frame_of(standing(0, 0))
    whole, mask = partner_window(frame, coming(3.0, 1.0, 14), FPS)
    assert mask.tolist() == [1.0] * 10
    assert whole == pytest.approx(partner_features(frame, coming(3.0, 1.0, 14)[4:], FPS))
    part, mask = partner_window(frame, coming(3.0, 1.0, 3), FPS)
    assert mask.tolist() == [0.0] * 7 + [1.0] * 3
    assert not part[:7].any()
    assert part[7:] == pytest.approx(partner_features(frame, coming(3.0, 1.0, 3), FPS))
    nothing, mask = partner_window(frame, np.zeros((0, 22, 3), dtype=np.float32), FPS)
    assert not nothing.any()
    assert not mask.any()


def test_cells_are_where_the_box_is() -> None:
    # 0.52 m wide, 0.3 m deep, from the floor to 1 m, its centre 0.75 m to the left and 0.5 m ahead of the agent.
    scene = Scene(boxes=(Box((0.75, 0.5, 0.5), (0.52, 1.01, 0.3)),))
    cells = occupancy_around(Raster(scene), frame_of(standing(0, 0)))
    assert cells.shape == (24, 12, 24)
    x, y, z = (np.unique(axis) for axis in np.nonzero(cells))

    def centres(axis: np.ndarray, half: int) -> np.ndarray:
        return (axis + 0.5 - half) * CELL

    # Half a cell around the box belongs to it: the centres from 0.4375 to 1.0625 m.
    assert centres(x, 12)[[0, -1]] == pytest.approx([0.4375, 1.0625])
    assert centres(y, 0)[[0, -1]] == pytest.approx([0.0625, 1.0625])
    assert centres(z, 12)[[0, -1]] == pytest.approx([0.3125, 0.6875])


def test_thin_table_top_is_seen() -> None:
    top = Scene(boxes=(Box((0, 0.75, 0.6), (1.2, 0.03, 0.81)),))
    cells = occupancy_around(Raster(top), frame_of(standing(0, 0)))
    height = np.flatnonzero(cells.any(axis=(0, 2)))
    assert height.tolist() == [5, 6]  # the top lies on the border of both
    assert cells[12, 5, 16] == 1.0


def test_no_scene_is_all_free() -> None:
    assert not occupancy_around(None, frame_of(standing(0, 0))).any()
    assert not occupancy_around(Raster(Scene()), frame_of(standing(0, 0))).any()


@pytest.mark.parametrize(
    ("positions", "words"),
    [
        (np.zeros((10, 21, 3)), "22, 3"),
        (np.zeros((0, 22, 3)), "22, 3"),
        (np.full((3, 22, 3), np.nan), "NaN"),
    ],
)
def test_refusals(positions: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        partner_features(frame_of(standing(0, 0)), positions, FPS)
    assert caught.value.field == "partner"


def test_rate_out_of_range_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        partner_features(frame_of(standing(0, 0)), coming(3, 1), 0.0)
    assert caught.value.field == "motion.fps"

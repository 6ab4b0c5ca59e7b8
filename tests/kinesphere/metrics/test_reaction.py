"""Figures of reacting bodies, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.errors import InputError
from kinesphere.metrics import reaction
from kinesphere.scenes import Box, Scene
from kinesphere.skeleton import FloatArray
from tests.kinesphere.datasets.bodies import standing


def placed(x: float = 0.0, z: float = 0.0, turn: float = 0.0, seconds: float = 1.0) -> FloatArray:
    """Somebody who stands over (x, z), turned to the left by ``turn`` degrees from facing +Z."""
    body = standing(seconds).astype(np.float64)
    body -= body[:, :1] * [1, 0, 1]
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    turned = np.stack(
        [cos * body[..., 0] + sin * body[..., 2], body[..., 1], cos * body[..., 2] - sin * body[..., 0]], -1
    )
    return (turned + [x, 0.0, z]).astype(np.float32)


@pytest.mark.parametrize(
    ("turn", "x", "z", "degrees"),
    [(0, 0, 2, 0), (0, 2, 0, 90), (90, 2, 0, 0), (180, 0, 2, 180), (-45, -1.5, 1.5, 0), (45, -1.5, 1.5, 90)],
)
def test_facing_is_towards_the_partner_or_away_from_it(
    turn: float, x: float, z: float, degrees: float
) -> None:
    error = reaction.facing_error(placed(turn=turn), placed(x, z))
    np.testing.assert_allclose(error, degrees, atol=0.2)


def test_distance_is_compared_with_the_real_agents_over_the_floor() -> None:
    partner = placed(z=3.0)
    assert reaction.distance_error(placed(), placed(), partner) == 0.0
    assert reaction.distance_error(placed(z=1.0), placed(), partner) == pytest.approx(1.0, abs=1e-5)
    # On the other side of the partner, as far away: the distance is right.
    assert reaction.distance_error(placed(z=6.0), placed(), partner) == pytest.approx(0.0, abs=1e-5)
    higher = placed() + np.array([0, 0.5, 0], np.float32)
    assert reaction.distance_error(higher, placed(), partner) == pytest.approx(0.0, abs=1e-5)


def test_a_body_that_stands_inside_another() -> None:
    share, depth = reaction.overlap(placed(), placed())
    assert share == 1.0
    assert depth > 100  # the trunk is thicker than that
    assert reaction.overlap(placed(), placed(z=1.5)) == (0.0, 0.0)
    half = np.concatenate([placed()[:10], placed(z=1.5)[:10]])
    share, less = reaction.overlap(half, placed())
    assert share == 0.5
    assert less == pytest.approx(depth / 2, rel=1e-5)


def test_jerk_at_a_border_and_away_from_it() -> None:
    # All joints at rest, then one step of 0.01 m between frames 9 and 10: third differences 0.01, -0.02, 0.01.
    joints = np.zeros((20, 22, 3))
    joints[10:, :, 2] = 0.01
    across, inside = reaction.jerk_at(joints.astype(np.float32), [10], 20.0)
    assert across == pytest.approx((0.01 + 0.02 + 0.01) / 3 * 20**3, rel=1e-4)
    assert inside == 0.0
    nowhere, everywhere = reaction.jerk_at(joints.astype(np.float32), [], 20.0)
    assert np.isnan(nowhere)
    assert everywhere == pytest.approx(0.04 / 17 * 20**3, rel=1e-4)


def test_a_body_in_a_box_collides_and_one_beside_it_does_not() -> None:
    tall = Scene("", (Box((0.0, 1.0, 0.0), (2.0, 2.0, 2.0)),))
    share, depth = reaction.collision(placed(), tall)
    assert share == 1.0
    assert 700 < depth < 1000  # the trunk is up to a metre from every side
    assert reaction.collision(placed(x=3.0), tall) == (0.0, 0.0)
    # The toes 1 cm inside a surface touch it, 5 cm inside they are in it.
    for sunk, expected in ((0.01, 0.0), (0.05, 1.0)):
        step = Scene("", (Box((0.0, 0.0, 0.0), (2.0, 2 * sunk, 2.0)),))
        share, depth = reaction.collision(placed(), step)
        assert share == expected
        assert depth == pytest.approx(1000 * sunk, abs=1)


def test_feet_touch_the_floor_or_what_stands_on_it() -> None:
    box = Scene("", (Box((0.0, 0.25, 0.0), (2.0, 0.5, 2.0)),))
    lifted = [placed() + np.array([0, up, 0], np.float32) for up in (0.0, 0.25, 0.52, 0.7)]
    assert [reaction.foot_contact(body, Scene()) for body in lifted] == [1.0, 0.0, 0.0, 0.0]
    # Half a metre up they stand on the box; in the middle of it they stand on nothing.
    assert [reaction.foot_contact(body, box) for body in lifted] == [1.0, 0.0, 1.0, 0.0]


def test_the_goal_is_reached_over_the_floor_at_the_end() -> None:
    walk = placed()
    walk[:, :, 2] += np.linspace(0, 2, len(walk), dtype=np.float32)[:, None]
    assert reaction.goal_distance(walk, (0.0, 0.3, 2.0)) == pytest.approx(0.0, abs=1e-5)
    assert reaction.goal_distance(walk, (3.0, 0.9, 6.0)) == pytest.approx(5.0, abs=1e-5)


def test_bodies_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="agent: shapes"):
        reaction.overlap(placed(seconds=1.0), placed(seconds=2.0))

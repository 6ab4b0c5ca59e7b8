"""Holding, joining, setting off, stopping and turning: nothing leaps, and standing feet stand."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.body import yaw
from kinesphere.datasets.reactions.bodies import clearance
from kinesphere.datasets.reactions.library import Entry, grounded
from kinesphere.datasets.reactions.steps import come_to_rest, passing, set_off, stance, step_turn
from kinesphere.datasets.reactions.strips import (
    Refused,
    Strip,
    faded,
    finished,
    gaining,
    held,
    losing,
    moved,
    planted,
    strip,
)
from kinesphere.legs import TOES
from kinesphere.motion import Motion
from kinesphere.skeleton import SMPL22
from tests.kinesphere.datasets.bodies import raised, standing
from tests.kinesphere.datasets.reactions.actors import FPS, stepping, swaying


def motion(positions: np.ndarray) -> Motion:
    return Motion.from_positions(positions, FPS)


@pytest.fixture(scope="module")
def walk() -> Strip:
    return grounded(motion(stepping(6.0, 1.0)))


@pytest.fixture(scope="module")
def still() -> Strip:
    return grounded(motion(standing(2.0)))


def slide(piece: Motion, standing_feet: np.ndarray) -> float:
    """The most that a toe moves over the floor from one frame to the next while it stands, metres."""
    steps = np.linalg.norm(np.diff(piece.positions[:, TOES][..., [0, 2]], axis=0), axis=-1)
    return float(np.where(standing_feet[1:] & standing_feet[:-1], steps, 0).max())


def test_paces() -> None:
    entering = gaining(10, 30, frames=4, slowest=0.25)
    assert entering[:5] == pytest.approx([10, 10.25, 10.75, 11.5, 12.5])
    assert np.diff(entering)[4:] == pytest.approx(1.0)
    assert entering[-1] <= 30
    leaving = losing(0, 20, frames=4, slowest=0.25)
    assert leaving[-5:] == pytest.approx([17.5, 18.5, 19.25, 19.75, 20])
    assert np.all(np.diff(leaving) > 0)
    assert leaving[0] >= 0


def test_moving_is_rigid(walk: Strip) -> None:
    there = moved(walk, 0.7, np.array([1.0, 0.0, -2.0]))
    again = Motion.from_rotations(there.motion.translation, there.motion.rotations, FPS)
    assert again.positions == pytest.approx(there.motion.positions, abs=1e-5)
    assert there.heading(0) == pytest.approx(walk.heading(0) + 0.7, abs=1e-5)
    back = moved(moved(there, 0.0, np.array([-1.0, 0.0, 2.0])), -0.7, np.zeros(3))
    assert back.motion.positions == pytest.approx(walk.motion.positions, abs=1e-5)


@pytest.mark.parametrize("before", [True, False])
def test_hold_sways_from_or_to_its_pose(still: Strip, before: bool) -> None:
    idle = motion(swaying(4.0))
    hold = held(still, 5, 60, idle, before=before)
    assert hold.frames == 60
    edge, far = (59, 0) if before else (0, 59)
    pose = still.motion.positions[5]
    assert np.linalg.norm(hold.motion.positions[edge] - pose, axis=-1).max() < 0.003
    assert np.linalg.norm(hold.motion.positions[far] - pose, axis=-1).max() < 0.06
    assert np.linalg.norm(np.diff(hold.motion.translation, axis=0), axis=-1).max() > 1e-4
    assert slide(finished(hold), hold.planted) < 1e-4


def test_sway_is_kept_small(still: Strip) -> None:
    wild = swaying(4.0)
    wild[..., 0] += 0.5 * np.sin(np.arange(80) / 9).astype(np.float32)[:, None]
    hold = held(still, 0, 60, motion(wild), before=False)
    assert np.linalg.norm(hold.motion.translation - still.motion.translation[0], axis=-1).max() < 0.035


def test_fade_begins_as_the_first_and_ends_as_the_second(still: Strip) -> None:
    second = grounded(motion(raised(standing(3.0), "left", 0.0, 3.0)))
    joined = faded(still, second, 10)
    assert joined.frames == still.frames + second.frames - 10
    assert joined.motion.positions[:30] == pytest.approx(still.motion.positions[:30], abs=1e-5)
    assert joined.motion.positions[-50:] == pytest.approx(second.motion.positions[-50:], abs=1e-5)


def test_planted_feet_stand(walk: Strip) -> None:
    sliding = walk.motion.positions.copy()
    sliding[..., 0] += 0.002 * np.arange(len(sliding), dtype=np.float32)[:, None]
    fixed = planted(sliding, walk.planted)
    steps = np.linalg.norm(np.diff(fixed[:, TOES][..., [0, 2]], axis=0), axis=-1)
    both = walk.planted[1:] & walk.planted[:-1]
    assert both.sum() > 60
    assert np.where(both, steps, 0).max() < 2e-3
    assert fixed[:, 0] == pytest.approx(sliding[:, 0])
    bones = np.linalg.norm(fixed[:, 1:] - fixed[:, list(SMPL22.parents[1:])], axis=-1)
    assert np.ptp(bones, axis=0).max() < 1e-3


def test_feet_that_would_have_to_leap_are_refused(walk: Strip) -> None:
    with pytest.raises(Refused, match="slides"):
        planted(walk.motion.positions, np.ones((walk.frames, 2), dtype=bool))


def test_passing_is_where_one_foot_stands_alone(walk: Strip) -> None:
    found = passing(walk)
    # One for each step of 0.6 s, by turns.
    assert len(found) == pytest.approx(6.0 / 0.6, abs=1.5)
    assert all(a != b for (_, a), (_, b) in zip(found[:-1], found[1:], strict=True))
    for frame, foot in found:
        toes = walk.motion.positions[frame, TOES]
        assert toes[foot, 1] < toes[1 - foot, 1]
        assert abs(toes[0, 2] - toes[1, 2]) < 0.15


@pytest.mark.parametrize("degrees", [0.0, 30.0, -40.0])
def test_set_off_and_come_to_rest(walk: Strip, still: Strip, degrees: float) -> None:
    gone = set_off(stance(still, 0, 20), walk, np.radians(degrees))
    stopped = come_to_rest(gone, 70, stance(still, 0, 30))
    whole = finished(stopped)
    assert slide(whole, stopped.planted) < 2e-3
    speed = np.linalg.norm(np.diff(whole.translation, axis=0), axis=-1) * FPS
    assert speed[:8].max() < 0.05
    assert np.median(speed[35:60]) == pytest.approx(1.0, abs=0.1)
    assert speed[-8:].max() < 0.05
    # No joint leaps: this walk swings its feet at 2.6 m/s.
    assert (np.linalg.norm(np.diff(whole.positions, axis=0), axis=-1) * FPS).max() < 5.0
    way = whole.translation[-1] - whole.translation[0]
    assert np.degrees(np.arctan2(way[0], way[2])) == pytest.approx(degrees, abs=12)
    assert np.degrees(yaw(whole.positions)[-1]) == pytest.approx(degrees, abs=8)


def test_walks_without_a_stride_are_refused(still: Strip) -> None:
    with pytest.raises(Refused, match="short"):
        set_off(stance(still, 0, 20), still, 0.0)
    with pytest.raises(Refused, match="short"):
        come_to_rest(still, 0, stance(still, 0, 20))


@pytest.mark.parametrize("degrees", [40.0, -90.0, 170.0])
def test_turn_on_the_spot_steps(still: Strip, degrees: float) -> None:
    turned = step_turn(stance(still, 0, 5), np.radians(degrees))
    whole = turned.motion
    assert np.degrees(yaw(whole.positions)[-1]) == pytest.approx(degrees, abs=3)
    # Feet keep their places about the body: the last pose is the first one turned.
    back = moved(turned.cut(turned.frames - 1, turned.frames), -np.radians(degrees), np.zeros(3)).motion
    assert np.linalg.norm(back.positions[0] - still.motion.positions[0], axis=-1).max() < 0.03
    assert slide(whole, turned.planted) < 5e-3
    assert turned.planted.any(axis=1).all()
    assert (~turned.planted).any(axis=0).all()


def test_clearance_of_two_bodies_is_what_is_between_their_limbs() -> None:
    body = standing(0.1)
    other = body + np.array([0.0, 0.0, 2.0], dtype=np.float32)
    # Along Z the nearest are the one's toes (0.03 m thick) and the other's trunk or heel.
    ahead = body[0, :, 2].max() - 0.0
    gap = clearance(body, other)
    assert gap.shape == (2,)
    assert 2.0 - ahead - 0.35 < gap[0] < 2.0 - ahead
    assert clearance(body, body + np.array([0.1, 0, 0], dtype=np.float32)).max() < 0
    assert clearance(body, other + np.array([0, 0, 1.0], dtype=np.float32)) == pytest.approx(
        gap + 1.0, abs=0.01
    )


def test_mirrored_entry_is_the_other_side(entries: list[Entry]) -> None:
    entry = next(entry for entry in entries if entry.content == "wave" and entry.side == "left")
    mirror = entry.mirrored()
    assert mirror.side == "right"
    wrists = mirror.piece.motion.positions[:, [20, 21], 1].max(axis=0)
    assert wrists[1] > wrists[0] + 0.3


def test_contacts_of_a_recording() -> None:
    piece = strip(motion(stepping(4.0, 1.0)))
    assert piece.planted.any(axis=1).mean() > 0.9
    assert 0.4 < piece.planted.mean() < 0.75

"""Setting off, stopping and turning on the spot, made from people who stand and people who walk.

Takes of walking begin and end in the middle of a stride. A walk is therefore entered, and left, where one foot passes
the other: that pose is nearest to standing, and the standing foot is the hinge of the join.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.datasets.reactions.strips import (
    Refused,
    Strip,
    faded,
    gaining,
    losing,
    on_foot,
    planted,
    sampled,
)
from kinesphere.datasets.windows import FPS
from kinesphere.legs import LEGS, TOES, move_foot
from kinesphere.motion import Motion

JOIN: Final = 10  # frames of a join
_STEP_HEIGHT: Final = 0.07  # metres that a toe is lifted in a turn
_STEP_TURN: Final = np.radians(50)  # the most that one step turns
_STEP_FRAMES: Final = 8


def passing(walk: Strip) -> list[tuple[int, int]]:
    """(frame, foot): where ``foot`` stands alone and the other swings past it."""
    toes = walk.motion.positions[:, TOES][..., [0, 2]]
    apart = np.linalg.norm(toes[:, 0] - toes[:, 1], axis=-1)
    found = []
    for frame in range(2, walk.frames - 2):
        alone = walk.planted[frame, 0] != walk.planted[frame, 1]
        if alone and apart[frame] == apart[frame - 2 : frame + 3].min():
            found.append((frame, int(walk.planted[frame, 1])))
    return found


def set_off(standing: Strip, walk: Strip, heading: float, *, late: int = 0, pace: float = 0.3) -> Strip:
    """Somebody who stands and then walks off as ``walk`` does, the body then facing ``heading`` (radians about Y).

    late: how many strides to leave out at the start of the walk. pace: share of the walk's own with which it begins.
    Raises Refused if the walk has no stride left.
    """
    places = passing(walk)
    if len(places) <= late:
        raise Refused("the walk is too short")
    frame, foot = places[late]
    moving = sampled(walk, gaining(frame, walk.frames - 1, frames=JOIN, slowest=pace))
    if moving.frames < JOIN + 4:
        raise Refused("the walk is too short")
    return faded(standing, on_foot(standing, moving, foot, heading, JOIN), JOIN)


def come_to_rest(walking: Strip, after: int, standing: Strip) -> Strip:
    """Somebody who walks and comes to stand as ``standing`` does, at the first stride after frame ``after``.

    Raises Refused if there is no such stride.
    """
    places = [(frame, foot) for frame, foot in passing(walking) if frame >= after]
    if not places:
        raise Refused("the walk is too short")
    frame, foot = places[0]
    stop = min(frame + JOIN // 3, walking.frames - 1)
    slowing = sampled(walking, losing(0, stop, frames=JOIN, slowest=0.2))
    rest = on_foot(slowing, standing, foot, walking.heading(frame), JOIN)
    # The foot that stands at the end of the walk is the one that the stance is placed by.
    return faded(slowing, rest, JOIN)


def step_turn(standing: Strip, angle: float) -> Strip:
    """From the last pose of ``standing``, a turn on the spot by ``angle`` radians (left positive) in small steps.

    The feet step in turns, the one on the side of the turn first; each stands while the other moves.
    """
    steps = max(1, int(np.ceil(abs(angle) / _STEP_TURN)))
    count = (steps + 1) * _STEP_FRAMES
    pose = standing.motion.slice(standing.frames - 1, standing.frames)
    share = np.linspace(0, 1, count)
    body = angle * (10 * share**3 - 15 * share**4 + 6 * share**5)
    turned = rot.about_y(body).astype(np.float32)
    rotations = np.repeat(pose.rotations, count, axis=0)
    rotations[:, 0] = rot.multiply(turned, rotations[:, 0])
    translation = np.repeat(pose.translation, count, axis=0)
    result = Motion.from_rotations(translation, rotations, FPS).positions.astype(np.float64)
    first = 0 if angle > 0 else 1
    on_floor = np.ones((count, 2), dtype=bool)
    centre = pose.positions[0, 0]
    for foot, leg in enumerate(LEGS):
        rest = pose.positions[0, leg[3]] - centre
        wanted = np.repeat(pose.positions[:1, leg[3]], count, axis=0).astype(np.float64)
        reached = 0.0
        # Moves 0 to ``steps`` are made by the feet in turns; the last brings the second foot home.
        for number in range(0 if foot == first else 1, steps + 1, 2):
            target = angle * min((number + 1) / steps, 1.0)
            a, b = number * _STEP_FRAMES, (number + 1) * _STEP_FRAMES
            going = (np.arange(_STEP_FRAMES) + 1) / _STEP_FRAMES
            eased = going**2 * (3 - 2 * going)
            angles = reached + (target - reached) * eased
            wanted[a:b] = centre + rot.rotate(rot.about_y(angles), np.broadcast_to(rest, (b - a, 3)))
            wanted[a:b, 1] += _STEP_HEIGHT * np.sin(np.pi * going)
            wanted[b:] = wanted[b - 1]
            on_floor[a : b - 1, foot] = False
            reached = target
        move_foot(result, leg, wanted - result[:, leg[3]])
    return Strip(Motion.from_positions(planted(result.astype(np.float32), on_floor), FPS), on_floor)


def stance(pose: Strip, frame: int, count: int) -> Strip:
    """A pose held without any movement for ``count`` frames."""
    motion = pose.motion.slice(frame, frame + 1).sampled(np.zeros(count))
    return Strip(motion, np.ones((count, 2), dtype=bool))

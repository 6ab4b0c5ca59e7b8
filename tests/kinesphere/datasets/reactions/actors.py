"""Synthetic people for the reaction data set: they stand, wave, bow and walk with feet that do not slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinesphere.legs import LEGS, move_foot
from kinesphere.skeleton import FloatArray
from tests.kinesphere.datasets.bodies import FPS, bowing, raised, standing, write_bvh

STEP = 0.6  # seconds of one step


def stepping(seconds: float, speed: float = 1.0, *, turn: float = 0.0) -> FloatArray:
    """[T,22,3] walking along +Z (or back, where ``speed`` is negative): each foot stands for a step, then swings.

    turn: degrees to the left, made within the middle two seconds.
    """
    body = standing(seconds).astype(np.float64)
    body[:, :, 1] -= 0.03  # legs that are quite straight could not take a step
    times = np.arange(len(body)) / FPS
    for foot, leg in enumerate(LEGS):
        phase = (times / STEP + foot) % 2.0
        swing = np.clip(phase - 1.0, 0.0, 1.0)
        eased = swing**2 * (3 - 2 * swing)
        # Behind the hip by as much as the body has gone on since the foot was set down.
        along = np.where(phase < 1.0, 0.5 - phase, -0.5 + eased) * speed * STEP
        lift = 0.03 + 0.08 * np.sin(np.pi * swing)
        move_foot(body, leg, np.stack([np.zeros_like(along), lift, along], axis=-1))
    yaw = np.radians(turn) * np.clip((times - seconds / 2 + 1) / 2, 0, 1)
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, z = body[..., 0].copy(), body[..., 2].copy()
    body[..., 0], body[..., 2] = cos * x + sin * z, cos * z - sin * x
    path = np.cumsum(speed * np.stack([sin[:, 0], cos[:, 0]], axis=1), axis=0) / FPS
    body[..., 0] += path[:, :1]
    body[..., 2] += path[:, 1:]
    return body.astype(np.float32)


def swaying(seconds: float) -> FloatArray:
    """Somebody who stands and sways by a centimetre."""
    body = standing(seconds)
    times = np.arange(len(body)) / FPS
    body[..., 0] += (0.01 * np.sin(1.3 * times)).astype(np.float32)[:, None]
    return body


def guiding() -> FloatArray:
    """4 s: the right arm reaches out ahead and comes back."""
    body = raised(standing(4.0), "right", 0.8, 3.0)
    arm = [19, 21]
    body[16:60, arm, 1] = body[16:60, [17], 1]
    body[16:60, arm, 2] = body[16:60, [17], 2] + np.array([0.25, 0.5], dtype=np.float32)
    return body


def write_archive(folder: Path, takes: int = 6) -> Path:
    """Takes of every kind that situations use, as Bandai Namco's and ReActIdle's folders hold them."""
    data = folder / "bandai-namco" / "dataset-2" / "data"
    data.mkdir(parents=True)
    for number in range(takes):
        more = 0.1 * number
        made = {
            "wave-left-hand": raised(standing(3.5 + more), "left", 0.5, 3.0, waves=1.5),
            "wave-right-hand": raised(standing(3.5 + more), "right", 0.5, 3.0, waves=1.5),
            "raise-up-left-hand": raised(standing(3.0 + more), "left", 0.5, 2.5),
            "raise-up-right-hand": raised(standing(3.0 + more), "right", 0.5, 2.5),
            "bow": bowing(40 + number),
            "guide": guiding(),
            "walk": stepping(9.0, 0.9 + more / 3),
            "walk-back": stepping(7.0, -0.6 - more / 5),
            "walk-turn-left": stepping(8.0, 0.9 + more / 5, turn=90),
        }
        for content, positions in made.items():
            write_bvh(data / f"dataset-2_{content}_normal_{number:03d}.bvh", positions)
    idle = folder / "reactidle"
    idle.mkdir()
    for number in range(3):
        write_bvh(idle / f"{number:03d}_genuine.bvh", swaying(14.0 + number))
    return folder

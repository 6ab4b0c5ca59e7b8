"""How a body moves with regard to another one, to the things around it, and to the borders of its segments.

Joints are [T,22,3] in one world: metres, Y up, the floor at y = 0; at 20 frames a second unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.body import facing
from kinesphere.datasets.reactions.bodies import clearance
from kinesphere.errors import InputError
from kinesphere.metrics import physics
from kinesphere.scenes import Scene
from kinesphere.skeleton import JOINT_INDEX, FloatArray

Curve = NDArray[np.float64]
_TOES: Final = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]
_INSIDE: Final = 0.02  # metres below a surface up to which a joint counts as touching it
_TOUCHING: Final = 0.05
_MILLIMETRES: Final = 1000.0


def facing_error(agent: FloatArray, partner: FloatArray) -> Curve:
    """Degrees between where the agent faces and where its partner's pelvis is, over the floor: [T], 0 to 180."""
    _check(agent, partner)
    towards = (partner[:, 0] - agent[:, 0])[:, [0, 2]].astype(np.float64)
    towards /= np.maximum(np.linalg.norm(towards, axis=-1, keepdims=True), 1e-6)
    cosine = (facing(agent)[:, [0, 2]] * towards).sum(axis=-1)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def distance_error(agent: FloatArray, real: FloatArray, partner: FloatArray) -> float:
    """Metres by which the agent's distance to its partner (pelvis to pelvis, over the floor) is not the ``real`` one's,
    mean over the frames."""
    _check(agent, partner)
    _check(real, partner)
    away, wanted = (np.linalg.norm((body - partner)[:, 0][:, [0, 2]], axis=-1) for body in (agent, real))
    return float(np.abs(away - wanted).mean())


def overlap(agent: FloatArray, partner: FloatArray) -> tuple[float, float]:
    """Share of frames in which the two bodies, tubes around their bones, are in one another, and how deep, millimetres,
    mean over all frames."""
    _check(agent, partner)
    depth = np.maximum(-clearance(agent, partner), 0.0)
    return float((depth > 0).mean()), float(depth.mean()) * _MILLIMETRES


def jerk_at(joints: FloatArray, borders: Sequence[int], fps: float = 20.0) -> tuple[float, float]:
    """Mean jerk, m/s^3, across ``borders`` (each the first frame after one) and away from them.

    Jerk is a difference over four frames: it counts as across a border when the border lies among them. NaN where there
    is none of a kind. Raises InputError(``positions``) for fewer than 4 frames.
    """
    jerk = physics.jerk(joints, fps)
    at = np.zeros(len(jerk), dtype=bool)
    for border in borders:
        at[max(0, border - 3) : max(0, border)] = True
    across, inside = jerk[at], jerk[~at]
    return (
        float(across.mean()) if len(across) else float("nan"),
        float(inside.mean()) if len(inside) else float("nan"),
    )


def collision(joints: FloatArray, scene: Scene) -> tuple[float, float]:
    """Share of frames in which some joint is deeper than 2 cm inside a solid of ``scene``, and the depth of the deepest
    joint, millimetres, mean over all frames."""
    depth = np.maximum(-scene.distance(joints).min(axis=1), 0.0)
    return float((depth > _INSIDE).mean()), float(depth.mean()) * _MILLIMETRES


def foot_contact(joints: FloatArray, scene: Scene) -> float:
    """Share of frames in which a toe joint is within 5 cm of the floor or of a solid."""
    toes = joints[:, _TOES]
    nearest = np.minimum(np.abs(toes[..., 1]), np.abs(scene.distance(toes)))
    return float((nearest.min(axis=1) < _TOUCHING).mean())


def goal_distance(joints: FloatArray, goal: Sequence[float]) -> float:
    """Metres over the floor from the pelvis at the last frame to ``goal`` (x, y, z)."""
    return float(np.linalg.norm((joints[-1, 0] - np.asarray(goal))[[0, 2]]))


def _check(agent: FloatArray, partner: FloatArray) -> None:
    if agent.shape != partner.shape or agent.ndim != 3 or len(agent) == 0:
        raise InputError(
            "agent", f"shapes {list(agent.shape)} and {list(partner.shape)}; equal [T, 22, 3] are expected"
        )

"""Physical plausibility: feet that skate, sink or float, jerk, and bodies that meet scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from scipy.spatial import cKDTree

from kinesphere.errors import InputError
from kinesphere.skeleton import JOINT_INDEX

BoolArray = NDArray[np.bool_]
FloatIn = NDArray[np.floating]
_FEET: Final = (JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"])
# Within this height of the floor a body neither sinks nor floats (PhysDiff, Yuan et al. 2023).
_TOLERANCE: Final = 0.005


def skating_ratio(positions: FloatIn, fps: float = 20.0) -> float:
    """Share of frames in which a foot slides, 0..1; [T,22,3] metres, T of at least 2, else InputError.

    As in Guided Motion Diffusion (Karunratanakul et al. 2023), used by CLoSD and MotionLCM: a toe joint is below 5 cm
    in two consecutive frames, and moves horizontally faster than 0.5 m/s now and in the mean of 5 frames. Either foot
    counts. Heights are above y = 0: ground the motion first.
    """
    _check(positions, 2)
    feet = np.asarray(positions)[:, _FEET]
    speed = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * fps
    mean_speed = uniform_filter1d(speed, size=5, axis=0, mode="constant")
    low = feet[..., 1] < 0.05
    sliding = low[:-1] & low[1:] & (speed > 0.5) & (mean_speed > 0.5)
    return float(sliding.any(axis=1).mean())


def penetration_mm(positions: FloatIn) -> float:
    """Mean depth of the lowest joint below the floor y = 0, beyond 5 mm, in millimetres (PhysDiff). [T,J,3]."""
    _check(positions, 1)
    lowest = np.asarray(positions, dtype=np.float64)[..., 1].min(axis=1)
    return float(np.maximum(-lowest - _TOLERANCE, 0.0).mean() * 1000)


def floating_mm(positions: FloatIn) -> float:
    """Mean height of the lowest joint above the floor y = 0, beyond 5 mm, in millimetres (PhysDiff). [T,J,3]."""
    _check(positions, 1)
    lowest = np.asarray(positions, dtype=np.float64)[..., 1].min(axis=1)
    return float(np.maximum(lowest - _TOLERANCE, 0.0).mean() * 1000)


def jerk(positions: FloatIn, fps: float) -> NDArray[np.float64]:
    """Mean size of the third time derivative over joints, m/s^3, one value a frame: [T,J,3] -> [T-3]."""
    _check(positions, 4)
    third = np.diff(np.asarray(positions, dtype=np.float64), n=3, axis=0) * fps**3
    return np.asarray(np.linalg.norm(third, axis=-1).mean(axis=-1))


def ground_contacts(positions: FloatIn, fps: float, height: float = 0.08, speed: float = 0.6) -> BoolArray:
    """Which foot stands on the ground at each frame, [T,22,3] metres -> bool [T,2] (left, right).

    A toe joint is in contact when it is below ``height`` metres above the lowest toe of the clip and moves
    horizontally slower than ``speed`` m/s. Needs at least 2 frames, else InputError.
    """
    _check(positions, 2)
    feet = np.asarray(positions)[:, _FEET]
    velocity = np.gradient(feet[..., [0, 2]], axis=0) * fps
    low = feet[..., 1] - feet[..., 1].min() < height
    return np.asarray(low & (np.linalg.norm(velocity, axis=-1) < speed))


@dataclass(frozen=True)
class SceneContact:
    """How a moving body meets a scene (HUMANISE, Wang et al. 2022).

    non_collision: share of scene points outside the body, mean over frames. contact: share of frames in which a scene
    point lies inside the body. distance: metres from the scene to the body in the anchor frame as HUMANISE signs it,
    0 when they touch and negative when they are apart.
    """

    non_collision: float
    contact: float
    distance: float


def scene_contact(
    vertices: FloatIn, faces: NDArray[np.integer], scene: FloatIn, anchor: int = -1
) -> SceneContact:
    """vertices [T,V,3] of a closed mesh with ``faces`` [F,3]; scene points [P,3]; one world frame, metres.

    Inside and outside follow the winding number, and the distance is to the nearest vertex, as the reference does.
    Raises InputError on wrong shapes or face indices.
    """
    if vertices.ndim != 3 or vertices.shape[2] != 3 or len(vertices) == 0:
        raise InputError("vertices", f"has shape {list(vertices.shape)}, expected [T, V, 3]")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.min() < 0 or faces.max() >= vertices.shape[1]:
        raise InputError(
            "faces", f"has shape {list(faces.shape)} or indices beyond {vertices.shape[1]} vertices"
        )
    if scene.ndim != 2 or scene.shape[1] != 3 or len(scene) == 0:
        raise InputError("scene", f"has shape {list(scene.shape)}, expected [P, 3]")
    inside = np.stack([winding_number(frame[faces], scene) > 0.5 for frame in vertices])
    nearest, _ = cKDTree(vertices[anchor]).query(scene)
    return SceneContact(
        non_collision=float((~inside).mean(axis=1).mean()),
        contact=float(inside.any(axis=1).mean()),
        distance=0.0 if inside[anchor].any() else -float(nearest.min()),
    )


def winding_number(triangles: FloatIn, points: FloatIn, chunk: int = 256) -> NDArray[np.float64]:
    """Generalised winding number (Jacobson et al. 2013) of points [P,3] in triangles [F,3,3]: about 1 inside, 0 out."""
    result = np.empty(len(points))
    corners = np.asarray(triangles, dtype=np.float64)
    for start in range(0, len(points), chunk):
        here = np.asarray(points[start : start + chunk], dtype=np.float64)
        a, b, c = (corners[None, :, corner] - here[:, None] for corner in range(3))
        la, lb, lc = (np.linalg.norm(side, axis=-1) for side in (a, b, c))
        volume = np.einsum("pfi,pfi->pf", a, np.cross(b, c))
        dot = (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        result[start : start + chunk] = 2 * np.arctan2(volume, la * lb * lc + dot).sum(axis=1)
    return np.abs(result) / (4 * np.pi)


def _check(positions: FloatIn, least: int) -> None:
    if positions.ndim != 3 or positions.shape[2] != 3 or len(positions) < least:
        raise InputError(
            "positions", f"has shape {list(positions.shape)}, expected [T, J, 3], T of at least {least}"
        )

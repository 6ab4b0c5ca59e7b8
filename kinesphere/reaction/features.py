"""What a reacting body sees: its partner and its surroundings, in the canonical frame of the segment that it makes.

The frame is ``primitive276``'s: the origin is the pelvis of the segment's first frame, Y is up, Z is where the hips
face, X is the body's left. Nothing here knows where in the world the two are, or which way they are turned.

A partner's frame is 72 numbers:

    joints     66   22 joint positions, metres
    velocity   3    of the pelvis, metres a second
    facing     2    x and z of the horizontal unit vector that the partner faces
    approach   1    metres a second at which the pelvis nears the frame's origin over the floor; negative when it leaves
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.body import facing
from kinesphere.errors import InputError
from kinesphere.motion import check_fps
from kinesphere.representations.layout import Layout
from kinesphere.representations.primitive276 import Frame as CanonicalFrame
from kinesphere.scenes.raster import CELLS, Raster
from kinesphere.skeleton import NUM_JOINTS, FloatArray

Floats = NDArray[np.floating]

PARTNER: Final = Layout(72, joints=3 * NUM_JOINTS, velocity=3, facing=2, approach=1)
PARTNER_FRAMES: Final = 10


def partner_features(frame: CanonicalFrame, positions: Floats, fps: float) -> FloatArray:
    """Features [P,72] of a partner's joint positions [P,22,3] (world, metres, oldest first) at ``fps``.

    Velocities look back one frame, so that the newest row needs no future; the oldest row has the next one's.
    Raises InputError(``partner``) on another shape, no frame, NaN or infinite values, and on a rate out of range.
    """
    check_fps(fps)
    if positions.ndim != 3 or positions.shape[1:] != (NUM_JOINTS, 3) or len(positions) == 0:
        raise InputError("partner", f"has shape {list(positions.shape)}, expected [P, {NUM_JOINTS}, 3]")
    if not np.all(np.isfinite(positions)):
        raise InputError("partner", "holds NaN or infinite values")
    joints = (np.asarray(positions, dtype=np.float64) - frame.origin) @ frame.axes
    velocity = np.zeros((len(joints), 3))
    if len(joints) > 1:
        velocity[1:] = np.diff(joints[:, 0], axis=0) * fps
        velocity[0] = velocity[1]
    ground = joints[:, 0][:, [0, 2]]
    away = np.linalg.norm(ground, axis=-1, keepdims=True)
    # At the very origin there is no direction to come from.
    outward = np.where(away > 1e-6, ground / np.maximum(away, 1e-6), 0.0)
    features = np.empty((len(joints), PARTNER.total), dtype=np.float32)
    features[:, PARTNER["joints"]] = joints.reshape(len(joints), -1)
    features[:, PARTNER["velocity"]] = velocity
    features[:, PARTNER["facing"]] = facing(joints)[:, [0, 2]]
    features[:, PARTNER["approach"]] = -np.sum(velocity[:, [0, 2]] * outward, axis=-1, keepdims=True)
    return features


def partner_window(
    frame: CanonicalFrame, positions: Floats, fps: float, length: int = PARTNER_FRAMES
) -> tuple[FloatArray, FloatArray]:
    """The newest ``length`` frames as a network takes them: features [length,72] and a mask [length] (1 = seen).

    Fewer frames fill the end; the rows before them are 0 and masked. No frame at all is a partner nobody has seen.
    Raises InputError as ``partner_features`` does.
    """
    features = np.zeros((length, PARTNER.total), dtype=np.float32)
    mask = np.zeros(length, dtype=np.float32)
    seen = positions[-length:]
    if len(seen):
        features[length - len(seen) :] = partner_features(frame, seen, fps)
        mask[length - len(seen) :] = 1.0
    return features, mask


def occupancy_around(scene: Raster | None, frame: CanonicalFrame) -> FloatArray:
    """Which cells around the body are filled: [24,12,24] of 0 and 1, cells of 0.125 m; all 0 without a scene.

    See ``Raster.around`` for where they lie.
    """
    if scene is None:
        return np.zeros(CELLS, dtype=np.float32)
    return scene.around(frame.axes, frame.origin)

"""Euler angles for formats that know nothing better."""

from __future__ import annotations

import numpy as np

from kinesphere import rotations as rot
from kinesphere.formats.hierarchy import Float


def zxy_degrees(quaternions: Float) -> Float:
    """Angles [T,3] about Z, then X, then Y (R = Rz Rx Ry) of unit quaternions [T,4], unwrapped along time.

    At the poles (X = +-90 degrees) Y is put to zero and Z takes the whole turn.
    """
    m = rot.to_matrix(quaternions.astype(np.float64))
    x = np.arctan2(m[:, 2, 1], np.hypot(m[:, 0, 1], m[:, 1, 1]))
    pole = np.hypot(m[:, 0, 1], m[:, 1, 1]) < 1e-7
    y = np.where(pole, 0.0, np.arctan2(-m[:, 2, 0], m[:, 2, 2]))
    z = np.where(pole, np.arctan2(m[:, 1, 0], m[:, 0, 0]), np.arctan2(-m[:, 0, 1], m[:, 1, 1]))
    return np.rad2deg(np.unwrap(np.stack([z, x, y], axis=1), axis=0))

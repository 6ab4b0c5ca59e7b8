"""From Kinesphere's axes to those of robots.

Kinesphere: Y up, a person at rest faces +Z, the person's left is +X. ROS (REP 103), Foxglove and MuJoCo's robots: Z up,
forward is +X, left is +Y. The two differ by a change of names, (x, y, z) becoming (z, x, y): a rotation, no mirror.
Applied to a joint's own frame too, so that every frame of a body at rest points forward, left and up.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_ORDER: Final = [2, 0, 1]


def z_up(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Places or directions [...,3]."""
    return np.asarray(vectors, np.float64)[..., _ORDER]


def z_up_rotations(rotations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Quaternions [...,4] wxyz: the same turn, its axis told in the new axes."""
    turned = np.asarray(rotations, np.float64)
    return np.concatenate([turned[..., :1], turned[..., 1:][..., _ORDER]], axis=-1)

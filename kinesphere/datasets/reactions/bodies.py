"""How near two bodies come: both as tubes around their bones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.drawing.figure import capsules
from kinesphere.skeleton import NUM_JOINTS, FloatArray

Floats = NDArray[np.floating]

# Places along the bones, a share of the way from one joint to the next, with the radius there (metres).
_BONES: Final = [capsule for capsule in capsules() if max(capsule.a, capsule.b) < NUM_JOINTS]
_AT: Final = [(c.a, c.b, share, c.ra + share * (c.rb - c.ra)) for c in _BONES for share in (0.5, 1.0)]
_RADII: Final = np.array([radius for *_, radius in _AT])


def clearance(first: FloatArray, second: FloatArray) -> FloatArray:
    """Metres between the surfaces of two bodies [T,22,3], frame by frame -> [T]; negative where they overlap."""
    a, b = _places(first), _places(second)
    squared = (a**2).sum(-1)[:, :, None] + (b**2).sum(-1)[:, None] - 2 * np.einsum("tik,tjk->tij", a, b)
    gap = np.sqrt(np.maximum(squared, 0)) - _RADII[:, None] - _RADII
    result: FloatArray = gap.min(axis=(1, 2)).astype(np.float32)
    return result


def depth_in(scene_distance: Floats) -> FloatArray:
    """[T,P] distances of ``surface_places`` to a scene -> [T] metres between body and scene, negative inside."""
    result: FloatArray = (scene_distance - _RADII).min(axis=1).astype(np.float32)
    return result


def surface_places(positions: FloatArray) -> FloatArray:
    """[T,P,3] places on the bones of [T,22,3], in the order that ``depth_in`` expects."""
    return _places(positions).astype(np.float32)


def _places(positions: FloatArray) -> NDArray[np.float64]:
    p = positions.astype(np.float64)
    return np.stack([p[:, a] + share * (p[:, b] - p[:, a]) for a, b, share, _ in _AT], axis=1)

"""A pinhole camera: Y-up world in metres to pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.05


@dataclass(frozen=True, eq=False)
class Camera:
    """Looks from an orbit around ``target`` (metres).

    azimuth: radians about Y, 0 looks at the figure from +Z (at the face of someone at rest), positive moves towards +X.
    elevation: radians above the horizon. fov: vertical, radians. size: (width, height) pixels.
    """

    target: NDArray[np.floating]
    distance: float
    azimuth: float
    elevation: float
    size: tuple[int, int]
    fov: float = 0.55

    def project(self, points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """[...,3] -> pixels [...,2] (origin top left, y down) and depth [...] in metres along the view."""
        sa, ca = np.sin(self.azimuth), np.cos(self.azimuth)
        se, ce = np.sin(self.elevation), np.cos(self.elevation)
        back = np.array([sa * ce, se, ca * ce])
        right = np.array([ca, 0.0, -sa])
        up = np.cross(back, right)
        local = (np.asarray(points, dtype=np.float64) - self.target) @ np.stack([right, up, back], axis=1)
        depth = self.distance - local[..., 2]
        scale = self.focal / np.maximum(depth, NEAR)
        width, height = self.size
        xy = np.stack([width / 2 + local[..., 0] * scale, height / 2 - local[..., 1] * scale], axis=-1)
        return xy, depth

    @property
    def focal(self) -> float:
        """Pixels that 1 m at 1 m depth covers."""
        return float(self.size[1] / 2 / np.tan(self.fov / 2))

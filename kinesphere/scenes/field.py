"""Filled cells of space, and the signed distance to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray

Floats = NDArray[np.floating]

MAX_CELLS: Final = 16_000_000
MIN_CELL, MAX_CELL = 0.01, 1.0  # metres
# Beyond this nothing is near enough to matter; it is also what an empty grid answers.
FAR: Final = 100.0


@dataclass(frozen=True, eq=False)
class DistanceField:
    """Signed distance to filled space, sampled at the centres of cubic cells along the world's axes.

    values: [nx,ny,nz] metres, negative inside. cell: edge of a cell, metres. origin: [3] world place of the corner with
    the lowest coordinates, metres.
    """

    values: FloatArray
    cell: float
    origin: FloatArray

    @classmethod
    def from_occupancy(cls, filled: NDArray[np.bool_], cell: float, origin: Floats) -> DistanceField:
        """The field of the cells ``filled`` [nx,ny,nz], each ``cell`` metres, whose lowest corner is at ``origin``.

        Exact between cell centres, with the surface half a cell outside the outermost filled centres.
        Raises InputError(``occupancy``, ``cell`` or ``origin``).
        """
        if filled.ndim != 3 or 0 in filled.shape:
            raise InputError(
                "occupancy", f"has shape {list(filled.shape)}, expected [x, y, z], none of them 0"
            )
        if filled.size > MAX_CELLS:
            raise InputError("occupancy", f"{filled.size} cells, at most {MAX_CELLS} are used")
        if not MIN_CELL <= cell <= MAX_CELL:
            raise InputError("cell", f"{cell} m is outside {MIN_CELL:g} to {MAX_CELL:g} m")
        place = np.asarray(origin, dtype=np.float32)
        if place.shape != (3,) or not np.all(np.isfinite(place)):
            raise InputError("origin", "is not 3 finite numbers")
        solid = filled.astype(bool)
        if not solid.any():
            return cls(np.full(solid.shape, FAR, dtype=np.float32), float(cell), place)
        outside = distance_transform_edt(~solid)
        # What lies beyond the grid is empty, so its outermost cells are near the outside.
        inside = distance_transform_edt(np.pad(solid, 1))[1:-1, 1:-1, 1:-1]
        cells = np.where(solid, 0.5 - inside, outside - 0.5)
        return cls((cells * cell).astype(np.float32), float(cell), place)

    @property
    def occupancy(self) -> NDArray[np.bool_]:
        """[nx,ny,nz] which cells are filled."""
        return self.values < 0

    def scaled(self, factor: float) -> DistanceField:
        """The field with every length ``factor`` times as long."""
        values, origin = (array * np.float32(factor) for array in (self.values, self.origin))
        return DistanceField(values, self.cell * factor, origin)

    def mirrored(self) -> DistanceField:
        """The field seen in a mirror that lies in the YZ plane."""
        end = self.origin[0] + self.cell * len(self.values)
        origin = np.array([-end, self.origin[1], self.origin[2]], dtype=np.float32)
        return DistanceField(np.ascontiguousarray(self.values[::-1]), self.cell, origin)

    def distance(self, points: Floats) -> FloatArray:
        """Metres from world points [...,3] to filled space -> [...]; negative inside.

        Linear between cell centres. Outside the grid it is the way to the grid and on from there, which is never less
        than the true distance.
        """
        flat = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        at = (flat - self.origin) / self.cell - 0.5
        inside = np.clip(at, 0, np.array(self.values.shape) - 1)
        found = map_coordinates(self.values, inside.T, order=1, mode="nearest")
        found = found + np.linalg.norm(at - inside, axis=-1) * self.cell
        result: FloatArray = found.reshape(points.shape[:-1]).astype(np.float32)
        return result

    def on_grid(self, x: Floats, y: Floats, z: Floats) -> FloatArray:
        """``distance`` at every place of a grid along the world's axes: [n], [m], [k] metres -> [n,m,k]."""
        values, beyond = self.values, np.float32(0.0)
        for axis, places in enumerate((x, y, z)):
            at = (places - self.origin[axis]) / self.cell - 0.5
            inside = np.clip(at, 0, values.shape[axis] - 1)
            low = np.floor(inside).astype(int)
            high = np.minimum(low + 1, values.shape[axis] - 1)
            shape = [-1 if other == axis else 1 for other in range(3)]
            weight = (inside - low).astype(np.float32).reshape(shape)
            before = values.take(low, axis)
            values = before + weight * (values.take(high, axis) - before)
            beyond = beyond + ((at - inside).astype(np.float32) ** 2).reshape(shape)
        result: FloatArray = values + np.sqrt(beyond) * np.float32(self.cell)
        return result

    def bounds(self) -> tuple[Floats, Floats]:
        """[3] and [3] metres: the lowest and the highest coordinates of its cells."""
        return self.origin, self.origin + np.float32(self.cell) * np.array(
            self.values.shape, dtype=np.float32
        )

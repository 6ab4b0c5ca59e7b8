"""``Scene``: what stands around a person. The floor is y = 0, endless and flat; a scene holds what stands on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.scenes.field import FAR, DistanceField
from kinesphere.skeleton import FloatArray

Floats = NDArray[np.floating]
Affordance = Literal["sit", "lie", "walk", "reach"]
AFFORDANCES: Final[tuple[Affordance, ...]] = get_args(Affordance)
MAX_BOXES: Final = 256


@dataclass(frozen=True)
class Box:
    """A solid box that stands upright. centre: metres, in the world. size: edge lengths along its own x, y, z, metres.

    yaw: turn about +Y in radians; 0 leaves its front to +Z. affordances: what a person can do with it.
    Raises InputError(``box.size`` or ``box.centre``).
    """

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float = 0.0
    label: str = ""
    affordances: tuple[Affordance, ...] = ()

    def __post_init__(self) -> None:
        if not np.all(np.isfinite(self.size)) or min(self.size) <= 0:
            raise InputError("box.size", "every edge is a finite length above 0 m")
        if not np.all(np.isfinite((*self.centre, self.yaw))):
            raise InputError("box.centre", "the place or the turn is not finite")

    def distance(self, points: Floats) -> FloatArray:
        """Metres from world points [...,3] to the box -> [...]; negative inside."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        away = np.asarray(points, dtype=np.float64) - self.centre
        x = cos * away[..., 0] - sin * away[..., 2]
        z = sin * away[..., 0] + cos * away[..., 2]
        beyond = np.abs(np.stack([x, away[..., 1], z], axis=-1)) - np.asarray(self.size) / 2
        outside = np.linalg.norm(np.maximum(beyond, 0), axis=-1)
        result: FloatArray = (outside + np.minimum(beyond.max(axis=-1), 0)).astype(np.float32)
        return result

    def on_grid(self, x: Floats, y: Floats, z: Floats) -> FloatArray:
        """``distance`` at every place of a grid along the world's axes: [n], [m], [k] metres -> [n,m,k]."""
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        away_x, away_z = (x - self.centre[0])[:, None], (z - self.centre[2])[None, :]
        along_x = np.abs(cos * away_x - sin * away_z) - self.size[0] / 2
        along_z = np.abs(sin * away_x + cos * away_z) - self.size[2] / 2
        up = (np.abs(y - self.centre[1]) - self.size[1] / 2)[None, :, None]
        flat = np.maximum(along_x, 0) ** 2 + np.maximum(along_z, 0) ** 2
        outside = np.sqrt(flat[:, None, :] + np.maximum(up, 0) ** 2)
        result: FloatArray = outside + np.minimum(np.maximum(np.maximum(along_x, along_z)[:, None, :], up), 0)
        return result.astype(np.float32)

    def bounds(self) -> tuple[Floats, Floats]:
        """[3] and [3] metres: the lowest and the highest coordinates of its corners."""
        cos, sin = abs(np.cos(self.yaw)), abs(np.sin(self.yaw))
        width, height, depth = self.size
        half = np.array([cos * width + sin * depth, height, sin * width + cos * depth]) / 2
        return self.centre - half, self.centre + half

    def scaled(self, factor: float) -> Box:
        """The box with every length ``factor`` times as long."""
        (x, y, z), (width, height, depth) = self.centre, self.size
        return replace(
            self, centre=(factor * x, factor * y, factor * z), size=(factor * width, factor * height, factor * depth)
        )  # fmt: skip

    def mirrored(self) -> Box:
        """The box seen in a mirror that lies in the YZ plane."""
        x, y, z = self.centre
        return replace(self, centre=(-x, y, z), yaw=-self.yaw)


@dataclass(frozen=True, eq=False)
class Scene:
    """Boxes and filled cells in the world: Y up, metres, the floor at y = 0 (which is no part of it).

    Raises InputError(``scene.boxes``) on more than 256 boxes.
    """

    id: str = ""
    boxes: tuple[Box, ...] = ()
    field: DistanceField | None = None

    def __post_init__(self) -> None:
        if len(self.boxes) > MAX_BOXES:
            raise InputError("scene.boxes", f"{len(self.boxes)} boxes, at most {MAX_BOXES} are used")

    @property
    def solids(self) -> tuple[Box | DistanceField, ...]:
        """All that it holds."""
        return self.boxes if self.field is None else (*self.boxes, self.field)

    def distance(self, points: Floats) -> FloatArray:
        """Metres from world points [...,3] to the nearest solid -> [...]; negative inside, 100 where there is none."""
        nearest = np.full(points.shape[:-1], FAR, dtype=np.float32)
        for solid in self.solids:
            nearest = np.minimum(nearest, solid.distance(points))
        return nearest

    def scaled(self, factor: float) -> Scene:
        """The scene with every length ``factor`` times as long, seen from the world's origin."""
        if factor == 1.0:
            return self
        field = None if self.field is None else self.field.scaled(factor)
        return Scene(self.id, tuple(box.scaled(factor) for box in self.boxes), field)

    def mirrored(self) -> Scene:
        """The scene seen in a mirror that lies in the YZ plane, as ``Motion.mirrored`` mirrors a body."""
        field = None if self.field is None else self.field.mirrored()
        return Scene(self.id, tuple(box.mirrored() for box in self.boxes), field)

"""Furnished rooms: tables, chairs, shelves and sofas of boxes, or real furniture meshes, along the walls and in between.

A room is a rectangle about the origin with walls of 2.4 m. Everything comes from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.scenes import Box, DistanceField, Scene, meshes

Floats = NDArray[np.floating]
Chance = np.random.Generator

CELL: Final = 0.05  # metres
_WALL: Final = (0.1, 2.4)  # metres: how thick, how high
_GAP: Final = 0.2  # metres between the footprints of two pieces
_HIGHEST: Final = 2.0  # metres: what the cells of a room reach up to


@dataclass(frozen=True, eq=False)
class Room:
    """scene: what is solid. targets: the boxes around things that one can walk to, with their names. size: metres along
    X and Z, between the walls."""

    scene: Scene
    targets: tuple[Box, ...]
    size: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of furniture about the origin, its front to +Z: its outer box, and its solid boxes or solid points [P,3]."""

    outer: Box
    boxes: tuple[Box, ...] = ()
    points: Floats | None = None


def table(chance: Chance) -> Piece:
    """A table top on four legs."""
    width, depth, height = chance.uniform(0.9, 1.6), chance.uniform(0.6, 0.9), chance.uniform(0.68, 0.78)
    top = Box((0, height - 0.02, 0), (width, 0.04, depth), label="table", affordances=("reach",))
    legs = _legs(width, depth, height - 0.04)
    return Piece(Box((0, height / 2, 0), (width, height, depth), label="table"), (top, *legs))


def chair(chance: Chance) -> Piece:
    """A seat on four legs with a back."""
    width, height = chance.uniform(0.4, 0.5), chance.uniform(0.42, 0.48)
    seat = Box((0, height - 0.025, 0), (width, 0.05, width), label="chair", affordances=("sit",))
    back = Box((0, height + 0.22, -width / 2 + 0.025), (width, 0.44, 0.05), label="chair")
    outer = Box((0, (height + 0.44) / 2, 0), (width, height + 0.44, width), label="chair")
    return Piece(outer, (seat, back, *_legs(width, width, height - 0.05)))


def sofa(chance: Chance) -> Piece:
    """A long seat with a back."""
    width, depth = chance.uniform(1.4, 2.1), chance.uniform(0.75, 0.9)
    seat = Box((0, 0.21, 0), (width, 0.42, depth), label="sofa", affordances=("sit", "lie"))
    back = Box((0, 0.6, -depth / 2 + 0.1), (width, 0.4, 0.2), label="sofa")
    return Piece(Box((0, 0.4, 0), (width, 0.8, depth), label="sofa"), (seat, back))


def shelf(chance: Chance) -> Piece:
    """A tall narrow block."""
    width, height, depth = chance.uniform(0.6, 1.2), chance.uniform(1.5, 2.0), chance.uniform(0.28, 0.4)
    block = Box((0, height / 2, 0), (width, height, depth), label="shelf", affordances=("reach",))
    return Piece(block, (block,))


def cabinet(chance: Chance) -> Piece:
    """A low block."""
    width, height, depth = chance.uniform(0.5, 1.3), chance.uniform(0.7, 1.0), chance.uniform(0.4, 0.55)
    block = Box((0, height / 2, 0), (width, height, depth), label="cabinet", affordances=("reach",))
    return Piece(block, (block,))


def crate(chance: Chance) -> Piece:
    """A box on the floor."""
    edge, height = chance.uniform(0.3, 0.6), chance.uniform(0.25, 0.6)
    block = Box((0, height / 2, 0), (edge, height, edge), label="box", affordances=("sit",))
    return Piece(block, (block,))


_MADE: Final[tuple[Callable[[Chance], Piece], ...]] = (table, chair, chair, sofa, shelf, cabinet, crate)


def _legs(width: float, depth: float, height: float) -> tuple[Box, ...]:
    across, along = width / 2 - 0.03, depth / 2 - 0.03
    corners = [(x, z) for x in (-across, across) for z in (-along, along)]
    return tuple(Box((x, height / 2, z), (0.05, height, 0.05)) for x, z in corners)


def mesh_pieces(folder: Path) -> list[Piece]:
    """The furniture of ``folder`` (.glb), each with its longer side across and its middle over the origin.

    Rooms and backgrounds are left out. Empty where there is no such folder. Raises FormatError on a broken mesh.
    """
    found = []
    for path in sorted(folder.glob("*.glb")):
        if path.stem in ("room", "background"):
            continue
        mesh = meshes.load(path)
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        centred = meshes.Mesh(
            mesh.vertices - np.array([*((low + high) / 2)]) * [1, 0, 1] - [0, low[1], 0], mesh.faces
        )
        cells = meshes.field(centred, CELL, margin=2 * CELL)
        inside = np.argwhere(cells.occupancy) + 0.5
        points = inside * CELL + cells.origin
        size = high - low
        if size[2] > size[0]:
            points, size = points[:, [2, 1, 0]], size[[2, 1, 0]]
        label = "".join(letter for letter in path.stem.replace("_", " ") if not letter.isdigit()).strip()
        outer = Box((0, float(size[1]) / 2, 0), (float(size[0]), float(size[1]), float(size[2])), label=label)
        found.append(Piece(outer, points=points))
    return found


def furnish(name: str, chance: Chance, pieces: list[Piece] | None = None) -> Room:
    """A room with five to nine pieces: of ``pieces`` (meshes), else made of boxes."""
    size = (float(chance.uniform(5.0, 8.0)), float(chance.uniform(5.0, 8.0)))
    placed: list[tuple[Piece, Box]] = []
    for number in range(int(chance.integers(8, 14))):
        if pieces is None:
            piece = _MADE[int(chance.integers(len(_MADE)))](chance)
        else:
            piece = pieces[int(chance.integers(len(pieces)))]
        outer = _in_between(piece, size, chance) if number % 4 == 1 else _against_wall(piece, size, chance)
        if len(placed) < 9 and all(_apart(outer, other) for _, other in placed):
            placed.append((piece, outer))
    targets = tuple(outer for _, outer in placed)
    boxes = [*_walls(size), *(_moved(box, outer) for piece, outer in placed for box in piece.boxes)]
    clouds = [_points(piece.points, outer) for piece, outer in placed if piece.points is not None]
    return Room(Scene(name, tuple(boxes), _filled(clouds, size)), targets, size)


def _against_wall(piece: Piece, size: tuple[float, float], chance: Chance) -> Box:
    """The piece with its back to one of the walls."""
    side = int(chance.integers(4))
    yaw = side * np.pi / 2
    width, _, depth = piece.outer.size
    run, away = (size[0], size[1]) if side % 2 == 0 else (size[1], size[0])
    along = float(chance.uniform(-1, 1)) * max(run / 2 - width / 2 - 0.1, 0)
    local = np.array([along, 0.0, -(away / 2 - depth / 2 - 0.06)])
    return _standing(piece, rot.rotate(rot.about_y(yaw), local), yaw)


def _in_between(piece: Piece, size: tuple[float, float], chance: Chance) -> Box:
    """The piece anywhere, turned in any way."""
    place = np.array(
        [chance.uniform(-1, 1) * (size[0] / 2 - 1.2), 0.0, chance.uniform(-1, 1) * (size[1] / 2 - 1.2)]
    )
    return _standing(piece, place, float(chance.uniform(-np.pi, np.pi)))


def _standing(piece: Piece, place: Floats, yaw: float) -> Box:
    centre = (float(place[0]), piece.outer.centre[1], float(place[2]))
    return replace(piece.outer, centre=centre, yaw=float(yaw))


def _apart(a: Box, b: Box) -> bool:
    """Whether people-high columns over two boxes keep the gap, looked at from both boxes' outlines."""
    return all(
        float(one.distance(_outline(other)).min()) > _GAP for one, other in ((_tall(a), b), (_tall(b), a))
    )


def _tall(box: Box) -> Box:
    return replace(box, centre=(box.centre[0], 0.0, box.centre[2]), size=(box.size[0], 4.0, box.size[2]))


def _outline(box: Box) -> Floats:
    steps = np.linspace(-0.5, 0.5, 9)
    x, z = (axis.ravel() for axis in np.meshgrid(steps * box.size[0], steps * box.size[2]))
    local = np.stack([x, np.zeros_like(x), z], axis=-1)
    return np.asarray(rot.rotate(rot.about_y(box.yaw), local) + np.array([box.centre[0], 0.0, box.centre[2]]))


def _walls(size: tuple[float, float]) -> list[Box]:
    thick, high = _WALL
    x, z = size[0] / 2 + thick / 2, size[1] / 2 + thick / 2
    long_x, long_z = size[0] + 2 * thick, size[1] + 2 * thick
    return [
        *(Box((0, high / 2, side * z), (long_x, high, thick), label="wall") for side in (-1, 1)),
        *(Box((side * x, high / 2, 0), (thick, high, long_z), label="wall") for side in (-1, 1)),
    ]


def _moved(box: Box, outer: Box) -> Box:
    """A part of a piece, where the piece stands."""
    x, y, z = rot.rotate(rot.about_y(outer.yaw), np.asarray(box.centre, dtype=np.float64))
    centre = (float(x) + outer.centre[0], float(y), float(z) + outer.centre[2])
    return replace(box, centre=centre, yaw=box.yaw + outer.yaw)


def _points(points: Floats, outer: Box) -> Floats:
    return np.asarray(rot.rotate(rot.about_y(outer.yaw), points) + [outer.centre[0], 0.0, outer.centre[2]])


def _filled(clouds: list[Floats], size: tuple[float, float]) -> DistanceField | None:
    """The cells of a room in which there is a point."""
    if not clouds:
        return None
    origin = np.array([-size[0] / 2, 0.0, -size[1] / 2])
    shape = tuple(int(np.ceil(length / CELL)) for length in (size[0], _HIGHEST, size[1]))
    filled = np.zeros(shape, dtype=bool)
    at = np.floor((np.concatenate(clouds) - origin) / CELL).astype(int)
    at = at[((at >= 0) & (at < np.array(shape))).all(axis=1)]
    filled[tuple(at.T)] = True
    return DistanceField.from_occupancy(filled, CELL, origin)

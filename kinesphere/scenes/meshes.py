"""Triangle meshes from files (OBJ, binary glTF, PLY), and the distance field of the space that they fill.

Files are read by ``trimesh`` from their bytes alone: nothing that a file points to is opened. What is too large is
refused before it is unfolded.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from kinesphere.errors import FormatError, InputError
from kinesphere.formats import limits
from kinesphere.scenes.field import MAX_CELLS, DistanceField

Floats = NDArray[np.floating]
MeshFormat = Literal["glb", "obj", "ply"]

FORMATS: Final[tuple[MeshFormat, ...]] = ("glb", "obj", "ply")
MAX_BYTES: Final = 64 * 2**20
MAX_TRIANGLES: Final = 1_000_000
MAX_VERTICES: Final = 3 * MAX_TRIANGLES
MAX_PARTS: Final = 4_096
# glTF 2.0, accessor.componentType and accessor.type
_COMPONENT_BYTES: Final = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_COMPONENTS: Final = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_MAX_SAMPLES: Final = 20_000_000
_SAMPLES_AT_ONCE: Final = 500_000
_MAX_EXTENT: Final = 10_000.0  # metres from the origin
_PLACE_CELLS: Final = (0.05, 0.0625, 0.075, 0.1, 0.125)  # metres: the finest that a place fits into
_PLACE_MARGIN: Final = 3  # cells around it
_ROOM: Final = 8.0  # cubic metres: a larger enclosed space is one that people stand in


@dataclass(frozen=True, eq=False)
class Mesh:
    """vertices: [V,3] metres, Y up. faces: [F,3] indices of their corners."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]


def load(path: Path, *, up: Literal["y", "z"] = "y") -> Mesh:
    """The mesh of a .glb, .obj or .ply file whose axis ``up`` points up. Raises FormatError."""
    suffix = path.suffix.lower().removeprefix(".")
    found = next((name for name in FORMATS if name == suffix), None)
    if found is None:
        raise FormatError("path", f"{path.name[-60:]!r} does not end in one of {', '.join(FORMATS)}")
    return parse(limits.read_bytes(path), found, up=up)


def parse(data: bytes, format: MeshFormat, *, up: Literal["y", "z"] = "y") -> Mesh:
    """The mesh in the bytes of a file, all its parts in one. Raises FormatError naming what is wrong."""
    import trimesh

    if format not in FORMATS:
        raise FormatError("mesh.format", f"{format!r} is not one of {', '.join(FORMATS)}")
    if not 0 < len(data) <= MAX_BYTES:
        raise FormatError("mesh.data", f"{len(data)} bytes, 1 to {MAX_BYTES} are read")
    try:
        if format == "glb":
            _check_accessors(data)
        scene = trimesh.load_scene(io.BytesIO(data), file_type=format, process=False, skip_materials=True)
        return _joined(scene, up)
    except FormatError:
        raise
    except Exception as error:  # trimesh's readers raise whatever goes wrong in them
        raise FormatError("mesh", f"is no readable {format}: {type(error).__name__}") from error


def _check_accessors(data: bytes) -> None:
    """Arrays of a binary glTF must lie in it: one that is only announced would be made, of any size, when read."""
    _, _, _, length, _ = struct.unpack_from("<4sIIII", data)
    told = json.loads(data[20 : 20 + length])
    size = 0
    for accessor in told.get("accessors", []):
        if "bufferView" not in accessor or "sparse" in accessor:
            raise FormatError("mesh", "has an accessor without data, or a sparse one")
        wide = _COMPONENT_BYTES[accessor["componentType"]] * _COMPONENTS[accessor["type"]]
        size += int(accessor["count"]) * wide
    if size > len(data):
        raise FormatError("mesh", f"announces {size} bytes of arrays in a file of {len(data)}")


def _joined(scene: object, up: str) -> Mesh:
    """Every part of a trimesh scene in the world, as one mesh."""
    import trimesh

    assert isinstance(scene, trimesh.Scene)
    nodes = [(node, *scene.graph[node]) for node in scene.graph.nodes_geometry]
    if len(nodes) > MAX_PARTS:
        raise FormatError("mesh", f"has {len(nodes)} parts, at most {MAX_PARTS} are read")
    parts = [(matrix, scene.geometry[name]) for _, matrix, name in nodes]
    meshes = [(matrix, part) for matrix, part in parts if isinstance(part, trimesh.Trimesh)]
    # One part may stand at many places: they are counted before they are copied.
    count = sum(len(part.faces) for _, part in meshes)
    if not 0 < count <= MAX_TRIANGLES:
        raise FormatError("mesh", f"{count} triangles, 1 to {MAX_TRIANGLES} are read")
    corners = sum(len(part.vertices) for _, part in meshes)
    if corners > MAX_VERTICES:
        raise FormatError("mesh.vertices", f"{corners} with all copies, at most {MAX_VERTICES} are read")
    vertices, faces, at = [], [], 0
    for matrix, part in meshes:
        places = np.asarray(part.vertices, dtype=np.float64)
        if not np.all(np.isfinite(places)):
            raise FormatError("mesh.vertices", "are not all finite")
        vertices.append(places @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append(np.asarray(part.faces, dtype=np.int64) + at)
        at += len(places)
    return checked(np.concatenate(vertices), np.concatenate(faces), up)


def checked(vertices: Floats, faces: NDArray[np.integer], up: str = "y") -> Mesh:
    """A mesh of these corners and triangles. Raises FormatError on indices or places that are out of range."""
    if not np.all(np.isfinite(vertices)) or np.abs(vertices).max() > _MAX_EXTENT:
        raise FormatError("mesh.vertices", f"lie outside {_MAX_EXTENT:g} m or are not finite")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise FormatError("mesh.faces", f"point outside the {len(vertices)} vertices")
    places = np.asarray(vertices, dtype=np.float64)
    if up == "z":
        places = np.stack([places[:, 0], places[:, 2], -places[:, 1]], axis=-1)
    return Mesh(places, np.asarray(faces, dtype=np.int64))


def field(mesh: Mesh, cell: float = 0.05, *, solid: bool = True, margin: float = 0.5) -> DistanceField:
    """The distance field of a mesh, on a grid that reaches ``margin`` metres beyond it.

    solid: what the surface encloses is filled, as for furniture; False for a room that one stands in.
    Raises InputError(``cell`` or ``mesh``) for a grid or a surface that is too large for this cell size.
    """
    low = mesh.vertices.min(axis=0) - margin
    shape = np.ceil((mesh.vertices.max(axis=0) + margin - low) / cell).astype(np.int64) + 1
    if cell <= 0 or float(np.prod(shape.astype(np.float64))) > MAX_CELLS:
        raise InputError("cell", f"a grid of {shape.tolist()} cells is over {MAX_CELLS} cells")
    filled = _touched(mesh, cell, low, shape)
    if solid:
        filled |= _enclosed(filled, filled.size)
    return DistanceField.from_occupancy(filled, cell, low)


def surroundings(mesh: Mesh, max_cells: int) -> DistanceField:
    """The distance field of a place where people move, in cells of 5 cm, or of up to 12.5 cm where more are too many.

    The cells that the surface touches are filled, whether or not it is closed. So is what it encloses, like the inside
    of a sofa, up to 8 m3: a larger space is a room that one stands in. What lies lower than a cell over y = 0 is taken
    for the floor, which is no part of a scene, and left out.
    Raises InputError(``mesh``) on a place or a surface that is too large.
    """
    bottom, top = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    for cell in _PLACE_CELLS:
        first = np.floor(bottom / cell).astype(np.int64) - _PLACE_MARGIN
        shape = np.floor(top / cell).astype(np.int64) + _PLACE_MARGIN + 1 - first
        if float(np.prod(shape.astype(np.float64))) <= max_cells:
            break
    else:
        size = " x ".join(f"{length:.1f}" for length in top - bottom)
        raise InputError("mesh", f"{size} m are more than {max_cells} cells of {cell:g} m")
    filled = _touched(mesh, cell, first * cell, shape)
    filled |= _enclosed(filled, int(_ROOM / cell**3))
    filled[:, : max(0, 1 - int(first[1]))] = False
    return DistanceField.from_occupancy(filled, cell, first * cell)


def _touched(mesh: Mesh, cell: float, low: Floats, shape: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which cells of a grid of ``shape`` [3] with its lowest corner at ``low`` [3] the surface goes through."""
    filled = np.zeros(tuple(int(length) for length in shape), dtype=bool)
    for points in _surface(mesh, cell / 2):
        at = np.clip(np.floor((points - low) / cell).astype(np.int64), 0, shape - 1)
        filled[tuple(at.T)] = True
    return filled


def _enclosed(filled: NDArray[np.bool_], largest: int) -> NDArray[np.bool_]:
    """The empty cells from which no way leads outside, where not more than ``largest`` hang together."""
    regions, _ = label(np.pad(~filled, 1, constant_values=True))
    sizes = np.bincount(regions.ravel())
    chosen = sizes <= largest
    chosen[[0, regions[0, 0, 0]]] = False  # the filled cells, and all that is outside
    inside: NDArray[np.bool_] = chosen[regions[1:-1, 1:-1, 1:-1]]
    return inside


def surface_points(mesh: Mesh, spacing: float) -> NDArray[np.float64]:
    """[P,3] places on the surface, at most ``spacing`` metres from each other. Raises InputError(``mesh``) if they are
    too many."""
    return np.concatenate(list(_surface(mesh, spacing)))


def _surface(mesh: Mesh, spacing: float) -> Iterator[NDArray[np.float64]]:
    """``surface_points``, a part after the other."""
    corners = mesh.vertices[mesh.faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)
    parts = np.maximum(1, np.ceil(edges.max(axis=1) / spacing)).astype(np.int64)
    if float(np.sum((parts + 1.0) * (parts + 2.0) / 2)) > _MAX_SAMPLES:
        raise InputError("mesh", f"the surface is too large for points {spacing:g} m apart")
    for count in np.unique(parts):
        i, j = (
            axis.ravel() for axis in np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
        )
        inside = i + j <= count
        shares = np.stack([i[inside], j[inside], count - i[inside] - j[inside]], axis=-1) / count
        chosen = corners[parts == count]
        together = max(1, _SAMPLES_AT_ONCE // len(shares))
        for start in range(0, len(chosen), together):
            yield (shares @ chosen[start : start + together]).reshape(-1, 3)

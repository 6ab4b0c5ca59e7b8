"""``Raster``: a scene looked up instead of measured, for bodies that look around many times a second.

What a body sees of its surroundings are ``CELLS`` cells of ``CELL`` metres around it, from the floor up. A cell is
filled when its centre is inside a solid or within half a cell of one, so that a thin table top is not missed between
two centres. Measuring the distances takes 12 ms in a furnished room; here they have been measured before, at these
heights and every ``STEP`` metres over the floor, and a look takes 0.1 ms. The column that is nearest to a cell's centre
is at most 3.6 cm from it, so that only cells at the border of a solid can differ.

Columns lie in square tiles. Tiles where nothing stands are not kept, so things may be as far from each other as they
like; how much floor they reach over is bounded.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.scenes.field import DistanceField
from kinesphere.scenes.scene import Box, Scene
from kinesphere.skeleton import FloatArray

Floats = NDArray[np.floating]

CELLS: Final = (24, 12, 24)
CELL: Final = 0.125  # metres: the cells reach 1.5 m to all sides, and from the floor to 1.5 m
STEP: Final = 0.05  # metres between two columns
# Square metres that the solids of a scene may reach over, each counted for itself: 3 s of work and 16 MB.
MAX_FLOOR: Final = 20_000.0
_TILE: Final = 32  # columns along a tile's edge
_TILE_FLOOR: Final = (_TILE * STEP) ** 2
_HEIGHTS: Final = (np.arange(CELLS[1]) + 0.5) * CELL
_BITS: Final = 1 << np.arange(CELLS[1], dtype=np.uint16)
_HEAD: Final = struct.Struct("<II")  # version, tiles
_VERSION: Final = 1
_NOWHERE: Final = np.iinfo(np.int64).max
# Centres of the cells along the first and the third axis.
_ACROSS: Final = ((np.arange(CELLS[0]) + 0.5 - CELLS[0] / 2) * CELL)[:, None]
_AHEAD: Final = ((np.arange(CELLS[2]) + 0.5 - CELLS[2] / 2) * CELL)[None, :]


class Raster:
    """Which columns of the scene are filled, and how high. Made once a scene, never changed.

    Raises InputError(``scene``) when the solids reach over too much floor.
    """

    def __init__(self, scene: Scene) -> None:
        reaches = [(solid, _reach(solid)) for solid in scene.solids]
        floor = _TILE_FLOOR * sum(_count(first, last) for _, (first, last) in reaches)
        if floor > MAX_FLOOR:
            raise InputError(
                "scene", f"its solids reach over {floor:.0f} m2 of floor, at most {MAX_FLOOR:.0f} are used"
            )
        tiles: dict[int, NDArray[np.uint16]] = {}
        for solid, (first, last) in reaches:
            _draw(tiles, solid, first, last)
        self._keys = np.array([*sorted(tiles), _NOWHERE], dtype=np.int64)
        # The last tile is empty: everything beyond the others.
        self._tiles = np.zeros((len(self._keys), _TILE, _TILE), dtype=np.uint16)
        for place, key in enumerate(self._keys[:-1]):
            self._tiles[place] = tiles[int(key)]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return self._keys.nbytes + self._tiles.nbytes

    def packed(self) -> bytes:
        """The raster in some kilobytes, for ``unpacked``."""
        body = self._keys.astype("<i8").tobytes() + self._tiles.astype("<u2").tobytes()
        return _HEAD.pack(_VERSION, len(self._keys)) + zlib.compress(body, 1)

    @classmethod
    def unpacked(cls, data: bytes) -> Raster:
        """What ``packed`` gave. Raises ValueError on other bytes."""
        try:
            version, count = _HEAD.unpack_from(data)
            body = zlib.decompress(data[_HEAD.size :])
        except (struct.error, zlib.error) as error:
            raise ValueError("no raster") from error
        if version != _VERSION or len(body) != count * (8 + 2 * _TILE * _TILE):
            raise ValueError(f"raster of version {version} with {len(body)} bytes")
        made = cls.__new__(cls)
        made._keys = np.frombuffer(body, "<i8", count)
        made._tiles = np.frombuffer(body, "<u2", offset=8 * count).reshape(count, _TILE, _TILE)
        return made

    def around(self, axes: Floats, origin: Floats) -> FloatArray:
        """The cells around a body, [24,12,24] of 0 and 1.

        axes: [3,3], its columns the X, Y and Z of the body's frame in the world, Y up. origin: [3] m. The first axis of
        the cells is the frame's X (growing to the body's left), the second is up from the floor y = 0, the third the
        frame's Z (growing ahead); first and third are centred on the origin.
        """
        x, z = (
            np.rint((origin[i] + axes[i, 0] * _ACROSS + axes[i, 2] * _AHEAD) / STEP).astype(np.int64)
            for i in (0, 2)
        )
        wanted = _key(x // _TILE, z // _TILE)
        place = np.searchsorted(self._keys, wanted)
        place = np.where(self._keys[place] == wanted, place, -1)
        columns = self._tiles[place, x % _TILE, z % _TILE]
        cells: FloatArray = (columns[:, None, :] & _BITS[:, None] != 0).astype(np.float32)
        return cells


def _draw(
    tiles: dict[int, NDArray[np.uint16]],
    solid: Box | DistanceField,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
) -> None:
    """Fill the columns ``first`` to ``last`` [2] of ``tiles`` (by their keys) where ``solid`` is."""
    for i in range(first[0] // _TILE, last[0] // _TILE + 1):
        for j in range(first[1] // _TILE, last[1] // _TILE + 1):
            start = _TILE * np.array([i, j])
            low, high = np.maximum(first, start), np.minimum(last + 1, start + _TILE)
            x, z = (STEP * np.arange(low[axis], high[axis]) for axis in (0, 1))
            filled = solid.on_grid(x, _HEIGHTS, z) <= CELL / 2
            if filled.any():
                tile = tiles.setdefault(int(_key(i, j)), np.zeros((_TILE, _TILE), dtype=np.uint16))
                (a, b), (c, d) = low - start, high - start
                tile[a:c, b:d] |= np.where(filled, _BITS[:, None], 0).sum(axis=1, dtype=np.uint16)


def _reach(solid: Box | DistanceField) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first and the last columns, along x and z, that a solid can fill; the last before the first for none."""
    low, high = (bound + side * CELL for bound, side in zip(solid.bounds(), (-1, 1), strict=True))
    if high[1] < _HEIGHTS[0] or low[1] > _HEIGHTS[-1]:
        return np.zeros(2, dtype=np.int64), np.full(2, -1, dtype=np.int64)
    first, last = (np.rint(bound[[0, 2]] / STEP).astype(np.int64) for bound in (low, high))
    return first, last


def _count(first: NDArray[np.int64], last: NDArray[np.int64]) -> int:
    """Tiles with a column from ``first`` to ``last``."""
    if (last < first).any():
        return 0
    spans = last // _TILE - first // _TILE + 1
    return int(spans[0]) * int(spans[1])


def _key(i: NDArray[np.int64] | int, j: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """The numbers of the tiles ``i`` along x and ``j`` along z."""
    return (np.asarray(i, dtype=np.int64) << 32) + j

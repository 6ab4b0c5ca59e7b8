"""Scenes from the wire, as bodies look them up."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from kinesphere.errors import InputError
from kinesphere.scenes import Affordance, Box, DistanceField, Raster, Scene, meshes
from kinesphere.v1 import scene_pb2 as pb

_AFFORDANCES: Final[dict[int, Affordance]] = {
    pb.AFFORDANCE_SIT: "sit",
    pb.AFFORDANCE_LIE: "lie",
    pb.AFFORDANCE_WALK: "walk",
    pb.AFFORDANCE_REACH: "reach",
}
_FORMATS: Final[dict[int, meshes.MeshFormat]] = {
    pb.Mesh.FORMAT_GLB: "glb",
    pb.Mesh.FORMAT_OBJ: "obj",
    pb.Mesh.FORMAT_PLY: "ply",
}
MAX_CELLS: Final = 2_000_000  # a distance field of more takes seconds and too much memory for a session


class SceneBuilder:
    """Builds scenes one after another, in a thread that no frame waits for. Used from one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scenes")

    async def packed(self, message: pb.Scene, path: str, scale: float) -> bytes:
        """The scene in units of ``scale`` metres, as ``Raster.packed`` gives it; nothing for an empty one.

        A call that is cancelled while others' scenes are built costs nothing. Raises InputError as ``from_proto`` does.
        """
        if not message.ByteSize():
            return b""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _packed, message, path, scale)


async def unpacked(data: bytes) -> Raster | None:
    """What ``SceneBuilder.packed`` gave."""
    return await asyncio.to_thread(Raster.unpacked, data) if data else None


def _packed(message: pb.Scene, path: str, scale: float) -> bytes:
    scene = from_proto(message, path)
    if scene is None:
        return b""
    try:
        return Raster(scene.scaled(1 / scale)).packed()
    except InputError as error:
        raise InputError(path, error.reason) from error


def from_proto(message: pb.Scene, path: str) -> Scene | None:
    """The scene; None for an empty one. Raises InputError on ``PATH.occupancy.filled``, ``PATH.mesh.data``, ..."""
    if message.HasField("mesh") and message.HasField("occupancy"):
        raise InputError(f"{path}.mesh", "and occupancy are two accounts of the same: leave one out")
    if len({one.id for one in message.objects}) < len(message.objects):
        raise InputError(f"{path}.objects", "two have the same id")
    field = None
    if message.HasField("mesh"):
        field = _surface(message.mesh, path)
    elif message.HasField("occupancy"):
        field = _cells(message.occupancy, f"{path}.occupancy")
    if not message.objects and field is None:
        return None
    boxes = tuple(
        Box(
            (one.center.x, one.center.y, one.center.z),
            (one.size.x, one.size.y, one.size.z),
            one.yaw,
            one.label,
            tuple(_AFFORDANCES[value] for value in one.affordances),
        )
        for one in message.objects
    )
    return Scene(message.id, boxes, field)


def _cells(message: pb.OccupancyGrid, path: str) -> DistanceField:
    shape = message.size_x, message.size_y, message.size_z
    count = shape[0] * shape[1] * shape[2]
    if count > MAX_CELLS:
        raise InputError(path, f"has {count} cells, at most {MAX_CELLS} are used")
    if len(message.filled) != -(-count // 8):
        raise InputError(
            f"{path}.filled", f"has {len(message.filled)} bytes, {count} cells take {-(-count // 8)}"
        )
    bits = np.unpackbits(np.frombuffer(message.filled, np.uint8), count=count, bitorder="little")
    origin = np.array([message.origin.x, message.origin.y, message.origin.z])
    return DistanceField.from_occupancy(bits.reshape(shape).astype(bool), message.cell_size, origin)


def _surface(message: pb.Mesh, path: str) -> DistanceField:
    try:
        return meshes.surroundings(meshes.parse(message.data, _FORMATS[message.format]), MAX_CELLS)
    except InputError as error:  # on ``mesh``, or a part of it
        raise InputError(f"{path}.{error.field}", error.reason) from error

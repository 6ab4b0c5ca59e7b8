"""Scenes from the wire, as bodies look them up."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Final
from weakref import WeakValueDictionary

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
_Key = tuple[bytes, float]  # what it was made of, and its unit in metres
MAX_CELLS: Final = 2_000_000  # a distance field of more takes seconds and too much memory for a session
_RECENT: Final = 4  # scenes that are kept though no session runs in them: those of sessions about to run


class Scenes:
    """Builds each scene once, for all sessions in it, one after another in a thread that no frame waits for.

    Used from one event loop.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scenes")
        self._built: WeakValueDictionary[_Key, Raster] = WeakValueDictionary()
        self._recent: deque[Raster] = deque(maxlen=_RECENT)

    async def built(self, message: pb.Scene, path: str, scale: float = 1.0) -> Raster | None:
        """The scene in units of ``scale`` metres; None for an empty one.

        A call that is cancelled while others are built costs nothing.

        Raises InputError as ``from_proto`` does.
        """
        if not message.ByteSize():
            return None
        key = await asyncio.to_thread(_key, message), scale
        found = self._built.get(key)
        if found is None:
            found = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._build, key, message, path
            )
        if found is not None and found not in self._recent:
            self._recent.append(found)
        return found

    def _build(self, key: _Key, message: pb.Scene, path: str) -> Raster | None:
        """In the thread. Whoever waited here before may have asked for the same scene."""
        found = self._built.get(key)
        if found is None:
            scene = from_proto(message, path)
            if scene is None:
                return None
            try:
                found = self._built[key] = Raster(scene.scaled(1 / key[1]))
            except InputError as error:
                raise InputError(path, error.reason) from error
        return found


def _key(message: pb.Scene) -> bytes:
    return sha256(message.SerializeToString(deterministic=True)).digest()


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

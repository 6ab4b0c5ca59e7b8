"""Scenes from the wire."""

from __future__ import annotations

from typing import Final

import numpy as np

from kinesphere.errors import InputError
from kinesphere.scenes import Affordance, Box, DistanceField, Scene
from kinesphere.v1 import scene_pb2 as pb

_AFFORDANCES: Final[dict[int, Affordance]] = {
    pb.AFFORDANCE_SIT: "sit",
    pb.AFFORDANCE_LIE: "lie",
    pb.AFFORDANCE_WALK: "walk",
    pb.AFFORDANCE_REACH: "reach",
}
MAX_CELLS: Final = 2_000_000  # a distance field of more takes seconds and too much memory for a session


def from_proto(message: pb.Scene, path: str) -> Scene | None:
    """The scene; None for an empty one. Raises InputError on ``PATH.occupancy.filled``, ``PATH.mesh``, ..."""
    if message.HasField("mesh"):
        raise InputError(f"{path}.mesh", "is not read here: send its occupancy")
    if len({one.id for one in message.objects}) < len(message.objects):
        raise InputError(f"{path}.objects", "two have the same id")
    field = _field(message.occupancy, f"{path}.occupancy") if message.HasField("occupancy") else None
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


def _field(message: pb.OccupancyGrid, path: str) -> DistanceField:
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

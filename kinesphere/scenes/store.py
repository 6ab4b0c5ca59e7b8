"""Scenes in files of our own: .npz without pickles, read back within limits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import FormatError, InputError
from kinesphere.formats import arrays, limits
from kinesphere.scenes.field import MAX_CELLS, DistanceField
from kinesphere.scenes.scene import AFFORDANCES, Box, Scene


def save(scene: Scene, path: Path) -> Path:
    """Write a scene; its cells as bits, its boxes as JSON. Returns ``path``."""
    boxes = [
        {
            "centre": box.centre,
            "size": box.size,
            "yaw": box.yaw,
            "label": box.label,
            "affordances": box.affordances,
        }
        for box in scene.boxes
    ]
    about: dict[str, Any] = {"id": scene.id, "boxes": boxes}
    cells: dict[str, Any] = {}
    if scene.field is not None:
        filled = scene.field.occupancy
        about |= {"shape": filled.shape, "cell": scene.field.cell}
        cells = {"filled": np.packbits(filled), "origin": scene.field.origin}
    with path.open("wb") as file:
        np.savez_compressed(file, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **cells)
    return path


def load(path: Path) -> Scene:
    """Read a scene that ``save`` wrote; the distance field is worked out again. Raises FormatError."""
    parts = arrays.parse_npz(limits.read_bytes(path), ("about", "filled", "origin"))
    try:
        about = json.loads(parts["about"].tobytes())
        boxes = tuple(_box(fields) for fields in about["boxes"])
        field = _field(about, parts) if "filled" in parts else None
        return Scene(str(about["id"]), boxes, field)
    except FormatError:
        raise
    except InputError as error:
        raise FormatError(error.field, error.reason) from error
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise FormatError("scene", f"is no scene file: {type(error).__name__}") from error


def _field(about: dict[str, Any], parts: dict[str, NDArray[Any]]) -> DistanceField:
    shape = tuple(int(length) for length in about["shape"])
    count = math.prod(shape)
    if len(shape) != 3 or min(shape) < 1 or count > MAX_CELLS:
        raise FormatError("scene.shape", f"{list(shape)} is not a grid of up to {MAX_CELLS} cells")
    bits = np.unpackbits(parts["filled"])
    if len(bits) < count:
        raise FormatError("scene.filled", f"holds {len(bits)} cells of {count}")
    filled = bits[:count].reshape(shape).astype(bool)
    return DistanceField.from_occupancy(filled, float(about["cell"]), parts["origin"])


def _box(fields: dict[str, Any]) -> Box:
    x, y, z = (float(value) for value in fields["centre"])
    width, height, depth = (float(value) for value in fields["size"])
    affords = tuple(name for name in AFFORDANCES if name in fields["affordances"])
    return Box((x, y, z), (width, height, depth), float(fields["yaw"]), str(fields["label"]), affords)

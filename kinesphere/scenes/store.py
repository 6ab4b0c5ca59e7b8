"""Scenes in files of our own: .npz without pickles, read back within limits."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinesphere.errors import FormatError, InputError
from kinesphere.formats import limits
from kinesphere.scenes.field import MAX_CELLS, DistanceField
from kinesphere.scenes.scene import AFFORDANCES, Box, Scene

_MAX_JSON: Final = 2**20


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
    arrays: dict[str, Any] = {}
    if scene.field is not None:
        filled = scene.field.occupancy
        about |= {"shape": filled.shape, "cell": scene.field.cell}
        arrays = {"filled": np.packbits(filled), "origin": scene.field.origin}
    with path.open("wb") as file:
        np.savez_compressed(file, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **arrays)
    return path


def load(path: Path) -> Scene:
    """Read a scene that ``save`` wrote; the distance field is worked out again. Raises FormatError."""
    limits.read_bytes(path)  # refuses what is missing, empty or too large
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(part.file_size for part in archive.infolist()) > MAX_CELLS + _MAX_JSON:
                raise FormatError("scene", "unpacks to more than a scene may hold")
        with np.load(path, allow_pickle=False) as parts:
            about = json.loads(parts["about"].tobytes())
            boxes = tuple(_box(fields) for fields in about["boxes"])
            field = None
            if "filled" in parts:
                shape = tuple(int(length) for length in about["shape"])
                count = int(np.prod(shape))
                if not 0 < count <= MAX_CELLS:
                    raise FormatError("scene.shape", f"{count} cells, at most {MAX_CELLS} are used")
                filled = np.unpackbits(parts["filled"], count=count).reshape(shape).astype(bool)
                field = DistanceField.from_occupancy(filled, float(about["cell"]), parts["origin"])
            return Scene(str(about["id"]), boxes, field)
    except FormatError:
        raise
    except InputError as error:
        raise FormatError(error.field, error.reason) from error
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, OSError) as error:
        raise FormatError("scene", f"is no scene file: {type(error).__name__}") from error


def _box(fields: dict[str, Any]) -> Box:
    x, y, z = (float(value) for value in fields["centre"])
    width, height, depth = (float(value) for value in fields["size"])
    affords = tuple(name for name in AFFORDANCES if name in fields["affordances"])
    return Box((x, y, z), (width, height, depth), float(fields["yaw"]), str(fields["label"]), affords)

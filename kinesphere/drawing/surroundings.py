"""The things of a scene as flat panes to draw: the sides and tops of boxes, and of the filled cells' columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kinesphere.scenes import Box, Scene

_COARSE = 0.2  # metres: the edge of the blocks that filled cells are drawn as


def solid_panes(scene: Scene) -> Iterator[tuple[NDArray[np.float64], float]]:
    """The corners [4,3] of each pane in the world, and how light it is, 0 to 1."""
    for box in scene.boxes:
        yield from _panes(box)
    for box in blocks(scene):
        yield from _panes(box)


def blocks(scene: Scene) -> list[Box]:
    """The filled cells of a scene as coarse columns, each from its lowest filled cell to its highest."""
    field = scene.field
    if field is None:
        return []
    step = max(1, round(_COARSE / field.cell))
    filled = field.occupancy
    found = []
    for i in range(0, filled.shape[0], step):
        for k in range(0, filled.shape[2], step):
            part = filled[i : i + step, :, k : k + step].any(axis=(0, 2))
            levels = np.flatnonzero(part)
            if not len(levels):
                continue
            low, high = int(levels[0]), int(levels[-1]) + 1
            size = np.array([step, high - low, step]) * field.cell
            centre = field.origin + np.array([i + step / 2, (low + high) / 2, k + step / 2]) * field.cell
            x, y, z = (float(value) for value in centre)
            found.append(Box((x, y, z), (float(size[0]), float(size[1]), float(size[2]))))
    return found


def footprint(box: Box) -> NDArray[np.float64]:
    """The corners [4,2] (x, z) of a box, seen from above."""
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.array([box.size[0], box.size[2]]) / 2
    cos, sin = np.cos(box.yaw), np.sin(box.yaw)
    x = cos * corners[:, 0] + sin * corners[:, 1]
    z = cos * corners[:, 1] - sin * corners[:, 0]
    return np.stack([x + box.centre[0], z + box.centre[2]], axis=-1)


def _panes(box: Box) -> Iterator[tuple[NDArray[np.float64], float]]:
    ground = footprint(box)
    low, high = box.centre[1] - box.size[1] / 2, box.centre[1] + box.size[1] / 2

    def at(corners: NDArray[np.float64], height: float) -> NDArray[np.float64]:
        return np.stack([corners[:, 0], np.full(len(corners), height), corners[:, 1]], axis=-1)

    yield at(ground, high), 0.45
    for index in range(4):
        edge = ground[[index, (index + 1) % 4]]
        yield np.concatenate([at(edge, low), at(edge[::-1], high)]), 0.1 + 0.12 * (index % 2)

"""The body of a SMPL-X, SMPL-H or SMPL model file that the user has a licence for, as a skin for GLB files.

The models (https://smpl-x.is.tue.mpg.de, Pavlakos et al. 2019, arXiv:1904.05866) may not be passed on, so none is here;
their ``.npz`` files are read as plain arrays. Skinning is linear, as glTF has it: the pose-dependent corrections are
left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import FormatError
from kinesphere.formats import arrays, limits
from kinesphere.formats.figure import Body, Part, normals
from kinesphere.formats.hierarchy import Float
from kinesphere.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, FloatArray, Skeleton

_NAMES: Final = ("v_template", "f", "weights", "J_regressor", "kintree_table", "shapedirs")
_MAX_VERTICES: Final = 100_000
_MAX_FACES: Final = 400_000
_MAX_JOINTS: Final = 128
_INFLUENCES: Final = 4  # joints a vertex may hang on in glTF's core
_SKIN: Final = "skin"


def read(path: Path | str, betas: FloatArray | None = None) -> Body:
    """The model's rest body with shape ``betas`` [K] (the mean without), the pelvis at the origin.

    Raises FormatError naming the array that is missing or wrong. A ``.pkl`` is refused: pickles can run code.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise FormatError(
            "body", f"{path.name} is not an .npz model file (a .pkl can run code and is never opened)"
        )
    return parse(limits.read_bytes(path), betas)


def parse(data: bytes, betas: FloatArray | None = None) -> Body:
    """The body in the bytes of a model's .npz, as ``read`` gives it. Raises FormatError naming what is wrong."""
    found = arrays.parse_npz(data, _NAMES)
    missing = [name for name in _NAMES[:5] if name not in found]
    if missing:
        raise FormatError("body", f"has no {', '.join(missing)}: not a SMPL model file")
    vertices = arrays.finite(found["v_template"], "body.v_template", (None, 3))
    if not 3 <= len(vertices) <= _MAX_VERTICES:
        raise FormatError("body.v_template", f"has {len(vertices)} vertices, 3 to {_MAX_VERTICES} are read")
    if betas is not None and "shapedirs" in found:
        vertices = vertices + _shape(found["shapedirs"], betas, len(vertices))
    parents = _parents(found["kintree_table"])
    count = len(parents)
    faces = _indices(found["f"], "body.f", len(vertices))
    weights = arrays.finite(found["weights"], "body.weights", (len(vertices), count))
    regressor = arrays.finite(found["J_regressor"], "body.J_regressor", (count, len(vertices)))
    rest = regressor @ vertices
    offsets = np.zeros((count, 3))
    for joint, parent in enumerate(parents[1:], start=1):
        offsets[joint] = rest[joint] - rest[parent]
    names = JOINT_NAMES + tuple(f"joint_{joint}" for joint in range(NUM_JOINTS, count))
    joints, shares = _strongest(weights)
    placed = vertices - rest[0]
    part = Part(_SKIN, placed, normals(placed, faces), faces, joints, shares)
    return Body(Skeleton(names, parents, offsets.astype(np.float32)), (part,))


def _shape(directions: NDArray[Any], betas: FloatArray, vertices: int) -> Float:
    if directions.ndim != 3 or directions.shape[:2] != (vertices, 3) or directions.dtype.kind != "f":
        raise FormatError(
            "body.shapedirs", f"has shape {list(directions.shape)}, expected [{vertices}, 3, any]"
        )
    used = min(len(betas), directions.shape[2])
    moved = directions[:, :, :used].astype(np.float64) @ np.asarray(betas[:used], dtype=np.float64)
    if not np.all(np.isfinite(moved)):
        raise FormatError("body.shapedirs", "holds NaN or infinite values")
    return moved


def _parents(table: NDArray[Any]) -> tuple[int, ...]:
    """Parents, -1 for the root, from a kintree_table [2,J]. The first 22 must be SMPL's."""
    if table.ndim != 2 or table.shape[0] != 2 or table.dtype.kind not in "iu":
        raise FormatError(
            "body.kintree_table", f"has shape {list(table.shape)}, expected whole numbers [2, joints]"
        )
    parents = (-1, *(int(parent) for parent in table[0, 1:]))
    if len(parents) > _MAX_JOINTS or parents[:NUM_JOINTS] != PARENTS:
        raise FormatError("body.kintree_table", f"does not begin with SMPL's {NUM_JOINTS} joints")
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents[1:], start=1)):
        raise FormatError("body.kintree_table", "a joint does not hang on one before it")
    return parents


def _indices(faces: NDArray[Any], field: str, vertices: int) -> NDArray[np.int64]:
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu" or not len(faces):
        raise FormatError(field, f"has shape {list(faces.shape)}, expected whole numbers [faces, 3]")
    if len(faces) > _MAX_FACES:
        raise FormatError(field, f"has {len(faces)} faces, at most {_MAX_FACES} are read")
    if int(faces.max()) >= vertices or int(faces.min()) < 0:
        raise FormatError(field, "names a vertex that is not there")
    return faces.astype(np.int64)


def _strongest(weights: Float) -> tuple[NDArray[np.int64], Float]:
    """The four joints that a vertex hangs on most, [V,4] each, and their shares, which sum to 1."""
    order = np.argsort(-weights, axis=1)[:, :_INFLUENCES].astype(np.int64)
    shares = np.maximum(np.take_along_axis(weights, order, axis=1), 0.0)
    total = shares.sum(axis=1, keepdims=True)
    if np.any(total < 1e-6):
        raise FormatError("body.weights", "a vertex hangs on no joint")
    shares /= total
    order[shares == 0] = 0  # the specification wants joint 0 where there is no weight
    return order, shares

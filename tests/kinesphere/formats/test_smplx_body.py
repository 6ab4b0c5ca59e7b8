"""A body in the layout of SMPL-X's model files, made here, becomes the mesh of a .glb; broken ones are refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.errors import FormatError, InputError
from kinesphere.formats import figure, load_motion, save_motion, smplx_body
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS, SMPL22

_EXTRA = 33  # jaw, eyes and fingers of SMPL-X


def _model(**changes: Any) -> dict[str, Any]:
    """The open figure's mesh as a SMPL-X-like model: taller legs, its origin beside the pelvis, 33 more joints."""
    parts = figure.build(SMPL22)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices = np.concatenate([part.vertices for part in parts])
    count = 22 + _EXTRA
    weights = np.zeros((len(vertices), count))
    for part, start in zip(parts, starts, strict=False):
        rows = start + np.arange(len(part.vertices))
        for slot in range(4):
            np.add.at(weights, (rows, part.joints[:, slot]), part.weights[:, slot])
    # The joints are regressed from a few vertices put exactly there.
    places = np.concatenate([SMPL22.rest_positions(), np.repeat(SMPL22.rest_positions()[20:21], _EXTRA, 0)])
    regressor = np.zeros((count, len(vertices) + count))
    regressor[np.arange(count), len(vertices) + np.arange(count)] = 1
    weights = np.concatenate([weights, np.eye(count)])
    shape = np.zeros((len(vertices) + count, 3, 10))
    shape[:, 1, 0] = np.concatenate([vertices, places])[:, 1] * 0.1  # the first shape is height
    model: dict[str, Any] = {
        "v_template": np.concatenate([vertices, places]) + [0.0, -0.35, 0.01],
        "f": np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]).astype(
            np.uint32
        ),
        "weights": weights,
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:], *[20] * _EXTRA], range(count)], dtype=np.uint32),
        "shapedirs": shape,
        "joint2num": np.array({"Pelvis": 0}, dtype=object),  # a pickle beside the arrays is not opened
    }
    return {name: value for name, value in (model | changes).items() if value is not None}


def _saved(folder: Path, **changes: Any) -> Path:
    np.savez(folder / "SMPLX_NEUTRAL.npz", **_model(**changes))
    return folder / "SMPLX_NEUTRAL.npz"


def _document(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    (length,) = struct.unpack_from("<I", data, 12)
    document: dict[str, Any] = json.loads(data[20 : 20 + length])
    return document


def test_the_models_mesh_takes_over_the_rotations(tmp_path: Path, make_motion) -> None:
    motion = make_motion(3, 9, 20.0, calm=0.3)
    path = save_motion(motion, tmp_path / "body.glb", body=_saved(tmp_path))
    document = _document(path)
    assert len(document["skins"][0]["joints"]) == 55
    assert [node["name"] for node in document["nodes"][:22]] == list(JOINT_NAMES)
    assert sum(len(mesh["primitives"]) for mesh in document["meshes"]) == 1
    # Joints of the mesh lie where the skeleton's do, so it is read back as the very motion.
    back = load_motion(path)
    assert np.abs(back.positions - motion.positions).max() < 1e-4


def test_shape_lengthens_bones_and_keeps_the_feet_on_the_floor(tmp_path: Path) -> None:
    still = np.tile([1.0, 0, 0, 0], (2, 22, 1))
    floor = float(SMPL22.rest_positions()[:, 1].min())
    motion = Motion.from_rotations(
        np.tile([0, -floor, 0], (2, 1)), still, 20.0, betas=np.array([2.0, 0.0], dtype=np.float32)
    )
    back = load_motion(save_motion(motion, tmp_path / "tall.glb", body=_saved(tmp_path)))
    thigh = JOINT_INDEX["left_knee"]
    assert back.skeleton.offsets[thigh, 1] == pytest.approx(1.2 * SMPL22.offsets[thigh, 1], abs=1e-4)
    assert back.positions[0, :, 1].min() == pytest.approx(0.0, abs=1e-4)


def test_a_skinned_vertex_follows_its_bone(tmp_path: Path) -> None:
    body = smplx_body.read(_saved(tmp_path))
    (part,) = body.parts
    assert part.weights.sum(axis=1) == pytest.approx(1.0)
    assert np.all(part.joints[part.weights == 0] == 0)
    wrist = JOINT_INDEX["left_wrist"]
    place = body.skeleton.rest_positions()[wrist]
    # The vertex that the wrist is regressed from hangs on the wrist alone, at its place.
    own = len(part.vertices) - 55 + wrist
    assert (part.joints[own, 0], part.weights[own, 0]) == (wrist, 1.0)
    np.testing.assert_allclose(part.vertices[own], place, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"weights": None}, "body"),
        ({"v_template": np.zeros((2, 3))}, "body.v_template"),
        ({"v_template": np.full((6000, 3), np.nan)}, "body.v_template"),
        ({"f": np.array([[0, 1, 10**6]])}, "body.f"),
        ({"f": np.array([[0, 1, -1]])}, "body.f"),
        ({"f": np.zeros((0, 3), dtype=np.int64)}, "body.f"),
        ({"f": np.zeros((4, 3))}, "body.f"),
        ({"J_regressor": np.zeros((55, 4))}, "body.J_regressor"),
        ({"kintree_table": np.zeros((2, 24), dtype=np.int64)}, "body.kintree_table"),
        ({"kintree_table": np.zeros(55, dtype=np.int64)}, "body.kintree_table"),
        ({"kintree_table": np.array([[0, *PARENTS[1:], *[50] * _EXTRA], range(55)])}, "body.kintree_table"),
        ({"shapedirs": np.zeros((3, 3, 10))}, "body.shapedirs"),
    ],
)
def test_broken_models_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(FormatError) as caught:
        smplx_body.read(_saved(tmp_path, **changes), np.ones(3, dtype=np.float32))
    assert caught.value.field == field


def test_weightless_vertices_pickles_and_other_formats_are_refused(tmp_path: Path, make_motion) -> None:
    weights = _model()["weights"]
    weights[7] = 0
    with pytest.raises(FormatError, match="weights"):
        smplx_body.read(_saved(tmp_path, weights=weights))
    with pytest.raises(FormatError, match="never opened"):
        smplx_body.read(tmp_path / "SMPLX_NEUTRAL.pkl")
    with pytest.raises(FormatError, match="not a file"):
        smplx_body.read(tmp_path / "missing.npz")
    with pytest.raises(InputError, match="only a .glb"):
        save_motion(make_motion(), tmp_path / "motion.bvh", body=_saved(tmp_path))

"""The .glb: a valid glTF container, a closed figure whose skin follows the joints, and a reader that trusts nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.errors import FormatError
from kinesphere.formats import figure, glb, glb_reader
from kinesphere.skeleton import JOINT_INDEX, JOINT_NAMES, SMPL22

_TYPES = {5121: ("u1", 1), 5123: ("<u2", 2), 5125: ("<u4", 4), 5126: ("<f4", 4)}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def _open(data: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, total, length, kind = struct.unpack_from("<IIIII", data)
    assert (magic, version, total, kind) == (0x46546C67, 2, len(data), 0x4E4F534A)
    assert length % 4 == 0
    size, kind = struct.unpack_from("<II", data, 20 + length)
    assert kind == 0x004E4942
    assert size % 4 == 0
    assert len(data) == 28 + length + size
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def _array(document: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    code, size = _TYPES[accessor["componentType"]]
    width = _WIDTHS[accessor["type"]]
    assert view["byteOffset"] % size == 0
    assert view["byteLength"] == accessor["count"] * width * size
    return np.frombuffer(binary, code, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)


def test_every_accessor_lies_inside_its_aligned_view_and_bounds_are_true(make_motion) -> None:
    document, binary = _open(glb.dumps(make_motion(1, 7)))
    assert document["asset"]["version"] == "2.0"
    assert document["buffers"] == [{"byteLength": len(binary)}]
    for index, accessor in enumerate(document["accessors"]):
        values = _array(document, binary, index)
        if "min" in accessor:
            np.testing.assert_allclose(accessor["min"], values.min(axis=0), atol=1e-7)
            np.testing.assert_allclose(accessor["max"], values.max(axis=0), atol=1e-7)
    # What the specification demands bounds of: positions and the times of an animation.
    for primitive in document["meshes"][0]["primitives"]:
        assert "min" in document["accessors"][primitive["attributes"]["POSITION"]]
    for sampler in document["animations"][0]["samplers"]:
        assert "max" in document["accessors"][sampler["input"]]


def test_nodes_form_one_tree_and_every_joint_is_animated(make_motion) -> None:
    document, binary = _open(glb.dumps(make_motion(2, 5), "jump"))
    nodes = document["nodes"]
    assert [node["name"] for node in nodes[:22]] == list(JOINT_NAMES)
    children = [child for node in nodes for child in node.get("children", [])]
    assert sorted(children) == list(range(1, 22))
    assert document["scenes"][0]["nodes"] == [0, 22]
    channels = [(c["target"]["node"], c["target"]["path"]) for c in document["animations"][0]["channels"]]
    assert channels == [(0, "translation"), *((joint, "rotation") for joint in range(22))]
    assert document["animations"][0]["name"] == "jump"
    times = _array(document, binary, document["animations"][0]["samplers"][0]["input"])[:, 0]
    np.testing.assert_allclose(times, np.arange(5) / 20, atol=1e-6)


def test_skin_weights_sum_to_one_and_binds_undo_the_rest_pose(make_motion) -> None:
    document, binary = _open(glb.dumps(make_motion(3, 2, stretch=1.2)))
    skin = document["skins"][0]
    binds = _array(document, binary, skin["inverseBindMatrices"]).reshape(-1, 4, 4).transpose(0, 2, 1)
    rest = make_motion(3, 2, stretch=1.2).skeleton.rest_positions()
    moved = np.einsum("jab,jb->ja", binds, np.concatenate([rest, np.ones((22, 1))], axis=1))
    np.testing.assert_allclose(moved[:, :3], 0, atol=1e-6)
    for primitive in document["meshes"][0]["primitives"]:
        attributes = primitive["attributes"]
        weights = _array(document, binary, attributes["WEIGHTS_0"])
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert _array(document, binary, attributes["JOINTS_0"]).max() < 22
        normals = _array(document, binary, attributes["NORMAL"])
        np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
        count = document["accessors"][attributes["POSITION"]]["count"]
        assert _array(document, binary, primitive["indices"]).max() < count


def test_the_figure_is_closed_faces_outwards_and_has_a_persons_size() -> None:
    parts = figure.build()
    for part in parts:
        # The volume under the surface (divergence theorem) is positive only if faces point outwards.
        a, b, c = (part.vertices[part.faces[:, i]] for i in range(3))
        assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 > 1e-6
        towards = np.cross(b - a, c - a)
        assert np.all(np.sum(towards * part.normals[part.faces[:, 0]], axis=1) > -1e-9)
    vertices = np.concatenate([part.vertices for part in parts])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    assert 1.6 < high[1] - low[1] < 1.9
    assert 1.5 < high[0] - low[0] < 1.9
    # Feet and nose point forward.
    assert high[2] > 0.15 > -low[2]
    # The skin of each side belongs to joints of that side.
    for part in parts:
        owner = JOINT_NAMES[int(part.joints[0, 0])]
        if owner.startswith(("left", "right")):
            assert np.sign(part.vertices[:, 0].mean()) == (1 if owner.startswith("left") else -1)


def test_skinning_moves_the_hand_with_the_wrist(make_motion) -> None:
    motion = make_motion(6, 4)
    rest = SMPL22.rest_positions()
    wrist = JOINT_INDEX["left_wrist"]
    world = rot.normalize(np.ones(4))
    hand = next(part for part in figure.build() if np.all(part.joints[:, 0] == wrist))
    moved = rot.rotate(world, hand.vertices - rest[wrist]) + motion.positions[2, wrist]
    assert np.linalg.norm(moved - motion.positions[2, wrist], axis=1).max() < 0.25


def _edited(motion: Any, edit: Callable[[dict[str, Any]], None]) -> bytes:
    document, binary = _open(glb.dumps(motion))
    edit(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    parts = [struct.pack("<II", len(text), glb.JSON_CHUNK), text]
    parts += [struct.pack("<II", len(binary), glb.BINARY_CHUNK), binary]
    body = b"".join(parts)
    return struct.pack("<III", glb.MAGIC, 2, 12 + len(body)) + body


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda d: d["nodes"][3].update(name="tail"), "glb.nodes"),
        (lambda d: d["nodes"][4].update(children=[1]), "glb.nodes"),
        (lambda d: d["nodes"][1].update(translation=[1e999, 0, 0]), "glb.nodes"),
        (lambda d: d["nodes"][1].update(translation="far"), "glb.nodes"),
        (lambda d: d.update(nodes={}), "glb.nodes"),
        (lambda d: d.update(animations=[]), "glb.animations"),
        (lambda d: d["accessors"][-1].update(count=10**9), "glb.accessors"),
        (lambda d: d["accessors"][-1].update(count=-1), "glb.accessors"),
        (lambda d: d["accessors"][-1].update(bufferView=999), "glb.bufferViews"),
        (lambda d: d["bufferViews"][-1].update(byteOffset=10**12), "glb.accessors"),
        (lambda d: d["animations"][0]["channels"][0].update(sampler=99), "glb.animations.samplers"),
        (lambda d: d["animations"][0]["channels"].clear(), "glb.animations"),
        (
            lambda d: d["animations"][0]["samplers"][2].update(interpolation="CUBICSPLINE"),
            "glb.animations.samplers",
        ),
    ],
)
def test_broken_documents_are_refused_by_name(edit, field: str, make_motion) -> None:
    with pytest.raises(FormatError) as caught:
        glb_reader.parse(_edited(make_motion(1, 3), edit))
    assert caught.value.field == field


def test_every_truncation_is_refused(make_motion) -> None:
    data = glb.dumps(make_motion(1, 3))
    for end in range(0, len(data), 997):
        with pytest.raises(FormatError):
            glb_reader.parse(data[:end])

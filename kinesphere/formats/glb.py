"""Binary glTF 2.0 (.glb): a skinned figure with the motion as an animation, and back.

Specification: https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html. glTF's frame is ours: Y up, metres, facing +Z.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import __version__
from kinesphere.errors import InputError
from kinesphere.formats import figure
from kinesphere.motion import Motion
from kinesphere.skeleton import NUM_JOINTS, FloatArray, Skeleton

MAGIC: Final = 0x46546C67
JSON_CHUNK: Final = 0x4E4F534A
BINARY_CHUNK: Final = 0x004E4942
_ARRAY_BUFFER: Final = 34962
_ELEMENT_BUFFER: Final = 34963
_COMPONENT: Final = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}


class _Buffer:
    """Collects accessors into one binary chunk."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self, array: NDArray[Any], code: str, kind: str, *, target: int | None = None, bounds: bool = False
    ) -> int:
        """Append ``array`` with components ``code`` (f4, u2 ...) as ``kind`` (VEC3 ...); returns the accessor."""
        values = np.ascontiguousarray(array, dtype=f"<{code}")
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        if target is not None:
            view["target"] = target
        self.data += values.tobytes()
        self.views.append(view)
        accessor: dict[str, Any] = {
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENT[code],
            "count": len(values),
            "type": kind,
        }
        if bounds:
            flat = values.reshape(len(values), -1)
            accessor |= {"min": flat.min(axis=0).tolist(), "max": flat.max(axis=0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write(motion: Motion, path: Path, body: figure.Body | None = None) -> None:
    """Write a .glb that Blender, three.js and game engines open. Raises InputError for other than 22 joints."""
    path.write_bytes(dumps(motion, path.stem, body))


def dumps(motion: Motion, name: str = "motion", body: figure.Body | None = None) -> bytes:
    """The bytes of a .glb with a skinned body and one animation called ``name``.

    body: the open figure on the motion's own skeleton where it is left out. Another one (see ``smplx_body``) takes
    over the rotations and keeps its own limbs; it is lifted so that a rest pose would stand as high over the floor.
    Raises InputError for a motion of other than 22 joints.
    """
    if motion.skeleton.num_joints != NUM_JOINTS:
        raise InputError("motion.skeleton", f"a figure needs the {NUM_JOINTS}-joint skeleton")
    place = motion.translation
    if body is None:
        body = figure.Body(motion.skeleton, tuple(figure.build(motion.skeleton)))
    else:
        lifted = _foot(motion.skeleton) - _foot(body.skeleton)
        place = place + np.array([0.0, lifted, 0.0], dtype=np.float32)
    joints = body.skeleton.num_joints
    buffer = _Buffer()
    merged = _merged(body.parts)
    materials = [part.material for part in merged]
    primitives = [_primitive(buffer, part, materials) for part in merged]
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": f"kinesphere {__version__}"},
        "scene": 0,
        "scenes": [{"name": name, "nodes": [0, joints]}],
        "nodes": [*_joint_nodes(motion, body.skeleton, place), {"name": "figure", "mesh": 0, "skin": 0}],
        "meshes": [{"name": "figure", "primitives": primitives}],
        "materials": [
            {
                "name": material,
                "pbrMetallicRoughness": {
                    "baseColorFactor": [*figure.MATERIALS[material], 1.0],
                    "metallicFactor": 0.0,
                    "roughnessFactor": 0.8,
                },
            }
            for material in materials
        ],
        "skins": [
            {
                "name": "skeleton",
                "joints": list(range(joints)),
                "skeleton": 0,
                "inverseBindMatrices": _inverse_binds(buffer, body.skeleton),
            }
        ],
        "animations": [{"name": name, **_animation(buffer, motion, place)}],
    }
    buffer.data += b"\0" * (-len(buffer.data) % 4)
    document |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(buffer.data)
    return b"".join(
        [
            struct.pack("<III", MAGIC, 2, total),
            struct.pack("<II", len(text), JSON_CHUNK),
            text,
            struct.pack("<II", len(buffer.data), BINARY_CHUNK),
            bytes(buffer.data),
        ]
    )


def _foot(skeleton: Skeleton) -> float:
    """Height of the lowest joint of the rest pose over the root: below zero."""
    return float(skeleton.rest_positions()[:NUM_JOINTS, 1].min())


def _merged(parts: Sequence[figure.Part]) -> list[figure.Part]:
    """Parts, joined by material: one draw call each."""
    merged = []
    for material in figure.MATERIALS:
        same = [part for part in parts if part.material == material]
        if not same:
            continue
        starts = np.cumsum([0] + [len(part.vertices) for part in same[:-1]])
        merged.append(
            figure.Part(
                material,
                np.concatenate([part.vertices for part in same]),
                np.concatenate([part.normals for part in same]),
                np.concatenate([part.faces + start for part, start in zip(same, starts, strict=True)]),
                np.concatenate([part.joints for part in same]),
                np.concatenate([part.weights for part in same]),
            )
        )
    return merged


def _primitive(buffer: _Buffer, part: figure.Part, materials: list[str]) -> dict[str, Any]:
    index = "u2" if len(part.vertices) < 65_536 else "u4"
    return {
        "attributes": {
            "POSITION": buffer.add(part.vertices, "f4", "VEC3", target=_ARRAY_BUFFER, bounds=True),
            "NORMAL": buffer.add(part.normals, "f4", "VEC3", target=_ARRAY_BUFFER),
            "JOINTS_0": buffer.add(
                part.joints, "u1" if part.joints.max() < 256 else "u2", "VEC4", target=_ARRAY_BUFFER
            ),
            "WEIGHTS_0": buffer.add(part.weights, "f4", "VEC4", target=_ARRAY_BUFFER),
        },
        "indices": buffer.add(part.faces.reshape(-1), index, "SCALAR", target=_ELEMENT_BUFFER),
        "material": materials.index(part.material),
    }


def _joint_nodes(motion: Motion, skeleton: Skeleton, place: FloatArray) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for joint, name in enumerate(skeleton.names):
        offset = place[0] if joint == 0 else skeleton.offsets[joint]
        node: dict[str, Any] = {"name": name, "translation": [float(v) for v in offset]}
        if joint < NUM_JOINTS:  # fingers and face stay at rest
            node["rotation"] = [float(v) for v in motion.rotations[0, joint, [1, 2, 3, 0]]]
        children = skeleton.children(joint)
        if children:
            node["children"] = list(children)
        nodes.append(node)
    return nodes


def _inverse_binds(buffer: _Buffer, skeleton: Skeleton) -> int:
    matrices = np.tile(np.eye(4), (skeleton.num_joints, 1, 1))
    matrices[:, 3, :3] = -skeleton.rest_positions()  # column-major: the translation is the last row here
    return buffer.add(matrices.reshape(-1, 16), "f4", "MAT4")


def _animation(buffer: _Buffer, motion: Motion, place: FloatArray) -> dict[str, Any]:
    times = buffer.add(np.arange(motion.num_frames) / motion.fps, "f4", "SCALAR", bounds=True)
    outputs = [(0, "translation", buffer.add(place, "f4", "VEC3"))]
    for joint in range(NUM_JOINTS):
        turned = motion.rotations[:, joint][:, [1, 2, 3, 0]]
        outputs.append((joint, "rotation", buffer.add(turned, "f4", "VEC4")))
    return {
        "channels": [
            {"sampler": index, "target": {"node": node, "path": kind}}
            for index, (node, kind, _) in enumerate(outputs)
        ],
        "samplers": [
            {"input": times, "output": output, "interpolation": "LINEAR"} for _, _, output in outputs
        ],
        "extras": {"fps": motion.fps},
    }

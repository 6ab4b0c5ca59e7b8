"""Reads animations of the 22-joint skeleton back from binary glTF, ours or what Blender makes of it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinesphere.errors import FormatError
from kinesphere.formats import arrays, limits, table
from kinesphere.formats.glb import BINARY_CHUNK, JSON_CHUNK, MAGIC
from kinesphere.formats.hierarchy import Float
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS

_MAX_JSON: Final = 32 * 2**20
_WIDTHS: Final = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}


def read(path: Path) -> Motion:
    """Read the first animation that moves joints named like ours. Raises FormatError naming what is wrong."""
    return parse(limits.read_bytes(path))


def parse(data: bytes) -> Motion:
    """Parse the bytes of a .glb. Raises FormatError naming what is wrong."""
    document, binary = _chunks(data)
    nodes = _list(document, "nodes")
    names = {node.get("name"): index for index, node in enumerate(nodes) if isinstance(node.get("name"), str)}
    missing = [name for name in JOINT_NAMES if name not in names]
    if missing:
        raise FormatError(
            "glb.nodes", f"no node is called {missing[0]!r}; only the 22-joint skeleton is read"
        )
    joints = {names[name]: joint for joint, name in enumerate(JOINT_NAMES)}
    _check_tree(nodes, joints)
    offsets = np.array([_vector(nodes[node], "translation", 3, (0.0, 0.0, 0.0)) for node in joints])
    animations = _list(document, "animations")
    if not animations:
        raise FormatError("glb.animations", "is empty: nothing moves")
    times, translation, turned = _tracks(document, binary, animations[0], joints)
    count = len(times)
    rotations = np.empty((count, NUM_JOINTS, 4))
    for node, joint in joints.items():
        track = turned.get(joint)
        still = _vector(nodes[node], "rotation", 4, (0.0, 0.0, 0.0, 1.0))
        rotations[:, joint] = (np.asarray(still)[None] if track is None else track)[:, [3, 0, 1, 2]]
    place = np.broadcast_to(offsets[0], (count, 3)) if translation is None else translation
    return Motion.from_rotations(
        place, rotations, table.frame_rate(times, "glb.times"), table.nearest(offsets)
    )


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) < 20:
        raise FormatError("glb", "is shorter than its header")
    magic, version, total = struct.unpack_from("<III", data)
    if magic != MAGIC or version != 2:
        raise FormatError("glb", "is not binary glTF 2.0")
    if total != len(data):
        raise FormatError("glb", f"declares {total} bytes and holds {len(data)} (cut short?)")
    length, kind = struct.unpack_from("<II", data, 12)
    if kind != JSON_CHUNK or 20 + length > len(data) or length > _MAX_JSON:
        raise FormatError("glb.json", "does not begin with a readable JSON chunk")
    try:
        document = json.loads(data[20 : 20 + length])
    except (ValueError, RecursionError):
        raise FormatError("glb.json", "is not a JSON document") from None
    if not isinstance(document, dict):
        raise FormatError("glb.json", "is not a glTF document")
    rest = data[20 + length :]
    if len(rest) < 8:
        return document, b""
    length, kind = struct.unpack_from("<II", rest)
    if kind != BINARY_CHUNK or 8 + length > len(rest):
        raise FormatError("glb.bin", "the binary chunk is cut short")
    return document, rest[8 : 8 + length]


def _tracks(
    document: dict[str, Any], binary: bytes, animation: dict[str, Any], joints: dict[int, int]
) -> tuple[Float, Float | None, dict[int, Float]]:
    samplers = _list(animation, "samplers")
    times: Float | None = None
    translation: Float | None = None
    turned: dict[int, Float] = {}
    for channel in _list(animation, "channels"):
        target = channel.get("target")
        target = target if isinstance(target, dict) else {}
        node = target.get("node")
        joint = joints.get(node) if isinstance(node, int) else None
        kind = target.get("path")
        if joint is None or kind not in ("rotation", "translation") or (kind == "translation" and joint != 0):
            continue
        sampler = _item(samplers, channel.get("sampler"), "glb.animations.samplers")
        if sampler.get("interpolation", "LINEAR") not in ("LINEAR", "STEP"):
            raise FormatError("glb.animations.samplers", "only LINEAR and STEP interpolation are read")
        now = _accessor(document, binary, sampler.get("input"), "SCALAR")[:, 0]
        if times is None:
            times = now
            limits.check_frames(len(times), NUM_JOINTS * 4, "glb.times")
        if len(now) != len(times) or not np.allclose(now, times, atol=1e-4):
            raise FormatError("glb.times", "the joints are not sampled at the same times")
        values = _accessor(document, binary, sampler.get("output"), "VEC4" if kind == "rotation" else "VEC3")
        if len(values) != len(times):
            raise FormatError("glb.animations", "a track has another length than its times")
        if kind == "translation":
            translation = values
        else:
            if np.any(np.abs(np.linalg.norm(values, axis=1) - 1) > 0.01):
                raise FormatError("glb.animations", "a rotation is not a unit quaternion")
            turned[joint] = values
    if times is None:
        raise FormatError("glb.animations", "the first animation moves none of the 22 joints")
    return times, translation, turned


def _accessor(document: dict[str, Any], binary: bytes, index: object, kind: str) -> Float:
    accessor = _item(_list(document, "accessors"), index, "glb.accessors")
    if accessor.get("componentType") != 5126 or accessor.get("type") != kind or "sparse" in accessor:
        raise FormatError("glb.accessors", f"an animation needs dense float {kind} accessors")
    view = _item(_list(document, "bufferViews"), accessor.get("bufferView"), "glb.bufferViews")
    sizes = [
        accessor.get("count"),
        accessor.get("byteOffset", 0),
        view.get("byteOffset", 0),
        view.get("byteLength"),
    ]
    if any(type(size) is not int or size < 0 for size in sizes) or view.get("buffer") != 0:
        raise FormatError("glb.accessors", "a count or an offset is no size")
    count, inner, outer, length = sizes
    width = _WIDTHS[kind]
    if view.get("byteStride", 4 * width) != 4 * width:
        raise FormatError("glb.bufferViews", "interleaved animation data is not read")
    if inner + count * width * 4 > length or outer + length > len(binary):
        raise FormatError("glb.accessors", f"{count} values do not fit into their buffer")
    values = np.frombuffer(binary, dtype="<f4", count=count * width, offset=outer + inner)
    return arrays.finite(values.reshape(count, width), "glb.accessors", (None, width))


def _check_tree(nodes: list[dict[str, Any]], joints: dict[int, int]) -> None:
    parent: dict[int, int] = {}
    for node, joint in joints.items():
        children = nodes[node].get("children", [])
        for child in children if isinstance(children, list) else []:
            if isinstance(child, int) and child in joints:
                parent[joints[child]] = joint
    for joint, above in enumerate(PARENTS):
        if above >= 0 and parent.get(joint) != above:
            raise FormatError("glb.nodes", f"{JOINT_NAMES[joint]} does not hang on {JOINT_NAMES[above]}")


def _vector(node: dict[str, Any], key: str, size: int, default: tuple[float, ...]) -> list[float]:
    value = node.get(key, default)
    numbers = isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and abs(v) <= limits.MAX_COORDINATE for v in value
    )
    if not numbers or len(value) != size:
        raise FormatError("glb.nodes", f"a {key} is not {size} finite numbers")
    return [float(v) for v in value]


def _list(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise FormatError(f"glb.{key}", "is no list of objects")
    return value


def _item(items: list[dict[str, Any]], index: object, field: str) -> dict[str, Any]:
    if not isinstance(index, int) or not 0 <= index < len(items):
        raise FormatError(field, f"there is no number {str(index)[:20]}")
    return items[index]

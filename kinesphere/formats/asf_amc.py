"""ASF/AMC (Acclaim): the skeleton and motion files of the CMU motion capture database.

Kinematics follow the format's description at https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/ASF-AMC.html:
a bone's rotation is C R C^-1 in its parent's frame, C turning the world's axes into the bone's own; a bone ends at its
start plus its turned direction times its length. CMU's lengths are inches after division by ``:units length``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from kinesphere.errors import FormatError
from kinesphere.formats import limits
from kinesphere.formats.hierarchy import Float

INCH: Final = 0.0254
FPS: Final = 120.0  # the format does not say; CMU recorded at 120
# Real skeletons are 10 KB; a minute of motion is 4 MB. Words in memory take fifty times their bytes.
_MAX_ASF_BYTES: Final = 2**20
_MAX_AMC_BYTES: Final = 64 * 2**20
_DOFS: Final = ("tx", "ty", "tz", "rx", "ry", "rz", "l")


@dataclass(frozen=True, eq=False)
class Bone:
    """direction: unit [3] in the world at rest. length: file units. axis: [3,3], its axes at rest. dofs: columns."""

    name: str
    direction: Float
    length: float
    axis: Float
    dofs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AcclaimSkeleton:
    """An .asf: the bones by name, each bone's parent (``root`` for the first), metres per file unit."""

    bones: dict[str, Bone]
    parents: dict[str, str]  # every parent stands before its children
    metres: float
    degrees: bool
    root_order: tuple[str, ...]
    root_axis: Float
    root_position: Float


def find_skeleton(amc: Path) -> Path:
    """The .asf that belongs to an .amc: the same name, the subject's name, or CMU's names for special skeletons.

    Raises FormatError when there is none beside it.
    """
    subject = amc.stem.split("_")[0]
    special = {"131": "mjackson", "135": "martialwalk", "md": "moderndance"}
    for stem in (amc.stem, subject, special.get(subject, subject)):
        candidate = amc.with_name(stem + ".asf")
        if candidate.is_file():
            return candidate
    raise FormatError("skeleton", f"no .asf for {amc.name} beside it ({subject}.asf is looked for)")


def read_skeleton(path: Path) -> AcclaimSkeleton:
    """Read an .asf. Raises FormatError naming what is wrong."""
    return parse_skeleton(limits.read_bytes(path))


def parse_skeleton(data: bytes) -> AcclaimSkeleton:
    """Parse the bytes of an .asf. Raises FormatError naming what is wrong."""
    if len(data) > _MAX_ASF_BYTES:
        raise FormatError("asf", f"is larger than {_MAX_ASF_BYTES} bytes")
    sections: dict[str, list[list[str]]] = {}
    current: list[list[str]] = []
    for line in data.decode("latin-1").splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0].startswith(":"):
            current = sections.setdefault(words[0].lower(), [])
            words = words[1:]
            if not words:
                continue
        current.append(words)
    for name in (":root", ":bonedata", ":hierarchy"):
        if name not in sections:
            raise FormatError("asf", f"has no {name} section")
    units = {words[0].lower(): words[1] for words in sections.get(":units", []) if len(words) > 1}
    length = _number(units.get("length", "1"), "asf.units.length")
    if not 1e-4 < length < 1e4:
        raise FormatError("asf.units.length", f"{length:g} is not plausible")
    degrees = units.get("angle", "deg").lower().startswith("deg")
    root = {words[0].lower(): words[1:] for words in sections[":root"]}
    order = tuple(word.lower() for word in root.get("order", []))
    if sorted(order) != sorted(_DOFS[:6]):
        raise FormatError("asf.root.order", "the root needs TX TY TZ RX RY RZ in some order")
    root_axis = _axes(_numbers(root.get("orientation", ["0", "0", "0"]), 3, "asf.root.orientation"), degrees)
    position = _numbers(root.get("position", ["0", "0", "0"]), 3, "asf.root.position")
    bones = _bones(sections[":bonedata"], degrees)
    parents = _hierarchy(sections[":hierarchy"], bones)
    return AcclaimSkeleton(bones, parents, INCH / length, degrees, order, root_axis, position)


def read(amc: Path, asf: Path | None = None) -> tuple[AcclaimSkeleton, dict[str, Float]]:
    """Read an .amc and its skeleton: (skeleton, columns [T,dofs] by bone). Raises FormatError naming what is wrong."""
    skeleton = read_skeleton(asf or find_skeleton(amc))
    return skeleton, parse_motion(limits.read_bytes(amc), skeleton)


def parse_motion(data: bytes, skeleton: AcclaimSkeleton) -> dict[str, Float]:
    """Parse the bytes of an .amc: columns [T,dofs] for each bone it moves. Raises FormatError naming what is wrong."""
    tokens = _frame_tokens(data)
    layout: list[tuple[str, int]] = []
    width = 1
    while width < len(tokens) and not _is_number(tokens[width]):
        name = tokens[width].decode("latin-1")
        dofs = skeleton.root_order if name == "root" else getattr(skeleton.bones.get(name), "dofs", None)
        if dofs is None:
            raise FormatError("amc", f"moves a bone {name[:40]!r} that the skeleton does not have")
        if any(name == other for other, _ in layout):
            raise FormatError("amc", f"names the bone {name[:40]!r} twice in its first frame")
        layout.append((name, len(dofs)))
        width += 1 + len(dofs)
    if not layout or layout[0][0] != "root":
        raise FormatError("amc", "a frame begins with its number and the root")
    count = len(tokens) // width
    if len(tokens) % width:
        raise FormatError(
            "amc.frames", f"frame {count + 1} is cut short: {len(tokens) % width} of {width} words"
        )
    limits.check_frames(count, width, "amc.frames")
    columns: dict[str, Float] = {}
    at = 1
    for name, dofs in layout:
        if any(word != name.encode("latin-1") for word in tokens[at::width]):
            raise FormatError("amc", f"not every frame moves the bone {name!r} in the same place")
        values = [tokens[at + 1 + i :: width] for i in range(dofs)]
        try:
            columns[name] = np.array(values, dtype=np.bytes_).astype(np.float64).reshape(dofs, count).T
        except ValueError:
            raise FormatError("amc", f"a value of the bone {name!r} is not a number") from None
        if not np.all(np.isfinite(columns[name])) or np.any(np.abs(columns[name]) > limits.MAX_COORDINATE):
            raise FormatError("amc", f"a value of the bone {name!r} is NaN, infinite or absurdly large")
        at += 1 + dofs
    return columns


def global_transforms(skeleton: AcclaimSkeleton, columns: dict[str, Float]) -> dict[str, tuple[Float, Float]]:
    """Where every bone ends [T,3] in metres and its world rotation [T,3,3] (identity in the rest pose)."""
    count = len(columns["root"])
    root = dict(zip(skeleton.root_order, columns["root"].T, strict=True))
    place = (
        np.stack([root[a] for a in ("tx", "ty", "tz")], axis=1) + skeleton.root_position
    ) * skeleton.metres
    angles = np.stack([root[a] for a in ("rx", "ry", "rz")], axis=1)
    turned = _turned(angles, skeleton.root_axis, skeleton.degrees)
    result: dict[str, tuple[Float, Float]] = {"root": (place, turned)}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        origin, above = result[parent]
        if name in columns:
            angles = np.zeros((count, 3))
            for column, dof in zip(columns[name].T, bone.dofs, strict=True):
                if dof[0] == "r":
                    angles[:, "xyz".index(dof[1])] = column
            above = np.matmul(above, _turned(angles, bone.axis, skeleton.degrees))
        result[name] = (origin + np.matmul(above, bone.direction * bone.length * skeleton.metres), above)
    return result


def rest_positions(skeleton: AcclaimSkeleton) -> dict[str, Float]:
    """[3] places in metres where every bone ends in the rest pose, the root at the origin."""
    places: dict[str, Float] = {"root": np.zeros(3)}
    for name, parent in skeleton.parents.items():
        bone = skeleton.bones[name]
        places[name] = places[parent] + bone.direction * bone.length * skeleton.metres
    return places


def _turned(angles: Float, axis: Float, degrees: bool) -> Float:
    rotation = Rotation.from_euler("xyz", angles, degrees=degrees).as_matrix()
    return np.asarray(axis @ rotation @ axis.T, dtype=np.float64)


def _frame_tokens(data: bytes) -> list[bytes]:
    if len(data) > _MAX_AMC_BYTES:
        raise FormatError("amc", f"is larger than {_MAX_AMC_BYTES} bytes")
    lines = data.splitlines()
    body = 0
    while body < len(lines) and (not lines[body].strip() or lines[body].lstrip()[:1] in (b"#", b":")):
        body += 1
    tokens = b" ".join(lines[body:]).split()
    if len(tokens) > limits.MAX_VALUES or not tokens:
        raise FormatError(
            "amc.frames", f"{len(tokens)} words; at least one frame, at most {limits.MAX_VALUES} words"
        )
    return tokens


def _bones(lines: list[list[str]], degrees: bool) -> dict[str, Bone]:
    bones: dict[str, Bone] = {}
    entry: dict[str, list[str]] | None = None
    for words in lines:
        key = words[0].lower()
        if key == "begin":
            entry = {}
        elif entry is None:
            raise FormatError("asf.bonedata", "a bone begins with 'begin'")
        elif key == "end":
            name = " ".join(entry.get("name", []))
            if not name or name in bones or name == "root" or len(name) > 200:
                raise FormatError("asf.bonedata", f"a bone has no name of its own: {name[:40]!r}")
            if len(bones) >= limits.MAX_JOINTS:
                raise FormatError("asf.bonedata", f"more than {limits.MAX_JOINTS} bones")
            dofs = tuple(word.lower() for word in entry.get("dof", []))
            if any(dof not in _DOFS for dof in dofs) or len(set(dofs)) != len(dofs):
                raise FormatError(
                    "asf.bonedata.dof", f"bone {name!r} has an unknown or double degree of freedom"
                )
            axis = _axes(_numbers(entry.get("axis", ["0", "0", "0"])[:3], 3, "asf.bonedata.axis"), degrees)
            direction = _numbers(entry.get("direction", []), 3, "asf.bonedata.direction")
            norm = float(np.linalg.norm(direction))
            length = _number((entry.get("length") or ["0"])[0], "asf.bonedata.length")
            bones[name] = Bone(name, direction / norm if norm > 1e-9 else direction, length, axis, dofs)
            entry = None
        elif key in ("name", "direction", "length", "axis", "dof"):
            entry[key] = words[1:]
    return bones


def _hierarchy(lines: list[list[str]], bones: dict[str, Bone]) -> dict[str, str]:
    children: dict[str, list[str]] = {}
    claimed: set[str] = set()
    for words in lines:
        if words[0].lower() in ("begin", "end"):
            continue
        for child in words[1:]:
            if child not in bones:
                raise FormatError(
                    "asf.hierarchy", f"names a bone {child[:40]!r} that :bonedata does not have"
                )
            if child in claimed:
                raise FormatError("asf.hierarchy", f"bone {child[:40]!r} has two parents or hangs in a loop")
            claimed.add(child)
            children.setdefault(words[0], []).append(child)
    parents: dict[str, str] = {}
    queue = [("root", 0)]
    while queue:
        parent, depth = queue.pop(0)
        if depth > limits.MAX_DEPTH:
            raise FormatError("asf.hierarchy", f"deeper than {limits.MAX_DEPTH} levels")
        for child in children.get(parent, []):
            parents[child] = parent
            queue.append((child, depth + 1))
    if claimed - parents.keys():
        raise FormatError("asf.hierarchy", "some bones do not hang on the root (a loop)")
    return parents


def _axes(angles: Float, degrees: bool) -> Float:
    return np.asarray(Rotation.from_euler("xyz", angles, degrees=degrees).as_matrix(), dtype=np.float64)


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _number(word: str, name: str) -> float:
    try:
        value = float(word)
    except ValueError:
        raise FormatError(name, f"{word[:40]!r} is not a number") from None
    if not abs(value) <= limits.MAX_COORDINATE:
        raise FormatError(name, f"{value:g} is not finite or beyond {limits.MAX_COORDINATE:g}")
    return value


def _numbers(words: list[str], count: int, name: str) -> Float:
    if len(words) != count:
        raise FormatError(name, f"holds {len(words)} numbers, {count} are expected")
    return np.array([_number(word, name) for word in words])

"""Small synthetic people for the tests of the data pipeline: a standing body whose parts are moved by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinesphere.skeleton import JOINT_INDEX as J
from kinesphere.skeleton import SMPL22, FloatArray

FPS = 20.0


def standing(seconds: float) -> FloatArray:
    """[T,22,3] a body standing at the origin, facing +Z, arms hanging, feet on y = 0."""
    pose = SMPL22.rest_positions().astype(np.float64)
    for side in ("left", "right"):
        shoulder = pose[J[f"{side}_shoulder"]]
        upper = np.linalg.norm(pose[J[f"{side}_elbow"]] - shoulder)
        lower = np.linalg.norm(pose[J[f"{side}_wrist"]] - pose[J[f"{side}_elbow"]])
        out = 0.1 if side == "left" else -0.1
        pose[J[f"{side}_elbow"]] = shoulder + upper * _unit([out, -1.0, 0.0])
        pose[J[f"{side}_wrist"]] = pose[J[f"{side}_elbow"]] + lower * _unit([out, -1.0, 0.15])
    pose[:, 1] -= pose[:, 1].min()
    return np.repeat(pose[None], round(seconds * FPS), axis=0).astype(np.float32)


def raised(positions: FloatArray, side: str, start: float, stop: float, *, waves: float = 0.0) -> FloatArray:
    """The arm on ``side`` straight up from ``start`` to ``stop`` seconds, 0.3 s up and down, swung at ``waves`` Hz."""
    moved = positions.copy()
    times = np.arange(len(moved)) / FPS
    lift = np.clip(np.minimum(times - start, stop - times) / 0.3, 0, 1)
    swing = 0.5 * np.sin(2 * np.pi * waves * (times - start)) * (lift >= 1) if waves else np.zeros(len(moved))
    angle = np.pi * 0.95 * lift
    outward = 1.0 if side == "left" else -1.0
    upper = np.stack([outward * np.sin(angle) * 0.3, -np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([swing + 0 * angle, -np.cos(angle), np.sin(angle)], axis=1)
    for joint, parent, along in (("elbow", "shoulder", upper), ("wrist", "elbow", lower)):
        length = np.linalg.norm(positions[0, J[f"{side}_{joint}"]] - positions[0, J[f"{side}_{parent}"]])
        along = along / np.linalg.norm(along, axis=1, keepdims=True)
        moved[:, J[f"{side}_{joint}"]] = moved[:, J[f"{side}_{parent}"]] + length * along
    return moved


def walking(seconds: float, speed: float = 1.2, *, sideways: float = 0.0, turn: float = 0.0) -> FloatArray:
    """A body that goes ``speed`` m/s ahead and ``sideways`` m/s to its left; in the middle second it turns by ``turn``
    degrees (left positive). Feet step by turns.
    """
    body = standing(seconds).astype(np.float64)
    times = np.arange(len(body)) / FPS
    phase = 2 * np.pi * 0.9 * times
    for side, sign in (("left", 1.0), ("right", -1.0)):
        stride = 0.25 * np.sign(speed) * np.sin(phase) * sign if speed else 0.0 * phase
        lift = 0.06 * np.clip(np.cos(phase) * sign, 0, None)
        for part in ("ankle", "foot"):
            body[:, J[f"{side}_{part}"], 2] += stride
            body[:, J[f"{side}_{part}"], 1] += lift
        body[:, J[f"{side}_knee"], 2] += 0.5 * stride
    middle = seconds / 2
    yaw = np.radians(turn) * np.clip(times - middle + 0.5, 0, 1)
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, z = body[..., 0].copy(), body[..., 2].copy()
    body[..., 0], body[..., 2] = cos * x + sin * z, cos * z - sin * x
    velocity = np.stack(
        [speed * sin[:, 0] + sideways * cos[:, 0], speed * cos[:, 0] - sideways * sin[:, 0]], axis=1
    )
    path = np.cumsum(velocity, axis=0) / FPS
    body[..., 0] += path[:, :1]
    body[..., 2] += path[:, 1:]
    return body.astype(np.float32)


def jumping(height: float = 0.4) -> FloatArray:
    """3 s: standing, then one ballistic jump of ``height`` metres on the spot."""
    body = standing(3.0)
    times = np.arange(len(body)) / FPS
    flight = 2 * np.sqrt(2 * height / 9.81)
    within = np.clip((times - 1.2) / flight, 0, 1)
    body[..., 1] += (4 * height * within * (1 - within)).astype(np.float32)[:, None]
    return body


def bowing(degrees: float = 45.0) -> FloatArray:
    """4 s: the trunk leans forward from the hips by ``degrees`` and comes back."""
    body = standing(4.0).astype(np.float64)
    times = np.arange(len(body)) / FPS
    angle = np.radians(degrees) * np.clip(np.minimum(times - 0.8, 3.2 - times) / 0.6, 0, 1)
    trunk = [
        index
        for name, index in J.items()
        if not any(part in name for part in ("hip", "knee", "ankle", "foot", "pelvis"))
    ]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    relative = body[:, trunk] - body[:, :1]
    y, z = relative[..., 1].copy(), relative[..., 2].copy()
    relative[..., 1], relative[..., 2] = cos * y - sin * z, sin * y + cos * z
    body[:, trunk] = body[:, :1] + relative
    return body.astype(np.float32)


def write_bvh(path: object, positions: FloatArray) -> None:
    """Writes [T,22,3] at 20 fps as a BVH whose joints carry positions, with SMPL's joint names, in metres."""
    from pathlib import Path

    from kinesphere.skeleton import JOINT_NAMES

    lines = ["HIERARCHY"]

    def joint(index: int, depth: int) -> None:
        pad = "  " * depth
        lines.append(f"{pad}{'ROOT' if index == 0 else 'JOINT'} {JOINT_NAMES[index]}")
        lines.append(pad + "{")
        parent = SMPL22.parents[index]
        offset = positions[0, index] - (positions[0, parent] if parent >= 0 else positions[0, index])
        lines.append(f"{pad}  OFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}")
        lines.append(f"{pad}  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation")
        children = SMPL22.children(index)
        for child in children:
            joint(child, depth + 1)
        if not children:
            lines.extend([f"{pad}  End Site", pad + "  {", f"{pad}    OFFSET 0 0.02 0.05", pad + "  }"])
        lines.append(pad + "}")

    joint(0, 0)
    order: list[int] = []

    def visit(index: int) -> None:
        order.append(index)
        for child in SMPL22.children(index):
            visit(child)

    visit(0)
    lines += ["MOTION", f"Frames: {len(positions)}", f"Frame Time: {1 / FPS:.6f}"]
    for frame in positions:
        numbers: list[str] = []
        for index in order:
            parent = SMPL22.parents[index]
            place = frame[index] - (frame[parent] if parent >= 0 else 0)
            numbers += [f"{value:.6f}" for value in place] + ["0", "0", "0"]
        lines.append(" ".join(numbers))
    Path(str(path)).write_text("\n".join(lines) + "\n")


def _unit(vector: list[float]) -> NDArray[np.float64]:
    array = np.asarray(vector)
    return array / np.linalg.norm(array)

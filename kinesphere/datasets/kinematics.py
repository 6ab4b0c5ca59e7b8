"""Curves that a person's meaning is read off: where they face, how they travel, where hands, feet and trunk are.

Everything is plain geometry on joint positions [T,22,3] (metres, Y up, SMPL order), so it works on captured motion and on
generated motion alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from kinesphere.skeleton import JOINT_INDEX as J

Curve = NDArray[np.float64]
Mask = NDArray[np.bool_]
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Side:
    """One side of the body. wrist: [T,3] relative to the shoulder in the body's frame (left, up, forward), metres.

    wrist_level: [T] wrist height above the mean shoulder height. reach: [T] shoulder-to-wrist distance over the arm's
    length. foot: [T,3] foot relative to the pelvis in the body's frame. foot_height: [T] above the floor. extension: [T]
    hip-to-ankle distance over the leg's length. wrist_speed, foot_speed: [T] m/s relative to the pelvis.
    """

    wrist: Curve
    wrist_level: Curve
    reach: Curve
    wrist_speed: Curve
    foot: Curve
    foot_height: Curve
    extension: Curve
    foot_speed: Curve


@dataclass(frozen=True, eq=False)
class Kinematics:
    """Curves over T frames. yaw: radians, grows when turning left (counter-clockwise from above), 0 = +Z.

    forward, leftward: m/s of the pelvis in the facing frame. speed: m/s over the floor. height: pelvis above the floor.
    standing: metres, the pelvis height of this body standing. pitch: degrees that the trunk leans forward. tilt: degrees
    between trunk and vertical. uprightness: head height minus pelvis height. energy: m/s, mean speed of wrists and ankles.
    """

    fps: float
    positions: Curve
    yaw: Curve
    forward: Curve
    leftward: Curve
    speed: Curve
    height: Curve
    standing: float
    pitch: Curve
    tilt: Curve
    uprightness: Curve
    energy: Curve
    left: Side
    right: Side

    @property
    def frames(self) -> int:
        return len(self.yaw)

    def side(self, name: str) -> Side:
        return self.left if name == "left" else self.right

    def path(self, start: int, stop: int) -> float:
        """Metres travelled over the floor between two frames, footstep sway smoothed away."""
        return float(self.speed[start:stop].sum() / self.fps)


def kinematics(positions: NDArray[np.floating], fps: float = 20.0) -> Kinematics:
    """Curves of joint positions [T,22,3], T >= 4."""
    p = np.asarray(positions, dtype=np.float64).copy()
    feet = p[:, [J["left_foot"], J["right_foot"], J["left_ankle"], J["right_ankle"]], 1]
    p[:, :, 1] -= np.percentile(feet.min(axis=1), 10)
    across = p[:, J["left_hip"]] - p[:, J["right_hip"]] + p[:, J["left_shoulder"]] - p[:, J["right_shoulder"]]
    across = gaussian_filter1d(across[:, [0, 2]], 0.15 * fps, axis=0, mode="nearest")
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    yaw = np.unwrap(np.arctan2(-across[:, 1], across[:, 0]))
    smooth = gaussian_filter1d(p[:, 0], 0.2 * fps, axis=0, mode="nearest")
    velocity = np.gradient(smooth, axis=0) * fps
    sin, cos = np.sin(yaw), np.cos(yaw)
    trunk = p[:, J["neck"]] - p[:, J["pelvis"]]
    lean = trunk[:, 0] * sin + trunk[:, 2] * cos
    shoulders = p[:, [J["left_shoulder"], J["right_shoulder"]], 1].mean(axis=1)
    relative = p - p[:, :1]
    limbs = relative[:, [J["left_wrist"], J["right_wrist"], J["left_ankle"], J["right_ankle"]]]
    limb_speed = np.linalg.norm(np.gradient(limbs, axis=0), axis=-1) * fps
    legs = sum(
        np.linalg.norm(p[:, J[a]] - p[:, J[b]], axis=-1).mean()
        for a, b in (("left_hip", "left_knee"), ("left_knee", "left_ankle"))
    )
    standing = 1.09 * float(legs)
    return Kinematics(
        fps=fps,
        positions=p,
        yaw=yaw,
        forward=velocity[:, 0] * sin + velocity[:, 2] * cos,
        leftward=velocity[:, 0] * cos - velocity[:, 2] * sin,
        speed=np.hypot(velocity[:, 0], velocity[:, 2]),
        height=p[:, 0, 1],
        standing=standing,
        pitch=np.degrees(np.arctan2(lean, np.maximum(trunk[:, 1], 0.02))),
        tilt=np.degrees(np.arccos(np.clip(trunk[:, 1] / np.linalg.norm(trunk, axis=1), -1, 1))),
        uprightness=p[:, J["head"], 1] - p[:, 0, 1],
        energy=limb_speed.mean(axis=1),
        left=_side(p, "left", shoulders, sin, cos, fps),
        right=_side(p, "right", shoulders, sin, cos, fps),
    )


def _side(p: Curve, name: str, shoulders: Curve, sin: Curve, cos: Curve, fps: float) -> Side:
    def joint(part: str) -> Curve:
        return p[:, J[f"{name}_{part}"]]

    def body(vector: Curve) -> Curve:
        left = vector[:, 0] * cos - vector[:, 2] * sin
        forward = vector[:, 0] * sin + vector[:, 2] * cos
        return np.stack([left, vector[:, 1], forward], axis=1)

    def length(*parts: str) -> float:
        pairs = zip(parts[:-1], parts[1:], strict=True)
        return float(sum(np.linalg.norm(joint(a) - joint(b), axis=-1).mean() for a, b in pairs))

    def speed(part: str) -> Curve:
        moved = gaussian_filter1d(joint(part) - p[:, 0], 0.05 * fps, axis=0, mode="nearest")
        return np.asarray(np.linalg.norm(np.gradient(moved, axis=0), axis=-1) * fps)

    reach = np.linalg.norm(joint("wrist") - joint("shoulder"), axis=-1)
    extension = np.linalg.norm(joint("ankle") - joint("hip"), axis=-1)
    return Side(
        wrist=body(joint("wrist") - joint("shoulder")),
        wrist_level=joint("wrist")[:, 1] - shoulders,
        reach=reach / max(length("shoulder", "elbow", "wrist"), 1e-6),
        wrist_speed=speed("wrist"),
        foot=body(joint("foot") - p[:, 0]),
        foot_height=np.minimum(joint("foot")[:, 1], joint("ankle")[:, 1]),
        extension=extension / max(length("hip", "knee", "ankle"), 1e-6),
        foot_speed=speed("foot"),
    )


def spans(mask: Mask, close: int = 0, least: int = 1) -> list[Span]:
    """[start, stop) runs of True; runs with gaps of at most ``close`` frames join, shorter than ``least`` are dropped."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    joined: list[Span] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if joined and start - joined[-1][1] <= close:
            joined[-1] = (joined[-1][0], stop)
        else:
            joined.append((start, stop))
    return [(start, stop) for start, stop in joined if stop - start >= least]

"""Motion primitives in torch, batches of them at once: the same numbers as ``kinesphere.reaction.rollout`` gives.

Training cuts segments out of recordings and goes on from what a network made itself; both need to be fast and on the
network's device. Rows of vectors: joints [...,22,3], local rotations as 6D [...,22,6] (two columns).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from kinesphere.representations.primitive276 import FUTURE, HISTORY, LAYOUT
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS, PARENTS, SMPL22

_LEFT_HIP, _RIGHT_HIP = JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]
_ANKLES = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]
_STEP = 0.3  # metres that an ankle goes in a segment of somebody who walks slowly
_OFFSETS = torch.from_numpy(SMPL22.offsets)


class Frames(NamedTuple):
    """Canonical frames that stand on the floor. axes [B,3,3] (columns), origin [B,3]."""

    axes: Tensor
    origin: Tensor

    def inside(self, points: Tensor) -> Tensor:
        """World points [B,...,3] in the frames."""
        flat = points.flatten(1, -2)
        return ((flat - self.origin[:, None]) @ self.axes).reshape(points.shape)


def floor_frames(joints: Tensor) -> Frames:
    """Of the joints [B,22,3] of segments' first history frames."""
    up = joints.new_tensor([0.0, 1.0, 0.0])
    flat = 1.0 - up
    x = torch.nn.functional.normalize((joints[:, _LEFT_HIP] - joints[:, _RIGHT_HIP]) * flat, dim=1)
    y = up.expand_as(x)
    return Frames(torch.stack([x, y, torch.linalg.cross(x, y)], dim=2), joints[:, 0] * flat)


def to_matrix(six: Tensor) -> Tensor:
    """[...,6] -> [...,3,3] by Gram-Schmidt."""
    x = torch.nn.functional.normalize(six[..., :3], dim=-1)
    z = torch.nn.functional.normalize(torch.linalg.cross(x, six[..., 3:]), dim=-1)
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-1)


def to_6d(matrices: Tensor) -> Tensor:
    """[...,3,3] -> [...,6]."""
    return torch.cat([matrices[..., 0], matrices[..., 1]], dim=-1)


def forward_kinematics(root: Tensor, six: Tensor) -> Tensor:
    """Root positions [...,3] and local rotations [...,22,6] -> joints [...,22,3] on the project's skeleton."""
    local = to_matrix(six)
    offsets = _OFFSETS.to(root)
    turned, placed = [local[..., 0, :, :]], [root]
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        placed.append(placed[parent] + turned[parent] @ offsets[joint])
        turned.append(turned[parent] @ local[..., joint, :, :])
    return torch.stack(placed, dim=-2)


def encode(joints: Tensor, six: Tensor, frames: Frames) -> Tensor:
    """World poses [B,T,22,3] and [B,T,22,6] -> primitive276 [B,T-1,276] in ``frames``."""
    local, root = _inside(joints, six, frames)
    return _rows(local, torch.cat([to_6d(root)[:, :, None], six[:, :, 1:]], dim=2), root)


def encode_towards(joints: Tensor, six: Tensor, frames: Frames, own: Frames, gain: float) -> Tensor:
    """The future [B,8,276] that leads from the frames ``own``, where a body is, back to the recorded segment (11 world
    poses, told in its own ``frames``): it starts as recorded from where the body is, and by its end ``gain`` of what
    the body is off in place (at most half a metre) and heading (at most 0.8 rad) is made good.

    Less is made good where less is walked: nobody slides back who was recorded standing.
    """
    local, root = _inside(joints, six, frames)
    back = own.axes.transpose(1, 2)
    shift = (back @ (frames.origin - own.origin)[:, :, None])[:, :, 0]
    shift = shift * (0.5 / shift.norm(dim=1, keepdim=True).clamp_min(0.5))
    turn = back @ frames.axes
    yaw = torch.atan2(turn[:, 0, 2], turn[:, 2, 2]).clamp(-0.8, 0.8)
    walked = joints[:, HISTORY - 1 :, _ANKLES].diff(dim=1)[..., [0, 2]].norm(dim=3).sum(dim=1).mean(dim=1)
    share = gain * (walked / _STEP).clamp_max(1.0)
    done = (torch.arange(joints.shape[1], device=joints.device) - HISTORY + 1).clamp_min(0) / FUTURE
    part = share[:, None] * done
    angle = yaw[:, None] * part
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    cos, sin = angle.cos(), angle.sin()
    about = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=2).unflatten(2, (3, 3))
    local = local @ about.transpose(2, 3) + (shift[:, None] * part[:, :, None])[:, :, None]
    root = about @ root
    rows = _rows(local, torch.cat([to_6d(root)[:, :, None], six[:, :, 1:]], dim=2), root)
    return rows[:, HISTORY:]


def _inside(joints: Tensor, six: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
    """Joints [B,T,22,3] and the pelvis' rotation [B,T,3,3] of world poses, in ``frames``."""
    return frames.inside(joints), frames.axes.transpose(1, 2)[:, None] @ to_matrix(six[:, :, 0])


def _rows(joints: Tensor, six: Tensor, root: Tensor) -> Tensor:
    """Poses of T frames, already in their frame, as T - 1 rows."""
    steps = joints.diff(dim=1)
    turn = root[:, 1:] @ root[:, :-1].transpose(2, 3)
    parts = (
        joints[:, :-1, 0],
        six[:, :-1].flatten(2),
        steps[:, :, 0],
        to_6d(turn),
        joints[:, :-1].flatten(2),
    )
    return torch.cat([*parts, steps.flatten(2)], dim=2)


def following_history(future: Tensor) -> tuple[Tensor, Frames]:
    """The history [B,2,276] of the segment after one that was made, ``future`` [B,8,276], and its frames in that one's.

    As ``rollout.emit`` and ``segment_history`` do it: orthonormal rotations, joints that follow from them, the step
    between the two frames as it is and the last one's as the network says.
    """
    last = future[:, -HISTORY:]
    root = last[:, :, LAYOUT["translation"]]
    matrices = to_matrix(last[:, :, LAYOUT["rotations"]].unflatten(2, (NUM_JOINTS, 6)))
    six = to_6d(matrices)
    joints = forward_kinematics(root, six)
    frames = floor_frames(joints[:, 0])
    back = frames.axes.transpose(1, 2)
    local, turned = frames.inside(joints), back[:, None] @ matrices[:, :, 0]
    six = torch.cat([to_6d(turned)[:, :, None], six[:, :, 1:]], dim=2)
    first = _rows(local, six, turned)
    newest = last[:, 1:]
    turn = back[:, None] @ to_matrix(newest[:, :, LAYOUT["orientation_delta"]]) @ frames.axes[:, None]
    steps = newest[:, :, LAYOUT["joint_deltas"]].unflatten(2, (NUM_JOINTS, 3)) @ frames.axes[:, None]
    second = torch.cat(
        [
            local[:, 1:, 0], six[:, 1:].flatten(2), newest[:, :, LAYOUT["translation_delta"]] @ frames.axes,
            to_6d(turn), local[:, 1:].flatten(2), steps.flatten(2),
        ],
        dim=2,
    )  # fmt: skip
    return torch.cat([first, second], dim=1), frames


def nested(outer: Frames, inner: Frames) -> Frames:
    """``inner``, told in ``outer``, in the world that ``outer`` is told in."""
    origin = outer.origin + (outer.axes @ inner.origin[:, :, None])[:, :, 0]
    return Frames(outer.axes @ inner.axes, origin)


def joints_of(rows: Tensor) -> Tensor:
    """[B,T,276] -> [B,T,22,3]."""
    joints: Tensor = rows[:, :, LAYOUT["joints"]].unflatten(2, (NUM_JOINTS, 3))
    return joints


def bodies_of(rows: Tensor) -> Tensor:
    """[B,T,276] -> [B,T,22,3], the joints that the rotations lead to: what leaves."""
    six = rows[:, :, LAYOUT["rotations"]].unflatten(2, (NUM_JOINTS, 6))
    return forward_kinematics(rows[:, :, LAYOUT["translation"]], six)


def cut(joints: Tensor, six: Tensor, segment: int) -> tuple[Tensor, Tensor]:
    """World poses [B,T,22,3], [B,T,22,6] -> history [B,2,276] and future [B,8,276] of one of the segments in a row, in
    its own frame."""
    start = segment * FUTURE
    part = slice(start, start + HISTORY + FUTURE + 1)
    rows = encode(joints[:, part], six[:, part], floor_frames(joints[:, start]))
    return rows[:, :HISTORY], rows[:, HISTORY:]

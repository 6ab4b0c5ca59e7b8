"""Bodies of all sizes, before networks that know the reference body alone.

The agent's own body: the networks are told of a world that is measured in the agent's own legs. Every length that comes
in (where partners are, goal, scene, history) is divided by ``Body.scale``, the length of its legs over that of the
reference body's, and the root's way is multiplied by it when it leaves. So steps are as long as the legs allow, and
feet that stand stay. Rotations leave as they are, on the agent's own bones, and the root is as high as the lowest joint
needs: the reference body's height over the floor, times the scale. Nothing adds up from frame to frame, so nothing
drifts.

Partners' bodies are told as large as the reference body, whoever they and the agent are: of a partner 20% smaller or
larger the networks, which have never seen one, do not know what it does, and answer nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from kinesphere.errors import InputError
from kinesphere.motion import Motion, forward_kinematics
from kinesphere.skeleton import JOINT_INDEX, PARENTS, SMPL22, FloatArray, Skeleton
from kinesphere.v1 import reactor_pb2 as pb
from services.common import convert
from services.reactor import poses

MIN_SCALE, MAX_SCALE = 0.4, 2.5  # legs of 0.33 to 2.06 m: infants and giants
_LEGS: Final = [JOINT_INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "ankle")]
_ABOVE: Final = [PARENTS[joint] for joint in _LEGS]


@dataclass(frozen=True, eq=False)
class Body:
    """Joint order and hierarchy are the reference body's."""

    skeleton: Skeleton = SMPL22

    @classmethod
    def of_history(cls, motion: Motion) -> Body:
        """The body that moved. Raises InputError(``history.skeleton.offsets``) on legs that are no person's."""
        body = cls(motion.skeleton)
        if not MIN_SCALE <= body.scale <= MAX_SCALE:
            raise InputError(
                "history.skeleton.offsets",
                f"legs are {body.scale:.2f} times the reference body's, {MIN_SCALE:g} to {MAX_SCALE:g} can be moved",
            )
        return body

    @classmethod
    def of_session(cls, settings: pb.Session) -> Body:
        """The body that ``tell`` has written down."""
        if not settings.HasField("skeleton"):
            return REFERENCE
        return cls(convert.skeleton_from_proto(settings.skeleton, "session.skeleton"))

    def tell(self, settings: pb.Session) -> None:
        """Write the body into a session's settings; the reference body is left out."""
        if self.skeleton is not SMPL22:
            settings.skeleton.CopyFrom(convert.skeleton_to_proto(self.skeleton))

    @cached_property
    def scale(self) -> float:
        """The length of its legs over that of the reference body's."""
        return _legs(self.skeleton.offsets) / _legs(SMPL22.offsets)

    def last_poses(self, motion: Motion) -> FloatArray:
        """The last two frames of its own ``motion`` at the model's rate, as the reference body's: [2,91]."""
        even = motion.resampled(poses.MODEL_FPS)
        last = [-2, -1] if even.num_frames > 1 else [-1, -1]
        place = even.translation[last] / np.float32(self.scale)
        turned = even.rotations[last]
        if self.skeleton is not SMPL22:
            lowest = even.positions[last, :, 1].min(axis=1) / np.float32(self.scale)
            place[:, 1] += lowest - forward_kinematics(place, turned)[..., 1].min(axis=1)
        return poses.join(place, turned)

    def worn(self, pose: FloatArray, joints: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A pose [91] and joints [22,3] of the reference body, as this body's in the world."""
        if self.skeleton is SMPL22:
            return pose, joints
        place, turned = poses.split(pose[None])
        place = place * np.float32(self.scale)
        own = forward_kinematics(place, turned, self.skeleton)
        lift = np.array([[0.0, joints[:, 1].min() * self.scale - own[0, :, 1].min(), 0.0]], np.float32)
        return poses.join(place + lift, turned)[0], own[0] + lift


def size_of(window: FloatArray) -> float:
    """What makes the legs of a partner, joints [n,22,3], as long as the reference body's."""
    legs = float(np.linalg.norm(window[:, _LEGS] - window[:, _ABOVE], axis=2).sum(axis=1).mean()) / 2
    return 1.0 / min(max(legs / _legs(SMPL22.offsets), MIN_SCALE), MAX_SCALE)


def told(window: FloatArray, scale: float, size: float) -> FloatArray:
    """A partner's joints [n,22,3] as an agent's networks see them: its pelvis over the floor in units of ``scale``
    metres, its body ``size`` times as large."""
    place = window[:, :1] * np.array([1.0, 0.0, 1.0], np.float32)
    return place / np.float32(scale) + np.float32(size) * (window - place)


def _legs(offsets: FloatArray) -> float:
    """The mean length of both legs, hip to ankle."""
    return float(np.linalg.norm(offsets[_LEGS], axis=1).sum()) / 2


REFERENCE: Final = Body()

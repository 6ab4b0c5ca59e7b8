"""What a movement does, in plain geometry on its joints: the quantities that the probes' sentences speak of.

Written apart from the kinematic reading that captions training clips, so that a mistake there is not repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d
from scipy.signal import find_peaks

from kinesphere.body import facing, yaw
from kinesphere.errors import InputError
from kinesphere.skeleton import JOINT_INDEX as J

Side = Literal["left", "right"]
Curve = NDArray[np.float64]
SIDES: Final[tuple[Side, Side]] = ("left", "right")


def other(side: Side) -> Side:
    return "right" if side == "left" else "left"


@dataclass(frozen=True, eq=False)
class Measures:
    """Joints [T,22,3], metres, Y up, at ``fps``; T of at least 8. Curves are [T] unless said otherwise.

    Left and forward are the person's own. Angles in degrees, growing to the left.
    """

    joints: NDArray[np.floating]
    fps: float = 20.0

    def __post_init__(self) -> None:
        if self.joints.ndim != 3 or self.joints.shape[1:] != (22, 3) or len(self.joints) < 8:
            raise InputError(
                "joints", f"has shape {list(self.joints.shape)}, expected [T, 22, 3], T of at least 8"
            )
        if not np.all(np.isfinite(self.joints)):
            raise InputError("joints", "holds NaN or infinite values")

    # -- the body in space
    @cached_property
    def body(self) -> Curve:
        """[T,22,3] with the floor at 0: the height that the lower foot has in its lowest tenth of frames."""
        p = np.array(self.joints, dtype=np.float64)
        p[..., 1] -= np.quantile(p[:, [J["left_foot"], J["right_foot"]], 1].min(axis=1), 0.1)
        return p

    @cached_property
    def heading(self) -> Curve:
        """Degrees since the first frame, steps' sway smoothed away."""
        angle = np.degrees(yaw(self.body, smooth_frames=0.2 * self.fps)).astype(np.float64)
        return np.asarray(angle - angle[:3].mean())

    @cached_property
    def velocity(self) -> Curve:
        """[T,2] metres a second of the pelvis over the floor: forward, leftward in the body's own frame."""
        root = gaussian_filter1d(self.body[:, 0], 0.2 * self.fps, axis=0, mode="nearest")
        over_floor = np.gradient(root, axis=0) * self.fps
        # Facing is smoothed more than the root: hips and shoulders swing with every step.
        forward = gaussian_filter1d(
            facing(self.body).astype(np.float64), 0.3 * self.fps, axis=0, mode="nearest"
        )
        forward /= np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-6)
        left = np.stack([forward[:, 2], np.zeros(len(forward)), -forward[:, 0]], axis=1)
        return np.stack([(over_floor * forward).sum(1), (over_floor * left).sum(1)], axis=1)

    @cached_property
    def speed(self) -> Curve:
        return np.asarray(np.linalg.norm(self.velocity, axis=1))

    def ahead(self, start: int = 0, stop: int | None = None) -> float:
        """Metres travelled forward (negative: backward) between two frames, whatever way the person turned."""
        return float(self.velocity[start:stop, 0].sum() / self.fps)

    def leftward(self, start: int = 0, stop: int | None = None) -> float:
        """Metres travelled sideways to the person's left (negative: right)."""
        return float(self.velocity[start:stop, 1].sum() / self.fps)

    def path(self, start: int = 0, stop: int | None = None) -> float:
        """Metres travelled over the floor."""
        return float(self.speed[start:stop].sum() / self.fps)

    @cached_property
    def pace(self) -> float:
        """Metres a second while on the move (frames above 0.25 m/s); 0 when never."""
        moving = self.speed > 0.25
        return float(self.speed[moving].mean()) if moving.sum() >= 0.3 * self.fps else 0.0

    @property
    def turned(self) -> float:
        """Degrees between the first and the last heading, left positive."""
        return float(self.heading[-3:].mean())

    def turn_time(self, degrees: float) -> float | None:
        """Share of the clip (0..1) after which the heading first passes half of ``degrees``; None if it never does."""
        passed = self.heading > degrees / 2 if degrees > 0 else self.heading < degrees / 2
        return float(np.argmax(passed) / len(passed)) if passed.any() else None

    @cached_property
    def standing(self) -> float:
        """Metres: the pelvis height of this body on straight legs."""
        p = self.body
        legs = [
            np.linalg.norm(p[:, J[f"{side}_{a}"]] - p[:, J[f"{side}_{b}"]], axis=-1).mean()
            for side in SIDES
            for a, b in (("hip", "knee"), ("knee", "ankle"))
        ]
        return float(np.sum(legs) / 2 + 0.14)

    @property
    def lowest(self) -> float:
        """The pelvis' lowest height as a share of ``standing``."""
        return float(gaussian_filter1d(self.body[:, 0, 1], 2).min() / self.standing)

    @cached_property
    def lean(self) -> Curve:
        """Degrees that the trunk (pelvis to neck) leans forward."""
        trunk = self.body[:, J["neck"]] - self.body[:, 0]
        return np.asarray(np.degrees(np.arctan2((trunk * facing(self.body)).sum(1), trunk[:, 1])))

    @cached_property
    def airborne(self) -> Curve:
        """Metres of both feet above the floor: the lower of the four ankle and toe joints, ankles less their rest."""
        p = self.body
        toes = p[:, [J["left_foot"], J["right_foot"]], 1]
        heels = p[:, [J["left_ankle"], J["right_ankle"]], 1] - 0.06
        return np.asarray(np.concatenate([toes, heels], axis=1).min(axis=1))

    def flights(self, least: float = 0.1) -> int:
        """How often both feet leave the floor by ``least`` metres at once and are down again within 0.9 s.

        Take-off and landing are both in the clip: one that starts in the air has shown no jump.
        """
        edges = np.flatnonzero(np.diff((self.airborne > least).astype(np.int8)))
        if len(edges) and self.airborne[0] > least:
            edges = edges[1:]
        starts, stops = edges[: len(edges) // 2 * 2 : 2], edges[1::2]
        lengths = stops - starts
        return int(((lengths >= 2) & (lengths <= 0.9 * self.fps)).sum())

    # -- arms
    def hand_level(self, side: Side) -> Curve:
        """Wrist height above the shoulders' middle, metres."""
        p = self.body
        shoulders = (p[:, J["left_shoulder"], 1] + p[:, J["right_shoulder"], 1]) / 2
        return np.asarray(p[:, J[f"{side}_wrist"], 1] - shoulders)

    def raised(self, side: Side, above: float = 0.0) -> NDArray[np.bool_]:
        """[T] wrist higher than the shoulders plus ``above`` metres."""
        return np.asarray(self.hand_level(side) > above)

    def hand(self, side: Side) -> Curve:
        """[T,3] wrist seen from its shoulder in the body's frame: left, up, forward; metres."""
        p = self.body
        arm = p[:, J[f"{side}_wrist"]] - p[:, J[f"{side}_shoulder"]]
        forward = facing(p)
        left = np.stack([forward[:, 2], np.zeros(len(p)), -forward[:, 0]], axis=1)
        return np.stack([(arm * left).sum(1), arm[:, 1], (arm * forward).sum(1)], axis=1)

    def swings(self, side: Side, least: float = 0.04) -> int:
        """How often the lifted hand changes direction: reversals of at least ``least`` metres of its to and fro."""
        arm = self.hand(side)
        # Less its ends, where the arm comes up and goes down: that movement would drown a small wave.
        lifted = minimum_filter1d(self.hand_level(side) > -0.25, 2 * round(0.3 * self.fps) + 1)
        if lifted.sum() < 0.5 * self.fps:
            return 0
        quick = arm - gaussian_filter1d(arm, 0.5 * self.fps, axis=0, mode="nearest")
        _, _, axes = np.linalg.svd(quick[lifted], full_matrices=False)
        swing = quick @ axes[0]
        count = 0
        for curve in (swing, -swing):
            peaks, _ = find_peaks(curve, prominence=least)
            count += int(lifted[peaks].sum())
        return count

    def thrust(self, side: Side) -> tuple[float, float]:
        """Fastest stretching of the arm forward at chest height: (m/s away from the shoulder, reach 0..1 then)."""
        p = self.body
        arm = self.hand(side)
        reach = np.linalg.norm(arm, axis=1)
        length = sum(
            np.linalg.norm(p[:, J[f"{side}_{a}"]] - p[:, J[f"{side}_{b}"]], axis=1).mean()
            for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))
        )
        pushing = np.gradient(gaussian_filter1d(arm[:, 2], 0.6)) * self.fps
        level = self.hand_level(side)
        ok = (level > -0.35) & (level < 0.2) & (arm[:, 2] > 0.1)
        speed = np.where(ok, pushing, 0.0)
        at = int(np.argmax(speed))
        soon = slice(at, at + max(2, round(0.3 * self.fps)))
        return float(speed[at]), float((reach[soon] / length).max())

    # -- legs
    def foot(self, side: Side) -> Curve:
        """[T,3] ankle seen from the pelvis in the body's frame: left, up from the floor, forward; metres."""
        p = self.body
        leg = p[:, J[f"{side}_ankle"]] - p[:, 0]
        forward = facing(p)
        left = np.stack([forward[:, 2], np.zeros(len(p)), -forward[:, 0]], axis=1)
        return np.stack([(leg * left).sum(1), p[:, J[f"{side}_ankle"], 1], (leg * forward).sum(1)], axis=1)

    def kick(self, side: Side) -> float:
        """Metres: the greatest height of the ankle when the leg has just been flung out, stretched, from the pelvis."""
        p = self.body
        hip, knee, ankle = (p[:, J[f"{side}_{part}"]] for part in ("hip", "knee", "ankle"))
        length = np.linalg.norm(hip - knee, axis=1) + np.linalg.norm(knee - ankle, axis=1)
        stretched = np.linalg.norm(hip - ankle, axis=1) / length > 0.8
        foot = self.foot(side)
        away = (np.linalg.norm(foot[:, [0, 2]], axis=1) > 0.3) & (foot[:, 2] > -0.15)
        fast = np.linalg.norm(np.gradient(ankle - p[:, 0], axis=0), axis=1) * self.fps > 2.5
        lately = maximum_filter1d(fast.astype(np.uint8), 2 * round(0.3 * self.fps) + 1) > 0
        height = np.where(stretched & away & lately, ankle[:, 1], 0.0)
        return float(np.sort(height)[-2])

    # -- the whole
    @cached_property
    def stir(self) -> float:
        """Metres a second: mean speed of wrists, ankles and head against the pelvis."""
        p = self.body - self.body[:, :1]
        ends = p[:, [J[f"{side}_{part}"] for side in SIDES for part in ("wrist", "ankle")] + [J["head"]]]
        return float(np.linalg.norm(np.gradient(ends, axis=0), axis=-1).mean() * self.fps)

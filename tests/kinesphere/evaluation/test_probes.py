"""The probes' checks: they hold for a movement and fail for its mirror image and for other movements.

A puppet acts out each class with varied speed, size and heading; recorded takes of the same classes follow when the raw
data is at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.evaluation.measures import Measures
from kinesphere.evaluation.probes import PROBES, Probe
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX as J
from kinesphere.skeleton import MIRROR

Joints = NDArray[np.float32]
BY_ID = {probe.id: probe for probe in PROBES}
STAND = 0.93
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}


class Puppet:
    """A person standing with the arms down, to be moved by curves of degrees."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.frames = round(seconds * 20)
        self.t = np.arange(self.frames) / 20
        self.rotations = np.zeros((self.frames, 22, 4))
        self.rotations[..., 0] = 1
        self.heading = np.zeros(self.frames)
        self.forward = np.zeros(self.frames)
        self.sideways = np.zeros(self.frames)
        self.height = np.full(self.frames, STAND)
        self.arms = {"left": np.full(self.frames, -78.0), "right": np.full(self.frames, -78.0)}

    def ramp(self, start: float, stop: float) -> NDArray[np.float64]:
        """0 before ``start``, 1 after ``stop`` (seconds), smooth between."""
        s = np.clip((self.t - start) / (stop - start), 0, 1)
        return np.asarray(s * s * (3 - 2 * s))

    def hump(self, start: float, stop: float, rise: float = 0.4) -> NDArray[np.float64]:
        return self.ramp(start, start + rise) - self.ramp(stop - rise, stop)

    def bend(self, joint: str, axis: str, degrees: NDArray[np.float64] | float) -> None:
        vectors = np.radians(np.broadcast_to(degrees, (self.frames,)))[:, None] * np.array(AXES[axis])
        index = J[joint]
        self.rotations[:, index] = rot.multiply(self.rotations[:, index], rot.from_axis_angle(vectors))

    def stride(self, hertz: float, degrees: float) -> None:
        swing = degrees * np.sin(2 * np.pi * hertz * self.t)
        self.bend("left_hip", "x", swing)
        self.bend("right_hip", "x", -swing)
        self.bend("left_knee", "x", np.maximum(-swing, 0) * 1.2)
        self.bend("right_knee", "x", np.maximum(swing, 0) * 1.2)

    def joints(self) -> Joints:
        for side, sign in (("left", 1), ("right", -1)):
            self.bend(f"{side}_shoulder", "z", sign * self.arms[side])
        turn = rot.about_y(np.radians(self.heading))
        self.rotations[:, 0] = rot.multiply(turn, self.rotations[:, 0])
        step = np.stack([self.sideways, np.zeros(self.frames), self.forward], axis=1) / 20
        place = np.cumsum(rot.rotate(turn, step), axis=0)
        place[:, 1] = self.height
        return Motion.from_rotations(place, self.rotations, 20).positions


def raise_left(seed: int) -> Joints:
    p = Puppet(4, seed)
    p.arms["left"] = -78 + p.rng.uniform(110, 150) * p.hump(0.4, 3.4, 0.6)
    return p.joints()


def raise_both(seed: int) -> Joints:
    p = Puppet(4, seed)
    for side in ("left", "right"):
        p.arms[side] = -78 + p.rng.uniform(110, 150) * p.hump(0.4, 3.4, 0.6)
    return p.joints()


def wave_left(seed: int) -> Joints:
    p = Puppet(5.6, seed)
    up = p.hump(0.4, 5.2, 0.6)
    p.arms["left"] = (
        -78 + 130 * up + up * p.rng.uniform(10, 25) * np.sin(2 * np.pi * p.rng.uniform(1, 2) * p.t)
    )
    return p.joints()


def wave_both(seed: int) -> Joints:
    p = Puppet(5.6, seed)
    up = p.hump(0.4, 5.2, 0.6)
    for side in ("left", "right"):
        p.arms[side] = (
            -78 + 130 * up + up * p.rng.uniform(10, 25) * np.sin(2 * np.pi * p.rng.uniform(1, 2) * p.t)
        )
    return p.joints()


def walking(seed: int, seconds: float = 4.8) -> Puppet:
    p = Puppet(seconds, seed)
    p.stride(0.9, 25)
    return p


def walk(seed: int) -> Joints:
    p = walking(seed)
    p.forward += p.rng.uniform(1.12, 1.4)
    return p.joints()


def walk_slowly(seed: int) -> Joints:
    p = walking(seed)
    p.forward += p.rng.uniform(0.5, 0.9)
    return p.joints()


def walk_back(seed: int) -> Joints:
    p = walking(seed)
    p.forward -= p.rng.uniform(0.5, 0.9)
    return p.joints()


def walk_left(seed: int) -> Joints:
    p = walking(seed)
    p.sideways += p.rng.uniform(0.5, 0.8)
    p.forward += p.rng.uniform(0, 0.8)
    return p.joints()


def run(seed: int) -> Joints:
    p = Puppet(3.2, seed)
    p.stride(1.5, 45)
    p.forward += p.rng.uniform(2.4, 3.5)
    return p.joints()


def walk_turn_left(seed: int) -> Joints:
    p = walking(seed)
    p.forward += p.rng.uniform(0.8, 1.4)
    p.heading = p.rng.uniform(60, 110) * p.ramp(2.0, 3.4)
    return p.joints()


def walk_around(seed: int) -> Joints:
    p = walking(seed, 5.6)
    p.forward += 1.0
    p.heading = p.rng.choice([-1, 1]) * p.rng.uniform(160, 200) * p.ramp(2.0, 3.6)
    return p.joints()


def circle(seed: int) -> Joints:
    p = walking(seed, 8)
    p.forward += 1.0
    p.heading = p.rng.choice([-1, 1]) * p.rng.uniform(300, 400) * p.t / 8
    return p.joints()


def bow(seed: int) -> Joints:
    p = Puppet(4, seed)
    lean = p.rng.uniform(35, 60) * p.hump(0.5, 3.2, 0.7)
    p.bend("spine1", "x", lean)
    for side in ("left", "right"):
        p.bend(f"{side}_shoulder", "x", -lean)
    return p.joints()


def jump(seed: int) -> Joints:
    p = Puppet(3.2, seed)
    start, air = p.rng.uniform(0.8, 1.6), p.rng.uniform(0.45, 0.6)
    s = np.clip((p.t - start) / air, 0, 1)
    p.height += 9.81 / 2 * air**2 * s * (1 - s)
    return p.joints()


def pick_up(seed: int) -> Joints:
    p = Puppet(5.6, seed)
    down = p.hump(0.8, 4.6, 1.0)
    for side in ("left", "right"):
        p.bend(f"{side}_hip", "x", -95 * down)
        p.bend(f"{side}_knee", "x", 100 * down)
        p.bend(f"{side}_shoulder", "x", -65 * down)
    p.bend("spine1", "x", p.rng.uniform(60, 70) * down)
    p.height -= 0.38 * down
    return p.joints()


def kick_right(seed: int) -> Joints:
    p = Puppet(4, seed)
    start = p.rng.uniform(0.8, 2.0)
    p.bend("right_hip", "x", -p.rng.uniform(70, 100) * p.hump(start, start + 0.8, 0.3))
    return p.joints()


def punch_right(seed: int) -> Joints:
    p = Puppet(4, seed)
    start = p.rng.uniform(0.8, 2.0)
    out = p.hump(start, start + 0.6, 0.2)[:, None]
    guard = rot.multiply(
        rot.from_axis_angle(np.radians([[0.0, 0, 78]])), rot.from_axis_angle(np.zeros((1, 3)))
    )
    ahead = rot.from_axis_angle(np.radians([[0.0, 85, 0]]))
    p.rotations[:, J["right_shoulder"]] = rot.slerp(
        np.repeat(guard, p.frames, 0), np.repeat(ahead, p.frames, 0), out
    )
    p.arms["right"] = np.zeros(p.frames)
    p.bend("right_elbow", "y", 140 * (1 - out[:, 0]))
    return p.joints()


def still(seed: int) -> Joints:
    p = Puppet(4, seed)
    p.bend("spine1", "x", 2 * np.sin(p.t))
    return p.joints()


def walk_stop(seed: int) -> Joints:
    p = Puppet(4.8, seed)
    moving = 1 - p.ramp(2.4, 3.2)
    p.forward += p.rng.uniform(1.15, 1.4) * moving
    return p.joints()


def stand_walk(seed: int) -> Joints:
    p = Puppet(4.8, seed)
    p.forward += p.rng.uniform(1.15, 1.4) * p.ramp(1.2, 2.0)
    return p.joints()


def walk_then_wave_right(seed: int) -> Joints:
    p = Puppet(8, seed)
    p.forward += 1.2 * (1 - p.ramp(2.8, 3.6))
    up = p.hump(4.2, 7.8, 0.5)
    p.arms["right"] = -78 + 130 * up + up * 20 * np.sin(2 * np.pi * 1.5 * p.t)
    return p.joints()


def left_then_right(seed: int) -> Joints:
    p = Puppet(8, seed)
    p.arms["left"] = -78 + 130 * p.hump(0.4, 3.4, 0.6)
    p.arms["right"] = -78 + 130 * p.hump(4.6, 7.6, 0.6)
    return p.joints()


Act = Callable[[int], Joints]


def mirror(act: Act) -> Act:
    return lambda seed: (act(seed)[:, list(MIRROR)] * np.array([-1, 1, 1])).astype(np.float32)


ACTS: dict[str, Act] = {
    "raise-left": raise_left, "raise-right": mirror(raise_left), "raise-both": raise_both, "wave-left": wave_left,
    "wave-right": mirror(wave_left), "wave-both": wave_both, "walk": walk, "walk-slowly": walk_slowly,
    "walk-back": walk_back, "walk-left": walk_left, "walk-right": mirror(walk_left), "run": run,
    "turn-left": walk_turn_left, "turn-right": mirror(walk_turn_left), "around": walk_around, "circle": circle,
    "bow": bow, "jump": jump, "pick-up": pick_up, "kick-right": kick_right, "kick-left": mirror(kick_right),
    "punch-right": punch_right, "punch-left": mirror(punch_right), "still": still, "walk-stop": walk_stop,
    "stand-walk": stand_walk, "walk-wave": walk_then_wave_right, "left-right": left_then_right,
    "right-left": mirror(left_then_right),
}  # fmt: skip
# Probe -> acts that it must accept; every other act it must refuse, but for those that MAY name.
FORWARD = "walk walk-slowly walk-stop stand-walk"
MUST = {
    "raise-left": "raise-left wave-left", "raise-right": "raise-right wave-right", "ask-left": "raise-left wave-left",
    "ask-right": "raise-right wave-right", "raise-both": "raise-both wave-both", "surrender": "raise-both wave-both",
    "left-then-down": "raise-left wave-left", "right-then-down": "raise-right wave-right",
    "wave-left": "wave-left", "wave-right": "wave-right", "swing-left": "wave-left", "swing-right": "wave-right",
    "wave-both": "wave-both", "wave-both-tired": "wave-both", "farewell": "wave-right",
    "walk-forward": FORWARD, "stroll": FORWARD, "walk-old": FORWARD, "walk-proud": FORWARD,
    "walk-back": "walk-back", "retreat": "walk-back", "side-left": "walk-left", "side-right": "walk-right",
    "sidle-left": "walk-left", "sidle-right": "walk-right", "run": "run", "jog": "run", "sprint": "run",
    "slow": "walk-slowly", "fast": "walk", "still": "still", "idle": "still",
    "corner-left": "turn-left", "corner-right": "turn-right", "then-left": "turn-left", "then-right": "turn-right",
    "go-left": "turn-left", "go-right": "turn-right", "around": "around", "circle": "circle",
    "bow": "bow", "bow-deep": "bow", "bow-up": "bow", "jump": "jump", "leap": "jump", "pick-up": "pick-up",
    "kick": "kick-left kick-right", "kick-ball": "kick-right", "punch": "punch-left punch-right",
    "punch-right": "punch-right", "walk-stop": "walk-stop", "stand-walk": "stand-walk", "walk-wave": "walk-wave",
    "left-right": "left-right",
}  # fmt: skip
MAY = {
    # A boxer's guard is a hand lifted to the shoulder.
    "raise-left": "punch-left", "ask-left": "punch-left", "raise-right": "punch-right", "ask-right": "punch-right",
    # Said of a part of the clip, or of a pace that two acts share.
    "slow": "walk-back walk-left walk-right around circle turn-left turn-right walk-stop stand-walk walk-wave",
    "fast": "walk-stop stand-walk walk-wave", "jog": "walk", "walk-forward": "walk-wave run", "stroll": "walk-wave run",
    "walk-old": "walk-wave run", "walk-proud": "walk-wave run", "walk-stop": "walk-wave",
}  # fmt: skip
SEEDS = range(4)


@pytest.fixture(scope="module")
def acted() -> dict[str, list[Measures]]:
    return {name: [Measures(act(seed)) for seed in SEEDS] for name, act in ACTS.items()}


def test_there_are_enough_probes_and_every_one_is_validated() -> None:
    assert len(PROBES) >= 44
    assert len({probe.text for probe in PROBES}) == len({probe.id for probe in PROBES}) == len(PROBES)
    assert set(MUST) == set(BY_ID)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
def test_probe_accepts_its_movement_and_refuses_others(
    probe: Probe, acted: dict[str, list[Measures]]
) -> None:
    wanted, tolerated = set(MUST[probe.id].split()), set(MAY.get(probe.id, "").split())
    missed = [name for name in wanted for measures in acted[name] if not probe.check(measures)]
    fooled = [
        name
        for name in ACTS
        if name not in wanted | tolerated
        for measures in acted[name]
        if probe.check(measures)
    ]
    assert not missed, f"false negatives: {missed}"
    assert not fooled, f"false positives: {fooled}"


def test_measures_refuse_what_is_no_motion() -> None:
    with pytest.raises(InputError, match="joints"):
        Measures(np.zeros((3, 22, 3)))
    with pytest.raises(InputError, match="joints"):
        Measures(np.full((30, 22, 3), np.nan))


def test_measures_do_not_depend_on_where_the_motion_starts_and_faces() -> None:
    joints = walk_turn_left(0)
    turned = rot.rotate(rot.about_y(2.5), joints) + np.array([3.0, 0.2, -5.0])
    a, b = Measures(joints), Measures(turned.astype(np.float32))
    assert b.ahead() == pytest.approx(a.ahead(), abs=1e-3)
    assert b.turned == pytest.approx(a.turned, abs=0.1)
    assert b.leftward() == pytest.approx(a.leftward(), abs=1e-3)


# Recorded takes: content in Bandai Namco's file names -> probes that hold, and probes that do not.
RECORDED = {
    "dataset-2_raise-up-left-hand": (
        "raise-left ask-left",
        "raise-right raise-both wave-left bow still walk-forward",
    ),
    "dataset-2_raise-up-right-hand": (
        "raise-right ask-right",
        "raise-left raise-both wave-right bow walk-forward",
    ),
    "dataset-2_raise-up-both-hands": ("raise-both surrender", "raise-left raise-right wave-left bow"),
    "dataset-2_wave-left-hand": (
        "wave-left swing-left",
        "wave-right wave-both raise-right bow still punch-right",
    ),
    "dataset-2_wave-right-hand": ("wave-right farewell", "wave-left wave-both raise-left bow still"),
    "dataset-2_wave-both-hands": ("wave-both", "wave-left wave-right bow still"),
    "dataset-2_walk_": (
        "walk-forward stroll",
        "walk-back side-left side-right run then-left around still bow jump",
    ),
    "dataset-2_run": ("jog", "walk-back then-left around still bow jump kick"),
    "dataset-2_walk-turn-left": ("then-left corner-left", "then-right walk-forward around circle run still"),
    "dataset-2_walk-turn-right": (
        "then-right corner-right",
        "then-left walk-forward around circle run still",
    ),
    "dataset-1_walk-back": ("walk-back retreat", "walk-forward run still then-left"),
    "dataset-1_walk-left": ("side-left sidle-left", "side-right walk-back then-left still"),
    "dataset-1_walk-right": ("side-right sidle-right", "side-left walk-back then-right still"),
    "dataset-1_bow": ("bow bow-up", "jump kick walk-forward wave-left raise-left"),
    "dataset-1_dash": ("run sprint", "walk-forward still walk-back bow"),
}


@pytest.mark.shared_data
def test_rates_on_recorded_takes(shared_data: Path) -> None:
    from kinesphere.datasets.windows import resample
    from kinesphere.formats import load_positions

    hits: list[bool] = []
    alarms: list[bool] = []
    for prefix, (hold, fail) in RECORDED.items():
        folder = shared_data / "bandai-namco" / prefix.split("_")[0] / "data"
        takes = sorted(folder.glob(f"{prefix}*.bvh"))
        assert len(takes) >= 10
        for take in takes[:: max(1, len(takes) // 5)][:5]:
            motion = load_positions(take)
            measures = Measures(resample(motion.positions, motion.fps)[:200])
            hits += [BY_ID[name].check(measures) for name in hold.split()]
            alarms += [BY_ID[name].check(measures) for name in fail.split()]
    assert np.mean(hits) > 0.9
    assert np.mean(alarms) < 0.02

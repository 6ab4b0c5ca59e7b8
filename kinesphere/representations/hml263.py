"""HumanML3D's 263 numbers a frame (Guo et al., "Generating Diverse and Natural 3D Human Motions from Text", CVPR 2022).

Everything is relative to a heading frame that stands under the pelvis and turns with the body about the vertical:

    root_yaw_velocity  1    *half* the heading's turn from this frame to the next, radians (negative of a left turn)
    root_velocity      2    pelvis displacement x, z to the next frame, metres a frame, in the next frame's heading
    root_height        1    pelvis height, metres
    joint_positions    63   joints 1..21 relative to the pelvis' ground point, metres, in this frame's heading
    joint_rotations    126  joints 1..21, first two matrix columns, from swing-only inverse kinematics on axis-aligned
                            rest offsets; they are not SMPL's rotations (see ``kinesphere.ik`` for those)
    joint_velocities   66   joints 0..21, metres a frame, in this frame's heading
    contacts           4    left ankle, left foot, right ankle, right foot hold still (0 or 1)

Rate 20 frames a second. T frames of positions give T - 1 of features, because velocities look one frame ahead.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.representations.layout import Layout
from kinesphere.skeleton import JOINT_INDEX, NUM_JOINTS, PARENTS, SMPL22, FloatArray, Skeleton

Floats = NDArray[np.floating]

FPS: Final = 20.0
LAYOUT: Final = Layout(
    263,
    root_yaw_velocity=1,
    root_velocity=2,
    root_height=1,
    joint_positions=3 * (NUM_JOINTS - 1),
    joint_rotations=6 * (NUM_JOINTS - 1),
    joint_velocities=3 * NUM_JOINTS,
    contacts=4,
)
CONTACT_JOINTS: Final = tuple(
    JOINT_INDEX[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")
)
# Square metres: a joint whose squared movement in a frame is less is in contact.
CONTACT_THRESHOLD: Final = 0.002
HEADING_SIGMA: Final = 20.0  # frames, of the Gaussian that the heading is smoothed with

_HIPS: Final = (JOINT_INDEX["right_hip"], JOINT_INDEX["left_hip"])
_SHOULDERS: Final = (JOINT_INDEX["right_shoulder"], JOINT_INDEX["left_shoulder"])
_LEG: Final = (JOINT_INDEX["right_knee"], JOINT_INDEX["right_ankle"])
_UP: Final = np.array([0.0, 1.0, 0.0])
# The rest directions behind ``joint_rotations``: the spine up, legs and arms down, hips and collars out, the feet and
# the head ahead. The arms hang, so this is not SMPL's T pose.
_AHEAD = ("left_foot", "right_foot", "head")
_REST: Final = np.array(
    [
        [0, 0, 0] if name == "pelvis"
        else [0, 0, 1] if name in _AHEAD
        else [1, 0, 0] if name in ("left_hip", "left_collar")
        else [-1, 0, 0] if name in ("right_hip", "right_collar")
        else [0, 1, 0] if name in ("spine1", "spine2", "spine3", "neck")
        else [0, -1, 0]
        for name in JOINT_INDEX
    ],
    dtype=np.float64,
)  # fmt: skip
# The collars' chains begin anew at the heading, not at the spine that they hang on.
_ROTATION_PARENTS: Final = tuple(
    0 if name in ("left_collar", "right_collar") else max(parent, 0)
    for name, parent in zip(JOINT_INDEX, PARENTS, strict=True)
)


def uniform_positions(positions: Floats, skeleton: Skeleton = SMPL22) -> FloatArray:
    """Put anybody's movement on the body that HumanML3D uses: bone directions stay, bone lengths become ``skeleton``'s.

    positions: [T,22,3] metres, Y up, any person; lengths are read from frame 0. The root path is scaled by target over
    source leg length (right knee and ankle), so that steps fit the new legs. Returns [T,22,3] float32, neither grounded
    nor centred. Raises InputError(``positions``) on another shape, NaN, or a leg of no length.
    """
    source = _checked(positions, 1)
    target = np.linalg.norm(skeleton.offsets, axis=-1).astype(np.float64)
    bones = source[:, 1:] - source[:, list(PARENTS[1:])]
    lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
    leg = sum(float(lengths[0, joint - 1, 0]) for joint in _LEG)
    if leg < 1e-6:
        raise InputError("positions", "the right leg has no length in the first frame")
    # A bone of no length has no direction: it points as it does at rest.
    rest = skeleton.offsets[1:] / np.maximum(target[1:, None], 1e-12)
    steps = np.where(lengths > 1e-8, bones / np.maximum(lengths, 1e-8), rest) * target[1:, None]
    result = np.empty_like(source)
    result[:, 0] = source[:, 0] * (sum(float(target[joint]) for joint in _LEG) / leg)
    for joint in range(1, NUM_JOINTS):
        result[:, joint] = result[:, PARENTS[joint]] + steps[:, joint - 1]
    return result.astype(np.float32)


def canonicalize(positions: Floats) -> FloatArray:
    """Move a clip [T,22,3] so that its lowest joint touches y = 0 and frame 0 stands over the origin, facing +Z."""
    return _canonical(_checked(positions, 1)).astype(np.float32)


def encode(positions: Floats, *, retarget: bool = True, ground: bool = True) -> FloatArray:
    """Joint positions [T,22,3] at 20 frames a second (metres, Y up) -> features [T-1,263] float32.

    retarget: put the movement on HumanML3D's body first (skipped where bone lengths already match to 0.1 mm).
    ground: lower the clip so that its lowest joint touches y = 0; False where y = 0 is known to be the ground.
    The clip's place and direction are set aside (see ``canonicalize``); features do not hold them.
    Raises InputError(``positions``) on another shape, fewer than 2 frames, or NaN.
    """
    source = _checked(positions, 2)
    if retarget and not has_uniform_bones(source):
        source = uniform_positions(source).astype(np.float64)
    source = _canonical(source, ground)
    heading = _smooth_heading(source)
    steps = np.diff(source, axis=0)
    still = np.sum(steps[:, CONTACT_JOINTS] ** 2, axis=-1) < CONTACT_THRESHOLD
    local = source - source[:, :1] * np.array([1.0, 0.0, 1.0])
    local = rot.rotate(heading[:, None], local)
    turn = rot.multiply(heading[1:], rot.inverse(heading[:-1]))
    features = np.empty((len(source) - 1, LAYOUT.total), dtype=np.float32)

    def put(name: str, values: Floats) -> None:
        features[:, LAYOUT[name]] = values.reshape(len(features), -1)

    put("root_yaw_velocity", np.arcsin(np.clip(turn[:, 2], -1.0, 1.0)))
    put("root_velocity", rot.rotate(heading[1:], steps[:, 0])[:, [0, 2]])
    put("root_height", source[:-1, 0, 1])
    put("joint_positions", local[:-1, 1:])
    put("joint_rotations", _swing_rotations(source[:-1], heading[:-1]))
    put("joint_velocities", rot.rotate(heading[:-1, None], steps))
    put("contacts", still)
    return features


def decode(features: Floats) -> FloatArray:
    """Features [T,263] -> joint positions [T,22,3], metres, from the origin facing +Z, by integrating the root.

    Raises InputError(``features``) on another shape or NaN.
    """
    return Integrator().step(features)


class Integrator:
    """Decodes features piece by piece; equal to ``decode`` on the whole however the stream is cut.

    yaw: heading of the first frame, radians about the vertical (0 faces +Z, positive turns to the person's left).
    ground: x, z of the first frame's pelvis, metres. Both always describe the next frame to be decoded.
    """

    def __init__(self, yaw: float = 0.0, ground: tuple[float, float] = (0.0, 0.0)) -> None:
        self.yaw = float(yaw)
        self.ground = (float(ground[0]), float(ground[1]))

    def step(self, features: Floats) -> FloatArray:
        """The next n frames: [n,263] -> positions [n,22,3]. Raises InputError(``features``)."""
        LAYOUT.check("features", features)
        count = len(features)
        yaws = np.empty(count + 1)
        yaws[0] = self.yaw
        yaws[1:] = -2.0 * features[:, 0]
        np.cumsum(yaws, out=yaws)
        cos, sin = np.cos(yaws), np.sin(yaws)
        ground = np.empty((count + 1, 2))
        ground[0] = self.ground
        # A displacement is told in the heading of the frame that it leads to.
        dx, dz = features[:, 1].astype(np.float64), features[:, 2].astype(np.float64)
        ground[1:, 0] = cos[1:] * dx + sin[1:] * dz
        ground[1:, 1] = cos[1:] * dz - sin[1:] * dx
        np.cumsum(ground, axis=0, out=ground)
        self.yaw = float(np.remainder(yaws[-1] + np.pi, 2.0 * np.pi) - np.pi)
        self.ground = (float(ground[-1, 0]), float(ground[-1, 1]))
        local = features[:, LAYOUT["joint_positions"]].reshape(count, NUM_JOINTS - 1, 3)
        positions = np.empty((count, NUM_JOINTS, 3), dtype=np.float32)
        positions[:, 0, 0], positions[:, 0, 2] = ground[:-1, 0], ground[:-1, 1]
        positions[:, 0, 1] = features[:, 3]
        c, s = cos[:-1, None], sin[:-1, None]
        positions[:, 1:, 0] = c * local[..., 0] + s * local[..., 2] + ground[:-1, None, 0]
        positions[:, 1:, 1] = local[..., 1]
        positions[:, 1:, 2] = c * local[..., 2] - s * local[..., 0] + ground[:-1, None, 1]
        return positions


def has_uniform_bones(positions: Floats, tolerance: float = 1e-4) -> bool:
    """Whether every bone in every frame of [T,22,3] has HumanML3D's length to ``tolerance`` metres."""
    lengths = np.linalg.norm(positions[:, 1:] - positions[:, list(PARENTS[1:])], axis=-1)
    return bool(np.all(np.abs(lengths - np.linalg.norm(SMPL22.offsets[1:], axis=-1)) < tolerance))


def _forward(across: Floats) -> Floats:
    """Horizontal directions [T,3] at a right angle to ``across`` [T,3] (right minus left); shorter if it is steep."""
    return np.cross(_UP, across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-12))


def _to_heading(forward: Floats) -> Floats:
    """[T,3] horizontal directions -> [T,4] rotations from the world into the heading frame."""
    # A person lying on the side faces nowhere: rounding must not choose a direction, so it is +Z.
    faces = np.linalg.norm(forward, axis=-1) > 1e-9
    yaw = np.where(faces, np.arctan2(forward[:, 0], forward[:, 2]), 0.0)
    return rot.about_y(-yaw)


def _smooth_heading(positions: Floats) -> Floats:
    """[T,22,3] that start facing +Z -> [T,4].

    Two of the reference's habits are kept, because every published file and model has them: the smoothed heading comes
    from shoulders *minus* hips (its unpacking swaps the hips), and frame 0 is not smoothed but set to the identity.
    """
    across = _across(positions, _SHOULDERS) - _across(positions, _HIPS)
    heading = _to_heading(gaussian_filter1d(_forward(across), HEADING_SIGMA, axis=0, mode="nearest"))
    heading[0] = (1.0, 0.0, 0.0, 0.0)
    return heading


def _across(positions: Floats, pair: tuple[int, int]) -> Floats:
    return positions[:, pair[0]] - positions[:, pair[1]]


def _canonical(positions: Floats, ground: bool = True) -> Floats:
    floor = positions[..., 1].min() if ground else 0.0
    moved = positions - np.array([positions[0, 0, 0], floor, positions[0, 0, 2]])
    facing = _forward(_across(moved[:1], _HIPS) + _across(moved[:1], _SHOULDERS))
    return rot.rotate(_to_heading(facing), moved)


def _swing_rotations(positions: Floats, heading: Floats) -> Floats:
    """[T,22,3], [T,4] -> [T,21,6]: each bone's shortest rotation from its rest direction, relative to its parent's.

    The chains start from the rotation *into* the heading frame, the inverse of what a body's root would have; so does
    the reference.
    """
    bones = positions[:, 1:] - positions[:, list(PARENTS[1:])]
    world = np.concatenate([heading[:, None], rot.between(_REST[1:], bones)], axis=1)
    local = rot.multiply(rot.inverse(world[:, list(_ROTATION_PARENTS)]), world)[:, 1:]
    return rot.to_6d(local)


def _checked(positions: Floats, least: int) -> Floats:
    if positions.ndim != 3 or positions.shape[1:] != (NUM_JOINTS, 3):
        raise InputError("positions", f"has shape {list(positions.shape)}, expected [T, {NUM_JOINTS}, 3]")
    if len(positions) < least:
        raise InputError("positions", f"has {len(positions)} frames, at least {least} are needed")
    if not np.isfinite(positions).all():
        raise InputError("positions", "holds NaN or infinite values")
    return np.asarray(positions, dtype=np.float64)

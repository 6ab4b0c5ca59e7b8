"""Between the wire and the domain: motions, chunks, tokens, tensors.

What arrives is checked against its declared shape; InputError names the field by its path in the request
(``motion.rotations``). The limits that the protos declare are enforced before (see ``validation``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.motion import Motion, check_fps
from kinesphere.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS, SMPL22, Skeleton
from kinesphere.v1 import motion_pb2, skeleton_pb2, tokens_pb2

MAX_SECONDS = 600.0
MAX_FRAMES = 12_000
MAX_METRES = 10_000.0
MIN_LEG_METRES = 0.01
DETAIL_PER_BLOCK = 4
_SKELETON = "smpl22"
_LEGS = [JOINT_NAMES.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
_Made = TypeVar("_Made")
_Message = TypeVar("_Message", bound=Message)
FloatArray = NDArray[np.float32]


def motion_from_proto(message: motion_pb2.Motion, path: str = "motion") -> Motion:
    """The motion. Raises InputError on ``PATH.fps``, ``.num_frames``, ``.translation``, ``.rotations``, ..."""
    frames = message.num_frames
    _within(path, "fps", check_fps, message.fps)
    if not 1 <= frames <= MAX_FRAMES:
        raise InputError(f"{path}.num_frames", f"{frames} is outside 1 to {MAX_FRAMES}")
    if frames / message.fps > MAX_SECONDS:
        raise InputError(
            f"{path}.num_frames",
            f"{frames} frames at {message.fps:g} fps last {frames / message.fps:.0f} s, at most {MAX_SECONDS:g} s",
        )
    skeleton = (
        skeleton_from_proto(message.skeleton, f"{path}.skeleton") if message.HasField("skeleton") else SMPL22
    )
    betas = np.asarray(message.betas, dtype=np.float32) if message.betas else None
    person = message.person_id or None
    if message.rotations:
        translation = _array(f"{path}.translation", message.translation, (frames, 3), MAX_METRES)
        rotations = _array(f"{path}.rotations", message.rotations, (frames, NUM_JOINTS, 4), 1e6)
        return _within(
            path,
            "rotations",
            Motion.from_rotations,
            translation,
            rotations,
            message.fps,
            skeleton,
            betas=betas,
            person_id=person,
        )
    if message.translation:
        raise InputError(f"{path}.rotations", "is empty: translation and rotations belong together")
    if not message.positions:
        raise InputError(f"{path}.rotations", "is empty: give translation and rotations, or positions")
    positions = _array(f"{path}.positions", message.positions, (frames, NUM_JOINTS, 3), MAX_METRES)
    solved = _within(path, "positions", Motion.from_positions, positions, message.fps, skeleton)
    return Motion(
        solved.translation, solved.rotations, solved.positions, solved.fps, solved.skeleton, betas, person
    )


def motion_to_proto(motion: Motion) -> motion_pb2.Motion:
    """The motion with its translation, rotations and positions."""
    message = motion_pb2.Motion(
        fps=motion.fps,
        num_frames=motion.num_frames,
        skeleton=skeleton_to_proto(motion.skeleton),
        betas=motion.betas if motion.betas is not None else (),
        person_id=motion.person_id or "",
    )
    return pack(
        message, translation=motion.translation, rotations=motion.rotations, positions=motion.positions
    )


def header_to_proto(
    fps: float,
    *,
    seed: int = 0,
    expected_frames: int = 0,
    skeleton: Skeleton = SMPL22,
    person_id: str = "",
) -> motion_pb2.MotionHeader:
    """The header of a stream of joint rotations and positions."""
    return motion_pb2.MotionHeader(
        skeleton=skeleton_to_proto(skeleton),
        fps=fps,
        representation=motion_pb2.REPRESENTATION_JOINTS,
        seed=seed,
        expected_frames=expected_frames,
        person_id=person_id,
    )


def chunk_to_proto(motion: Motion, start_frame: int) -> motion_pb2.MotionChunk:
    """All frames of ``motion`` as the chunk of a stream that starts at ``start_frame``."""
    message = motion_pb2.MotionChunk(
        start_frame=start_frame, start_seconds=start_frame / motion.fps, num_frames=motion.num_frames
    )
    return pack(
        message, translation=motion.translation, rotations=motion.rotations, positions=motion.positions
    )


def skeleton_from_proto(message: skeleton_pb2.Skeleton, path: str = "skeleton") -> Skeleton:
    """A body with the 22 joints of SMPL, its own bone lengths. Raises InputError on ``PATH.joint_names``, ..."""
    if message.name not in ("", _SKELETON):
        raise InputError(f"{path}.name", f"{message.name!r} is not known, expected {_SKELETON}")
    names = tuple(message.joint_names)
    if len(names) != NUM_JOINTS:
        raise InputError(f"{path}.joint_names", f"has {len(names)} joints, expected {NUM_JOINTS}")
    for index, (have, want) in enumerate(zip(names, JOINT_NAMES, strict=True)):
        if have != want:
            raise InputError(f"{path}.joint_names[{index}]", f"is {have!r}, expected {want!r} (SMPL order)")
    if tuple(message.parents) != PARENTS:
        raise InputError(f"{path}.parents", f"expected {list(PARENTS)}")
    offsets = _array(f"{path}.offsets", message.offsets, (NUM_JOINTS, 3), 10.0)
    for joint in _LEGS:
        # Steps are scaled by the legs' length.
        if np.linalg.norm(offsets[joint]) < MIN_LEG_METRES:
            raise InputError(
                f"{path}.offsets",
                f"{JOINT_NAMES[joint]} is less than {MIN_LEG_METRES:g} m from {JOINT_NAMES[PARENTS[joint]]}",
            )
    if np.array_equal(offsets, SMPL22.offsets):
        return SMPL22
    return Skeleton(JOINT_NAMES, PARENTS, offsets)


def skeleton_to_proto(skeleton: Skeleton) -> skeleton_pb2.Skeleton:
    message = skeleton_pb2.Skeleton(name=_SKELETON, joint_names=skeleton.names, parents=skeleton.parents)
    return pack(message, offsets=skeleton.offsets)


def tokens_from_proto(
    blocks: Sequence[tokens_pb2.TokenBlock],
    *,
    semantic_size: int,
    detail_size: int,
    depth: int = 1,
    path: str = "tokens.blocks",
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Semantic [N] and detail [4N] (or [4N,depth] when depth > 1) indices. Raises InputError on ``PATH[i].detail``."""
    semantic = np.empty(len(blocks), dtype=np.int64)
    detail = np.empty((len(blocks), DETAIL_PER_BLOCK * depth), dtype=np.int64)
    for index, block in enumerate(blocks):
        if not 0 <= block.semantic < semantic_size:
            raise InputError(
                f"{path}[{index}].semantic", f"{block.semantic} is outside 0 to {semantic_size - 1}"
            )
        if len(block.detail) != detail.shape[1]:
            raise InputError(
                f"{path}[{index}].detail", f"has {len(block.detail)} indices, expected {detail.shape[1]}"
            )
        detail[index] = block.detail
        semantic[index] = block.semantic
    bad = np.argwhere((detail < 0) | (detail >= detail_size))
    if len(bad):
        row, column = (int(value) for value in bad[0])
        raise InputError(
            f"{path}[{row}].detail[{column}]", f"{detail[row, column]} is outside 0 to {detail_size - 1}"
        )
    flat = detail.reshape(-1, depth)
    return semantic, flat[:, 0] if depth == 1 else flat


def tokens_to_proto(
    semantic: NDArray[np.integer[Any]], detail: NDArray[np.integer[Any]]
) -> list[tokens_pb2.TokenBlock]:
    """Blocks from semantic [N] and detail [4N] or [4N,depth] indices."""
    rows = np.asarray(detail).reshape(len(semantic), -1)
    return [
        tokens_pb2.TokenBlock(semantic=int(one), detail=many.tolist())
        for one, many in zip(semantic, rows, strict=True)
    ]


def tensor_to_proto(array: NDArray[np.floating[Any]]) -> tokens_pb2.FloatTensor:
    return pack(tokens_pb2.FloatTensor(shape=array.shape), values=array)


def tensor_from_proto(message: tokens_pb2.FloatTensor, path: str = "tensor") -> FloatArray:
    """The array. Raises InputError when values and shape disagree or a value is not finite."""
    shape = tuple(message.shape)
    if not shape or any(length < 0 for length in shape):
        raise InputError(f"{path}.shape", f"{list(shape)} is not a shape")
    return _array(f"{path}.values", message.values, shape, float(np.finfo(np.float32).max))


def _array(path: str, values: Sequence[float], shape: tuple[int, ...], limit: float) -> FloatArray:
    count = int(np.prod(shape, dtype=np.int64))
    if len(values) != count:
        raise InputError(path, f"has {len(values)} values, expected {' x '.join(map(str, shape))} = {count}")
    array = np.fromiter(values, dtype=np.float32, count=count)
    good = np.abs(array) <= limit  # false for NaN too
    if not good.all():
        at = int(np.argmin(good))
        place = "".join(f"[{index}]" for index in np.unravel_index(at, shape))
        reason = (
            f"is beyond {limit:g}" if np.isfinite(array[at]) else f"is {array[at]}, expected finite numbers"
        )
        raise InputError(path, f"value {place} {reason}")
    return array.reshape(shape)


def pack(message: _Message, **arrays: NDArray[np.floating[Any]]) -> _Message:
    """Set packed ``repeated float`` fields from arrays: their wire form is the array's bytes, so no list is made."""
    for name, array in arrays.items():
        number = message.DESCRIPTOR.fields_by_name[name].number
        data = np.ascontiguousarray(array, dtype="<f4").tobytes()
        if data:
            message.MergeFromString(_varint(number << 3 | 2) + _varint(len(data)) + data)
    return message


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _within(path: str, name: str, make: Callable[..., _Made], *arguments: Any, **options: Any) -> _Made:
    """Call the domain library; its field names (``motion.fps``) become paths in this request."""
    try:
        return make(*arguments, **options)
    except InputError as error:
        field = error.field.removeprefix("motion.") if error.field.startswith("motion.") else name
        raise InputError(f"{path}.{field}", error.reason) from error

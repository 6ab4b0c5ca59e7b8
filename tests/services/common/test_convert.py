"""Motions, tokens and tensors between the wire and the domain, by property."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_NAMES, PARENTS, SMPL22, Skeleton
from kinesphere.v1 import motion_pb2, tokens_pb2
from services.common import convert

FINITE = st.floats(-100, 100, width=32)


@st.composite
def motions(draw: st.DrawFn) -> Motion:
    frames = draw(st.integers(1, 6))
    seed = draw(st.integers(0, 2**32 - 1))
    translation = draw(hnp.arrays(np.float32, (frames, 3), elements=FINITE))
    rotations = np.random.default_rng(seed).standard_normal((frames, 22, 4)).astype(np.float32)
    betas = draw(st.none() | hnp.arrays(np.float32, st.integers(1, 16), elements=FINITE))
    scale = draw(st.sampled_from([1.0, 0.5, 1.25]))
    body = SMPL22 if scale == 1 else Skeleton(JOINT_NAMES, PARENTS, SMPL22.offsets * np.float32(scale))
    return Motion.from_rotations(
        translation,
        rotations,
        draw(st.sampled_from([1.0, 20.0, 29.97, 120.0, 480.0])),
        body,
        betas=betas,
        person_id=draw(st.none() | st.text("abc👋", min_size=1, max_size=8)),
    )


@given(motion=motions())
@settings(max_examples=40, deadline=None)
def test_a_motion_survives_the_wire(motion: Motion) -> None:
    wire = convert.motion_to_proto(motion).SerializeToString()
    back = convert.motion_from_proto(motion_pb2.Motion.FromString(wire))
    np.testing.assert_array_equal(back.translation, motion.translation)
    np.testing.assert_allclose(back.rotations, motion.rotations, atol=1e-6)
    np.testing.assert_allclose(back.positions, motion.positions, atol=1e-4)
    np.testing.assert_array_equal(back.skeleton.offsets, motion.skeleton.offsets)
    assert (back.fps, back.person_id) == (motion.fps, motion.person_id)
    if motion.betas is None:
        assert back.betas is None
    else:
        assert back.betas is not None
        np.testing.assert_array_equal(back.betas, motion.betas)


def still(frames: int = 5) -> Motion:
    return Motion.from_rotations(
        np.zeros((frames, 3)), np.tile(np.float32([1, 0, 0, 0]), (frames, 22, 1)), 20
    )


def test_a_motion_of_positions_alone() -> None:
    message = convert.motion_to_proto(still())
    del message.rotations[:], message.translation[:]
    back = convert.motion_from_proto(message)
    np.testing.assert_allclose(back.positions, still().positions, atol=1e-3)


def test_packed_fields_are_what_protobuf_would_write() -> None:
    motion = still()
    chunk = convert.chunk_to_proto(motion, 40)
    plain = motion_pb2.MotionChunk(
        start_frame=40,
        start_seconds=2.0,
        num_frames=5,
        translation=motion.translation.ravel(),
        rotations=motion.rotations.ravel(),
        positions=motion.positions.ravel(),
    )
    assert chunk == plain


@given(
    message=st.builds(
        motion_pb2.Motion,
        fps=st.floats(width=64),
        num_frames=st.integers(-5, 5) | st.just(2**31 - 1),
        translation=st.lists(st.floats(width=32), max_size=16),
        rotations=st.lists(st.floats(width=32), max_size=3) | st.just([0.5] * 88) | st.just([0.0] * 88),
        positions=st.lists(st.floats(width=32), max_size=3) | st.just([1e30] * 66),
    )
)
@settings(max_examples=150, deadline=None)
def test_any_message_is_a_motion_or_names_its_field(message: motion_pb2.Motion) -> None:
    try:
        motion = convert.motion_from_proto(message, "initial")
    except InputError as error:
        field = error.field
    else:
        assert motion.num_frames == message.num_frames
        assert np.isfinite(motion.positions).all()
        return
    assert field.startswith("initial.")
    assert field.split(".")[1].split("[")[0] in motion_pb2.Motion.DESCRIPTOR.fields_by_name


@given(
    depth=st.integers(1, 3),
    semantic=hnp.arrays(np.int64, st.integers(1, 9), elements=st.integers(0, 511)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30, deadline=None)
def test_tokens_survive_the_wire(depth: int, semantic: np.ndarray, seed: int) -> None:
    shape = (4 * len(semantic),) if depth == 1 else (4 * len(semantic), depth)
    detail = np.random.default_rng(seed).integers(0, 512, shape)
    blocks = convert.tokens_to_proto(semantic, detail)
    back = convert.tokens_from_proto(blocks, semantic_size=512, detail_size=512, depth=depth)
    np.testing.assert_array_equal(back[0], semantic)
    np.testing.assert_array_equal(back[1], detail)


@given(array=hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=4), elements=FINITE))
@settings(max_examples=30, deadline=None)
def test_tensors_survive_the_wire(array: np.ndarray) -> None:
    back = convert.tensor_from_proto(convert.tensor_to_proto(array))
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("shape", "values", "field"),
    [
        ([], [1.0], "t.shape"),
        ([2, 2], [1.0], "t.values"),
        ([1], [float("nan")], "t.values"),
        ([-1], [], "t.shape"),
    ],
)
def test_wrong_tensors_are_named(shape: list[int], values: list[float], field: str) -> None:
    with pytest.raises(InputError) as caught:
        convert.tensor_from_proto(tokens_pb2.FloatTensor(shape=shape, values=values), "t")
    assert caught.value.field == field

"""Features to frames: no seam where the stream is cut, any rate, anywhere in the world."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.representations.whole import motion_features
from kinesphere.rotations import about_y
from services.decoder.frames import FrameStream, Place, Resampler
from tests.services.decoder.walking import walking


def streamed(
    features: np.ndarray, cuts: list[int], fps: float, foot_lock: bool = True, **more: Place
) -> Motion:
    stream = FrameStream(fps, foot_lock=foot_lock, **more)
    pieces = [stream.push(part) for part in np.split(features, cuts)] + [stream.finish()]
    kept = [piece for piece in pieces if piece is not None]
    return Motion(
        np.concatenate([piece.translation for piece in kept]),
        np.concatenate([piece.rotations for piece in kept]),
        np.concatenate([piece.positions for piece in kept]),
        fps,
    )


@pytest.mark.parametrize("fps", [10.0, 20.0, 24.0, 30.0, 60.0])
@pytest.mark.parametrize("foot_lock", [False, True])
def test_cuts_change_nothing(fps: float, foot_lock: bool) -> None:
    features = motion_features(walking(97))
    whole = streamed(features, [], fps, foot_lock)
    pieces = streamed(features, [1, 2, 34, 66], fps, foot_lock)
    np.testing.assert_allclose(pieces.positions, whole.positions, atol=2e-5)
    np.testing.assert_allclose(pieces.rotations, whole.rotations, atol=2e-4)
    assert whole.num_frames == walking(97).resampled(fps).num_frames
    # Neighbouring quaternions lie in one hemisphere, across cuts too: a client can interpolate them.
    assert np.sum(pieces.rotations[1:] * pieces.rotations[:-1], axis=-1).min() > 0


def test_frames_show_the_motion_that_the_features_were_made_from() -> None:
    motion = walking(60)
    shown = streamed(motion_features(motion), [32], 20.0, foot_lock=False)
    expected = hml263.canonicalize(motion.positions)
    assert np.abs(shown.positions - expected).max() < 0.004


def test_a_place_turns_and_moves_everything() -> None:
    features = motion_features(walking(50))
    place = Place(yaw=1.1, ground=(3.0, -2.0), floor=0.4)
    here, there = streamed(features, [20], 30.0), streamed(features, [20], 30.0, place=place)
    from kinesphere.rotations import rotate

    expected = rotate(about_y(1.1), here.positions.astype(np.float64)) + [3.0, 0.4, -2.0]
    np.testing.assert_allclose(there.positions, expected, atol=1e-4)


def test_resampling_keeps_given_frames_and_smooth_curves() -> None:
    time = np.arange(40) / 20.0
    frames = np.zeros((40, 22, 3), np.float32)
    frames[..., 0] = np.sin(3 * time)[:, None]
    resampler = Resampler(20.0, 60.0)
    made = np.concatenate([resampler.step(frames[:7]), resampler.step(frames[7:8]), resampler.step(frames[8:]),
                           resampler.finish()])  # fmt: skip
    assert len(made) == 118
    np.testing.assert_allclose(made[::3], frames, atol=1e-6)
    inner = slice(3, -3)
    np.testing.assert_allclose(made[inner, 0, 0], np.sin(np.arange(118) / 20.0)[inner], atol=2e-4)


def test_one_frame_is_enough() -> None:
    features = motion_features(walking(1))
    assert streamed(features, [], 60.0).num_frames == 1

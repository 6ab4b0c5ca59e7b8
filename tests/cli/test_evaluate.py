"""What ``kinesphere eval`` does between the services and the metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.cli.evaluate import fingerprint
from kinesphere.cli.served import features
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.rotations import about_y
from kinesphere.skeleton import JOINT_INDEX


def walking_turn(frames: int) -> Motion:
    """Arms swing, the body turns left while it moves along its own front."""
    time = np.arange(frames) / 20
    rotations = np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (frames, 22, 1))
    rotations[:, 0] = about_y(0.5 * time)
    swing = 0.3 * np.sin(6 * time)
    for name, sign in (("left_shoulder", 1), ("right_shoulder", -1)):
        rotations[:, JOINT_INDEX[name]] = np.stack(
            [np.cos(sign * swing / 2), np.sin(sign * swing / 2), 0 * swing, 0 * swing], axis=1
        )
    place = np.stack([1 - np.cos(0.5 * time), np.full(frames, 0.92), np.sin(0.5 * time)], axis=1)
    return Motion.from_rotations(place.astype(np.float32), rotations, 20)


@pytest.mark.parametrize("length", [32, 64])
def test_motion_from_the_wire_gives_the_features_it_was_made_of(length: int) -> None:
    motion = walking_turn(length + 1)
    expected = hml263.encode(motion.positions)
    # One frame is lost on the way (T frames hold T-1 steps): the last row is held in its place.
    found = features(motion.slice(0, length), length)
    assert found.shape == (length, 263)
    root = hml263.LAYOUT["root_velocity"]
    np.testing.assert_allclose(found[: length - 4, root], expected[: length - 4, root], atol=2e-3)
    np.testing.assert_array_equal(found[-1], found[-2])
    np.testing.assert_allclose(features(motion, length), expected, atol=1e-5)


def test_a_motion_that_is_too_short_is_held_to_the_length() -> None:
    found = features(walking_turn(20), 32)
    assert found.shape == (32, 263)
    np.testing.assert_array_equal(found[19:], np.repeat(found[18:19], 13, axis=0))


def test_other_weights_do_not_find_what_was_generated(tmp_path: Path) -> None:
    weights = tmp_path / "decoder" / "1" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"one")
    before = fingerprint(tmp_path, "")
    assert fingerprint(tmp_path, "") == before
    weights.write_bytes(b"two")
    assert fingerprint(tmp_path, "") != before
    assert fingerprint(tmp_path, "there:1") != fingerprint(tmp_path, "")

"""``examples/listen_to_mcap.py``: what it records is what the session's own client was given."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinesphere.body import facing
from kinesphere.formats import load_motion
from kinesphere.reaction_client import AgentFrame
from kinesphere.skeleton import JOINT_INDEX, JOINT_NAMES
from tests.examples.conftest import FPS, Example, react
from tests.services.reactor.conftest import Replica

pytest.importorskip("mcap_protobuf")
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory

pytestmark = pytest.mark.slow
TOPICS = {
    "/tf": "foxglove.FrameTransforms",
    "/agent/body": "foxglove.SceneUpdate",
    "/agent/frame": "kinesphere.v1.ReactionFrame",
}


def test_a_session_is_recorded_whole(
    example: Callable[..., Example], replica: Replica, tmp_path: Path
) -> None:
    began = time.time_ns()
    path = tmp_path / "made" / "session.mcap"
    listener = example("listen_to_mcap", path, "--address", replica.address)
    made = react(replica, listener, 20)
    printed = listener.finish()
    assert f"{len(made)} frames" in printed

    messages: dict[str, list[Any]] = defaultdict(list)
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None
        schemas = {each.topic: summary.schemas[each.schema_id] for each in summary.channels.values()}
        assert {topic: schema.name for topic, schema in schemas.items()} == TOPICS
        assert {schema.encoding for schema in schemas.values()} == {"protobuf"}
        (metadata,) = reader.iter_metadata()
        assert metadata.metadata["intent"] == "wave back"
        for _, channel, message, decoded in reader.iter_decoded_messages():
            messages[channel.topic].append((message, decoded))

    # Every frame from the session's first on, though the listener came later; none twice.
    for topic in TOPICS:
        assert [message.sequence for message, _ in messages[topic]] == [frame.sequence for frame in made]
        assert messages[topic][0][0].sequence == 0
    times = np.array([message.log_time for message, _ in messages["/tf"]])
    assert np.diff(times).min() >= 1e9 / FPS - 1
    assert began - 1e9 < times[0] < times[-1] < time.time_ns() + 1e9

    for frame, (_, tree), (_, scene), (_, raw) in zip(
        made, messages["/tf"], messages["/agent/body"], messages["/agent/frame"], strict=True
    ):
        # The service works positions out anew for each listener: equal to the last bit but one.
        assert np.array(raw.motion.positions) == pytest.approx(frame.positions.ravel(), abs=1e-6)
        assert np.array(raw.motion.rotations) == pytest.approx(frame.rotations.ravel(), abs=1e-6)
        assert raw.partner_index == frame.partner_index
        check_tree(tree, frame)
        check_body(scene, frame)

    again = example("read_mcap", path, "--motion", tmp_path / "again.npz").finish()
    assert f"frames 0 to {len(made) - 1}, 0 missing" in again
    positions = load_motion(tmp_path / "again.npz").positions
    assert positions == pytest.approx(np.stack([frame.positions for frame in made]), abs=1e-3)


def check_tree(tree: Any, frame: AgentFrame) -> None:
    """Follow the transforms from the world to each joint: where it is, and where it points."""
    found = {"world": (np.zeros(3), Rotation.identity())}
    for each in tree.transforms:
        place, turn = found[each.parent_frame_id]
        q, at = each.rotation, each.translation
        found[each.child_frame_id] = (
            place + turn.apply([at.x, at.y, at.z]),
            turn * Rotation.from_quat([q.x, q.y, q.z, q.w]),
        )
    assert set(found) == {"world", *(f"agent/{name}" for name in JOINT_NAMES)}
    for name, index in JOINT_INDEX.items():
        x, y, z = frame.positions[index]
        assert found[f"agent/{name}"][0] == pytest.approx([z, x, y], abs=1e-5)
    # The pelvis' X is forward, its Z up.
    x, _, z = facing(frame.positions)
    pelvis = found["agent/pelvis"][1]
    assert pelvis.apply([1, 0, 0]) @ [z, x, 0] > 0.8
    assert pelvis.apply([0, 0, 1])[2] > 0.8


def check_body(scene: Any, frame: AgentFrame) -> None:
    """The left thigh is a blue cylinder from the left hip to the left knee, the right one is orange."""
    (figure,) = scene.entities
    assert figure.frame_id == "world"
    for side, blue in (("left", True), ("right", False)):
        ends = frame.positions[[JOINT_INDEX[f"{side}_hip"], JOINT_INDEX[f"{side}_knee"]]][:, [2, 0, 1]]
        (thigh,) = (
            each for each in figure.cylinders if np.allclose(middle(each), ends.mean(axis=0), atol=1e-4)
        )
        q = thigh.pose.orientation
        half = Rotation.from_quat([q.x, q.y, q.z, q.w]).apply([0, 0, thigh.size.z / 2])
        assert middle(thigh) + half == pytest.approx(ends[1], abs=1e-4)
        assert (thigh.color.b > thigh.color.r) is blue


def middle(primitive: Any) -> np.ndarray:
    at = primitive.pose.position
    return np.array([at.x, at.y, at.z])


def test_no_session_is_told(example: Callable[..., Example], replica: Replica, tmp_path: Path) -> None:
    listener = example("listen_to_mcap", tmp_path / "no.mcap", "--address", replica.address, "--wait", 0.2)
    assert listener.process.wait(60) == 1
    *_, told = listener.err.read_text().splitlines()
    assert told == "listen_to_mcap: session: none began to run within 0.2 s"
    assert not (tmp_path / "no.mcap").exists()

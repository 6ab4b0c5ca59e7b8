"""Record a reaction session as MCAP: for Foxglove, and for everything else that reads MCAP.

    python -m examples.listen_to_mcap out/session.mcap    # waits for a session of `kinesphere up`, records all of it

Topics, one message a frame each, with the frame's sequence number:

    /tf             foxglove.FrameTransforms        `world` -> `agent/pelvis` -> ... -> `agent/left_wrist`: 22 frames
    /agent/body     foxglove.SceneUpdate            the body as tapered cylinders and spheres, in `world`
    /agent/frame    kinesphere.v1.ReactionFrame     what the service sent, byte for byte, in Kinesphere's own axes

`world` and the joints' frames are as in ROS (REP 103): metres, Z up, forward +X, left +Y. Time is the wall clock's when
a frame was due: even, whenever it came; where the session rested there is a gap. Listening costs a session nothing; any
number of programs may do it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from foxglove_schemas_protobuf.Color_pb2 import Color
from foxglove_schemas_protobuf.CylinderPrimitive_pb2 import CylinderPrimitive
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.FrameTransforms_pb2 import FrameTransforms
from foxglove_schemas_protobuf.Pose_pb2 import Pose
from foxglove_schemas_protobuf.Quaternion_pb2 import Quaternion
from foxglove_schemas_protobuf.SceneEntity_pb2 import SceneEntity
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from foxglove_schemas_protobuf.SpherePrimitive_pb2 import SpherePrimitive
from foxglove_schemas_protobuf.Vector3_pb2 import Vector3
from google.protobuf.timestamp_pb2 import Timestamp
from mcap_protobuf.writer import Writer
from numpy.typing import NDArray

from examples.axes import z_up, z_up_rotations
from examples.session import add_options, running_session
from kinesphere import rotations as rot
from kinesphere.drawing.figure import PALETTES, body_points, capsules
from kinesphere.errors import InputError
from kinesphere.reaction_call import AgentFrame
from kinesphere.reaction_plain import ReactionClient
from kinesphere.skeleton import JOINT_NAMES, PARENTS
from kinesphere.v1 import reactor_pb2 as pb
from kinesphere.wire import ServiceError

WORLD: Final = "world"
_UP: Final = np.array([0.0, 0.0, 1.0])
_NANO: Final = 1_000_000_000
_HELD_UP: Final = _NANO // 4  # a frame that comes so much later than due begins a new count


def transforms(frame: AgentFrame, stamp: Timestamp) -> FrameTransforms:
    """The joints' frames as a tree. A joint's frame at rest points forward (X), left (Y) and up (Z)."""
    world: list[NDArray[np.floating]] = []
    tree = []
    for joint, parent in enumerate(PARENTS):
        turn, place = frame.rotations[joint], frame.positions[joint]
        if parent < 0:
            world.append(turn)
        else:
            world.append(rot.multiply(world[parent], turn))
            place = rot.rotate(rot.inverse(world[parent]), place - frame.positions[parent])
        tree.append(
            FrameTransform(
                timestamp=stamp,
                parent_frame_id=WORLD if parent < 0 else frame_id(parent),
                child_frame_id=frame_id(joint),
                translation=vector(z_up(place)),
                rotation=quaternion(z_up_rotations(turn)),
            )
        )
    return FrameTransforms(transforms=tree)


def frame_id(joint: int) -> str:
    """The name of a joint's frame in the tree."""
    return f"agent/{JOINT_NAMES[joint]}"


def body(frame: AgentFrame, stamp: Timestamp) -> SceneUpdate:
    """The body in the world: left limbs blue, right ones orange. Replaces the one of the frame before."""
    points = z_up(body_points(frame.positions[None]))[0]
    figure = SceneEntity(timestamp=stamp, frame_id=WORLD, id="agent")
    for limb in capsules():
        shade = colour(PALETTES[0].of(limb.side))
        a, b = points[limb.a], points[limb.b]
        figure.spheres.append(
            SpherePrimitive(
                pose=Pose(position=vector(b), orientation=Quaternion(w=1)),
                size=vector(np.full(3, 2 * limb.rb)),
                color=shade,
            )
        )
        figure.cylinders.append(
            CylinderPrimitive(
                pose=Pose(position=vector((a + b) / 2), orientation=quaternion(rot.between(_UP, b - a))),
                size=vector(np.array([2 * limb.ra, 2 * limb.ra, np.linalg.norm(b - a)])),
                bottom_scale=1.0,
                top_scale=limb.rb / limb.ra,
                color=shade,
            )
        )
    return SceneUpdate(entities=[figure])


def vector(values: NDArray[np.floating]) -> Vector3:
    """[3]."""
    return Vector3(x=values[0], y=values[1], z=values[2])


def quaternion(values: NDArray[np.floating]) -> Quaternion:
    """[4] wxyz."""
    return Quaternion(w=values[0], x=values[1], y=values[2], z=values[3])


def colour(rgb: tuple[int, int, int]) -> Color:
    """Of 0 to 255 each."""
    return Color(r=rgb[0] / 255, g=rgb[1] / 255, b=rgb[2] / 255, a=1.0)


class Recording:
    """An MCAP file of one session, in a ``with`` block, which writes the index at the end."""

    def __init__(self, path: Path, session: pb.Session) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.frames = 0
        self._session = session
        self._began: int | None = None
        self._file = path.open("wb")
        self._writer = Writer(self._file)

    def __enter__(self) -> Recording:
        told = {
            "session": self._session.name,
            "intent": self._session.intent,
            "fps": f"{self._session.fps:g}",
        }
        if self._session.HasField("skeleton"):  # else the reference body
            told["offsets"] = json.dumps([round(each, 6) for each in self._session.skeleton.offsets])
        self._writer.add_metadata("kinesphere", told)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.finish()
        self._file.close()

    def add(self, frame: AgentFrame) -> None:
        """Write a frame's three messages."""
        now, due = time.time_ns(), round(frame.seconds * _NANO)
        # Frames made before somebody listened come all at once: they were due as much earlier than the next one.
        past = max(0, self._session.next_sequence - frame.sequence)
        if self._began is None or (past == 0 and now - self._began - due > _HELD_UP):
            self._began = now - due - round(past / self._session.fps * _NANO)
        at = self._began + due
        stamp = Timestamp(seconds=at // _NANO, nanos=at % _NANO)
        messages = {
            "/tf": transforms(frame, stamp),
            "/agent/body": body(frame, stamp),
            "/agent/frame": frame.message,
        }
        for topic, message in messages.items():
            # MCAP counts in 32 bits: two years at 60 frames a second.
            self._writer.write_message(topic, message, log_time=at, publish_time=at, sequence=frame.sequence)
        self.frames += 1


def oldest(session: pb.Session) -> int:
    """The first frame to ask for: of a long session a little later than the oldest, which is about to be dropped."""
    return session.oldest_sequence + (round(session.fps) if session.oldest_sequence else 0)


def record(frames: Iterator[AgentFrame], recording: Recording, count: int) -> None:
    """Until the session is closed, so many frames are written, or Ctrl-C."""
    try:
        for frame in frames:
            recording.add(frame)
            if recording.frames == count:
                return
    except KeyboardInterrupt:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.listen_to_mcap", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path, metavar="FILE.mcap")
    add_options(parser)
    parser.add_argument(
        "--from-sequence", type=int, metavar="N", help="first frame [the oldest that is kept]"
    )
    parser.add_argument("--frames", type=int, default=0, metavar="N", help="to record at most [to the end]")
    options = parser.parse_args()
    try:
        with ReactionClient(options.address.split(",")) as client:
            session = running_session(client, options.session, options.wait)
            print(f"recording {session.name}", file=sys.stderr)
            with Recording(options.file, session) as recording:
                first = oldest(session) if options.from_sequence is None else options.from_sequence
                record(client.subscribe(session.name, first), recording, options.frames)
    except (InputError, ServiceError, OSError) as error:
        sys.exit(f"listen_to_mcap: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"{options.file}  {recording.frames} frames, {options.file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""What is in a recording of ``listen_to_mcap``: read back as any MCAP, its transforms drawn, a motion file made of it.

    python -m examples.read_mcap out/session.mcap --picture out/session.png --motion out/session.bvh

Says whether frames are missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import matplotlib
import numpy as np
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.errors import InputError
from kinesphere.formats import save_motion
from kinesphere.motion import Motion
from kinesphere.skeleton import NUM_JOINTS, SMPL22

Array = NDArray[np.float64]
# Frame -> its place [3] and orientation [4] (wxyz) in the world, and the name of the frame that it hangs on.
Placed = dict[str, tuple[Array, Array, str]]

_AXES: Final = {"#d62728": [1.0, 0.0, 0.0], "#2ca02c": [0.0, 1.0, 0.0], "#1f77b4": [0.0, 0.0, 1.0]}
_AXIS: Final = 0.09  # metres that an axis is drawn long


@dataclass(frozen=True, eq=False)
class Recorded:
    """Messages of each topic, in order, with their sequence numbers and times (seconds, Unix)."""

    metadata: dict[str, str]
    sequences: list[int]
    times: Array
    transforms: list[Any]
    frames: list[Any]


def read(file: IO[bytes]) -> Recorded:
    """Raises InputError(``file``) on anything but a recording of a session."""
    try:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        metadata = [each.metadata for each in reader.iter_metadata() if each.name == "kinesphere"]
        found = list(reader.iter_decoded_messages(["/tf", "/agent/frame"]))
    except McapError as error:
        raise InputError("file", f"is no MCAP that can be read: {error}") from error
    tf = [(message, decoded) for _, channel, message, decoded in found if channel.topic == "/tf"]
    frames = [decoded for _, channel, _, decoded in found if channel.topic == "/agent/frame"]
    if not metadata or not tf or len(frames) != len(tf):
        raise InputError("file", "holds no recorded session")
    return Recorded(
        metadata[0],
        [message.sequence for message, _ in tf],
        np.array([message.log_time for message, _ in tf]) / 1e9,
        [decoded for _, decoded in tf],
        frames,
    )


def placed(message: Any) -> Placed:
    """Follow a ``foxglove.FrameTransforms`` from the world to each frame; parents come before their children."""
    found: Placed = {"world": (np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), "")}
    for each in message.transforms:
        place, turn, _ = found[each.parent_frame_id]
        at = np.array([each.translation.x, each.translation.y, each.translation.z])
        q = np.array([each.rotation.w, each.rotation.x, each.rotation.y, each.rotation.z])
        found[each.child_frame_id] = (
            place + rot.rotate(turn, at),
            np.asarray(rot.multiply(turn, q), np.float64),
            each.parent_frame_id,
        )
    del found["world"]
    return found


def motion(recorded: Recorded) -> Motion:
    """The session as a motion in Kinesphere's own axes, on the agent's own bones."""
    skeleton = SMPL22
    if "offsets" in recorded.metadata:
        offsets = np.array(json.loads(recorded.metadata["offsets"]), np.float32).reshape(NUM_JOINTS, 3)
        skeleton = replace(SMPL22, offsets=offsets)
    chunks = [frame.motion for frame in recorded.frames]
    return Motion.from_rotations(
        np.array([chunk.translation for chunk in chunks], np.float32),
        np.array([chunk.rotations for chunk in chunks], np.float32).reshape(-1, NUM_JOINTS, 4),
        float(recorded.metadata["fps"]),
        skeleton,
    )


def write_picture(recorded: Recorded, path: Path, moments: int = 5) -> None:
    """The tree of frames at so many moments, each with its axes: X red, Y green, Z blue."""
    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import MultipleLocator

    figure = pyplot.figure(figsize=(2.2 * moments, 3.3))
    for panel, index in enumerate(np.linspace(0, len(recorded.transforms) - 1, moments).round().astype(int)):
        axes: Any = figure.add_subplot(1, moments, panel + 1, projection="3d")
        frames = placed(recorded.transforms[index])
        for place, turn, parent in frames.values():
            if parent in frames:
                axes.plot(*np.stack([place, frames[parent][0]], axis=1), color="#60656f", linewidth=1.5)
            for colour, axis in _AXES.items():
                tip = place + _AXIS * rot.rotate(turn, np.array(axis))
                axes.plot(*np.stack([place, tip], axis=1), color=colour, linewidth=1.2)
        x, y, _ = frames["agent/pelvis"][0]
        axes.set(xlim=(x - 0.7, x + 0.7), ylim=(y - 0.7, y + 0.7), zlim=(0, 2.2))
        for ticks in (axes.xaxis, axes.yaxis, axes.zaxis):
            ticks.set_major_locator(MultipleLocator(0.5))
            ticks.set_ticklabels([])
        axes.set_box_aspect((1.4, 1.4, 2.2), zoom=1.35)
        axes.view_init(elev=12, azim=25)
        axes.set_title(f"frame {recorded.sequences[index]}", fontsize=9, y=1.02)
    figure.text(0.5, 0.03, "X forward red, Y left green, Z up blue; grid 0.5 m", ha="center", fontsize=9)
    figure.subplots_adjust(left=0.0, right=1.0, bottom=0.02, top=0.95, wspace=0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.read_mcap", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path, metavar="FILE.mcap")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw the frames of /tf")
    parser.add_argument(
        "--motion", type=Path, metavar="FILE", help="write /agent/frame as .bvh, .glb, .npz ..."
    )
    options = parser.parse_args()
    try:
        with options.file.open("rb") as file:
            recorded = read(file)
        if options.motion:
            save_motion(motion(recorded), options.motion)
        if options.picture:
            write_picture(recorded, options.picture)
    except (InputError, OSError) as error:
        sys.exit(f"read_mcap: {error}")
    first, last = recorded.sequences[0], recorded.sequences[-1]
    lost = last - first + 1 - len(recorded.sequences)
    print(f"{recorded.metadata['session']}  {recorded.metadata['intent']}")
    print(
        f"frames {first} to {last}, {lost} missing, in {recorded.times[-1] - recorded.times[0]:.2f} s"
        f" at {recorded.metadata['fps']} a second"
    )


if __name__ == "__main__":
    main()

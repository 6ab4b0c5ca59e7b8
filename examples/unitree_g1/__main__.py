"""A Unitree G1 that moves as the agent of a reaction session does, live, in MuJoCo.

    python -m examples.unitree_g1                      # waits for a session of `kinesphere up`, follows it
    python -m examples.unitree_g1 --motion walk.bvh    # the same from a file, without a server

Prints how fast frames came, how long inverse kinematics took, and how near the robot came to the person. Writes the
robot's joint angles (`.npz`, to be played in a simulator or by a controller), a picture and, where asked for, a film.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from examples.session import add_options, running_session
from examples.unitree_g1.film import write_film, write_picture
from examples.unitree_g1.model import Robot, find_model
from examples.unitree_g1.retarget import Followed, Retargeter
from kinesphere.errors import InputError
from kinesphere.formats import load_motion
from kinesphere.reaction_call import AgentFrame
from kinesphere.reaction_plain import ReactionClient
from kinesphere.reaction_play import on_the_floor
from kinesphere.skeleton import FloatArray
from kinesphere.wire import ServiceError

FILES: Final = ("npz", "png", "mp4")


@dataclass(frozen=True, eq=False)
class Pose:
    """A frame of the person: joints [22,3] in the world and local rotations [22,4]. sequence: its number."""

    sequence: int
    positions: FloatArray
    rotations: FloatArray


def from_file(path: Path, seconds: float) -> tuple[float, Iterator[Pose]]:
    """Frames a second, and the frames of a motion file put on the floor, as fast as they are asked for."""
    motion = on_the_floor(load_motion(path))
    frames = motion.slice(0, max(1, round(min(seconds, motion.seconds) * motion.fps)))
    poses = zip(range(frames.num_frames), frames.positions, frames.rotations, strict=True)
    return frames.fps, (Pose(*pose) for pose in poses)


def from_session(
    client: ReactionClient, name: str, wait: float, seconds: float
) -> tuple[float, Iterator[Pose]]:
    """Frames a second, and the frames of a running session from now on, as they come."""
    session = running_session(client, name, wait)
    print(f"following {session.name}", file=sys.stderr)
    return session.fps, _poses(client.subscribe(session.name), round(min(seconds, 1e6) * session.fps))


def _poses(frames: Iterator[AgentFrame], count: int) -> Iterator[Pose]:
    for done, frame in enumerate(frames, 1):
        yield Pose(frame.sequence, frame.positions, frame.rotations)
        if done == count:
            return


class Run:
    """The robot following one person. All frames are kept, about 5 kB each."""

    def __init__(self, robot: Robot, fps: float) -> None:
        self.fps = fps
        self.poses: list[Pose] = []
        self.followed: list[Followed] = []
        self._robot = robot
        self._seconds: list[float] = []
        self._times: list[float] = []

    def follow(self, poses: Iterator[Pose]) -> None:
        """Until the frames end, or Ctrl-C; a service that fails ends them too, once there are some."""
        retargeter: Retargeter | None = None
        try:
            for pose in poses:
                began = time.perf_counter()
                retargeter = retargeter or Retargeter.of(
                    self._robot, pose.positions, pose.rotations, self.fps
                )
                followed = retargeter.follow(pose.positions, pose.rotations)
                # Here a controller would be given followed.qpos[7:], the angles of the robot's joints.
                self._times.append(time.perf_counter())
                self._seconds.append(self._times[-1] - began)
                self.poses.append(pose)
                self.followed.append(followed)
        except KeyboardInterrupt:
            pass
        except ServiceError as error:
            if not self.followed:
                raise
            print(f"unitree_g1: ended early: {error}", file=sys.stderr)

    def report(self) -> dict[str, Any]:
        """Figures of what was followed. Raises InputError(``session``) if that was nothing."""
        if not self.followed:
            raise InputError("session", "ended before its first frame")
        sequences = [pose.sequence for pose in self.poses]
        took = self._times[-1] - self._times[0]
        later = self._seconds[1:] or self._seconds  # the first frame takes many steps from the zero pose
        millimetres = [off for each in self.followed for off in each.millimetres.values()]
        degrees = [off for each in self.followed for off in each.degrees.values()]
        return {
            "frames": len(sequences),
            "first_sequence": sequences[0],
            "left_out": sequences[-1] - sequences[0] + 1 - len(sequences),
            "fps": self.fps,
            "frames_a_second": round((len(sequences) - 1) / took, 1) if took else 0.0,
            "ik_ms": _percentiles(np.array(later) * 1000, p50=50, p99=99, max=100),
            "error_mm": _percentiles(millimetres, p50=50, p95=95),
            "error_degrees": _percentiles(degrees, p50=50, p95=95),
        }

    def write(self, stem: Path, kinds: list[str]) -> list[Path]:
        """Files beside ``stem``."""
        qpos = np.stack([each.qpos for each in self.followed])
        positions = np.stack([pose.positions for pose in self.poses])
        made = []
        stem.parent.mkdir(parents=True, exist_ok=True)
        if "npz" in kinds:
            path = stem.with_suffix(".npz")
            sequences = np.array([pose.sequence for pose in self.poses])
            joints = np.array([self._robot.model.joint(1 + index).name for index in range(qpos.shape[1] - 7)])
            np.savez_compressed(path, qpos=qpos, fps=self.fps, sequence=sequences, joints=joints)
            made.append(path)
        if "png" in kinds:
            made.append(write_picture(self._robot, qpos, positions, stem.with_suffix(".png")))
        if "mp4" in kinds:
            made.append(write_film(self._robot, qpos, positions, self.fps, stem.with_suffix(".mp4")))
        return made


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m examples.unitree_g1", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--motion", type=Path, metavar="FILE", help="a motion file (.bvh, .npz ...) instead of a session"
    )
    add_options(parser)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), metavar="S", help="to follow at most [to the end]"
    )
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("out/g1"), help="files' name without suffix [%(default)s]"
    )
    parser.add_argument("--files", default="npz,png", help=f"of {','.join(FILES)} [%(default)s]")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    try:
        run(options)
    except (InputError, ServiceError, OSError) as error:
        sys.exit(f"unitree_g1: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def run(options: argparse.Namespace) -> None:
    """Raises InputError and ServiceError."""
    kinds = options.files.split(",")
    if not set(kinds) <= set(FILES):
        raise InputError("files", f"is '{options.files}', expected some of {','.join(FILES)}")
    if not options.seconds > 0:
        raise InputError("seconds", f"is {options.seconds:g}, must be above 0")
    scene = find_model()
    if options.motion:
        fps, poses = from_file(options.motion, options.seconds)
        followed = Run(Robot(scene), fps)
        followed.follow(poses)
    else:
        robot = Robot(scene)
        with ReactionClient(options.address.split(",")) as client:
            fps, poses = from_session(client, options.session, options.wait, options.seconds)
            followed = Run(robot, fps)
            followed.follow(poses)
    report = followed.report()
    report["files"] = [str(path) for path in followed.write(options.out, kinds)]
    print(json.dumps(report) if options.json else "\n".join(lines(report)))


def lines(report: dict[str, Any]) -> list[str]:
    """The report for people."""
    ik, off, turned = report["ik_ms"], report["error_mm"], report["error_degrees"]
    return [
        f"frames  {report['frames']}, {report['left_out']} left out, {report['frames_a_second']} a second"
        f" (of {report['fps']:g})",
        f"IK      p50 {ik['p50']} ms, p99 {ik['p99']} ms, max {ik['max']} ms a frame",
        f"error   p50 {off['p50']} mm, p95 {off['p95']} mm from the links' targets;"
        f" p50 {turned['p50']}, p95 {turned['p95']} degrees from the person's limbs and trunk",
        *report["files"],
    ]


def _percentiles(values: Any, **of: float) -> dict[str, float]:
    return {name: round(float(np.percentile(values, percent)), 2) for name, percent in of.items()}


if __name__ == "__main__":
    main()

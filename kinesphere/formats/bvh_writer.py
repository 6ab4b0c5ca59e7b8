"""BVH export: metres, Y up, the root with six channels and every other joint with three."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.formats.euler import zxy_degrees
from kinesphere.formats.hierarchy import Float
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_NAMES, Skeleton

_ROTATION: Final = "Zrotation Xrotation Yrotation"
# Where the bones of the last joints end, so that viewers draw a head, hands and toes.
_TIPS: Final = {
    "head": (0.0, 0.15, 0.03),
    "left_foot": (0.01, 0.0, 0.07),
    "right_foot": (-0.01, 0.0, 0.07),
    "left_wrist": (0.16, 0.0, 0.0),
    "right_wrist": (-0.16, 0.0, 0.0),
}


def write(motion: Motion, path: Path) -> None:
    """Write ``motion``; reading it back keeps its rotations and positions to within a tenth of a millimetre."""
    path.write_text(dumps(motion), encoding="ascii")


def dumps(motion: Motion) -> str:
    """The text of a BVH file of ``motion``."""
    skeleton = motion.skeleton
    out = io.StringIO()
    out.write("HIERARCHY\n")
    order: list[int] = []
    _joint(out, skeleton, 0, 0, order)
    out.write(f"MOTION\nFrames: {motion.num_frames}\nFrame Time: {1 / motion.fps:.9f}\n")
    columns: list[Float] = [motion.translation.astype(np.float64)]
    columns += [zxy_degrees(motion.rotations[:, joint]) for joint in order]
    np.savetxt(out, np.concatenate(columns, axis=1), fmt="%.6f", delimiter=" ")
    return out.getvalue()


def _joint(out: io.StringIO, skeleton: Skeleton, joint: int, depth: int, order: list[int]) -> None:
    order.append(joint)
    pad = "  " * depth
    name = skeleton.names[joint]
    out.write(f"{pad}{'JOINT' if depth else 'ROOT'} {name}\n{pad}{{\n")
    out.write(f"{pad}  OFFSET {_triple(skeleton.offsets[joint])}\n")
    channels = f"3 {_ROTATION}" if depth else f"6 Xposition Yposition Zposition {_ROTATION}"
    out.write(f"{pad}  CHANNELS {channels}\n")
    children = skeleton.children(joint)
    for child in children:
        _joint(out, skeleton, child, depth + 1, order)
    if not children:
        tip = _TIPS.get(name, (0.0, 0.05, 0.0)) if skeleton.names == JOINT_NAMES else (0.0, 0.05, 0.0)
        out.write(f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET {_triple(tip)}\n{pad}  }}\n")
    out.write(f"{pad}}}\n")


def _triple(values: object) -> str:
    return " ".join(f"{float(v):.6f}" for v in np.asarray(values).tolist())

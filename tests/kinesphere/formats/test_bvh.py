"""The BVH parser: kinematics by hand, spellings found in the wild, and every way to be refused."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.errors import FormatError
from kinesphere.formats import bvh, limits

ARM = """HIERARCHY
ROOT base
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT upper arm
  {
    OFFSET 0 10 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 5 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.00833333
0 0 0  0 0 0  0 0 0
1 0 0  90 0 0  0 0 90
"""


def test_forward_kinematics_by_hand() -> None:
    take = bvh.parse(ARM.encode())
    assert take.names == ("base", "upper arm", "upper arm_end")
    assert take.parents == (-1, 0, 1)
    assert take.fps == 120.0
    places = {name: place for name, (place, _) in take.global_transforms().items()}
    # Position channels replace the offset.
    np.testing.assert_allclose(places["base"], [[0, 0, 0], [1, 0, 0]], atol=1e-9)
    # A quarter turn about Z brings +Y to -X; a further one about the arm's own Y brings +X to -Z.
    np.testing.assert_allclose(places["upper arm"], [[0, 10, 0], [-9, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(places["upper arm_end"], [[5, 10, 0], [-9, 0, -5]], atol=1e-9)


def test_channel_order_is_the_order_of_rotation() -> None:
    text = ARM.replace("3 Zrotation Xrotation Yrotation", "3 Yrotation Xrotation Zrotation").replace(
        "90 0 0  0 0 90", "0 0 0  90 0 90"
    )
    tip = bvh.parse(text.encode()).global_transforms(["upper arm_end"])["upper arm_end"][0][1]
    # First Z (inner) brings +X to +Y, then Y leaves it there.
    np.testing.assert_allclose(tip, [1, 15, 0], atol=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        ARM.replace("\n", "\r\n"),
        "\ufeff" + ARM,
        ARM.replace("  ", "\t"),
        ARM.replace("Frames: 2", "Frames:\t2"),
        ARM.replace("Zrotation", "ZROTATION"),
        ARM + "\n\n",
        ARM.replace("1 0 0  90 0 0  0 0 90", "1e0 0 -0.0\n90 0 0 0 0 9.0E+1"),
    ],
)
def test_spellings_found_in_the_wild(text: str) -> None:
    take = bvh.parse(text.encode())
    assert take.frames.shape == (2, 9)
    np.testing.assert_allclose(take.frames[1], [1, 0, 0, 90, 0, 0, 0, 0, 90])


@pytest.mark.parametrize(
    ("step", "fps"),
    [("0.0333333", 30), ("0.008333", 120), ("0.041667", 24), ("0.05", 20), ("0.03336", 1 / 0.03336)],
)
def test_frame_times_are_rounded_to_the_rate_that_was_meant(step: str, fps: float) -> None:
    assert bvh.parse(ARM.replace("0.00833333", step).encode()).fps == pytest.approx(fps, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("HIERARCHY", "HIERARCH"), "hierarchy"),
        (("MOTION", "MOTIONS"), "motion"),
        (("Frames: 2", "Frames: two"), "motion.frames"),
        (("Frames: 2", "Frames: 0"), "motion.frames"),
        (("Frames: 2", "Frames: 3"), "motion.frames"),
        (("Frames: 2", "Frames: 1"), "motion"),
        (("Frames: 2", "Frames: 1000000000"), "motion.frames"),
        (("Frames: 2", "Frames: 999999999999999999"), "motion.frames"),
        (("Frames: 2", "Frames: -2"), "motion.frames"),
        (("0.00833333", "0"), "motion.frame_time"),
        (("0.00833333", "1e-9"), "motion.frame_time"),
        (("0.00833333", "e"), "motion.frame_time"),
        (("1 0 0  90", "1 0 nan 90"), "motion"),
        (("1 0 0  90", "1 0 inf 90"), "motion"),
        (("1 0 0  90", "1 0 1e30 90"), "motion"),
        (("1 0 0  90", "1 0 x 90"), "motion"),
        (("1 0 0  90", "1 0 90"), "motion"),
        (("OFFSET 0 10 0", "OFFSET 0 nan 0"), "hierarchy.offset"),
        (("OFFSET 0 10 0", "OFFSET 0 ten 0"), "hierarchy.offset"),
        (("CHANNELS 3", "CHANNELS 1000000000"), "hierarchy.channels"),
        (("CHANNELS 3", "CHANNELS -1"), "hierarchy.channels"),
        (("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation"), "hierarchy.channels"),
        (("CHANNELS 3 Zrotation", "CHANNELS 3 Yrotation"), "hierarchy.channels"),
        (("JOINT upper arm", "JOINT base"), "hierarchy"),
        (("JOINT upper arm", "ROOT upper arm"), "hierarchy"),
        (("JOINT upper arm", "BONE upper arm"), "hierarchy"),
        (("}\nMOTION", "MOTION"), "hierarchy"),
        (("}\nMOTION", "}\n}\nMOTION"), "hierarchy"),
    ],
)
def test_broken_files_are_refused_by_name(change: tuple[str, str], field: str) -> None:
    assert change[0] in ARM
    with pytest.raises(FormatError) as caught:
        bvh.parse(ARM.replace(*change, 1).encode())
    assert caught.value.field == field


def test_every_truncation_is_refused() -> None:
    # Cutting digits off the very last number is not noticed by any reader of the format; anything else is.
    for end in range(len(ARM.rstrip()) - 2):
        with pytest.raises(FormatError):
            bvh.parse(ARM[:end].encode())


def _nested(depth: int) -> str:
    opened = "".join(
        f"{'JOINT' if i else 'ROOT'} j{i} {{ OFFSET 0 1 0 CHANNELS 1 Xrotation\n" for i in range(depth)
    )
    return (
        f"HIERARCHY\n{opened}{'}' * depth}".replace("}", "}\n")
        + "MOTION\nFrames: 1\nFrame Time: 0.05\n"
        + ("0 " * depth)
    )


def test_depth_and_joints_are_limited() -> None:
    assert len(bvh.parse(_nested(limits.MAX_DEPTH).encode()).names) == limits.MAX_DEPTH
    with pytest.raises(FormatError, match="deeper"):
        bvh.parse(_nested(limits.MAX_DEPTH + 1).encode())
    flat = "".join(f"JOINT j{i} {{ OFFSET 0 1 0 CHANNELS 0 }}\n" for i in range(limits.MAX_JOINTS + 1))
    with pytest.raises(FormatError, match="more than"):
        bvh.parse(f"HIERARCHY\nROOT r {{ OFFSET 0 0 0 CHANNELS 1 Xrotation\n{flat}}}\nMOTION\n".encode())


def test_a_hierarchy_that_moves_nothing_is_refused() -> None:
    text = "HIERARCHY\nROOT r { OFFSET 0 0 0 CHANNELS 0 }\nMOTION\nFrames: 1\nFrame Time: 0.05\n"
    with pytest.raises(FormatError, match="nothing moves"):
        bvh.parse(text.encode())

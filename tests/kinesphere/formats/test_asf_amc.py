"""ASF/AMC: kinematics by hand on a two-bone skeleton, and every way to be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.errors import FormatError
from kinesphere.formats import asf_amc

ASF = """# made up
:version 1.10
:name two
:units
  mass 1.0
  length 0.5
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 10
    axis 0 0 90 XYZ
    dof rx rz
    limits (-160 20)
           (-70 70)
  end
  begin
    id 2
    name shin
    direction 0 -1 0
    length 5
    axis 0 0 0 XYZ
    dof rx
    limits (-10 170)
  end
:hierarchy
  begin
    root thigh
    thigh shin
  end
"""
AMC = """#!OML:ASF somewhere
:FULLY-SPECIFIED
:DEGREES
1
root 0 20 0 0 0 0
thigh 0 0
shin 0
2
root 1 20 0 0 90 0
thigh 90 0
shin 90
"""


def test_forward_kinematics_by_hand() -> None:
    skeleton = asf_amc.parse_skeleton(ASF.encode())
    assert skeleton.metres == pytest.approx(0.0254 / 0.5)
    places = asf_amc.global_transforms(skeleton, asf_amc.parse_motion(AMC.encode(), skeleton))
    unit = skeleton.metres
    np.testing.assert_allclose(places["root"][0], np.array([[0, 20, 0], [1, 20, 0]]) * unit, atol=1e-9)
    np.testing.assert_allclose(places["thigh"][0][0], np.array([0, 10, 0]) * unit, atol=1e-9)
    np.testing.assert_allclose(places["shin"][0][0], np.array([0, 5, 0]) * unit, atol=1e-9)
    # Frame 2: the thigh's own X axis is the world's Y at rest, so its quarter turn leaves it hanging; the shin's is X,
    # turned by the thigh to -Z and by the root (a quarter turn about Y) to -X: -Y turns about -X to +Z.
    np.testing.assert_allclose(places["thigh"][0][1], np.array([1, 10, 0]) * unit, atol=1e-9)
    np.testing.assert_allclose(places["shin"][0][1], np.array([1, 10, 5]) * unit, atol=1e-9)
    rest = asf_amc.rest_positions(skeleton)
    np.testing.assert_allclose(rest["shin"], np.array([0, -15, 0]) * unit, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ((":root", ":toor"), "asf"),
        ((":hierarchy", ":h"), "asf"),
        (("order TX TY TZ", "order TX TY"), "asf.root.order"),
        (("length 0.5", "length 0"), "asf.units.length"),
        (("length 10", "length nan"), "asf.bonedata.length"),
        (("direction 0 -1 0\n    length 10", "direction 0 -1\n    length 10"), "asf.bonedata.direction"),
        (("dof rx rz", "dof rx rx"), "asf.bonedata.dof"),
        (("dof rx rz", "dof rx sideways"), "asf.bonedata.dof"),
        (("name shin", "name thigh"), "asf.bonedata"),
        (("thigh shin\n", "thigh foot\n"), "asf.hierarchy"),
        (("root thigh\n    thigh shin", "thigh shin\n    shin thigh"), "asf.hierarchy"),
        (("root thigh", "root thigh thigh"), "asf.hierarchy"),
    ],
)
def test_broken_skeletons_are_refused_by_name(change: tuple[str, str], field: str) -> None:
    assert change[0] in ASF
    with pytest.raises(FormatError) as caught:
        asf_amc.parse_skeleton(ASF.replace(*change, 1).encode())
    assert caught.value.field == field


@pytest.mark.parametrize(
    "change",
    [
        ("shin 90\n", ""),
        ("shin 90", "shin"),
        ("shin 90", "shin x"),
        ("shin 90", "shin nan"),
        ("shin 90", "shin 1e20"),
        ("shin 90", "foot 90"),
        ("shin 0\n", "tail 0\n"),
        ("thigh 0 0\nshin 0", "shin 0\nthigh 0 0"),
        ("root 0 20 0 0 0 0\nthigh", "thigh"),
    ],
)
def test_broken_motions_are_refused(change: tuple[str, str]) -> None:
    skeleton = asf_amc.parse_skeleton(ASF.encode())
    assert change[0] in AMC
    with pytest.raises(FormatError) as caught:
        asf_amc.parse_motion(AMC.replace(*change, 1).encode(), skeleton)
    assert caught.value.field.startswith("amc")


def test_the_skeleton_beside_a_take_is_found_by_subject(tmp_path: Path) -> None:
    (tmp_path / "07.asf").write_text(ASF)
    assert asf_amc.find_skeleton(tmp_path / "07_12.amc").name == "07.asf"
    (tmp_path / "07_12.asf").write_text(ASF)
    assert asf_amc.find_skeleton(tmp_path / "07_12.amc").name == "07_12.asf"
    with pytest.raises(FormatError, match="skeleton"):
        asf_amc.find_skeleton(tmp_path / "08_01.amc")

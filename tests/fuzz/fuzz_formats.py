"""Fuzz target of the file parsers: whatever the bytes, they are read or refused with FormatError.

With Atheris (``pip install atheris``; Python up to the version it supports), coverage-guided and without end:

    python tests/fuzz/fuzz_formats.py CORPUS_DIR

``tests/fuzz/test_fuzz_formats.py`` runs the same target as a plain test, on mutations of real seeds.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import numpy as np

from kinesphere.errors import InputError
from kinesphere.formats import (
    amass,
    asf_amc,
    bvh,
    bvh_writer,
    deepmimic,
    glb,
    glb_reader,
    humanml3d,
    smplx_body,
    source,
    table,
)
from kinesphere.formats.landmarks import smpl_joints
from kinesphere.motion import Motion
from kinesphere.skeleton import PARENTS

ASF = b"""
:units
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    name shin
    direction 0 -1 0
    length 5
    axis 0 0 20 XYZ
    dof rx
  end
:hierarchy
  begin
    root shin
  end
"""


def _bvh(data: bytes) -> None:
    source.from_hierarchy(bvh.parse(data))


def _amc(data: bytes) -> None:
    skeleton = asf_amc.parse_skeleton(ASF)
    asf_amc.global_transforms(skeleton, asf_amc.parse_motion(data, skeleton))


def _asf(data: bytes) -> None:
    asf_amc.rest_positions(asf_amc.parse_skeleton(data))


def _deepmimic(data: bytes) -> None:
    marks, fps = deepmimic.parse(data)
    source.check_body(smpl_joints(marks), fps)


def _csv(data: bytes) -> None:
    positions, rotations, fps = table.parse(data)
    if rotations is not None:
        Motion.from_rotations(positions[:, 0], rotations, fps, table.skeleton_of(positions, rotations))


def _body(data: bytes) -> None:
    body = smplx_body.parse(data, np.ones(2, dtype=np.float32))
    turned = np.tile([1.0, 0, 0, 0], (2, 22, 1))
    glb.dumps(Motion.from_rotations(np.zeros((2, 3)), turned, 20.0), "motion", body)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "bvh": _bvh,
    "amc": _amc,
    "asf": _asf,
    "npz": amass.parse,
    "npy": humanml3d.parse_positions,
    "glb": glb_reader.parse,
    "csv": _csv,
    "deepmimic": _deepmimic,
    "body": _body,
}


def one_input(name: str, data: bytes) -> bool:
    """Feed ``data`` to a parser: True if it is read, False if it is refused as it should be. Else the error escapes."""
    try:
        TARGETS[name](data)
    except InputError:
        return False
    return True


def seeds() -> dict[str, bytes]:
    """A small valid file of each format."""
    turned = np.tile([1.0, 0, 0, 0], (3, 22, 1))
    motion = Motion.from_rotations(np.tile([0, 0.95, 0], (3, 1)), turned, 20.0)
    npz, npy, body = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez_compressed(npz, trans=np.zeros((3, 3)), poses=np.zeros((3, 165)), mocap_framerate=np.array(30.0))
    np.save(npy, motion.positions)
    np.savez(
        body,
        v_template=motion.positions[0],
        f=np.arange(21, dtype=np.uint32).reshape(7, 3),
        weights=np.eye(22),
        J_regressor=np.eye(22),
        kintree_table=np.array([PARENTS, range(22)]),
        shapedirs=np.zeros((22, 3, 2)),
    )
    header = ",".join(["time", *(f"{name}.{axis}" for name in motion.skeleton.names for axis in "xyz")])
    rows = [",".join(f"{v:.4g}" for v in [i / 20, *motion.positions[i].ravel()]) for i in range(3)]
    pose = [1.0, 0, 0, 0]
    frame = [0.05, 0, 0.9, 0, *pose * 4, 0, *pose * 2, 0, *pose, 0, *pose * 2, 0]
    return {
        "bvh": bvh_writer.dumps(motion).encode(),
        "amc": b":FULLY-SPECIFIED\n:DEGREES\n1\nroot 0 20 0 0 0 0\nshin 0\n2\nroot 1 20 0 0 90 0\nshin 90\n",
        "asf": ASF,
        "npz": npz.getvalue(),
        "npy": npy.getvalue(),
        "glb": glb.dumps(motion),
        "csv": "\n".join([header, *rows]).encode(),
        "body": body.getvalue(),
        "deepmimic": f'{{"Loop": "wrap", "Frames": [{frame}, {frame}]}}'.encode(),
    }


def main() -> None:
    import atheris

    names = sorted(TARGETS)

    def target(data: bytes) -> None:
        if data:
            one_input(names[data[0] % len(names)], data[1:])

    atheris.instrument_all()
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""NumPy containers are read without trust: no pickle, no size believed, no zip bomb inflated."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.errors import FormatError
from kinesphere.formats import amass, arrays, humanml3d, load_motion


def _npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def _header(text: str, payload: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + payload


def _npz(compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return out.getvalue()


def _take(**changes: Any) -> bytes:
    members: dict[str, Any] = {
        "trans": np.zeros((4, 3)),
        "poses": np.zeros((4, 165)),
        "mocap_framerate": np.array(30.0),
        "betas": np.zeros(16),
    }
    members |= changes
    return _npz(**{name: _npy(np.asarray(value)) for name, value in members.items() if value is not None})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.float32(3),
        np.zeros((0, 3)),
    ],
)
def test_arrays_are_read_as_numpy_reads_them(array: np.ndarray) -> None:
    np.testing.assert_array_equal(arrays.parse_npy(_npy(array)), array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        _npy(np.array([{"a": 1}], dtype=object)),
        _npy(np.zeros(2, dtype=[("a", "f4")])),
        _npy(np.zeros(2, dtype=complex)),
        _npy(np.zeros((2, 3)))[:-1],
        _npy(np.zeros((2, 3))) + b"\0",
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (10**12,), }"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 22, 3), }"),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", bytes(8)),
        _header("{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }", bytes(8)),
        _header("{'descr': '<f8', 'fortran_order': False, }", bytes(8)),
        _header("__import__('os').getcwd()"),
        _header("[" * 5000),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b"{}",
    ],
)
def test_broken_and_hostile_arrays_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        arrays.parse_npy(data)
    assert caught.value.field == "npy"


def test_a_zip_bomb_is_refused_before_it_is_inflated() -> None:
    bomb = _npz(poses=_npy(np.zeros((1000, 165))), trans=bytes(2**20))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("poses.npy", "w") as stream:
        for _ in range(600):
            stream.write(bytes(2**20))
    tracemalloc.start()
    with pytest.raises(FormatError, match="inflates to"):
        amass.parse(out.getvalue())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
    with pytest.raises(FormatError):
        amass.parse(bomb)


def test_a_member_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(_take())
    # Shrink the size declared for the first member in the zip's directory.
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 140)
    with pytest.raises(FormatError):
        amass.parse(bytes(data))


def test_members_are_counted_and_never_double() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for index in range(300):
            archive.writestr(f"a{index}.npy", b"")
    with pytest.raises(FormatError, match="300 arrays"):
        amass.parse(out.getvalue())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("trans.npy", _npy(np.zeros((4, 3))))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("trans.npy", _npy(np.ones((4, 3))))
    with pytest.raises(FormatError, match="twice"):
        amass.parse(out.getvalue())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"poses": None}, "npz"),
        ({"trans": None}, "npz"),
        ({"trans": np.zeros((5, 3))}, "npz.trans"),
        ({"trans": np.full((4, 3), np.nan)}, "npz.trans"),
        ({"trans": np.full((4, 3), 1e9)}, "npz.trans"),
        ({"poses": np.zeros((4, 100))}, "npz.poses"),
        ({"poses": np.zeros((0, 165)), "trans": np.zeros((0, 3))}, "npz.poses"),
        ({"poses": np.full((4, 165), np.inf)}, "npz.poses"),
        ({"poses": np.array([None])}, "npz.poses"),
        ({"mocap_framerate": None}, "npz.mocap_frame_rate"),
        ({"mocap_framerate": np.array(0.0)}, "npz.mocap_framerate"),
        ({"mocap_framerate": np.array("fast")}, "npz.mocap_framerate"),
        ({"betas": np.array(["tall"])}, "npz.betas"),
    ],
)
def test_broken_takes_are_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(FormatError) as caught:
        amass.parse(_take(**changes))
    assert caught.value.field == field


@pytest.mark.parametrize("width", [66, 72, 156, 165])
def test_amass_stands_up(width: int) -> None:
    # AMASS is Z up: a person at rest is turned by a quarter about X, and stands at trans + pelvis of the model.
    poses = np.zeros((4, width))
    poses[:, 0] = np.pi / 2
    motion = amass.parse(_take(poses=poses, trans=np.tile([1.0, 2.0, 0.9], (4, 1))))
    pelvis, head = motion.positions[0, 0], motion.positions[0, 15]
    assert pelvis[1] == pytest.approx(0.92, abs=0.03)
    assert pelvis[0] == pytest.approx(1.0, abs=0.01)
    assert -2.2 < pelvis[2] < -1.5
    assert head[1] - pelvis[1] > 0.5
    assert motion.positions[0, 1, 0] > motion.positions[0, 2, 0]  # left hip on +X: facing +Z
    assert motion.fps == 30


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 21, 3)),
        np.zeros((4, 262)),
        np.zeros((0, 22, 3)),
        np.full((4, 22, 3), np.nan),
        np.full((4, 263), np.inf, dtype=np.float32),
        np.zeros(22),
        np.zeros((4, 22, 3), dtype="U1"),
    ],
)
def test_arrays_that_are_no_motion_are_refused(array: np.ndarray) -> None:
    with pytest.raises(FormatError) as caught:
        humanml3d.parse_positions(_npy(array))
    assert caught.value.field == ("npy" if array.size else "frames")


def test_paths_that_are_no_files_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.bvh"
    empty.touch()
    for path in (tmp_path / "missing.bvh", tmp_path, tmp_path / "a.xyz", "nul\0.bvh", empty):
        with pytest.raises(FormatError):
            load_motion(path)
    (tmp_path / "folder.bvh").mkdir()
    with pytest.raises(FormatError, match="not a file"):
        load_motion(tmp_path / "folder.bvh")

"""Measures of a take tell the mistakes a reader can make; other files are listed with what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets import check
from kinesphere.datasets.build import mirror
from kinesphere.errors import InputError
from kinesphere.formats import SourceMotion
from tests.kinesphere.datasets.bodies import standing, walking, write_bvh


def _measures(positions: np.ndarray, fps: float = 20.0) -> check.Measures:
    return check.measure(SourceMotion(positions, fps, "made-up"))


def test_a_person_who_walks_ahead() -> None:
    found = _measures(walking(4.0, 1.2))
    assert found.leg == pytest.approx(0.82, abs=0.03)
    assert found.arm == pytest.approx(0.53, abs=0.02)
    assert found.floor == pytest.approx(0.0, abs=0.01)
    assert 1.4 < found.tall < 1.6
    assert found.toes == 1.0
    assert found.top_speed == pytest.approx(1.2, abs=0.1)
    assert found.along > 0.99
    assert _measures(walking(4.0, -0.8)).along < -0.99
    assert abs(_measures(walking(4.0, 0.0, sideways=0.8)).along) < 0.05


def test_mistakes_show() -> None:
    body = walking(4.0, 1.2)
    swapped = mirror(body) * np.array(
        [-1, 1, 1], dtype=np.float32
    )  # left is called right, and stays where it is
    assert _measures(swapped).toes == 0.0
    assert _measures(body * np.array([1, -1, 1], dtype=np.float32)).tall < 0.2  # upside down
    assert _measures(body * 2.54).leg > 2
    assert _measures(body, 60.0).top_speed == pytest.approx(3.6, abs=0.3)
    torn = body.copy()
    torn[5, 20] += 0.1  # one wrist, one frame
    assert _measures(torn).stretch > 0.05
    assert _measures(body + np.array([0, 0.4, 0], dtype=np.float32)).floor == pytest.approx(0.4, abs=0.01)


def test_one_frame_can_be_measured() -> None:
    assert _measures(standing(1.0)[:1]).top_speed == 0.0


def test_every_file_is_read_or_has_a_reason(tmp_path: Path) -> None:
    write_bvh(tmp_path / "walk.bvh", walking(2.0, 1.0))
    (tmp_path / "broken.bvh").write_text("HIERARCHY\n")
    (tmp_path / "01.asf").write_text(":root")
    (tmp_path / "bones.pkl").write_bytes(b"cos\nsystem\n")
    (tmp_path / "LICENSE.txt").write_text("free")
    (tmp_path / "noise.xyz").write_text("?")
    (tmp_path / ".hidden.bvh").write_text("")
    paths = check.files_under([tmp_path])
    done: list[tuple[int, int]] = []
    found = {
        file.path.name: file
        for file in check.check_files(paths, progress=lambda done_, all_: done.append((done_, all_)))
    }
    assert done[-1] == (6, 6)
    assert {name for name, file in found.items() if file.measures is not None} == {"walk.bvh"}
    assert found["broken.bvh"].reason.startswith("motion: ")
    assert "pickle" in found["bones.pkl"].reason
    assert ".xyz" in found["noise.xyz"].reason
    assert found == {file.path.name: file for file in check.check_files(paths, workers=2)}
    others = dict(check.not_taken([tmp_path], {tmp_path / "walk.bvh"}))
    assert sorted(others) == ["01.asf", "LICENSE.txt", "bones.pkl", "broken.bvh", "noise.xyz"]
    assert all(others.values())
    assert dict(check.not_taken([tmp_path], set()))["walk.bvh"].startswith("readable")


def test_rows_are_one_a_rig() -> None:
    files = [check.FileCheck(Path(f"{i}.bvh"), _measures(walking(2.0, 1.0))) for i in range(3)]
    ((rig, count, *_),) = check.rows([*files, check.FileCheck(Path("x.bvh"), None, "why")])
    assert (rig, count) == ("made-up", "3")


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        check.files_under([tmp_path])

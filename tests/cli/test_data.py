"""``kinesphere data check``: a folder's files by rig, and why others are refused."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.kinesphere.datasets.bodies import walking, write_bvh


def test_check_measures_what_is_read_and_lists_what_is_not(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    write_bvh(folder / "walk.bvh", walking(2.0, 1.0))
    (folder / "cut.bvh").write_text("HIERARCHY\n")
    result = run("data", "check", folder, "--workers", "1", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    (walk,) = found["read"]
    assert walk["path"].endswith("walk.bvh")
    assert 0.78 < walk["leg"] < 0.88
    assert [item["path"].rpartition("/")[2] for item in found["refused"]] == ["cut.bvh"]
    assert "MOTION" in found["refused"][0]["reason"]
    plain = run("data", "check", folder, "--workers", "1").stdout
    assert "1 files read, 1 not" in plain
    assert "toes ahead" in plain


def test_check_of_an_empty_folder_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("data", "check", tmp_path / "empty")
    assert result.returncode != 0
    assert "no file to check" in result.stderr
    assert "Traceback" not in result.stderr

"""Tables as text, JSON and pictures."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from kinesphere.evaluation import report
from kinesphere.evaluation.t2m import METRICS, Row, Table


@pytest.fixture
def table() -> Table:
    rows = []
    for place, name in enumerate(("real", "shuffled captions", "this system")):
        row = Row(name, made=60 * place, seconds=40.0 * place)
        for metric in METRICS:
            if metric != "multimodality" or name == "this system":
                row.values[metric] = [0.5 + place, 0.7 + place, 0.6 + place]
        rows.append(row)
    return Table(rows, {"split": "test", "clips": 64, "repeats": 3, "generations": 2})


def test_json_holds_every_value_and_the_interval(table: Table, tmp_path: Path) -> None:
    data, text, picture = report.save(table, tmp_path / "new", "mine")
    assert [path.name for path in (data, text, picture)] == ["mine.json", "mine.md", "mine.png"]
    found = json.loads(data.read_text())
    assert found["settings"]["clips"] == 64
    fid = found["rows"][2]["metrics"]["fid"]
    assert fid["values"] == [2.5, 2.7, 2.6]
    assert fid["mean"] == pytest.approx(2.6)
    assert fid["interval"] == pytest.approx(1.96 * np.std([2.5, 2.7, 2.6]) / np.sqrt(3))
    assert "multimodality" not in found["rows"][0]["metrics"]
    assert found["rows"][2]["motions_per_minute"] == 90.0
    assert "motions_per_minute" not in found["rows"][0]


def test_markdown_has_a_line_for_each_system_and_says_what_was_run(table: Table) -> None:
    lines = report.markdown(table).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:5]]
    assert {len(row) for row in cells} == {len(METRICS) + 1}
    assert cells[0][1:5] == ["R@1 (up)", "R@2 (up)", "R@3 (up)", "FID (down)"]
    assert cells[2][0] == "real"
    assert cells[2][7] == "-"  # multimodality
    assert cells[4][7] == "2.600 ±0.092"
    assert "clips 64, repeats 3, generations 2" in lines[-1]


def test_the_terminal_shows_the_same_figures(table: Table) -> None:
    stream = io.StringIO()
    report.show(table, Console(file=stream, width=160))
    for expected in ("R@3", "this system", "2.600", "±0.092", "generations 2"):
        assert expected in stream.getvalue()


def test_the_plot_has_a_bar_for_each_system(table: Table, tmp_path: Path) -> None:
    with Image.open(report.plot(table, tmp_path / "t2m.png")) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for colour in ((0x70, 0x78, 0x8A), (0xB8, 0xBE, 0xC9), (0x26, 0x74, 0xC4)):
        assert (pixels == colour).all(axis=1).sum() > 500

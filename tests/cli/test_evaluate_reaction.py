"""``kinesphere eval reaction`` as a user runs it, on a made-up data set and graphs whose weights are random."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.kinesphere.evaluation.reacting_bodies import write_reactions


@pytest.fixture(scope="module")
def repository(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped evaluator and an untrained reactor."""
    pytest.importorskip("torch")
    from services.trainer.reactor_graphs import export_untrained

    folder = tmp_path_factory.mktemp("repository")
    export_untrained(folder)
    for name in ("evaluator_motion", "evaluator_text"):
        (folder / name).symlink_to(models.resolve() / name)
    return folder


def test_tables_plot_and_pictures_are_written(run: Run, repository: Path, tmp_path: Path) -> None:
    data = write_reactions(tmp_path / "reactions", numbers=1)
    result = run(
        "eval", "reaction", "--data", data, "--models", repository, "--ablation", f"no prior={repository}",
        "--systems", "segment+FWSR,no prior (segment)", "--repeats", "2", "-o", tmp_path / "results",
        "--pictures", tmp_path / "pictures", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert [(table["name"], table["reactions"]) for table in told["tables"]] == [
        ("people, composed", 2),
        ("people, recorded", 2),
        ("things, composed", 2),
    ]
    people = told["tables"][0]
    assert [row["name"] for row in people["rows"]] == [
        "real",
        "shuffled",
        "segment+FWSR",
        "no prior (segment)",
    ]
    assert people["situations"]["wave_back"]["real"]["accuracy"] == 1.0
    assert people["rows"][0]["metrics"]["r_precision_3"] is None
    assert people["rows"][2]["metrics"]["latency"]["mean"] > 0
    stored = json.loads((tmp_path / "results" / "reaction.json").read_text())
    assert stored == told
    assert (tmp_path / "results" / "reaction.md").read_text().startswith("**People, composed: 2 reactions**")
    assert (tmp_path / "results" / "reaction.png").stat().st_size > 10_000
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [
        "salsa.png", "walk_to.png", "wave_back.png",
    ]  # fmt: skip


def test_people_read_tables_and_where_the_files_are(run: Run, repository: Path, tmp_path: Path) -> None:
    data = write_reactions(tmp_path / "reactions", numbers=1)
    result = run(
        "eval", "reaction", "--data", data, "--models", repository, "--systems", "segment", "--repeats", "1",
        "--per-situation", "1", "-o", tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "People, composed: 1 reaction" in result.stdout
    assert re.search(r"wave_back.*1\.00", result.stdout)
    assert result.stdout.rstrip().endswith(str(tmp_path / "reaction.png"))


def test_unknown_systems_are_refused(run: Run, repository: Path, tmp_path: Path) -> None:
    data = write_reactions(tmp_path / "reactions", numbers=1)
    result = run(
        "eval", "reaction", "--data", data, "--models", repository, "--systems", "magic", "-o", tmp_path
    )
    assert result.returncode == 2
    assert "systems" in result.stderr
    assert "magic" in result.stderr
    assert not (tmp_path / "reaction.json").exists()

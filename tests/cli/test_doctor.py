"""``kinesphere doctor`` finds what is broken and says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def repository(models: Path, tmp_path: Path) -> Path:
    """The shipped models by links, but ``embed_text`` as a copy of its own to break."""
    folder = tmp_path / "models"
    folder.mkdir()
    for model in models.iterdir():
        (folder / model.name).symlink_to(model.resolve())
    (folder / "embed_text").unlink()
    shutil.copytree(models / "embed_text", folder / "embed_text")
    return folder


def checks(run: Run, repository: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    result = run("doctor", "--models", repository, "--json", timeout=600)
    told = json.loads(result.stdout)
    assert told["healthy"] is (result.returncode == 0)
    return result.returncode, {each["check"]: each for each in told["checks"]}


def test_the_shipped_models_are_what_their_cards_say(run: Run, repository: Path) -> None:
    code, found = checks(run, repository)
    assert code == 0, found
    assert found["models"]["state"] == "ok"
    # The test inferences ran.
    assert "vectors" in found["text"]["text"]
    assert "unit vector" in found["motion"]["text"]


def test_a_changed_file_is_found_by_its_hash(run: Run, repository: Path) -> None:
    with (repository / "embed_text" / "config.pbtxt").open("a") as config:
        config.write("# changed\n")
    code, found = checks(run, repository)
    assert code == 1
    assert found["models"]["state"] == "fail"
    assert "embed_text/config.pbtxt is not what its card says" in found["models"]["text"]


def test_a_missing_model_is_named(run: Run, repository: Path) -> None:
    shutil.rmtree(repository / "embed_text")
    (repository / "embed_motion").unlink()
    code, found = checks(run, repository)
    assert code == 1
    assert found["models"]["text"].endswith("lacks embed_motion, embed_text")
    assert found["motion"]["state"] == "fail"

"""A small archive of synthetic takes, and what is loaded from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinesphere.datasets.reactions.library import Entry, load_entries
from tests.kinesphere.datasets.reactions.actors import write_archive


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def entries(archive: Path) -> list[Entry]:
    found, refused = load_entries([archive])
    assert refused == []
    return found

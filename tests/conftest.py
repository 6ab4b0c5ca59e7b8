"""Fixtures shared by every test.

Real motion data and reference values are not part of the project. Where a folder ``../shared`` with the archives lies
beside the checkout they are unpacked once into ``.cache/shared``; elsewhere the tests marked ``shared_data`` skip.
``KINESPHERE_SHARED`` names another place: either such a folder of archives, or one where they are already unpacked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "shared"
# Archive, relative to the shared folder, and one folder that it holds.
DATA_ARCHIVES = {
    "data/cmu.tar.xz": "cmu",
    "data/bandai-namco.tar.xz": "bandai-namco",
    "data/references.tar.xz": "humanml3d",
}
GOLDEN_ARCHIVE = {"golden.tar.xz": "golden"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for one of the fixtures needs the data, whether or not it carries the marker."""
    for item in items:
        if {"shared_data", "golden"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("shared_data")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the unpacked archives: ``cmu/``, ``bandai-namco/``, ``humanml3d/``, ``deepmimic/``, ``formats/``..."""
    return _unpacked(DATA_ARCHIVES)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the reference values: ``hml_012314_ref.npz``, ``metrics/expected.json``, ..."""
    return _unpacked(GOLDEN_ARCHIVE) / "golden"


@pytest.fixture(scope="session")
def models() -> Path:
    """Folder of the shipped networks (a Triton model repository), or of others, named in KINESPHERE_MODELS."""
    return Path(os.environ.get("KINESPHERE_MODELS") or ROOT / "models")


def _unpacked(archives: dict[str, str]) -> Path:
    source = Path(os.environ.get("KINESPHERE_SHARED") or ROOT.parent / "shared")
    for place in (source, CACHE):
        if all((place / folder).is_dir() for folder in archives.values()):
            return place
    missing = [name for name in archives if not (source / name).is_file()]
    if missing:
        pytest.skip(f"no {missing[0]} in {source} (set KINESPHERE_SHARED)")
    CACHE.mkdir(parents=True, exist_ok=True)
    for name, folder in archives.items():
        if not (CACHE / folder).is_dir():
            _unpack(source / name, folder)
    return CACHE


def _unpack(archive: Path, landmark: str) -> None:
    """Unpack beside the cache, then move into place, so that an interrupted run leaves no half of an archive.

    The landmark folder moves last: it stands for the whole archive.
    """
    scratch = Path(tempfile.mkdtemp(dir=CACHE.parent))
    try:
        subprocess.run(["tar", "xJf", str(archive), "-C", str(scratch)], check=True)
        for entry in sorted(scratch.iterdir(), key=lambda path: path.name == landmark):
            target = CACHE / entry.name
            if not target.exists():
                entry.rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

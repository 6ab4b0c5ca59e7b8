"""Readers and writers of motion files: ``load_positions``, ``load_motion``, ``save_motion``."""

from __future__ import annotations

from pathlib import Path

from kinesphere.errors import FormatError
from kinesphere.formats.source import SourceMotion, from_acclaim, from_bvh, from_deepmimic

__all__ = ["FormatError", "SourceMotion", "load_positions"]


def load_positions(path: Path | str) -> SourceMotion:
    """Positions of SMPL's 22 joints in metres from any supported file. Raises FormatError saying what is wrong."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return from_bvh(path)
    if suffix == ".amc":
        return from_acclaim(path)
    if suffix in (".txt", ".json"):
        return from_deepmimic(path)
    raise FormatError("path", f"no reader for {suffix or 'a file without suffix'}")

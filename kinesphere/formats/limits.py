"""What the parsers allow. A hostile or broken file is refused here before memory or time is spent on it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kinesphere.errors import FormatError

MAX_FILE_BYTES: Final = 256 * 2**20
MAX_FRAMES: Final = 1_000_000
# Numbers in one file, e.g. frames x channels of a BVH: 64 M float64 are 512 MB.
MAX_VALUES: Final = 64_000_000
MAX_JOINTS: Final = 1_000
MAX_DEPTH: Final = 128
MAX_CHANNELS: Final = 6
# No coordinate of a real take is larger, in any unit; beyond it float32 loses the millimetres.
MAX_COORDINATE: Final = 1e6


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises FormatError for one that is missing, empty, not a file, or over MAX_FILE_BYTES."""
    if "\0" in str(path) or not path.is_file():
        raise FormatError("path", f"{str(path)!r} is not a file")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise FormatError("file.size", f"{size} bytes, at most {MAX_FILE_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise FormatError("path", f"{path} cannot be read: {error.strerror}") from error
    if not data:
        raise FormatError("file", "is empty")
    return data


def check_frames(frames: int, values_per_frame: int, field: str = "frames") -> None:
    """Raise FormatError unless a take of ``frames`` frames is allowed."""
    if frames < 1:
        raise FormatError(field, "the file holds no frames")
    if frames > MAX_FRAMES:
        raise FormatError(field, f"{frames} frames, at most {MAX_FRAMES} are read")
    if frames * values_per_frame > MAX_VALUES:
        raise FormatError(
            field, f"{frames} frames of {values_per_frame} numbers are over {MAX_VALUES} numbers"
        )

"""Files that the command line can make of a motion: interchange formats, and pictures to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kinesphere.errors import InputError

if TYPE_CHECKING:
    from kinesphere.motion import Motion

MOTION_FORMATS: Final = ("bvh", "glb", "npz", "npy", "csv")
PICTURE_FORMATS: Final = ("png", "mp4", "gif", "html")
FORMATS: Final = MOTION_FORMATS + PICTURE_FORMATS


def parse_formats(text: str) -> tuple[str, ...]:
    """``"bvh,glb"`` -> ("bvh", "glb"). Raises InputError naming ``formats`` and what there is."""
    names = tuple(dict.fromkeys(part.strip().lower().lstrip(".") for part in text.split(",") if part.strip()))
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        what = f"{unknown[0]!r} is unknown" if unknown else "names no format"
        raise InputError("formats", f"{what}; choose from {', '.join(FORMATS)}")
    return names


def check_suffix(path: Path, field: str) -> str:
    """The format a file name asks for. Raises InputError naming ``field``."""
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FORMATS:
        raise InputError(field, f"{path.name} does not end in one of .{', .'.join(FORMATS)}")
    return suffix


def write(
    motion: Motion,
    path: Path,
    title: str = "",
    body: Path | None = None,
    others: Sequence[Motion] = (),
    names: Sequence[str] = (),
) -> Path:
    """Write one file; its suffix says what. body: a SMPL-X model file for a .glb.

    others: people around the motion's own, whom pictures show too, in one world. names: one a person in pictures.
    Raises InputError on a suffix that is unknown, or one that takes no body.
    """
    suffix = check_suffix(path, "out")
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix in MOTION_FORMATS:
        from kinesphere.formats import save_motion

        save_motion(motion, path, body=body)
    elif body is not None:
        raise InputError("body", f"only a .glb holds a mesh, not {path.name}")
    elif suffix == "png":
        from kinesphere.drawing.contact_sheet import contact_sheet

        contact_sheet([motion, *others], path, title, together=bool(others), names=names)
    elif suffix == "html":
        from kinesphere.drawing.viewer import write_viewer

        write_viewer([motion, *others], path, title=title, names=names)
    else:
        from kinesphere.drawing.video import write_video

        write_video([motion, *others], path, title, names=names)
    return path


def write_all(
    motion: Motion,
    stem: Path,
    formats: Sequence[str],
    title: str = "",
    advance: Callable[[float], None] = lambda done: None,
    *,
    others: Sequence[Motion] = (),
    names: Sequence[str] = (),
) -> dict[str, Path]:
    """Write ``stem.bvh``, ``stem.glb``...; ``advance`` is told how many are done. others, names: see ``write``."""
    made: dict[str, Path] = {}
    for done, name in enumerate(formats, start=1):
        made[name] = write(motion, stem.with_name(f"{stem.name}.{name}"), title, others=others, names=names)
        advance(done)
    return made


def load(path: Path, field: str = "file", *, uniform: bool = False) -> Motion:
    """Read a motion file. Raises InputError naming ``field`` without such a file, FormatError on bad content."""
    if not path.is_file():
        raise InputError(field, f"{path} is not a file")
    from kinesphere.formats import load_motion

    return load_motion(path, uniform=uniform)

"""``kinesphere view FILE...``."""

from __future__ import annotations

from pathlib import Path

import click

from kinesphere.cli import artifacts
from kinesphere.cli.output import emit, json_option


@click.command(short_help="Write an HTML page that plays motion files.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The page to write [FILE's name + .html].")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@json_option
def view(files: tuple[Path, ...], out: Path | None, open_it: bool, as_json: bool) -> None:
    """Write one self-contained HTML page that plays the motion FILEs together, and print its path."""
    from kinesphere.drawing.viewer import write_viewer

    motions = [artifacts.load(path) for path in files]
    page = out or files[0].with_suffix(".html")
    page.parent.mkdir(parents=True, exist_ok=True)
    write_viewer(motions, page, title=", ".join(path.stem for path in files))
    emit({"page": page, "motions": len(motions)}, [str(page)], as_json=as_json)
    if open_it:
        click.launch(str(page))

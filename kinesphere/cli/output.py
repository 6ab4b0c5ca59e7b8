"""What commands share in speaking to people and machines.

Results go to stdout: lines for people, one JSON object with ``--json``. Progress goes to stderr, and only to a
terminal, so that a pipe stays clean.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Give a command ``--json`` (parameter ``as_json``)."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")(
        command
    )


def emit(result: Mapping[str, object], lines: Sequence[str], *, as_json: bool) -> None:
    """Print the result of a command: ``lines`` for people, ``result`` for machines."""
    if as_json:
        click.echo(json.dumps(result, default=_plain, allow_nan=False))
    else:
        for line in lines:
            click.echo(line)


def note(text: str, *, as_json: bool = False) -> None:
    """Say something in passing, on stderr; nothing with ``--json``."""
    if not as_json:
        click.echo(text, err=True)


@contextmanager
def progress(title: str, total: float | None, *, as_json: bool = False) -> Iterator[Callable[[float], None]]:
    """A bar on stderr while the block runs; call what it yields with the amount done so far.

    ``total`` None shows a moving bar. Silent with ``--json`` and where stderr is no terminal.
    """
    if as_json or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns padded to their widest cell; the first is flush left, the others flush right."""
    cells = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def human_size(size: int) -> str:
    """12345 -> ``12 kB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    for method in ("item", "tolist"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{type(value).__name__} has no JSON form")

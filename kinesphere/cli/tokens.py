"""``kinesphere encode`` and ``kinesphere decode``: motion files to token files (JSON) and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from kinesphere.cli import artifacts
from kinesphere.cli.output import emit, human_size, json_option
from kinesphere.cli.services import address_options, connected
from kinesphere.errors import FormatError, InputError

MAX_BYTES = 4 << 20  # a token file of ten minutes is some 60 kB


@click.command(short_help="Turn a motion file into tokens.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="[OUT]", required=False, type=click.Path(path_type=Path))
@address_options
@json_option
def encode(source: Path, target: Path | None, address: str, tokenizer_address: str, as_json: bool) -> None:
    """Turn the motion file IN into tokens: a JSON file OUT, or stdout without one.

    One block is 0.8 s: a semantic token and four detail tokens.
    """
    motion = artifacts.load(source, "in")
    with connected(address, tokenizer_address, as_json=as_json) as client:
        encoded = client.encode(motion)
    document = {
        "num_frames": encoded.num_frames,
        "blocks": [{"semantic": semantic, "detail": list(detail)} for semantic, detail in encoded.blocks],
    }
    if target is None:
        emit(document, [json.dumps(document)], as_json=as_json)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(document) + "\n", encoding="utf-8")
    summary = {"in": source, "out": target, "blocks": len(encoded.blocks), "num_frames": encoded.num_frames}
    emit(summary, [f"{target}  {len(encoded.blocks)} blocks of 0.8 s"], as_json=as_json)


@click.command(short_help="Turn tokens back into a motion file.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--fps", type=float, help="Frames a second of the result, 10 to 60 [20].")
@address_options
@json_option
def decode(
    source: Path, target: Path, fps: float | None, address: str, tokenizer_address: str, as_json: bool
) -> None:
    """Turn the token file IN (from `kinesphere encode`) into the motion file OUT; its suffix says the format."""
    artifacts.check_suffix(target, "out")
    blocks, num_frames = read_tokens(source)
    from kinesphere.cli.limits import check_limits
    from kinesphere.wire import decode_request

    check_limits(decode_request(blocks, fps, num_frames))
    with connected(address, tokenizer_address, as_json=as_json) as client:
        motion = client.decode(blocks, fps=fps, num_frames=num_frames)
    artifacts.write(motion, target, source.stem)
    size = target.stat().st_size
    summary = {"in": source, "out": target, "frames": motion.num_frames, "fps": motion.fps, "bytes": size}
    emit(summary, [f"{target}  {motion.num_frames} frames, {human_size(size)}"], as_json=as_json)


def read_tokens(path: Path) -> tuple[tuple[tuple[int, tuple[int, ...]], ...], int]:
    """The blocks and the frame count of a token file. Raises InputError or FormatError naming what is wrong."""
    if not path.is_file():
        raise InputError("in", f"{path} is not a file")
    if path.stat().st_size > MAX_BYTES:
        raise FormatError("in", f"{path} is larger than {human_size(MAX_BYTES)}, too large for tokens")
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError("in", f"{path} is not JSON: {error}") from error
    entries = document.get("blocks") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FormatError("blocks", "is not a list; a token file is what `kinesphere encode` writes")
    blocks = tuple(_block(index, entry) for index, entry in enumerate(entries))
    return blocks, _integer("num_frames", document.get("num_frames", 0))


def _block(index: int, entry: Any) -> tuple[int, tuple[int, ...]]:
    field = f"blocks[{index}]"
    if not isinstance(entry, dict) or not isinstance(entry.get("detail"), list):
        raise FormatError(field, 'is not of the form {"semantic": 1, "detail": [2, 3, 4, 5]}')
    detail = tuple(_integer(f"{field}.detail", value) for value in entry["detail"])
    return _integer(f"{field}.semantic", entry.get("semantic")), detail


def _integer(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise FormatError(field, f"{value!r} is not a whole number")
    return value

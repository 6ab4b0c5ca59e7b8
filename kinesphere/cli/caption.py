"""``kinesphere caption FILE``."""

from __future__ import annotations

from pathlib import Path

import click

from kinesphere.cli import artifacts
from kinesphere.cli.output import emit, json_option, progress
from kinesphere.cli.services import address_options, connected


@click.command(short_help="Describe the motion in a file in words.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--seed", type=int, help="Makes the same caption again, with --temperature.")
@click.option("--temperature", type=float, help="Randomness of the words, 0 to 2 [0: the likeliest].")
@address_options
@json_option
def caption(
    file: Path,
    seed: int | None,
    temperature: float | None,
    address: str,
    tokenizer_address: str,
    as_json: bool,
) -> None:
    """Say in a sentence what the motion in FILE shows. The first 20 s are read."""
    motion = artifacts.load(file)
    from kinesphere.cli.limits import check_limits
    from kinesphere.v1 import planner_pb2

    check_limits(planner_pb2.CaptionRequest(seed=seed, temperature=temperature))
    with connected(address, tokenizer_address, as_json=as_json) as client:
        with progress("Reading the motion", None, as_json=as_json):
            text = client.caption(motion, seed=seed, temperature=temperature)
    emit({"file": file, "caption": text}, [text], as_json=as_json)

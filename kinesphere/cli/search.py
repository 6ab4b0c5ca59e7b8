"""``kinesphere search TEXT``."""

from __future__ import annotations

from pathlib import Path

import click

from kinesphere.cli import artifacts
from kinesphere.cli.output import emit, json_option, table
from kinesphere.cli.services import address_options, connected
from kinesphere.errors import InputError


@click.command(short_help="Find clips that fit a sentence or a motion.")
@click.argument("text", required=False)
@click.option("--motion", "file", type=click.Path(path_type=Path), help="Search by this motion file instead.")
@click.option("-n", "--limit", type=int, default=10, show_default=True, help="Clips to list, 1 to 100.")
@address_options
@json_option
def search(
    text: str | None, file: Path | None, limit: int, address: str, tokenizer_address: str, as_json: bool
) -> None:
    """List the clips of the tokenizer's index that fit TEXT, or a motion file, best first."""
    if (text is None) == (file is None):
        raise InputError("query", "give either TEXT or --motion FILE")
    query = text if file is None else artifacts.load(file, "motion")
    assert query is not None
    from kinesphere.cli.limits import check_limits
    from kinesphere.v1 import tokenizer_pb2

    check_limits(tokenizer_pb2.SearchRequest(limit=limit))
    if isinstance(query, str):
        check_limits(tokenizer_pb2.EmbedInput(text=query))
    with connected(address, tokenizer_address, as_json=as_json) as client:
        hits = client.search(query, limit=limit)
    rows = [(hit.clip_id, f"{hit.score:.3f}", f"{hit.seconds:.1f} s", hit.caption) for hit in hits]
    found = [
        {
            "clip_id": hit.clip_id, "score": round(hit.score, 4), "caption": hit.caption, "source": hit.source,
            "seconds": hit.seconds,
        }
        for hit in hits
    ]  # fmt: skip
    emit({"hits": found}, table(("clip", "score", "length", "caption"), rows), as_json=as_json)

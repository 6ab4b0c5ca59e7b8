"""``kinesphere generate TEXT``."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kinesphere.cli import artifacts
from kinesphere.cli.output import emit, human_size, json_option, progress
from kinesphere.cli.services import address_options, connected

if TYPE_CHECKING:
    from kinesphere.client import Client, Generated
    from kinesphere.v1 import planner_pb2


@click.command(short_help="Turn a sentence into motion files.")
@click.argument("text")
@click.option("--seconds", type=float, default=0.0, help="Length, up to 60; left out, the model decides.")
@click.option("--seed", type=int, help="Makes the same motion again; left out, a new one each time.")
@click.option("--temperature", type=float, help="Randomness of the plan, above 0 to 2.")
@click.option("--top-p", type=float, help="Keep the likeliest tokens up to this probability.")
@click.option("--thinking/--no-thinking", default=None, help="Let the model write a thought first.")
@click.option(
    "--decoder", default="diffusion", show_default=True, help="diffusion, or direct (faster, rougher)."
)
@click.option("--fps", type=float, help="Frames a second of the result, 10 to 60 [20].")
@click.option(
    "--formats", default="bvh,glb,npz,png,html", show_default=True, help=f"Of {','.join(artifacts.FORMATS)}."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder."
)
@click.option("--name", help="File name without suffix [the sentence's first words].")
@address_options
@json_option
def generate(
    text: str, seconds: float, seed: int | None, temperature: float | None, top_p: float | None,
    thinking: bool | None, decoder: str, fps: float | None, formats: str, out: Path, name: str | None,
    address: str, tokenizer_address: str, as_json: bool,
) -> None:  # fmt: skip
    """Turn the sentence TEXT into motion and write files of it.

    Talks to the services at --address. Without one, to those that `kinesphere up` runs; where none runs, it starts
    them for this command and stops them afterwards.
    """
    wanted = artifacts.parse_formats(formats)
    from kinesphere.cli.limits import check_limits
    from kinesphere.wire import generate_request

    options: dict[str, Any] = {
        "seconds": seconds, "seed": seed, "temperature": temperature, "top_p": top_p, "thinking": thinking,
        "decoder": decoder, "fps": fps,
    }  # fmt: skip
    check_limits(generate_request(text, **options))
    began = time.monotonic()
    with connected(address, tokenizer_address, as_json=as_json) as client:
        ready = time.monotonic()
        made = _generate(client, text, as_json, **options)
        done = time.monotonic()
    with progress("Writing files", len(wanted), as_json=as_json) as advance:
        stem = out / (name or slug(text))
        files = artifacts.write_all(made.motion, stem, wanted, text, advance)
    motion = made.motion
    lines = [
        f"thought  {made.thought}" if made.thought else "",
        f"motion   {motion.seconds:.2f} s, {motion.num_frames} frames at {motion.fps:g} fps, seed {made.seed}; first"
        f" frame after {made.first_frame_seconds:.2f} s, all after {made.total_seconds:.2f} s",
        *(f"{path}  {human_size(path.stat().st_size)}" for path in files.values()),
    ]
    emit(
        {
            "text": text, "thought": made.thought, "seed": made.seed, "seconds": motion.seconds,
            "frames": motion.num_frames, "fps": motion.fps, "finish_reason": made.finish_reason,
            "tokens": [{"semantic": semantic, "detail": detail} for semantic, detail in made.blocks],
            "files": files,
            "timing": {
                "start_services": round(ready - began, 3), "first_frame": round(made.first_frame_seconds, 3),
                "generate": round(done - ready, 3), "write_files": round(time.monotonic() - done, 3),
            },
        },
        [line for line in lines if line],
        as_json=as_json,
    )  # fmt: skip


def _generate(client: Client, text: str, as_json: bool, **options: Any) -> Generated:
    with progress("Generating", options["seconds"] or None, as_json=as_json) as advance:
        rate = 20.0

        def show(message: planner_pb2.GenerateResponse) -> None:
            nonlocal rate
            if message.HasField("header"):
                rate = message.header.fps
            elif message.HasField("motion"):
                advance((message.motion.start_frame + message.motion.num_frames) / rate)

        return client.generate(text, on_message=show, **options)


def slug(text: str) -> str:
    """A file name from a sentence: its first words, lower case, joined by hyphens."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    name = "-".join(words)[:48].strip("-")
    return name or "motion"

"""``kinesphere react PARTNER``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kinesphere.cli import artifacts
from kinesphere.cli.generate import slug
from kinesphere.cli.output import emit, human_size, json_option, progress
from kinesphere.cli.services import reactor_addresses
from kinesphere.errors import InputError

if TYPE_CHECKING:
    from kinesphere.motion import Motion
    from kinesphere.reaction_play import Played

_NAMES = ("agent", "partner")


@click.command(short_help="Let a body answer the person in a motion file, live.")
@click.argument("partner", type=click.Path(path_type=Path))
@click.option("--intent", default="", help='What the agent means to do, as "wave back" [whatever fits].')
@click.option(
    "--distance", type=float, default=2.0, show_default=True, help="Metres between the two at first."
)
@click.option("--fps", type=float, help="Frames a second of the agent, 10 to 60 [the partner's].")
@click.option("--seed", type=int, help="Of the agent's random choices; left out, a new one each time.")
@click.option(
    "--formats", default="bvh,glb,npz,png,mp4,html", show_default=True,
    help=f"Of {','.join(artifacts.FORMATS)}. Pictures show both, the others hold the agent.",
)  # fmt: skip
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder."
)
@click.option("--name", help="File name without suffix [the intent's first words, or PARTNER's name].")
@click.option(
    "--address",
    metavar="HOST:PORT",
    default="",
    envvar="KINESPHERE_REACTOR_ADDRESS",
    help="Reactor service, replicas separated by commas [127.0.0.1:50055, or one started for this command].",
)
@json_option
def react(
    partner: Path, intent: str, distance: float, fps: float | None, seed: int | None, formats: str, out: Path,
    name: str | None, address: str, as_json: bool,
) -> None:  # fmt: skip
    """Play the person in the motion file PARTNER to an agent, live, and write files of what the agent does.

    The agent begins in front of PARTNER, facing it. PARTNER's frames are sent in real time, at the file's own rate
    within 10 to 60 frames a second; how long each took to be answered is printed. The agent's files are in the world
    of PARTNER's own file, raised or lowered so that the floor is at y = 0.

    Talks to the reactor at --address. Without one, to the one that `kinesphere up` runs; where none runs, it starts
    one for this command and stops it afterwards.
    """
    wanted = artifacts.parse_formats(formats)
    from kinesphere.reaction_play import check, live_rate, on_the_floor

    _check_session(intent, seed)
    with progress(f"Reading {partner.name}", None, as_json=as_json):
        motion = on_the_floor(artifacts.load(partner, "partner"))
    check(motion, fps, distance)
    began = time.monotonic()
    with reactor_addresses(address, as_json=as_json) as replicas:
        ready = time.monotonic()
        with progress("Reacting", motion.seconds, as_json=as_json) as advance:
            played = asyncio.run(_play(replicas, motion, intent, fps, distance, seed, advance))
    done = time.monotonic()
    title = f"{partner.stem}: {intent}" if intent else partner.stem
    with progress("Writing files", len(wanted), as_json=as_json) as advance:
        stem = out / (name or slug(intent or partner.stem))
        files = artifacts.write_all(played.agent, stem, wanted, title, advance, others=[motion], names=_NAMES)
    latency, agent = _latency(played), played.agent
    happened = played.happened()
    lines = [
        f"agent    {agent.seconds:.2f} s, {agent.num_frames} frames at {agent.fps:g} fps, beside a partner of"
        f" {motion.seconds:.2f} s at {live_rate(motion.fps):g} fps",
        f"latency  p50 {latency['p50']:.1f} ms, p99 {latency['p99']:.1f} ms, max {latency['max']:.1f} ms, from partner"
        f" frame in to agent frame out ({len(played.latencies)} answered)",
        f"events   {', '.join(f'{kind} {count}' for kind, count in happened.items()) or 'none'}",
        f"left out {played.left_out} frames: the service was held up" if played.left_out else "",
        *(f"{path}  {human_size(path.stat().st_size)}" for path in files.values()),
    ]
    emit(
        {
            "partner": partner, "intent": intent, "seconds": agent.seconds, "frames": agent.num_frames,
            "fps": agent.fps, "partner_fps": live_rate(motion.fps), "partner_frames_answered": len(played.latencies),
            "latency_ms": latency, "events": happened, "first_sequence": played.frames[0].sequence,
            "last_sequence": played.frames[-1].sequence, "frames_received": len(played.frames),
            "frames_left_out": played.left_out, "reconnects": played.reconnects, "files": files,
            "timing": {
                "start_services": round(ready - began, 3), "react": round(done - ready, 3),
                "write_files": round(time.monotonic() - done, 3),
            },
        },
        [line for line in lines if line],
        as_json=as_json,
    )  # fmt: skip


async def _play(
    replicas: Sequence[str], partner: Motion, intent: str, fps: float | None, distance: float,
    seed: int | None, advance: Callable[[float], None],
) -> Played:  # fmt: skip
    from kinesphere.reaction_client import AsyncReactionClient
    from kinesphere.reaction_play import play

    async with AsyncReactionClient(replicas) as client:
        return await play(
            client, partner, intent=intent, fps=fps, distance=distance, seed=seed, progress=advance
        )


def _check_session(intent: str, seed: int | None) -> None:
    """Raise InputError naming ``intent`` or ``seed``, before anything is started."""
    from kinesphere.cli.limits import check_limits
    from kinesphere.v1 import reactor_pb2

    if seed is not None and not -(2**63) <= seed < 2**63:
        raise InputError("seed", "is larger than 63 bits")
    try:
        session = reactor_pb2.Session(intent=intent, seed=seed)
    except (UnicodeEncodeError, ValueError) as error:
        raise InputError("intent", "is not valid Unicode") from error
    check_limits(session)


def _latency(played: Played) -> dict[str, float]:
    """p50, p99 and max in milliseconds."""
    import numpy as np

    p50, p99, most = np.percentile(played.latencies * 1000, (50, 99, 100))
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(float(most), 2)}

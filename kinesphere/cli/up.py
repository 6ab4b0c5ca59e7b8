"""``kinesphere up``."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType

import click

from kinesphere.cli.output import emit, json_option, note, progress
from kinesphere.cli.stack import HOST, READY_SECONDS, SERVICES, Ports, Stack, default_models

_COLOURS = {"tokenizer": "cyan", "decoder": "green", "planner": "magenta", "reactor": "yellow"}
_PORT = click.IntRange(1, 65535)


@click.command(short_help="Run all services and an embedded Valkey in this terminal.")
@click.option("--planner-port", type=_PORT, default=Ports.planner, show_default=True)
@click.option("--tokenizer-port", type=_PORT, default=Ports.tokenizer, show_default=True)
@click.option("--decoder-port", type=_PORT, default=Ports.decoder, show_default=True)
@click.option("--reactor-port", type=_PORT, default=Ports.reactor, show_default=True)
@click.option("--valkey-port", type=_PORT, default=Ports.valkey, show_default=True)
@click.option("--no-valkey", is_flag=True, help="Start none (set KINESPHERE_REDIS_URL to use another).")
@click.option(
    "--models", type=click.Path(path_type=Path), help="Model repository [models beside the package]."
)
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=READY_SECONDS,
    show_default=True,
    help="Seconds to wait.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not show what the services log.")
@json_option
def up(
    planner_port: int, tokenizer_port: int, decoder_port: int, reactor_port: int, valkey_port: int,
    no_valkey: bool, models: Path | None, timeout: float, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the tokenizer, decoder, planner and reactor services and an embedded Valkey here, until Ctrl-C.

    A service that dies is started again, three times a minute at most. With --json, one line says when all is ready.
    """
    ports = Ports(
        planner_port, tokenizer_port, decoder_port, None if no_valkey else valkey_port, reactor_port
    )
    stack = Stack(ports, models or default_models(), _quiet if quiet or as_json else _show)
    # A plain `kill` ends this as cleanly as Ctrl-C does.
    signal.signal(signal.SIGTERM, _interrupt)
    # A script that starts this in the background leaves SIGINT ignored, and nothing else would end it cleanly.
    signal.signal(signal.SIGINT, _interrupt)
    try:
        with stack:
            began = time.monotonic()
            with progress("Starting", len(SERVICES), as_json=as_json) as advance:
                stack.wait_ready(timeout, advance)
            _announce(ports, time.monotonic() - began, as_json)
            while True:
                time.sleep(0.5)
                again = stack.check()
                if again:
                    note(f"{again} died; started again", as_json=as_json)
    except KeyboardInterrupt:
        note("\nstopped", as_json=as_json)


def _announce(ports: Ports, seconds: float, as_json: bool) -> None:
    places = {name: f"{HOST}:{ports.of(name)}" for name in SERVICES}
    if ports.valkey is not None:
        places["valkey"] = f"{HOST}:{ports.valkey}"
    lines = [
        f"Ready in {seconds:.1f} s. Ctrl-C stops everything.",
        *(f"  {name:<10} {place}" for name, place in places.items()),
        '  try: kinesphere generate "a person waves with the left hand"',
    ]
    emit({"ready": True, "seconds": round(seconds, 2), **places}, lines, as_json=as_json)


def _show(name: str, line: str) -> None:
    if (
        name == "valkey"
    ):  # warns of settings of the machine that matter to a database on disk, not to this one
        return
    click.echo(click.style(f"{name:>9} | ", fg=_COLOURS.get(name)) + line, err=True)


def _quiet(name: str, line: str) -> None:
    pass


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

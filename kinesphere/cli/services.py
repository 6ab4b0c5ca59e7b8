"""A client for commands that talk to the services: those that run already, or ones started for this command alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kinesphere.cli.output import Command, note, progress

if TYPE_CHECKING:
    from kinesphere.client import Client


def address_options(command: Command) -> Command:
    """Give a command ``--address`` (planner) and ``--tokenizer-address``."""
    command = click.option(
        "--tokenizer-address",
        metavar="HOST:PORT",
        default="",
        envvar="KINESPHERE_TOKENIZER_ADDRESS",
        help="Tokenizer service [127.0.0.1:50052].",
    )(command)
    return click.option(
        "--address",
        metavar="HOST:PORT",
        default="",
        envvar="KINESPHERE_PLANNER_ADDRESS",
        help="Planner service [127.0.0.1:50051, or services started for this command].",
    )(command)


@contextmanager
def connected(address: str, tokenizer_address: str, *, as_json: bool) -> Iterator[Client]:
    """A client of the services at the addresses given; without any, of those that ``kinesphere up`` runs.

    Where none listens they are started on free ports and stopped at the end. Raises InputError on bad input that a
    service refuses, ClickException on any other failure of a call.
    """
    from kinesphere.cli.stack import HOST, SERVICES, Ports, Stack, default_models, listening
    from kinesphere.client import DEFAULT_PORTS, Client, ServiceError

    running = all(listening(HOST, DEFAULT_PORTS[name]) for name in ("planner", "tokenizer"))
    try:
        if address or tokenizer_address or running:
            with Client(address, tokenizer_address) as client:
                yield client
            return
        note(
            "No services are running: starting them for this command (`kinesphere up` keeps them).",
            as_json=as_json,
        )
        ports = Ports.free()
        with Stack(ports, default_models()) as stack:
            with progress("Starting services", len(SERVICES), as_json=as_json) as advance:
                stack.wait_ready(advance=advance)
            with Client(f"{HOST}:{ports.planner}", f"{HOST}:{ports.tokenizer}") as client:
                yield client
    except ServiceError as error:
        raise click.ClickException(str(error)) from error

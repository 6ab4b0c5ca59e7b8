"""A client for commands that talk to the services: those that run already, or ones started for this command alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from kinesphere.cli.output import Command, note, progress

if TYPE_CHECKING:
    from kinesphere.cli.stack import Ports
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


class Addresses(NamedTuple):
    """Where the services listen, host:port each."""

    planner: str
    tokenizer: str
    decoder: str


@contextmanager
def addresses(
    planner: str = "", tokenizer: str = "", decoder: str = "", *, as_json: bool
) -> Iterator[Addresses]:
    """Addresses of the services: those given; without any, those of ``kinesphere up``.

    Where none listens, services are started on free ports and stopped at the end. Raises ClickException on a call that
    fails for another reason than its input.
    """
    from kinesphere.cli.stack import FOR_SENTENCES, HOST, Ports, listening
    from kinesphere.wire import ServiceError

    usual = Ports()
    running = all(listening(HOST, usual.of(name)) for name in ("planner", "tokenizer"))
    try:
        if planner or tokenizer or decoder or running:
            yield Addresses(
                planner or f"{HOST}:{usual.planner}",
                tokenizer or f"{HOST}:{usual.tokenizer}",
                decoder or f"{HOST}:{usual.decoder}",
            )
            return
        with _started(FOR_SENTENCES, as_json=as_json) as ports:
            yield Addresses(*(f"{HOST}:{ports.of(name)}" for name in Addresses._fields))
    except ServiceError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def reactor_addresses(given: str = "", *, as_json: bool) -> Iterator[tuple[str, ...]]:
    """Where the reactor's replicas listen: those of ``given`` (commas between them); without any, ``kinesphere up``'s.

    Where none listens, one is started on a free port and stopped at the end. Raises ClickException as ``addresses``.
    """
    from kinesphere.cli.stack import HOST, Ports, listening
    from kinesphere.wire import ServiceError

    usual = Ports().reactor
    named = tuple(filter(None, (part.strip() for part in given.split(","))))
    try:
        if named or listening(HOST, usual):
            yield named or (f"{HOST}:{usual}",)
            return
        with _started(("reactor",), as_json=as_json) as ports:
            yield (f"{HOST}:{ports.reactor}",)
    except ServiceError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _started(services: tuple[str, ...], *, as_json: bool) -> Iterator[Ports]:
    """``services`` on free ports while the block runs."""
    from kinesphere.cli.stack import Ports, Stack, default_models

    note(
        "No services are running: starting them for this command (`kinesphere up` keeps them).",
        as_json=as_json,
    )
    ports = Ports.free()
    with Stack(ports, default_models(), services=services) as stack:
        with progress("Starting services", len(services), as_json=as_json) as advance:
            stack.wait_ready(advance=advance)
        yield ports


@contextmanager
def connected(address: str, tokenizer_address: str, *, as_json: bool) -> Iterator[Client]:
    """A client of the services at ``addresses``. Raises InputError on bad input that a service refuses."""
    from kinesphere.client import Client

    with (
        addresses(address, tokenizer_address, as_json=as_json) as found,
        Client(found.planner, found.tokenizer) as client,
    ):
        yield client

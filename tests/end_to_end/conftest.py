"""All three services as a user runs them, on the shipped models, started once for this folder's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kinesphere.cli.stack import HOST, Ports, Stack
from kinesphere.client import Client


@pytest.fixture(scope="session")
def stack(models: Path) -> Iterator[Stack]:
    """Running services; ``stack.ports`` says where. Skips where the model repository holds no planner or decoder."""
    missing = [name for name in ("planner_compact", "decoder_window") if not (models / name).is_dir()]
    if missing:
        pytest.skip(f"{models} holds no {', '.join(missing)}")
    with Stack(Ports.free(), models) as running:
        running.wait_ready(300)
        yield running


@pytest.fixture(scope="session")
def client(stack: Stack) -> Iterator[Client]:
    with Client(f"{HOST}:{stack.ports.planner}", f"{HOST}:{stack.ports.tokenizer}") as connected:
        yield connected

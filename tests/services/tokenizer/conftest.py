"""A real tokenizer server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from kinesphere.motion import Motion
from kinesphere.rotations import from_axis_angle
from kinesphere.v1 import tokenizer_pb2_grpc
from services.common.metrics import Metrics
from services.common.server import Server
from services.tokenizer.__main__ import build
from services.tokenizer.settings import TokenizerSettings


def walking(frames: int, fps: float = 20.0, seed: int = 0) -> Motion:
    """A body that glides forward, swinging its legs."""
    time = np.arange(frames) / fps
    rng = np.random.default_rng(seed)
    turns = np.zeros((frames, 22, 3), np.float32)
    turns[:, 1, 0] = 0.4 * np.sin(6 * time)
    turns[:, 2, 0] = -turns[:, 1, 0]
    turns[:, 16:18, 2] = rng.uniform(-1, 1, 2)
    root = np.stack([np.zeros(frames), np.full(frames, 0.95), rng.uniform(0.3, 1.2) * time], axis=1)
    return Motion.from_rotations(root, from_axis_angle(turns), fps)


@pytest.fixture
async def tokenizer(motion_models: Path, tmp_path: Path) -> AsyncIterator[Any]:
    """A stub of a server without a search index."""
    settings = TokenizerSettings(port=0, models=motion_models, search_index=tmp_path / "index")
    async with serving(settings) as stub:
        yield stub


@asynccontextmanager
async def serving(settings: TokenizerSettings) -> AsyncIterator[Any]:
    metrics = Metrics()
    async with build(settings, metrics) as services:
        server = Server(settings, services, metrics=metrics)
        await server.start()
        async with grpc.aio.insecure_channel(server.address) as channel:
            yield tokenizer_pb2_grpc.TokenizerServiceStub(channel)
        await server.stop(0)

"""What the windows ask of the network, and that it does not depend on how tokens arrive."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.common.onnx_runtime import OnnxRuntime
from services.decoder.windows import DiffusionWindows, DirectWindows, History
from tests.services.decoder.conftest import random_tokens
from tests.services.decoder.fakes import RecordingRuntime


async def features_of(windows: Any, tokens: Any, cuts: tuple[int, ...] = ()) -> np.ndarray:
    semantic, detail = tokens
    edges = [0, *cuts, len(semantic)]
    made = []
    for a, b in pairwise(edges):
        windows.push(semantic[a:b], detail[4 * a : 4 * b])
        made += [features async for features in windows.ready(ended=False)]
    made += [features async for features in windows.ready(ended=True)]
    return np.concatenate(made)


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5, 11])
async def test_every_latent_is_emitted_once_with_its_own_token_and_noise(blocks: int) -> None:
    tokens = random_tokens(blocks)
    features = await features_of(DiffusionWindows(RecordingRuntime(), 5, 32), tokens)
    assert features.shape == (16 * blocks, 263)
    noise = np.random.Generator(np.random.Philox(5)).standard_normal((4 * blocks + 12, 32), dtype=np.float32)
    ids = np.repeat(tokens[0], 4) * 1000 + tokens[1]
    np.testing.assert_allclose(features[::4, 0], noise[: 4 * blocks, 0] + ids, rtol=1e-6)


async def test_windows_see_what_was_emitted_and_what_lies_ahead() -> None:
    runtime = RecordingRuntime()
    tokens = random_tokens(6)
    await features_of(DiffusionWindows(runtime, 1, 32), tokens)
    first, second, third = runtime.calls
    detail = tokens[1]
    assert not first["history_mask"].any()
    np.testing.assert_array_equal(first["valid"], [0] * 8 + [1] * 12)
    np.testing.assert_array_equal(first["detail"][8:], detail[:12])
    np.testing.assert_array_equal(second["valid"], [1] * 20)
    np.testing.assert_array_equal(second["detail"], detail[:20])
    emitted = (first["noise"] + (first["semantic"] * 1000 + first["detail"])[:, None])[8:16]
    np.testing.assert_allclose(second["history"], emitted, rtol=1e-6)
    # The lookahead starts from the same noise when it is made for good.
    np.testing.assert_array_equal(second["noise"][8:12], first["noise"][16:20])
    np.testing.assert_array_equal(third["valid"], [1] * 16 + [0] * 4)


async def test_the_way_tokens_arrive_changes_nothing() -> None:
    tokens = random_tokens(13)
    whole = await features_of(DiffusionWindows(RecordingRuntime(), 2, 32), tokens)
    for cuts in [tuple(range(1, 13)), (12,), (3, 5), (10, 11)]:
        pieces = await features_of(DiffusionWindows(RecordingRuntime(), 2, 32), tokens, cuts)
        np.testing.assert_array_equal(pieces, whole)


async def test_a_short_history_fills_the_last_places() -> None:
    runtime = RecordingRuntime()
    latents = np.arange(96, dtype=np.float32).reshape(3, 32)
    history = History(latents, np.array([7, 7, 7]), np.array([1, 2, 3]))
    await features_of(DiffusionWindows(runtime, 0, 32, history), random_tokens(3))
    call = runtime.calls[0]
    np.testing.assert_array_equal(call["history_mask"], [0] * 5 + [1] * 3)
    np.testing.assert_array_equal(call["valid"], [0] * 5 + [1] * 15)
    np.testing.assert_array_equal(call["history"][5:], latents)
    np.testing.assert_array_equal(call["detail"][5:8], [1, 2, 3])


async def test_an_hour_keeps_no_more_than_a_window() -> None:
    windows = DiffusionWindows(RecordingRuntime(), 0, 32)
    most = 0
    for start in range(0, 4500, 4):
        windows.push(*random_tokens(4, start))
        async for _ in windows.ready(ended=False):
            most = max(most, windows._plan.stop - windows._plan.start, len(windows._noise._rows))
    assert most <= 40


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 9])
async def test_direct_pieces_equal_the_whole(motion_models: Path, blocks: int) -> None:
    tokens = random_tokens(blocks)
    async with OnnxRuntime(motion_models) as runtime:
        inputs = {"semantic": tokens[0][None], "detail": tokens[1][None]}
        whole = (await runtime.infer("tokenizer_decode", inputs))["motion"][0]
        for cuts in [(), tuple(range(1, blocks))]:
            pieces = await features_of(DirectWindows(runtime), tokens, cuts)
            np.testing.assert_allclose(pieces, whole, atol=1e-4 * np.abs(whole).max())


async def test_direct_continues_from_the_tokens_before(motion_models: Path) -> None:
    tokens = random_tokens(6)
    async with OnnxRuntime(motion_models) as runtime:
        inputs = {"semantic": tokens[0][None], "detail": tokens[1][None]}
        whole = (await runtime.infer("tokenizer_decode", inputs))["motion"][0]
        before = History(np.zeros((0, 32), np.float32), np.repeat(tokens[0][:2], 4), tokens[1][:8])
        rest = await features_of(DirectWindows(runtime, before), (tokens[0][2:], tokens[1][8:]))
        np.testing.assert_allclose(rest, whole[32:], atol=1e-4 * np.abs(whole).max())


class SteppingRuntime(RecordingRuntime):
    """Every window's motion is the number of the call: nothing fits what came before."""

    async def infer(self, model: str, inputs: Any) -> dict[str, Any]:
        made = await super().infer(model, inputs)
        return made | {"motion": np.full_like(made["motion"], len(self.calls) - 1)}


async def test_a_window_takes_over_gradually_from_what_the_last_one_saw_ahead() -> None:
    features = await features_of(DiffusionWindows(SteppingRuntime(), 0, 32), random_tokens(6))
    steps = np.diff(features[:, 0])
    assert (features[:32] == 0).all()
    assert (features[40:64] == 1).all()
    assert (features[72:] == 2).all()
    assert steps.min() >= 0
    assert steps.max() < 0.2

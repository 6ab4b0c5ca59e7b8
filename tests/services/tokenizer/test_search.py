"""The search index: built from a data set, saved without motion, searched through the service."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import grpc
import numpy as np
import pytest

from kinesphere.datasets.clips import ClipDataset
from kinesphere.errors import FormatError
from kinesphere.v1 import tokenizer_pb2 as pb
from services.common import convert
from services.common.onnx_runtime import OnnxRuntime
from services.tokenizer.index import Entry, SearchIndex, build_index
from services.tokenizer.settings import TokenizerSettings
from tests.services.tokenizer.conftest import serving, walking
from tests.services.trainer.synthetic import write_dataset


def unit(count: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 256)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def small(count: int = 6) -> SearchIndex:
    entries = [Entry(f"clip{i}", f'übung, "{i}"', "take", 2.5) for i in range(count)]
    return SearchIndex(entries, unit(count), "ab" * 32)


def test_the_nearest_come_first() -> None:
    index, rows = small(), unit(6)
    query = rows[4] + 0.5 * rows[1]
    matches = index.nearest(query / np.linalg.norm(query), 3)
    assert [match.entry.id for match in matches[:2]] == ["clip4", "clip1"]
    assert matches[0].score >= matches[1].score >= matches[2].score
    assert len(index.nearest(rows[0], 100)) == 6


def test_a_saved_index_says_the_same(tmp_path: Path) -> None:
    index = small()
    index.save(tmp_path)
    loaded = SearchIndex.load(tmp_path)
    assert loaded.entries == index.entries
    assert loaded.model_sha256 == "ab" * 32
    query = unit(1, seed=9)[0]
    for one, other in zip(index.nearest(query, 6), loaded.nearest(query, 6), strict=True):
        assert one.score == pytest.approx(other.score, abs=2e-3)


@pytest.mark.parametrize("damage", ["truncated", "pickle", "json", "rows", "nan", "missing"])
def test_a_damaged_index_is_refused(tmp_path: Path, damage: str) -> None:
    small().save(tmp_path)
    arrays, clips = tmp_path / "embeddings.npz", tmp_path / "clips.json"
    if damage == "truncated":
        arrays.write_bytes(arrays.read_bytes()[:200])
    elif damage == "pickle":
        np.savez(arrays, rows=np.array([object()] * 6), scales=np.ones((6, 1), np.float32))
    elif damage == "json":
        clips.write_text("{")
    elif damage == "rows":
        clips.write_text(json.dumps(json.loads(clips.read_text()) | {"clips": []}))
    elif damage == "nan":
        np.savez(arrays, rows=np.ones((6, 256), np.int8), scales=np.full((6, 1), np.nan, np.float32))
    else:
        arrays.write_bytes(b"")
        with zipfile.ZipFile(arrays, "w"):
            pass
    with pytest.raises(FormatError, match="index"):
        SearchIndex.load(tmp_path)


async def test_a_built_index_is_searched_by_text_and_motion(motion_models: Path, tmp_path: Path) -> None:
    dataset = ClipDataset(write_dataset(tmp_path / "data", clips=12))
    async with OnnxRuntime(motion_models) as runtime:
        index = await build_index(dataset, tmp_path / "index", runtime)
        assert len(index) == 12
    settings = TokenizerSettings(port=0, models=motion_models, search_index=tmp_path / "index")
    async with serving(settings) as tokenizer:
        assert (await tokenizer.Describe(pb.TokenizerServiceDescribeRequest())).index_size == 12
        by_text = (
            await tokenizer.Search(pb.SearchRequest(query={"text": "swing the left arm"}, limit=5))
        ).hits
        assert len(by_text) == 5
        assert [hit.score for hit in by_text] == sorted((hit.score for hit in by_text), reverse=True)
        assert by_text[0].caption
        assert by_text[0].source.startswith("take")
        assert by_text[0].seconds > 1
        motion = convert.motion_to_proto(walking(60))
        hits = (await tokenizer.Search(pb.SearchRequest(query={"motion": motion}))).hits
        assert len(hits) == 10  # the default


async def test_the_clip_itself_is_found(motion_models: Path, tmp_path: Path) -> None:
    from kinesphere.motion import Motion
    from kinesphere.representations import hml263

    dataset = ClipDataset(write_dataset(tmp_path / "data", clips=12))
    async with OnnxRuntime(motion_models) as runtime:
        await build_index(dataset, tmp_path / "index", runtime)
    clip = dataset.clips[7]
    motion = Motion.from_positions(hml263.decode(dataset.features(clip)), 20.0)
    async with serving(
        TokenizerSettings(port=0, models=motion_models, search_index=tmp_path / "index")
    ) as tokenizer:
        query = {"motion": convert.motion_to_proto(motion)}
        hits = (await tokenizer.Search(pb.SearchRequest(query=query, limit=3))).hits
    assert clip.id in [hit.clip_id for hit in hits]
    assert hits[0].score > 0.95


@pytest.mark.parametrize("foreign", [False, True])
async def test_without_an_index_of_this_model_search_says_so(
    motion_models: Path, tmp_path: Path, foreign: bool
) -> None:
    if foreign:
        small().save(tmp_path)
    settings = TokenizerSettings(port=0, models=motion_models, search_index=tmp_path)
    async with serving(settings) as tokenizer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await tokenizer.Search(pb.SearchRequest(query={"text": "walk"}))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert ("another version" if foreign else "no search index") in (caught.value.details() or "")

"""The index of Search: embeddings of clips beside what is said of them. No motion is in it.

A folder of two files: ``embeddings.npz`` (int8 rows and their float32 scales; a quarter of the size, cosines agree to
about 0.001) and ``clips.json``. Build one with ``python -m services.tokenizer.index DATA FOLDER --models MODELS``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.errors import FormatError
from kinesphere.skeleton import FloatArray
from kinesphere.text import TextEncoder
from services.common.onnx_runtime import OnnxRuntime
from services.common.runtime import ModelRuntime
from services.tokenizer.coding import EMBED_FRAMES, EMBEDDING_SIZE, FRAMES_PER_BLOCK, Coder

# What embeds the clips, and so what the index belongs to.
MODEL: Final = "embed_motion"
_VERSION: Final = 1
_AT_ONCE: Final = 32
_MAX_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class Entry:
    """One clip: its id, what it is said to show, the recording that it was cut from, its length."""

    id: str
    caption: str
    source: str
    seconds: float


@dataclass(frozen=True)
class Match:
    """An entry and the cosine similarity of its clip to the query."""

    entry: Entry
    score: float


class SearchIndex:
    """Clips by embedding. ``model_sha256``: of the network that embedded them; another one's queries mean nothing."""

    def __init__(self, entries: list[Entry], embeddings: FloatArray, model_sha256: str) -> None:
        """embeddings: [n,256], unit rows. Raises FormatError(``index``) when the two disagree."""
        if embeddings.shape != (len(entries), EMBEDDING_SIZE):
            raise FormatError(
                "index",
                f"has embeddings of shape {list(embeddings.shape)}, expected [{len(entries)}, {EMBEDDING_SIZE}]",
            )
        self.entries = entries
        self.model_sha256 = model_sha256
        self._embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.entries)

    def nearest(self, query: FloatArray, limit: int) -> list[Match]:
        """The ``limit`` clips most like ``query`` [256], best first; ties in the index's order."""
        scores = self._embeddings @ query
        count = min(limit, len(scores))
        best = np.argpartition(-scores, count - 1)[:count] if count < len(scores) else np.arange(count)
        best = best[np.lexsort((best, -scores[best]))]
        return [Match(self.entries[i], float(np.clip(scores[i], -1.0, 1.0))) for i in best]

    def save(self, folder: Path) -> None:
        """Write ``embeddings.npz`` and ``clips.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        scales = np.abs(self._embeddings).max(axis=1, keepdims=True) / 127.0
        rows = np.round(self._embeddings / np.maximum(scales, 1e-12)).astype(np.int8)
        np.savez(folder / "embeddings.npz", rows=rows, scales=scales.astype(np.float32))
        meta = {
            "version": _VERSION,
            "model": MODEL,
            "model_sha256": self.model_sha256,
            "clips": [list(asdict(entry).values()) for entry in self.entries],
        }
        text = json.dumps(meta, ensure_ascii=False, separators=(",", ":")).replace('],["', '],\n["')
        (folder / "clips.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> SearchIndex:
        """Raises FormatError(``index``) when the folder's files are not an index, FileNotFoundError without them."""
        try:
            meta = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
            if meta["version"] != _VERSION or meta["model"] != MODEL:
                raise FormatError(
                    "index", f"{folder} is of version {meta['version']} for {meta['model']}: build it anew"
                )
            entries = [
                Entry(str(clip), str(caption), str(source), float(seconds))
                for clip, caption, source, seconds in meta["clips"]
            ]
            sha256 = str(meta["model_sha256"])
            with np.load(_bounded(folder / "embeddings.npz"), allow_pickle=False) as arrays:
                rows, scales = arrays["rows"].astype(np.float32), arrays["scales"].astype(np.float32)
                embeddings = rows * scales
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError("index", f"{folder} is not a search index: {error}") from error
        norms = np.linalg.norm(embeddings, axis=-1, keepdims=True)
        if not np.isfinite(norms).all():
            raise FormatError("index", f"{folder} holds NaN or infinite values")
        return cls(entries, embeddings / np.maximum(norms, 1e-12), sha256)


async def build_index(
    dataset: ClipDataset, path: Path, runtime: ModelRuntime, *, limit: int = 0
) -> SearchIndex:
    """Embed the clips of ``dataset`` (mirror images left out; ``limit``: evenly picked, 0 all) and save at ``path``."""
    clips = [clip for clip in dataset.clips if not clip.mirrored and clip.frames >= FRAMES_PER_BLOCK]
    if limit and len(clips) > limit:
        clips = [clips[i] for i in np.linspace(0, len(clips) - 1, limit).astype(int)]
    coder = Coder(runtime, TextEncoder())
    embeddings: list[FloatArray] = []
    for begin in range(0, len(clips), _AT_ONCE):
        some = [dataset.features(clip)[:EMBED_FRAMES] for clip in clips[begin : begin + _AT_ONCE]]
        embeddings += await asyncio.gather(*(coder.embed_features(features) for features in some))
    sha256 = (await runtime.describe(MODEL)).sha256
    matrix: NDArray[Any] = np.stack(embeddings) if embeddings else np.zeros((0, EMBEDDING_SIZE), np.float32)
    index = SearchIndex([_entry(clip) for clip in clips], matrix, sha256)
    index.save(path)
    return index


def _entry(clip: Clip) -> Entry:
    """The caption that people wrote, before those that were read off the motion."""
    order = ("humanml3d", "index", "name", "reading")
    captions = sorted(clip.captions, key=lambda c: order.index(c.kind) if c.kind in order else len(order))
    return Entry(clip.id, captions[0].text if captions else "", clip.take, round(clip.seconds, 2))


def _bounded(path: Path) -> Path:
    """``path``, unless it would unpack to more than 1 GiB."""
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > _MAX_BYTES:
        raise FormatError("index", f"{path} unpacks to {size} bytes, at most {_MAX_BYTES} are read")
    return path


async def _build(arguments: argparse.Namespace) -> None:
    async with OnnxRuntime(arguments.models) as runtime:
        await build_index(ClipDataset(arguments.data), arguments.out, runtime, limit=arguments.limit)


def main(argv: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Build the search index of the tokenizer service.")
    parser.add_argument("data", type=Path, help="built data set")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--models", type=Path, default=Path("models"), help="model repository")
    parser.add_argument("--limit", type=int, default=0, help="clips at most, evenly picked; 0: all")
    asyncio.run(_build(parser.parse_args(None if argv is None else list(argv))))


if __name__ == "__main__":
    main()

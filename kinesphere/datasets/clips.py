"""The built data set as training and evaluation read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.captions import Caption
from kinesphere.datasets.splits import Split
from kinesphere.errors import InputError
from kinesphere.skeleton import FloatArray


@dataclass(frozen=True)
class Clip:
    """One line of ``clips.jsonl``. offset, frames: rows of ``hml263.npy``. weight: how often to draw it in training.
    topic: what it mainly shows, for statistics.
    """

    id: str
    take: str
    source: str
    split: Split
    mirrored: bool
    offset: int
    frames: int
    seconds: float
    captions: tuple[Caption, ...]
    reading: str
    weight: float = 1.0
    topic: str = ""

    def to_json(self) -> str:
        """The clip as a line of ``clips.jsonl``, without the line's end."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Clip:
        """The clip of a line that ``to_json`` made."""
        fields = json.loads(line)
        fields["captions"] = tuple(Caption(**caption) for caption in fields["captions"])
        return cls(**fields)


class ClipDataset:
    """A data set folder made by ``kinesphere data build``. Raises InputError(``data``) when it is not one."""

    def __init__(self, path: Path | str = ".data/kinesphere") -> None:
        self.path = Path(path)
        if not (self.path / "clips.jsonl").is_file():
            raise InputError("data", f"{self.path} holds no clips.jsonl: run `kinesphere data build`")
        with (self.path / "clips.jsonl").open(encoding="utf-8") as lines:
            self.clips: list[Clip] = [Clip.from_json(line) for line in lines]
        self.mean: FloatArray = np.load(self.path / "mean.npy")
        self.std: FloatArray = np.load(self.path / "std.npy")

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = np.load(self.path / "hml263.npy", mmap_mode="r")
        return rows

    def features(self, clip: Clip) -> FloatArray:
        """[clip.frames, 263] raw (not normalised) features, a copy."""
        return np.array(self._rows[clip.offset : clip.offset + clip.frames])

    def split(self, name: Split) -> list[Clip]:
        """The clips of one split, in the order of the file."""
        return [clip for clip in self.clips if clip.split == name]

"""A small data set of made-up clips."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from kinesphere.datasets.captions import Caption
from kinesphere.datasets.clips import Clip, ClipDataset
from tests.kinesphere.evaluation.counted import spelled, standing


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    """70 test clips and 12 training clips of 36 to 52 frames; clip n is "number n", said in two ways."""
    folder = tmp_path_factory.mktemp("counted")
    clips, rows, offset = [], [], 0
    for number in range(82):
        frames = 36 + number % 17
        name = spelled(number)
        said = (Caption(f"number {name}", "name"), Caption(f"number {name} of them", "index"))
        split = "test" if number < 70 else "train"
        clips.append(
            Clip(f"c{number}", f"t{number}", "made", split, False, offset, frames, frames / 20, said, "")
        )
        rows.append(standing(frames, number))
        offset += frames
    (folder / "clips.jsonl").write_text("".join(json.dumps(asdict(clip)) + "\n" for clip in clips))
    everything = np.concatenate(rows)
    np.save(folder / "hml263.npy", everything)
    np.save(folder / "mean.npy", everything.mean(axis=0))
    np.save(folder / "std.npy", everything.std(axis=0))
    return ClipDataset(folder)

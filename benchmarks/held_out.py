"""What the benchmarks of one model on recorded clips share: their options, and which clips they take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import numpy as np

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.splits import Split
from kinesphere.motion_language import FRAMES_PER_BLOCK


def options(name: str, description: str | None) -> argparse.ArgumentParser:
    """Options of the benchmark ``name``, whose result goes to results/NAME.json."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=".data/kinesphere")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--split", choices=("train", "val", "test"), default="test")
    parser.add_argument("--limit", type=int, default=0, help="clips at most, evenly picked; 0: all")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / f"{name}.json")
    return parser


def pick(data: ClipDataset, split: str, limit: int, *, mirrored: bool) -> list[Clip]:
    """Clips of two blocks at least, ``limit`` of them evenly picked (0: all)."""
    clips = [
        clip
        for clip in data.split(cast("Split", split))
        if clip.frames >= 2 * FRAMES_PER_BLOCK and (mirrored or not clip.mirrored)
    ]
    if not limit:
        return clips
    return [clips[i] for i in np.linspace(0, len(clips) - 1, min(limit, len(clips))).astype(int)]

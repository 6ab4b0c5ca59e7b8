"""Putting the probes' sentences to a system."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from kinesphere.evaluation.measures import Measures
from kinesphere.evaluation.probes import Probe
from kinesphere.evaluation.run_probes import run_probes
from kinesphere.evaluation.systems import System
from kinesphere.skeleton import FloatArray
from tests.kinesphere.evaluation.counted import standing


def tall(m: Measures) -> bool:
    return bool(m.joints[0, 0, 1] > 0.9001)


PROBES = (
    Probe("yes", "height", "someone tall", tall, 4.0),
    Probe("no", "height", "someone small", lambda m: not tall(m), 3.2),
    Probe("odd", "luck", "someone tall at times", tall, 5.6),
)


class Tall:
    """Tall whenever the sentence says so, "at times" with odd seeds only."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[int], int]] = []

    def __call__(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        self.asked.append((list(texts), list(lengths), seed))
        return [
            standing(length, 50 if "tall" in text and ("times" not in text or seed % 2) else 0)
            for text, length in zip(texts, lengths, strict=True)
        ]


def test_rates_by_sentence_kind_and_all(tmp_path: Path) -> None:
    system = Tall()
    kept: list[tuple[str, int, int, bool]] = []
    told: list[int] = []
    result = run_probes(
        System("tall", system),
        seeds=4,
        probes=PROBES,
        progress=lambda what, done, total: told.append(done),
        keep=lambda probe, seed, joints, passed: kept.append((probe.id, seed, len(joints), passed)),
    )
    assert [r.passes for r in result.results] == [(True,) * 4, (True,) * 4, (False, True, False, True)]
    assert [r.rate for r in result.results] == [1.0, 1.0, 0.5]
    assert result.by_kind() == {"height": 1.0, "luck": 0.5}
    assert result.rate == pytest.approx(2.5 / 3)
    # Whole blocks of 16 frames, each seed another.
    assert [asked[1] for asked in system.asked] == [[80, 64, 112]] * 4
    assert [asked[2] for asked in system.asked] == [0, 1, 2, 3]
    assert told == [1, 2, 3, 4]
    assert ("odd", 3, 112, True) in kept
    assert len(kept) == 12

    saved = json.loads(result.save(tmp_path / "deep" / "probes.json").read_text())
    assert saved["rate"] == pytest.approx(result.rate)
    assert saved["probes"][2] == {
        "id": "odd",
        "kind": "luck",
        "text": "someone tall at times",
        "rate": 0.5,
        "passes": [False, True, False, True],
    }
    stream = io.StringIO()
    result.show(Console(file=stream, width=120))
    assert "83% of 3 sentences" in stream.getvalue()


def test_a_motion_that_is_not_finite_is_an_error_not_a_pass() -> None:
    broken = System("broken", lambda texts, lengths, seed: [np.full((n, 263), np.nan) for n in lengths])
    with pytest.raises(ValueError, match="NaN"):
        run_probes(broken, seeds=1, probes=PROBES)

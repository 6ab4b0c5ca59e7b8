"""The table: what systems are known to be, the published protocol's details, and runs that go on after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets.clips import ClipDataset
from kinesphere.errors import InputError
from kinesphere.evaluation.systems import System
from kinesphere.evaluation.t2m import Options, run_t2m
from kinesphere.metrics.t2m import HUMANML3D
from kinesphere.skeleton import FloatArray
from tests.kinesphere.evaluation.counted import Counting, spelled, standing

NUMBERS = {spelled(n): n for n in range(96)}
QUICK = Options(repeats=3, generations=2, multimodality_texts=0)


def said(text: str) -> int:
    return NUMBERS[text.split(" of ")[0].removeprefix("number ")]


class Maker:
    """Makes the motion of ``said + shift + jitter * seed``; remembers what it was asked."""

    def __init__(self, shift: int = 0, jitter: int = 0) -> None:
        self.shift, self.jitter = shift, jitter
        self.asked: list[tuple[tuple[str, ...], tuple[int, ...], int]] = []

    def __call__(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        self.asked.append((tuple(texts), tuple(lengths), seed))
        return [
            standing(length, (said(text) + self.shift + self.jitter * seed) % 96)
            for text, length in zip(texts, lengths, strict=True)
        ]


def test_a_perfect_system_a_wrong_one_and_shuffled_captions(counted: ClipDataset) -> None:
    systems = [System("right", Maker()), System("wrong", Maker(shift=1))]
    table = run_t2m(counted, systems, Counting(), QUICK)
    assert [row.name for row in table.rows] == ["real", "shuffled captions", "right", "wrong"]
    for name in ("real", "right"):
        row = table.row(name)
        assert row.values["r_precision_1"] == [1.0] * 3
        # The same clips are compared, whatever the order of the batches: no distance at all.
        np.testing.assert_allclose(row.values["fid"], 0, atol=1e-6)
        np.testing.assert_allclose(row.values["mm_dist"], 0, atol=1e-2)
    for name in ("shuffled captions", "wrong"):
        assert max(table.row(name).values["r_precision_1"]) < 0.2
        assert min(table.row(name).values["mm_dist"]) > 1
    assert table.row("real").interval("r_precision_1") == (1.0, 0.0)
    assert table.row("real").values["skating"] == [0.0] * 3  # nobody moves


def test_ranking_is_within_batches_of_32_and_the_rest_is_left_out(counted: ClipDataset) -> None:
    # 70 clips: 64 of them are ranked. A system whose every motion is the same is right once in a batch.
    same = System("same", lambda texts, lengths, seed: [standing(length, 3) for length in lengths])
    table = run_t2m(counted, [same], Counting(), replace(QUICK, repeats=20, generations=1))
    hits = np.array(table.row("same").values["r_precision_1"]) * 64
    np.testing.assert_allclose(hits, np.round(hits))
    assert 1 <= np.mean(hits) <= 3
    assert table.settings["batch"] == 32
    assert table.settings["clips"] == 70
    assert table.settings["diversity_pairs"] == 64  # 300 when there are as many
    assert len(hits) == 20


def test_every_repeat_draws_batches_anew_and_the_interval_is_of_the_repeats(counted: ClipDataset) -> None:
    # Half of the motions right: how many are right within a batch depends on who else is in it.
    def half(texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
        return [standing(length, said(text) // 2 * 2) for text, length in zip(texts, lengths, strict=True)]

    table = run_t2m(counted, [System("half", half)], Counting(), replace(QUICK, repeats=6))
    values = table.row("half").values["r_precision_2"]
    assert len(set(values)) > 1
    interval = table.row("half").interval("r_precision_2")
    assert interval is not None
    assert interval[0] == pytest.approx(np.mean(values))
    assert interval[1] == pytest.approx(1.96 * np.std(values) / np.sqrt(6))


def test_systems_are_asked_once_a_generation_for_whole_blocks(counted: ClipDataset) -> None:
    maker = Maker()
    run_t2m(counted, [System("right", maker)], Counting(), replace(QUICK, repeats=5))
    assert len(maker.asked) == 2
    (first, lengths, seed), (second, same, other) = maker.asked
    assert seed != other
    assert first != second  # captions are drawn anew
    assert lengths == same == tuple(clip.frames // 16 * 16 for clip in counted.split("test"))


def test_multimodality_is_of_varied_systems_only(counted: ClipDataset) -> None:
    # Few enough seeds that the numbers never run out of the evaluator's.
    options = replace(QUICK, multimodality_texts=4, multimodality_motions=12)
    systems = [
        System("varied", Maker(jitter=1)),
        System("same", Maker()),
        System("fixed", Maker(), varied=False),
    ]
    table = run_t2m(counted, systems, Counting(), options)
    varied, same = table.row("varied").interval("multimodality"), table.row("same").interval("multimodality")
    assert varied is not None
    assert same is not None
    assert varied[0] > 1
    assert same[0] == pytest.approx(0, abs=1e-6)
    assert table.row("fixed").interval("multimodality") is None
    assert table.row("real").interval("multimodality") is None


def test_a_run_that_was_stopped_goes_on_with_what_it_had(counted: ClipDataset, tmp_path: Path) -> None:
    options = replace(QUICK, cache=tmp_path / "cache")

    class Stopping(Maker):
        def __call__(self, texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[FloatArray]:
            if self.asked:
                raise KeyboardInterrupt
            return super().__call__(texts, lengths, seed)

    with pytest.raises(KeyboardInterrupt):
        run_t2m(counted, [System("right", Stopping())], Counting(), options)
    maker = Maker()
    table = run_t2m(counted, [System("right", maker)], Counting(), options)
    assert len(maker.asked) == 1  # the second generation; the first was on disk
    assert table.row("right").made == 70
    fresh = run_t2m(counted, [System("right", Maker())], Counting(), QUICK)
    for metric, values in fresh.row("right").values.items():
        np.testing.assert_allclose(table.row("right").values[metric], values, atol=1e-6)
    # Another seed draws other captions: what lies there is not taken for theirs.
    run_t2m(counted, [System("right", maker)], Counting(), replace(options, seed=1))
    assert len(maker.asked) == 3


def test_progress_is_told_and_ends_full(counted: ClipDataset) -> None:
    told: list[tuple[int, int]] = []
    run_t2m(
        counted,
        [System("right", Maker())],
        Counting(),
        QUICK,
        lambda what, done, total: told.append((done, total)),
    )
    assert told[-1] == (6, 6)
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (replace(QUICK, repeats=0), "repeats"),
        (replace(QUICK, generations=0), "repeats"),
        (replace(QUICK, limit=31), "split"),
        (replace(QUICK, split="val"), "split"),
        (replace(QUICK, multimodality_texts=2, multimodality_motions=9), "multimodality_motions"),
    ],
)
def test_what_cannot_be_run_is_refused(counted: ClipDataset, options: Options, field: str) -> None:
    with pytest.raises(InputError) as caught:
        run_t2m(counted, [], Counting(), options)
    assert caught.value.field == field


def test_a_limit_takes_the_same_clips_each_time_and_smaller_batches_work(counted: ClipDataset) -> None:
    options = replace(QUICK, limit=20, protocol=replace(HUMANML3D, batch=10))
    makers = [Maker(), Maker()]
    for maker in makers:
        table = run_t2m(counted, [System("right", maker)], Counting(), options)
        assert table.settings["clips"] == 20
        assert table.settings["diversity_pairs"] == 20
    assert makers[0].asked == makers[1].asked


def test_a_system_that_keeps_to_other_lengths_is_refused(counted: ClipDataset) -> None:
    short = System("short", lambda texts, lengths, seed: [standing(16, 1) for _ in texts])
    with pytest.raises(InputError, match="'short' returned other shapes"):
        run_t2m(counted, [short], Counting(), QUICK)

"""The baseline that looks clips up by their captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kinesphere.datasets.clips import ClipDataset
from kinesphere.errors import InputError
from kinesphere.evaluation.systems import NearestNeighbour, fitted
from kinesphere.skeleton import FloatArray
from tests.kinesphere.evaluation.counted import number_of, spelled


class Letters:
    """Text features by the words' letters: near for sentences of the same words. Counts what it is asked."""

    def __init__(self) -> None:
        self.texts = 0

    def encode(self, texts: list[str], max_tokens: int = 32) -> tuple[FloatArray, NDArray[np.bool_]]:
        self.texts += len(texts)
        words = [text.split() for text in texts]
        longest = max(map(len, words))
        features = np.zeros((len(texts), longest, 384), dtype=np.float32)
        mask = np.zeros((len(texts), longest), dtype=np.bool_)
        for row, sentence in enumerate(words):
            for place, word in enumerate(sentence):
                mask[row, place] = True
                features[row, place] = np.random.default_rng(list(word.encode())).normal(size=384)
        # What is behind the mask must not count.
        features[~mask] = 1e3
        return features, mask


def test_the_clip_of_the_nearest_caption_is_found_and_made_to_length(counted: ClipDataset) -> None:
    nearest = NearestNeighbour(counted, Letters())
    found = nearest([f"the number {spelled(75)}", f"number {spelled(81)} of them all"], [32, 96], 0)
    assert [number_of(motion) for motion in found] == [75, 81]  # train clips are 70 to 81
    assert [len(motion) for motion in found] == [32, 96]


def test_test_clips_are_not_looked_up(counted: ClipDataset) -> None:
    (found,) = NearestNeighbour(counted, Letters())([f"number {spelled(3)}"], [32], 0)
    assert number_of(found) >= 70


def test_seeds_choose_among_the_nearest(counted: ClipDataset) -> None:
    nearest = NearestNeighbour(counted, Letters(), choices=6)
    picked = {number_of(nearest([f"number {spelled(75)}"], [32], seed)[0]) for seed in range(20)}
    assert len(picked) > 1


def test_captions_are_embedded_once(counted: ClipDataset, tmp_path: Path) -> None:
    first, second, third = Letters(), Letters(), Letters()
    NearestNeighbour(counted, first, cache=tmp_path)
    again = NearestNeighbour(counted, second, cache=tmp_path)
    assert first.texts >= 24
    assert second.texts == 1  # only to see that it says what the first one said
    assert number_of(again([f"number {spelled(77)}"], [32], 0)[0]) == 77
    NearestNeighbour(counted, third, captions=1, cache=tmp_path)
    assert third.texts >= 12  # other captions


def test_a_data_set_without_training_captions_is_refused(counted: ClipDataset) -> None:
    class Empty:
        def split(self, name: str) -> list[object]:
            return []

    with pytest.raises(InputError, match="no captions"):
        NearestNeighbour(Empty(), Letters())  # type: ignore[arg-type]


def test_fitting_never_jumps() -> None:
    features = np.arange(5 * 263, dtype=np.float32).reshape(5, 263)
    np.testing.assert_array_equal(fitted(features, 3), features[:3])
    long = fitted(features, 14)
    assert [int(row[0] // 263) for row in long] == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1, 2, 3]

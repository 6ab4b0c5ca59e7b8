"""Building a small data set from files: splits, windows, resuming, refusals, statistics."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinesphere.datasets import splits
from kinesphere.datasets.build import build
from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.composites import join
from kinesphere.datasets.events import Event, find_events
from kinesphere.datasets.reading import read
from kinesphere.datasets.report import write_report
from kinesphere.datasets.sources import without_rest_pose
from kinesphere.datasets.windows import LEAST, close_ups, cut, fit, resample
from kinesphere.errors import InputError
from kinesphere.representations import hml263
from tests.kinesphere.datasets.bodies import raised, standing, walking, write_bvh


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw" / "bandai-namco" / "dataset-2" / "data"
    folder.mkdir(parents=True)
    write_bvh(
        folder / "dataset-2_wave-left-hand_normal_001.bvh", raised(standing(5.0), "left", 0.5, 4.5, waves=1.5)
    )
    write_bvh(folder / "dataset-2_walk-turn-right_elderly_002.bvh", walking(5.0, 1.0, turn=-90))
    write_bvh(folder / "dataset-2_walk_normal_003.bvh", walking(13.0, 1.0))
    (folder / "dataset-2_run_normal_004.bvh").write_text("HIERARCHY\nno motion here\n")
    return tmp_path / "raw"


def test_build_resumes_and_refuses_with_reasons(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[tuple[int, int]] = []
    first = build([raw], out, workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    assert [name for name, _ in first.refused] == ["bandai/dataset-2_run_normal_004"]
    data = ClipDataset(out)
    assert first.clips == len(data.clips)
    assert data._rows.shape == (sum(clip.frames for clip in data.clips), 263)
    for clip in data.clips:
        assert clip.frames % 16 == 0
        assert 40 <= clip.frames <= 200
        assert len(clip.captions) >= 4
        assert clip.reading
        # What was stored still reads as it is captioned (one frame shorter, so distances may round otherwise).
        again_read = read(hml263.decode(data.features(clip)), gait="walk" if "walk" in clip.id else "").text
        assert re.sub(r"[\d.]+ m", "", again_read) == re.sub(r"[\d.]+ m", "", clip.reading)
    wave = {clip.mirrored: clip for clip in data.clips if "wave-left" in clip.id}
    assert "left hand" in wave[False].reading
    assert "right hand" in wave[True].reading
    before = (out / "clips.jsonl").read_bytes()
    again = build([raw], out, workers=1)
    assert again.reused == 4
    assert (out / "clips.jsonl").read_bytes() == before
    summary = write_report(out)
    assert summary["clips"] == len(data.clips)
    report = json.loads((out / "report.json").read_text())
    assert report["refused"][0][0] == "bandai/dataset-2_run_normal_004"
    assert report["others"] == []
    page = (out / "report.html").read_text()
    assert "<img" in page
    assert first.refused[0][1].replace("'", "&#x27;") in page


def test_a_killed_build_goes_on_where_it_stopped(raw: Path, tmp_path: Path) -> None:
    folder = raw / "bandai-namco" / "dataset-2" / "data"
    for number in range(10, 22):
        write_bvh(folder / f"dataset-2_walk_normal_{number:03d}.bvh", walking(6.0, 1.0 + number / 100))
    whole = build([raw], tmp_path / "whole", workers=1)
    out = tmp_path / "out"
    script = "import sys; from pathlib import Path; from kinesphere.datasets.build import build; "
    script += "build([Path(sys.argv[1])], Path(sys.argv[2]), workers=1)"
    process = subprocess.Popen([sys.executable, "-c", script, str(raw), str(out)])
    deadline = time.monotonic() + 120
    while not list(out.glob(".cache/takes/*.json")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not (out / "clips.jsonl").exists()
    again = build([raw], out, workers=2)
    assert 1 <= again.reused < 16
    assert again.clips == whole.clips
    for name in ("clips.jsonl", "hml263.npy", "mean.npy", "std.npy"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_windows_and_mirrors_of_a_take_are_in_one_split(raw: Path, tmp_path: Path) -> None:
    folder = raw / "bandai-namco" / "dataset-2" / "data"
    for number in range(10, 30):
        write_bvh(folder / f"dataset-2_walk_normal_{number:03d}.bvh", walking(11.0, 1.0 + number / 100))
    build([raw], tmp_path / "out", workers=2)
    clips = ClipDataset(tmp_path / "out").clips
    of_take: dict[str, list[Clip]] = {}
    for clip in clips:
        of_take.setdefault(clip.take, []).append(clip)
        assert clip.id.startswith(clip.take)
    assert {clip.split for clip in clips} == {"train", "val", "test"}
    for found in of_take.values():
        assert len({clip.split for clip in found}) == 1
        assert {clip.mirrored for clip in found} == {False, True}
    assert max(len(found) for found in of_take.values()) >= 4


def test_words_of_a_mirrored_clip_are_the_plain_ones_with_sides_swapped(raw: Path, tmp_path: Path) -> None:
    build([raw], tmp_path / "out", workers=1)
    clips = {clip.id: clip for clip in ClipDataset(tmp_path / "out").clips}
    wave = next(clip for clip in clips.values() if "wave-left" in clip.id and not clip.mirrored)
    copy = clips[wave.id + "-mirror"]
    assert copy.reading == wave.reading.replace("left", "right")
    for clip, wrong in ((wave, "right"), (copy, "left")):
        assert not any(wrong in caption.text.lower() for caption in clip.captions)
    turned = next(clip for clip in clips.values() if "turn-right" in clip.id and not clip.mirrored)
    assert clips[turned.id + "-mirror"].reading == turned.reading.replace("right", "left")


def test_statistics_are_those_of_the_training_rows(raw: Path, tmp_path: Path) -> None:
    build([raw], tmp_path / "out", workers=1)
    data = ClipDataset(tmp_path / "out")
    rows = np.concatenate([data.features(clip) for clip in data.split("train")])
    np.testing.assert_allclose(data.mean, rows.mean(axis=0), atol=1e-4)
    part = hml263.LAYOUT["joint_positions"]
    np.testing.assert_allclose(data.std[part], rows.std(axis=0)[part].mean(), rtol=1e-3)


def test_nothing_to_build_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no known data"):
        build([tmp_path], tmp_path / "out")
    with pytest.raises(InputError, match="fraction"):
        build([tmp_path], tmp_path / "out", fraction=0.0)


def test_splits_are_by_recording_and_every_large_kind_is_in_each() -> None:
    pairs = [(f"take{i}", "walk") for i in range(100)] + [(f"rare{i}", "kick") for i in range(3)]
    dealt = splits.assign(pairs + pairs[::-1])
    counts = {
        split: sum(value == split for name, value in dealt.items() if name.startswith("take"))
        for split in splits.SHARES
    }
    assert counts == {"train": 80, "val": 5, "test": 15}
    assert {dealt[f"rare{i}"] for i in range(3)} == {"train"}
    more = splits.assign([*pairs, ("other", "dance")])
    assert {name: more[name] for name in dealt} == dealt


@pytest.mark.shared_data
def test_no_recording_is_in_two_splits(shared_data: Path) -> None:
    from kinesphere.datasets.sources import enumerate_takes

    takes = enumerate_takes([shared_data])
    groups = {take.id: take.group for take in takes}
    assert groups["salsa-pairs/60_04_scaled"] == groups["salsa-pairs/61_04_scaled"]
    assert groups["asf-amc/02_01"] == groups["bvh-daz/02_01"] == groups["bvh-iclone/002_01"]
    assert len(takes) > 1400


def test_windows_of_a_long_take_cover_it_and_keep_their_length() -> None:
    motion = walking(31.0, 1.0)
    events = find_events(motion)
    found = cut(len(motion), events, more=False)
    assert found[0][0] == 0
    assert found[-1][1] == len(motion)
    assert all(a[1] == b[0] for a, b in zip(found[:-1], found[1:], strict=True))
    assert all(40 <= stop - start <= 200 for start, stop in found)
    assert len(cut(len(motion), events, more=True)) > len(found)
    assert (100, 180) in cut(len(motion), events, more=False, described=[(100, 180), (0, 500)])


def test_fitting_holds_a_resting_end_and_refuses_a_scrap() -> None:
    short = standing(1.5)
    held = fit(short)
    assert len(held) == 49
    np.testing.assert_allclose(held[-1], short[-1], atol=1e-5)
    with pytest.raises(ValueError, match="ends in motion"):
        fit(walking(1.0, 1.2))
    assert (len(fit(walking(5.0, 1.2))) - 1) % 16 == 0


def test_resampling_keeps_times() -> None:
    times = np.arange(0, 2, 1 / 120)[:, None, None] * np.ones((1, 22, 3))
    slow = resample(times, 120.0)
    np.testing.assert_allclose(slow[:, 0, 0], np.arange(len(slow)) / 20, atol=1e-5)


def test_a_rest_pose_in_front_is_dropped_and_movement_is_not() -> None:
    motion = raised(standing(3.0), "left", 1.0, 2.5)
    odd = motion.copy()
    odd[0, 20:22, 0] += 0.6
    assert len(without_rest_pose(odd)) == len(motion) - 1
    assert len(without_rest_pose(motion)) == len(motion)


def test_joined_gestures_are_read_in_order_without_a_leap() -> None:
    joined = join(
        raised(standing(3.0), "left", 0.5, 2.5), mirror_turned(raised(standing(3.0), "right", 0.5, 2.5))
    )
    assert [event.side for event in read(joined).beats] == ["left", "right"]
    assert float(np.linalg.norm(np.diff(joined, axis=0), axis=-1).max()) < 0.3
    with pytest.raises(InputError, match="rest"):
        join(walking(3.0), standing(3.0))


def mirror_turned(positions: np.ndarray) -> np.ndarray:
    """The same movement elsewhere, facing another way."""
    turned = positions.copy()
    turned[..., 0], turned[..., 2] = positions[..., 2] + 3.0, -positions[..., 0] - 2.0
    return turned


def test_what_seldom_comes_alone_is_also_seen_close_up() -> None:
    walk = Event("walk", 0.0, 4.0, way="forward", amount=4.0)
    kick = Event("kick", 5.0, 5.6, "right", "high")
    windows = [(0, 120), (120, 240)]
    ((span, event),) = close_ups(240, [walk, kick], windows)
    assert event is kick
    assert span[0] <= 20 * 5.0 < 20 * 5.6 <= span[1]
    assert LEAST <= span[1] - span[0] <= 2 * LEAST
    assert close_ups(240, [walk, kick], [span]) == []  # it is seen alone already
    assert close_ups(LEAST, [replace(kick, start=0.2, end=0.8)], []) == [
        ((0, LEAST), replace(kick, start=0.2, end=0.8))
    ]
    assert close_ups(240, [replace(kick, start=1.0, end=9.0)], windows) == []  # not short

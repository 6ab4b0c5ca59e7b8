"""A partner as it is seen: sampled evenly, whatever comes."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.v1 import reactor_pb2 as pb
from services.reactor.track import PartnerTrack

START = 100.0  # of our clock; the client's begins at 0
KIND = {name.removeprefix("REACTION_EVENT_KIND_"): value for name, value in pb.ReactionEventKind.items()}


def at(x: float, z: float = 2.0) -> np.ndarray:
    """[22,3]: all joints at one place, which is enough for a track."""
    return np.tile(np.array([x, 1.0, z], np.float32), (22, 1))


def walked(fps: float, seconds: float, speed: float = 1.0, track: PartnerTrack | None = None) -> PartnerTrack:
    """A partner who walks along X at ``speed``, seen at ``fps`` until ``seconds``."""
    track = track or PartnerTrack("a")
    for index in range(round(seconds * fps) + 1):
        time = index / fps
        assert track.add(index, time, at(speed * time), START + time) == []
    return track


@pytest.mark.parametrize("fps", [10, 20, 30, 60, 120])
def test_any_rate_becomes_the_models(fps: float) -> None:
    window = walked(fps, 2.0).window(START + 2.0)
    assert window.shape == (10, 22, 3)
    np.testing.assert_allclose(window[:, 0, 0], 2.0 - np.arange(9, -1, -1) / 20, atol=1e-5)


def test_a_new_partner_has_a_short_past() -> None:
    track = PartnerTrack("a")
    assert track.window(START).shape == (0, 22, 3)
    track.add(0, 0.0, at(0.0), START)
    assert track.window(START).shape == (1, 22, 3)
    track.add(1, 0.05, at(0.05), START + 0.05)
    assert track.window(START + 0.05).shape == (2, 22, 3)


def test_lost_doubled_and_reordered_frames_are_counted() -> None:
    track = walked(20, 1.0)  # to index 20
    assert track.add(24, 1.2, at(1.2), START + 1.2) == [(KIND["FRAMES_LOST"], 3)]
    assert track.add(24, 1.2, at(1.2), START + 1.2) == [(KIND["FRAMES_DUPLICATED"], 1)]
    assert track.add(22, 1.1, at(1.1), START + 1.21) == [(KIND["FRAMES_REORDERED"], 1)]
    assert track.add(5, 0.3, at(9.0), START + 1.22) == [(KIND["FRAMES_DUPLICATED"], 1)]
    # In its place the late frame is as good as any: the walk is even.
    window = track.window(START + 1.2)
    np.testing.assert_allclose(np.diff(window[:, 0, 0]), 0.05, atol=1e-5)


def test_a_frame_from_long_ago_is_left_out() -> None:
    track = walked(20, 1.0)
    track.add(40, 2.0, at(2.0), START + 2.0)
    assert track.add(30, 1.3, at(1.5), START + 2.01) == [(KIND["FRAMES_LATE"], 1)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e4])
def test_what_is_no_place_is_left_out(value: float) -> None:
    track = walked(20, 1.0)
    before = track.window(START + 1.0)
    bad = at(1.05)
    bad[7, 1] = value
    assert track.add(21, 1.05, bad, START + 1.0) == [(KIND["FRAMES_REJECTED"], 1)]
    np.testing.assert_array_equal(track.window(START + 1.0), before)


def test_an_interrupted_walk_dies_down_and_its_return_is_blended_in() -> None:
    track = walked(20, 1.0, speed=1.5)
    assert track.silence(START + 1.2) is None
    assert track.silence(START + 1.3) == KIND["PARTNER_SILENT"]
    assert track.silence(START + 1.4) is None  # told once
    path = np.array([track.window(START + 1.0 + ahead)[-1, 0, 0] for ahead in np.arange(0, 3, 0.05)])
    steps = np.diff(path)
    assert steps.min() >= 0
    assert (np.diff(steps) <= 1e-6).all()  # ever slower
    assert steps[0] < 1.5 * 0.05 + 1e-6
    assert steps[-1] < 1e-4
    assert path[-1] < 1.5 + 0.3  # it stands still near where it was last seen

    back = START + 6.0
    assert track.add(120, 6.0, at(path[-1] + 0.5), back) == [
        (KIND["FRAMES_LOST"], 99),
        (KIND["PARTNER_RETURNED"], 1),
    ]
    shown = [track.window(back)[-1, 0, 0]]
    for step in range(1, 20):
        track.add(120 + step, 6.0 + step / 20, at(path[-1] + 0.5), back + step / 20)
        shown.append(track.window(back + step / 20)[-1, 0, 0])
    assert shown[0] == pytest.approx(path[-1], abs=0.01)
    assert np.abs(np.diff(shown)).max() < 0.15
    assert shown[-1] == pytest.approx(path[-1] + 0.5, abs=1e-5)


def test_a_partner_that_is_gone_is_told() -> None:
    track = walked(20, 1.0)
    assert track.silence(START + 11.1) == KIND["PARTNER_GONE"]


def test_one_who_is_moved_is_seen_anew() -> None:
    track = walked(20, 1.0)
    assert track.add(21, 1.05, at(3.0), START + 1.05) == [(KIND["PARTNER_JUMPED"], 1)]
    # Nothing of the way from there to here is shown.
    assert track.window(START + 1.05).shape == (1, 22, 3)


def test_ten_times_too_fast_is_told_and_never_shown() -> None:
    track = PartnerTrack("a")
    told = 0
    fastest = 0.0
    for index in range(100):  # a walk of 1.4 m/s, played at ten times its speed
        time = index / 20
        events = track.add(index, time, at(14.0 * time), START + time)
        told += sum(count for kind, count in events if kind == KIND["PARTNER_JUMPED"])
        window = track.window(START + time)
        if len(window) > 1:
            fastest = max(fastest, float(np.abs(np.diff(window[:, 0, 0])).max() * 20))
    assert told > 90
    assert fastest < 12.5


def test_a_clock_that_runs_wrong_is_distrusted_and_trusted_again() -> None:
    track = PartnerTrack("a")
    events = []
    for index in range(60):  # taken at 20 frames a second, stamped as if at 60
        events += track.add(index, index / 60, at(index / 20), START + index / 20)
    assert [kind for kind, _ in events] == [KIND["CLOCK_DISTRUSTED"]]
    window = track.window(START + 59 / 20)
    np.testing.assert_allclose(
        np.diff(window[:, 0, 0]), 0.05, atol=1e-4
    )  # by arrival, the walk is what it was
    for index in range(60, 160):
        later = (index - 60) / 20
        assert track.add(index, 1 + later, at(index / 20), START + index / 20) == []
    assert track.window(START + 159 / 20)[-1, 0, 0] == pytest.approx(159 / 20, abs=0.01)


def test_jitter_on_the_way_is_taken_out() -> None:
    random = np.random.default_rng(0)
    track = PartnerTrack("a")
    for index in range(200):
        time = index / 30
        track.add(index, time, at(time), START + time + random.uniform(0, 0.02))
    window = track.window(START + 200 / 30)
    np.testing.assert_allclose(np.diff(window[:8, 0, 0]), 0.05, atol=0.002)


def test_an_hour_of_frames_keeps_little() -> None:
    track = walked(120, 30.0)
    assert len(track._frames) < 80

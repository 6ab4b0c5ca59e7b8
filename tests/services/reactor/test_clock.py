"""When frames leave."""

from __future__ import annotations

import numpy as np
import pytest

from services.reactor.clock import OutputClock


def run(
    fps: float, arrivals: np.ndarray, seconds: float, cost: float = 0.002
) -> tuple[np.ndarray, np.ndarray]:
    """When frames leave, and for each arrival how long until the next frame left."""
    clock, now, left = OutputClock(fps, 0.0), 0.0, []
    waiting = list(arrivals)
    while now < seconds:
        due = clock.due
        if waiting and waiting[0] <= max(now, due):
            now = max(now, waiting.pop(0))
            clock.arrived(now)
            continue
        now = max(now, due) + cost
        clock.left(now)
        left.append(now)
    times = np.array(left)
    answered = np.array([times[np.searchsorted(times, at)] - at for at in arrivals if at < times[-1]])
    return times, answered


@pytest.mark.parametrize("fps", [10, 20, 30, 60])
def test_without_partners_the_beat_is_even(fps: float) -> None:
    times, _ = run(fps, np.zeros(0), 5.0)
    np.testing.assert_allclose(np.diff(times), 1 / fps, atol=1e-9)


@pytest.mark.parametrize("fps", [10, 20, 30, 60])
@pytest.mark.parametrize("phase", [0.1, 0.45, 0.8])
def test_frames_follow_the_partners_at_once(fps: float, phase: float) -> None:
    arrivals = (np.arange(10 * fps) + phase) / fps
    times, answered = run(fps, arrivals, 10.0)
    assert abs(len(times) - 10 * fps) <= 2
    assert np.median(answered[40:]) == pytest.approx(0.002, abs=1e-4)
    assert answered[40:].max() < 0.004


@pytest.mark.parametrize("fps", [10, 20, 30, 60])
@pytest.mark.parametrize("phase", [0.1, 0.45, 0.8])
def test_the_second_frame_is_answered_at_once_already(fps: float, phase: float) -> None:
    times, answered = run(fps, (np.arange(2 * fps) + phase) / fps, 2.0)
    assert answered[1:].max() < 0.004
    assert np.diff(times).max() < 1.6 / fps


def test_after_a_pause_partners_are_followed_at_once_again() -> None:
    first = np.arange(100) / 20
    times, answered = run(20, np.concatenate([first, first + 7.02]), 12.0)
    assert answered[101:].max() < 0.004
    assert np.diff(times).max() < 1.6 / 20


def test_jitter_is_waited_for_a_little() -> None:
    random = np.random.default_rng(1)
    arrivals = np.arange(600) / 30 + random.uniform(0, 0.006, 600)
    times, answered = run(30, arrivals, 20.0)
    assert abs(len(times) - 600) <= 3
    assert np.percentile(answered[30:], 95) < 0.004


@pytest.mark.parametrize("rate", [5, 15, 45, 120])
def test_partners_at_another_rate_do_not_change_ours(rate: float) -> None:
    times, _ = run(30, np.arange(20 * rate) / rate, 20.0)
    assert len(times) == pytest.approx(600, rel=0.03)
    assert np.diff(times).max() < 2 / 30


def test_after_a_stall_beats_are_left_out() -> None:
    clock = OutputClock(20, 0.0)
    clock.left(0.0)
    clock.left(3.0)  # held up for three seconds
    assert clock.due == pytest.approx(3.0)
    clock.left(3.0)
    assert clock.due == pytest.approx(3.05)

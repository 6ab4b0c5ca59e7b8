"""When a session's frames leave: at its rate, as soon as the partner's frame for each is there.

Frames that left on a fixed beat would wait for up to a period after the partner's frame that they answer. Where the
partner's frames come at the session's rate the beat follows them, slowly, as a phase-locked loop does: a frame of the
partner that comes near the beat lets the agent's leave at once, and one that is late is waited for, a little. Where
they come at another rate, or not at all, the beat is even.

The first frames are taken to come at the session's rate until they show that they do not, and the beat goes to them at
once: otherwise the first second of every session would be answered late.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_GAIN: Final = 0.2  # of the distance between beat and arrival that the beat moves each time
_WAIT: Final = 0.35  # periods after the beat that a frame waits for its partner's, at most
_WAIT_SECONDS: Final = 0.012
_ARRIVALS: Final = 16  # over which the partner's rate is measured
_SURE: Final = 9  # arrivals from which on the measured rate is believed
_JITTER: Final = 0.35  # periods by which fewer arrivals may be off
_PAUSE_SECONDS: Final = 1.0  # without a frame, after which a partner begins anew
_SAME: Final = 0.04  # how far the two rates may be apart, for the beat to follow,
_OTHER: Final = 0.08  # and to go on following


class OutputClock:
    """Decides when the next frame is due. Times are seconds of one clock that never goes back."""

    def __init__(self, fps: float, now: float) -> None:
        self.period = 1.0 / fps
        self._wait = min(_WAIT * self.period, _WAIT_SECONDS)
        self._beat = now
        self._arrivals: deque[float] = deque(maxlen=_ARRIVALS + 1)
        self._following = False
        self._arrived: float | None = None  # the frame that the next one answers
        self._led = False  # whether the last one answered one, so that waiting for the next is worth it

    @property
    def beat(self) -> float:
        """When the next frame should leave."""
        return self._beat

    @property
    def due(self) -> float:
        """When the next frame leaves at the latest; in the past when it should leave at once."""
        if self._arrived is not None:
            return self._arrived
        return self._beat + (self._wait if self._led else 0.0)

    def arrived(self, now: float) -> None:
        """A frame of the partner that is followed has come."""
        if self._arrivals and now - self._arrivals[-1] > _PAUSE_SECONDS:
            self._arrivals.clear()
        self._arrivals.append(now)
        self._following = self._same_rate()
        if not self._following or self._arrived is not None:
            return
        early = self._beat - now
        if early <= 0.5 * self.period:
            self._arrived = now
        elif len(self._arrivals) < _SURE:  # the next is expected a period after this one
            self._beat, self._led = now + self.period, True
        else:  # nearer to the beat before: that one should have been later
            self._beat += _GAIN * (self.period - early)

    def left(self, now: float) -> None:
        """The frame has left. A service that was held up leaves beats out rather than hurry after them."""
        at = self._beat
        if self._arrived is not None:
            at += _GAIN * (self._arrived - at)
        self._led, self._arrived = self._arrived is not None, None
        self._beat = max(at, now - self.period) + self.period

    def _same_rate(self) -> bool:
        periods = (self._arrivals[-1] - self._arrivals[0]) / self.period
        expected = len(self._arrivals) - 1
        if len(self._arrivals) < _SURE:
            return abs(periods - expected) <= _JITTER + _SAME * expected
        return abs(periods / expected - 1.0) < (_OTHER if self._following else _SAME)

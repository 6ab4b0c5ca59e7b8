"""When a session's frames leave: at its rate, as soon as the partner's frame for each is there.

Frames that left on a fixed beat would wait for up to a period after the partner's frame that they answer. The beat
follows the partner instead, slowly, as a phase-locked loop does: a frame of the partner that comes near the beat lets
the agent's leave at once, and one that is late is waited for, a little. Without a partner's frames the beat is even.
"""

from __future__ import annotations

from typing import Final

_GAIN: Final = 0.2  # of the distance between beat and arrival that the beat moves each time
_EARLY: Final = 0.5  # periods before the beat at which an arrival counts for it
_WAIT: Final = 0.35  # periods after the beat that a frame waits for its partner's, at most
_WAIT_SECONDS: Final = 0.012


class OutputClock:
    """Decides when the next frame is due. Times are seconds of one clock that never goes back."""

    def __init__(self, fps: float, now: float) -> None:
        self.period = 1.0 / fps
        self._wait = min(_WAIT * self.period, _WAIT_SECONDS)
        self._beat = now
        self._arrived: float | None = None
        self._led = (
            False  # whether the last frame answered an arrival, so that waiting for the next is worth it
        )

    @property
    def beat(self) -> float:
        """When the next frame should leave."""
        return self._beat

    @property
    def due(self) -> float:
        """When the next frame leaves at the latest; before ``now`` when it should leave at once."""
        if self._arrived is not None:
            return self._arrived
        return self._beat + (self._wait if self._led else 0.0)

    def arrived(self, now: float) -> None:
        """A partner's frame has come."""
        if self._arrived is None and now >= self._beat - _EARLY * self.period:
            self._arrived = now

    def left(self, now: float) -> None:
        """The frame has left. A service that was held up leaves beats out rather than hurry after them."""
        at = self._beat
        if self._arrived is not None:
            at += _GAIN * (self._arrived - at)
        self._led, self._arrived = self._arrived is not None, None
        self._beat = max(at, now - self.period) + self.period

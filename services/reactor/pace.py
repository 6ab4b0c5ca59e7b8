"""A client's clock against ours: when a frame was, in this process's time."""

from __future__ import annotations

from typing import Final

_DRIFT: Final = (
    0.01  # of the difference that the offset follows a frame, when frames come later than they did
)
_CHECK_SECONDS: Final = 1.0
_TOLERANCE: Final = 0.2  # a clock that is off by more than a fifth is not a clock
_GOOD_CHECKS: Final = 3


class Pace:
    """Maps a client's ``seconds`` to our clock by the fastest frames, as if the others had waited on the way.

    A clock that does not run as time does (a wrong frame rate, a file played at ten times its speed, a clock set anew)
    is distrusted: frames are then taken to be of the moment they came, until the clock has kept time for 3 s.
    """

    def __init__(self) -> None:
        self._offset: float | None = None
        self._mark = (0.0, 0.0)  # client's seconds and ours at the last check
        self._good = 0
        self.trusted = True

    def place(self, seconds: float, now: float, *, late: bool = False) -> tuple[float, bool]:
        """When the frame was, never later than now; and whether the clock has lost our trust with this frame.

        late: newer frames have come before it, so that its way says nothing of the clock.
        """
        if late and self._offset is not None:
            return (min(now, seconds + self._offset) if self.trusted else now), False
        if self._offset is None:
            self._offset, self._mark = now - seconds, (seconds, now)
        lost = self._check(seconds, now)
        if not self.trusted:
            return now, lost
        offset = now - seconds
        # Earlier than ever relative to its time stamp: the way was never that long.
        self._offset = offset if offset < self._offset else self._offset + _DRIFT * (offset - self._offset)
        return min(now, seconds + self._offset), lost

    def _check(self, seconds: float, now: float) -> bool:
        passed, ours = seconds - self._mark[0], now - self._mark[1]
        if ours < _CHECK_SECONDS:
            return False
        good = abs(passed - ours) <= _TOLERANCE * ours
        self._mark = seconds, now
        self._good = self._good + 1 if good else 0
        if self.trusted and not good and ours < 2 * _CHECK_SECONDS:
            self.trusted = False
            return True
        if not self.trusted and self._good >= _GOOD_CHECKS:
            self.trusted, self._offset = True, now - seconds
        return False

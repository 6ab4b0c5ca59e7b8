"""A partner as it is seen: frames that come when they come, sampled evenly at the model's rate.

Between frames positions are linear in time. Where a newer frame should be and is not, the movement goes on and dies
down; the frames after a pause are blended into what was shown meanwhile.
"""

from __future__ import annotations

import bisect
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from kinesphere.reaction.features import PARTNER_FRAMES
from kinesphere.skeleton import NUM_JOINTS, FloatArray
from kinesphere.v1 import reactor_pb2 as pb
from services.reactor.pace import Pace
from services.reactor.poses import MODEL_FPS

SILENT_SECONDS: Final = 0.25
GONE_SECONDS: Final = 10.0
MAX_METRES: Final = 10_000.0
_SPAN: Final = (PARTNER_FRAMES + 2) / MODEL_FPS  # seconds of frames that are kept
_MAX_FRAMES: Final = 256  # however fast they come
_MAX_SPEED: Final = 12.0  # metres a second of the pelvis: people sprint at 10
_DIE_SECONDS: Final = 0.15  # time constant with which an interrupted movement dies down
_BLEND_SECONDS: Final = 0.4
_BLEND_METRES: Final = 1.0  # a partner that comes back farther away than this is seen anew
_RESTARTED: Final = 10_000  # a number that much lower is a new count, not an old frame

Kind: TypeAlias = "pb.ReactionEventKind.ValueType"


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame: when it was (this process's clock), where the joints were [22,3], its number, and when it came."""

    time: float
    joints: FloatArray
    index: int
    arrival: float


class PartnerTrack:
    """One partner. ``add`` its frames, take ``window`` for the model. Times are of this process's monotonic clock."""

    def __init__(self, person_id: str) -> None:
        self.person_id = person_id
        self.weight = 0.0
        self.size: float | None = None  # what its body is scaled by before the networks see it
        self.silent = False
        self._frames: list[Seen] = []
        self._indices: deque[int] = deque(maxlen=64)
        self._newest_index: int | None = None
        self._pace = Pace()
        self._blend: tuple[float, FloatArray] | None = None  # since when, and what is added then

    @property
    def newest(self) -> Seen | None:
        return self._frames[-1] if self._frames else None

    def add(self, index: int, seconds: float, joints: FloatArray, now: float) -> list[tuple[Kind, int]]:
        """A frame [22,3] that was taken at ``seconds`` of the client's clock and has come now; what is odd about it."""
        odd: list[tuple[Kind, int]] = []
        if self._newest_index is not None and index < self._newest_index - _RESTARTED:
            self._newest_index = None
            self._indices.clear()
        if index in self._indices:
            return [(pb.REACTION_EVENT_KIND_FRAMES_DUPLICATED, 1)]
        self._indices.append(index)
        if self._newest_index is not None and index > self._newest_index + 1:
            odd.append((pb.REACTION_EVENT_KIND_FRAMES_LOST, index - self._newest_index - 1))
        late = self._newest_index is not None and index < self._newest_index
        self._newest_index = max(index, self._newest_index or 0)
        if not (np.abs(joints) <= MAX_METRES).all():  # NaN too
            return [*odd, (pb.REACTION_EVENT_KIND_FRAMES_REJECTED, 1)]
        time, distrusted = self._pace.place(seconds, now, late=late)
        if distrusted:
            odd.append((pb.REACTION_EVENT_KIND_CLOCK_DISTRUSTED, 1))
        if time < now - _SPAN:
            return [*odd, (pb.REACTION_EVENT_KIND_FRAMES_LATE, 1)]
        if late or (self._frames and time <= self._frames[-1].time):
            return [*odd, *self._insert(Seen(time, joints, index, now), late=late)]
        return [*odd, *self._append(Seen(time, joints, index, now))]

    def silence(self, now: float) -> Kind | None:
        """The event to report, once, when no frame has come for too long; PARTNER_GONE: forget the track."""
        newest = self.newest
        if newest is None:
            return None
        quiet = now - newest.arrival
        if quiet > GONE_SECONDS:
            return pb.REACTION_EVENT_KIND_PARTNER_GONE
        if quiet > SILENT_SECONDS and not self.silent:
            self.silent = True
            return pb.REACTION_EVENT_KIND_PARTNER_SILENT
        return None

    def window(self, now: float) -> FloatArray:
        """Joint positions [n,22,3] at 20 frames a second up to now, oldest first; n at most 10, 0 before any frame."""
        if not self._frames:
            return np.zeros((0, NUM_JOINTS, 3), np.float32)
        known = now - self._frames[0].time
        count = 1 + int(min(max(known, 0.0) * MODEL_FPS + 1e-6, PARTNER_FRAMES - 1))
        return np.stack([self._at(now - back / MODEL_FPS) for back in range(count - 1, -1, -1)])

    def restore(self, window: FloatArray, now: float) -> None:
        """Go on from another replica's ``window``, as if its frames had just come."""
        self._frames = [
            Seen(now - (len(window) - 1 - place) / MODEL_FPS, joints, -1, now)
            for place, joints in enumerate(window)
        ]

    def _append(self, seen: Seen) -> list[tuple[Kind, int]]:
        events: list[tuple[Kind, int]] = []
        newest = self.newest
        if newest is not None:
            shown = self._at(seen.time)
            if self.silent or seen.time - newest.time > SILENT_SECONDS:
                if self.silent:
                    events.append((pb.REACTION_EVENT_KIND_PARTNER_RETURNED, 1))
                if float(np.linalg.norm(shown[0] - seen.joints[0])) > _BLEND_METRES:
                    self._frames, self._blend = [], None
                else:
                    # What was shown meanwhile becomes the frame before, and the difference fades.
                    self._blend = seen.time, shown - seen.joints
            elif self._jumped(seen):
                events.append((pb.REACTION_EVENT_KIND_PARTNER_JUMPED, 1))
                self._frames, self._blend = [], None
        self.silent = False
        self._frames.append(self._blended(seen))
        self._forget(seen.time - _SPAN)
        return events

    def _insert(self, seen: Seen, *, late: bool) -> list[tuple[Kind, int]]:
        """A frame among those that are there; its arrival is not news of the partner."""
        place = bisect.bisect_left([frame.time for frame in self._frames], seen.time)
        if place < len(self._frames) and self._frames[place].time == seen.time:
            return [(pb.REACTION_EVENT_KIND_FRAMES_DUPLICATED, 1)]
        if place > 0:
            self._frames.insert(place, self._blended(seen))
        return [(pb.REACTION_EVENT_KIND_FRAMES_REORDERED, 1)] if late else []

    def _blended(self, seen: Seen) -> Seen:
        if self._blend is None:
            return seen
        since, offset = self._blend
        left = 1.0 - (seen.time - since) / _BLEND_SECONDS
        if left <= 0.0:
            self._blend = None
            return seen
        left = min(left, 1.0)
        joints = seen.joints + offset * np.float32(left * left * (3.0 - 2.0 * left))
        return Seen(seen.time, joints, seen.index, seen.arrival)

    def _jumped(self, seen: Seen) -> bool:
        """Whether the pelvis has gone farther than it can since the frame at least 0.05 s before ``seen``."""
        base = self._before(seen.time)
        away = float(np.linalg.norm(seen.joints[0] - base.joints[0]))
        return away > _MAX_SPEED * max(seen.time - base.time, 1.0 / MODEL_FPS)

    def _before(self, time: float) -> Seen:
        """The newest frame at least one of the model's before ``time``, or the oldest there is."""
        for frame in reversed(self._frames):
            if time - frame.time >= 0.9 / MODEL_FPS:
                return frame
        return self._frames[0]

    def _at(self, time: float) -> FloatArray:
        frames = self._frames
        place = bisect.bisect_right([frame.time for frame in frames], time)
        if place == 0:
            return frames[0].joints
        before = frames[place - 1]
        if place < len(frames):
            after = frames[place]
            weight = np.float32((time - before.time) / (after.time - before.time))
            return before.joints + weight * (after.joints - before.joints)
        if len(frames) < 2:
            return before.joints
        # The velocity over at least one of the model's frames, so that a tracker's noise is not thrown far.
        base = self._before(before.time)
        span = max(before.time - base.time, 0.5 / MODEL_FPS)
        reach = _DIE_SECONDS * (1.0 - np.exp(-(time - before.time) / _DIE_SECONDS))
        return before.joints + np.float32(reach / span) * (before.joints - base.joints)

    def _forget(self, before: float) -> None:
        """Frames that no window needs: one older than ``before`` is kept, to interpolate from."""
        drop = 0
        while drop + 1 < len(self._frames) and self._frames[drop + 1].time < before:
            drop += 1
        drop = max(drop, len(self._frames) - _MAX_FRAMES)
        del self._frames[:drop]

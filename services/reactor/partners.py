"""The partners of one agent. Each contributes; the nearest and most active weigh most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kinesphere import rotations as rot
from kinesphere.motion import forward_kinematics
from kinesphere.skeleton import NUM_JOINTS, FloatArray
from kinesphere.v1 import reactor_pb2 as pb
from services.reactor.body import size_of, told
from services.reactor.events import Events
from services.reactor.poses import MODEL_FPS
from services.reactor.state import PartnerState
from services.reactor.track import PartnerTrack, Seen

MAX_PARTNERS: Final = 4
_NEAR: Final = 1.0  # metres over which a weight falls to 1/e
_STILL: Final = (
    0.25  # metres a second: what a person who stands still counts as, so that nearness alone decides
)
_LIVELY: Final = 2.0  # metres a second of the joints on average, beyond which more movement does not count
_FOLLOW: Final = 0.15  # of the distance to its new value that a weight, or a size, goes each frame


@dataclass(frozen=True, eq=False)
class View:
    """What an agent sees at one moment: windows [n,22,3] of its partners (n up to 10), weights [k] (or [1] for nobody),
    and the newest frame of the one that weighs most. partners: who they are, their windows as they are in the world."""

    windows: list[FloatArray]
    weights: FloatArray
    newest: Seen | None
    partners: list[PartnerState]


class Partners:
    """Used from one event loop; times are of its clock. scale: of the agent's body, see ``body.told``."""

    def __init__(self, events: Events, scale: float = 1.0) -> None:
        self._events = events
        self._scale = scale
        self._tracks: dict[str, PartnerTrack] = {}

    def __len__(self) -> int:
        return len(self._tracks)

    def add(self, frame: pb.PartnerFrame, now: float) -> bool:
        """A frame that has come, its arrays of the right lengths; whether it is of the partner that weighs most."""
        track = self._tracks.get(frame.person_id)
        if track is None:
            if len(self._tracks) >= MAX_PARTNERS:
                self._events.note(pb.REACTION_EVENT_KIND_TOO_MANY_PARTNERS, detail=frame.person_id)
                return False
            track = PartnerTrack(frame.person_id)
        happened = track.add(frame.index, frame.seconds, _joints(frame), now)
        # Who has never been seen has no name yet: names are the client's, and there may be no end of them.
        person = frame.person_id if track.newest is not None else ""
        for kind, count in happened:
            self._events.note(kind, person, count)
        if track.newest is not None and frame.person_id not in self._tracks:
            self._tracks[frame.person_id] = track
            self._events.note(pb.REACTION_EVENT_KIND_PARTNER_APPEARED, frame.person_id)
        return track is max(self._tracks.values(), key=lambda each: each.weight, default=None)

    def view(self, pelvis: FloatArray, now: float) -> View:
        """What is seen now from ``pelvis`` [3], in the agent's units."""
        for track in list(self._tracks.values()):
            if (kind := track.silence(now)) is not None:
                self._events.note(kind, track.person_id)
                if kind == pb.REACTION_EVENT_KIND_PARTNER_GONE:
                    del self._tracks[track.person_id]
        tracks = list(self._tracks.values())
        if not tracks:
            return View([], np.ones(1, np.float32), None, [])
        places = [track.window(now) for track in tracks]
        windows = []
        for track, place in zip(tracks, places, strict=True):
            size = size_of(place)
            track.size = size if track.size is None else track.size + _FOLLOW * (size - track.size)
            windows.append(told(place, self._scale, track.size))
        weights = np.array([_weight(window, pelvis) for window in windows])
        weights /= weights.sum()
        for track, weight in zip(tracks, weights, strict=True):
            # A newcomer among others fades in; the first one counts at once.
            track.weight += (_FOLLOW if len(tracks) > 1 else 1.0) * (float(weight) - track.weight)
        total = sum(track.weight for track in tracks)
        followed = np.array([track.weight / total for track in tracks], np.float32)
        partners = [
            PartnerState(track.person_id, track.weight, place)
            for track, place in zip(tracks, places, strict=True)
        ]
        return View(windows, followed, tracks[int(followed.argmax())].newest, partners)

    def restore(self, states: list[PartnerState], now: float) -> None:
        """Go on from what another replica saw."""
        for state in states:
            track = self._tracks[state.person_id] = PartnerTrack(state.person_id)
            track.weight = state.weight
            track.restore(state.window, now)


def _weight(window: FloatArray, pelvis: FloatArray) -> float:
    away = float(np.linalg.norm((window[-1, 0] - pelvis)[[0, 2]]))
    moved = float(np.linalg.norm(np.diff(window[-4:], axis=0), axis=-1).mean()) if len(window) > 1 else 0.0
    # Far away two partners still differ: the smallest weight is not 0.
    return (_STILL + min(moved * MODEL_FPS, _LIVELY)) * max(float(np.exp(-away / _NEAR)), 1e-6)


def _joints(frame: pb.PartnerFrame) -> FloatArray:
    """[22,3] joint positions, as sent or by forward kinematics."""
    if frame.positions:
        return np.array(frame.positions, np.float32).reshape(NUM_JOINTS, 3)
    rotations = np.array(frame.rotations, np.float32).reshape(1, NUM_JOINTS, 4)
    place = np.array(frame.translation, np.float32)[None]
    joints: FloatArray = forward_kinematics(place, rot.normalize(rotations))[0]
    return joints

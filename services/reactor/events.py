"""What happened to a session, told without a flood: of one kind and partner one event a second, with its count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinesphere.v1 import reactor_pb2 as pb
from services.reactor.track import Kind

_SECONDS: Final = 1.0


@dataclass
class _Count:
    waiting: int = 0
    total: int = 0
    told: float = float("-inf")
    detail: str = ""


class Events:
    """Counts what is noted, gives what is due."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Kind, str], _Count] = {}
        self._pending = False

    def note(self, kind: Kind, person: str = "", count: int = 1, detail: str = "") -> None:
        entry = self._counts.setdefault((kind, person), _Count())
        entry.waiting += count
        entry.total += count
        entry.detail = detail
        self._pending = True

    def due(self, sequence: int, now: float) -> list[pb.ReactionEvent]:
        """Events to send before frame ``sequence``."""
        if not self._pending:
            return []
        events, self._pending = [], False
        for (kind, person), entry in self._counts.items():
            if not entry.waiting:
                continue
            if now - entry.told < _SECONDS:
                self._pending = True
                continue
            events.append(
                pb.ReactionEvent(
                    kind=kind, sequence=sequence, person_id=person, count=entry.waiting, total=entry.total,
                    detail=entry.detail,
                )
            )  # fmt: skip
            entry.waiting, entry.told = 0, now
        for event in events:
            if event.kind == pb.REACTION_EVENT_KIND_PARTNER_GONE:
                self._forget(event.person_id)
        return events

    def _forget(self, person: str) -> None:
        """Somebody is gone, and that has been told: who comes next must not add to what is counted."""
        for key in [key for key, entry in self._counts.items() if key[1] == person and not entry.waiting]:
            del self._counts[key]

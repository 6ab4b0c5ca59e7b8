"""Who plays in a situation: takes drawn from one split, people who stand, wave, walk up, and where they are put."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.datasets.reactions.library import Entry
from kinesphere.datasets.reactions.steps import JOIN, come_to_rest
from kinesphere.datasets.reactions.strips import Refused, Strip, gaining, held, losing, moved, sampled, then
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.motion import Motion

MOST: Final = 200  # frames of a sample: 10 s
LEAST: Final = 80  # frames: 4 s
_WIDEST: Final = 0.4  # metres between the toes of somebody who stands at ease
OPPOSITE: Final = {"left": "right", "right": "left", "both": "both", "": ""}


@dataclass(frozen=True, eq=False)
class Composed:
    """What a rule makes: both bodies in one world, and what there is to say about it.

    onset: frame at which the partner's cue begins. answer: frame at which the agent's reaction begins. templates: the
    agent's intent, in the words of ``datasets.grammar``. takes: ids of the takes used, the agent's first.
    """

    agent: Strip
    partner: Strip
    onset: int
    answer: int
    templates: tuple[str, ...]
    takes: tuple[str, ...]


class Cast:
    """The takes of one split and the chance that draws from them."""

    def __init__(self, entries: list[Entry], split: Split, chance: np.random.Generator) -> None:
        self.chance = chance
        self._entries: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.split == split:
                self._entries.setdefault(entry.content, []).append(entry)

    def pick(self, content: str, fits: Callable[[Entry], bool] = lambda _: True) -> Entry:
        """A take of this content. Raises Refused if the split has none that ``fits``."""
        found = [entry for entry in self._entries.get(content, []) if fits(entry)]
        if not found:
            raise Refused(f"no take of {content} fits")
        return found[int(self.chance.integers(len(found)))]

    def between(self, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        return float(self.chance.uniform(low, high))

    def frames(self, low: float, high: float) -> int:
        """A time from ``low`` to ``high`` seconds, in frames."""
        return round(self.between(low, high) * FPS)

    def either(self) -> int:
        """1 or -1."""
        return 1 if self.chance.random() < 0.5 else -1

    def gesture(self, content: str, fits: Callable[[Entry], bool] = lambda _: True) -> Entry:
        """A gesture that begins and ends at ease."""
        return self.pick(content, lambda entry: entry.rests == (True, True) and fits(entry))

    def stance(self, style: str) -> Entry:
        """Somebody who stands at ease, in this style if there is one."""
        content = ("wave", "raise", "bow", "guide")[int(self.chance.integers(4))]
        fitting = [
            entry
            for entry in self._entries.get(content, [])
            if entry.rests[0] and np.linalg.norm(entry.piece.toe(0, 0) - entry.piece.toe(1, 0)) < _WIDEST
        ]
        alike = [entry for entry in fitting if entry.style == style] or fitting
        if not alike:
            raise Refused("nobody stands at ease")
        return alike[int(self.chance.integers(len(alike)))]

    def sway(self, count: int) -> Motion:
        """``count`` + 1 frames of somebody who stands idle."""
        idle = self.pick("idle", lambda entry: entry.piece.frames > count + 1).piece
        start = int(self.chance.integers(idle.frames - count - 1))
        return idle.motion.slice(start, start + count + 1)

    def waiting(self, entry: Entry, count: int) -> Strip:
        """The first pose of a take, held for ``count`` frames."""
        return held(entry.piece, 0, count, self.sway(count), before=True)

    def prolonged(self, piece: Strip, total: int) -> Strip:
        """The piece with its last pose held until it has ``total`` frames, or cut to them."""
        missing = total - piece.frames
        if missing <= 0:
            return piece.cut(0, total)
        return then(piece, held(piece, piece.frames - 1, missing, self.sway(missing), before=False))

    def performing(self, entry: Entry, lead: int) -> tuple[Strip, int, int]:
        """A gesture after ``lead`` frames of waiting: the strip, and the frames from and to which it is under way."""
        last = entry.piece.frames - 1
        half = last / 2
        at = np.concatenate([gaining(0, half, frames=6), losing(half + 1, last, frames=6)])
        begins, ends = (lead + int(np.searchsorted(at, frame)) for frame in entry.cue)
        return then(self.waiting(entry, lead), sampled(entry.piece, at)), begins, ends

    def walking_up(self, walk: Entry, after: int, total: int) -> Strip:
        """Somebody who walks from the first frame on, and comes to rest at the first stride after frame ``after``."""
        rest = self.stance(walk.style)
        standing = held(rest.piece, 0, max(total, 3 * JOIN), self.sway(max(total, 3 * JOIN)), before=False)
        return self.prolonged(come_to_rest(walk.piece, after, standing), total)


def facing_agent(
    partner: Strip, agent: Strip, frame: int, distance: float, bearing: float, turned: float = 0.0
) -> Strip:
    """The partner moved so that at ``frame`` it is ``distance`` metres from the agent and faces it.

    bearing: radians from where the agent faces to where the partner is, left positive. turned: by how much the partner
    looks past the agent.
    """
    heading = agent.heading(frame) + bearing
    return put(
        partner,
        frame,
        heading + np.pi + turned - partner.heading(frame),
        place_by(agent, frame, distance, heading),
    )


def place_by(agent: Strip, frame: int, distance: float, heading: float) -> NDArray[np.float64]:
    """[3] the place on the floor ``distance`` metres from the agent's pelvis at ``frame``, in direction ``heading``."""
    root = agent.motion.translation[frame].astype(np.float64) * np.array([1.0, 0.0, 1.0])
    away = rot.rotate(rot.about_y(heading), np.array([0.0, 0.0, distance]))
    return np.asarray(root + away)


def put(piece: Strip, frame: int, turn: float, place: NDArray[np.float64]) -> Strip:
    """The piece turned by ``turn``, then shifted so that its pelvis is over ``place`` at ``frame``."""
    turned = moved(piece, turn, np.zeros(3))
    shift = place - turned.motion.translation[frame]
    return moved(turned, 0.0, shift * np.array([1.0, 0.0, 1.0]))

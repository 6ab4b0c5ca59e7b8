"""All composed situations: drawing them, refusing what does not work, and saying what the agent intends."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kinesphere.body import yaw
from kinesphere.datasets.grammar import render
from kinesphere.datasets.reactions import company, gestures, travels
from kinesphere.datasets.reactions.bodies import clearance
from kinesphere.datasets.reactions.cast import LEAST, Cast, Composed
from kinesphere.datasets.reactions.dataset import Origin
from kinesphere.datasets.reactions.library import Entry
from kinesphere.datasets.reactions.parallel import Progress, in_order
from kinesphere.datasets.reactions.strips import Refused, carried, finished
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.motion import Motion
from kinesphere.scenes import Scene

Rule = Callable[[Cast], Composed]
SITUATIONS: Final[dict[str, Rule]] = {
    "wave_back": gestures.wave_back,
    "bow_back": gestures.bow_back,
    "greet": gestures.greet,
    "mirror": gestures.mirror,
    "turn_to_face": gestures.turn_to_face,
    "step_away": travels.step_away,
    "step_aside": travels.step_aside,
    "meet": travels.meet,
    "back_off": travels.back_off,
    "follow_guide": travels.follow_guide,
    "side_by_side": company.side_by_side,
    "follow": company.follow,
    "join_in": company.join_in,
}
# How many samples of each situation a split gets (mirrored copies come on top).
COUNTS: Final[dict[Split, int]] = {"train": 130, "val": 8, "test": 24}
_TRIES: Final = 12
_CLEAR: Final = 0.03  # metres that bodies keep between their surfaces
_FASTEST: Final = 8.0  # metres a second: a joint of the agent that goes faster was torn
_DEEPEST: Final = 0.03  # metres that a joint may be below the floor


@dataclass(frozen=True, eq=False)
class Sample:
    """A finished sample, not mirrored: the fields of a ``Reaction``, both bodies and the scene.

    partner: None for movement among things. scene: None for two people on an empty floor.
    """

    id: str
    take: str
    situation: str
    split: Split
    agent: Motion
    partner: Motion | None
    text: tuple[str, ...]
    onset: int | None = None
    answer: int | None = None
    goal: tuple[float, float, float] | None = None
    scene: Scene | None = None
    origin: Origin = "composed"


@dataclass(frozen=True)
class Task:
    """One sample to be made. Its name and the seed decide all of it."""

    situation: str
    split: Split
    number: int
    seed: int

    @property
    def name(self) -> str:
        """What its sample is called."""
        return f"{self.situation}/{self.split}-{self.number:04d}"


def tasks(seed: int, limit: int | None = None) -> list[Task]:
    """Every sample to be made; at most ``limit`` of each situation and split."""
    return [
        Task(situation, split, number, seed)
        for situation in SITUATIONS
        for split, count in COUNTS.items()
        for number in range(count if limit is None else min(count, limit))
    ]


def compose_all(
    entries: list[Entry], work: list[Task], jobs: int = 1, progress: Progress | None = None
) -> tuple[list[Sample], Counter[tuple[str, str]]]:
    """The samples of all tasks, and how often each (situation, reason) was refused on the way."""
    made = in_order(_compose, work, jobs, progress, prepare=_prepare, prepared=(entries,))
    refused: Counter[tuple[str, str]] = Counter()
    for task, (_, reasons) in zip(work, made, strict=True):
        refused.update((task.situation, reason) for reason in reasons)
    return [sample for sample, _ in made if sample is not None], refused


_library: list[Entry] = []


def _prepare(entries: list[Entry]) -> None:
    """Gives this process the takes that its tasks draw from."""
    _library[:] = entries


def _compose(task: Task) -> tuple[Sample | None, list[str]]:
    """The first draw that works, and why the ones before it did not."""
    reasons: list[str] = []
    for draw in range(_TRIES):
        chance = seeded(f"{task.seed} {task.name} {draw}")
        try:
            made = SITUATIONS[task.situation](Cast(_library, task.split, chance))
            return _sample(task, made, chance), reasons
        except Refused as refusal:
            reasons.append(str(refusal))
    return None, reasons


def seeded(words: str) -> np.random.Generator:
    """Chance that depends on nothing but ``words``."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(words.encode()).digest()[:8]))


def _sample(task: Task, made: Composed, chance: np.random.Generator) -> Sample:
    agent, partner = _about_agent(finished(made.agent), finished(made.partner))
    _check(agent, partner)
    words = made.templates
    text = said(words, chance)
    takes = " | ".join(made.takes)
    return Sample(task.name, takes, task.situation, task.split, agent, partner, text, made.onset, made.answer)


def said(templates: tuple[str, ...], chance: np.random.Generator) -> tuple[str, ...]:
    """Each template as an order ("wave back") or as a statement ("a person waves back"), the first as both."""
    orders = [render(template, "base") for template in templates]
    told = [f"a person {render(template, 'third')}" for template in templates]
    picked = [order if chance.random() < 0.5 else tell for order, tell in zip(orders, told, strict=True)]
    return tuple(dict.fromkeys([orders[0], told[0], *picked[1:]]))


def _about_agent(agent: Motion, partner: Motion) -> tuple[Motion, Motion]:
    """Both moved so that the agent first stands over the origin and faces +Z."""
    turn = -float(yaw(agent.positions[:1])[0])
    root = carried(agent, turn, np.zeros(3)).translation[0]
    shift = -root * np.array([1.0, 0.0, 1.0])
    return carried(agent, turn, shift), carried(partner, turn, shift)


def _check(agent: Motion, partner: Motion) -> None:
    """Raises Refused for bodies that touch, and for an agent whose joints leap or sink."""
    if agent.num_frames < LEAST:
        raise Refused("shorter than 4 s")
    if clearance(agent.positions, partner.positions).min() < _CLEAR:
        raise Refused("the bodies touch")
    speed = np.linalg.norm(np.diff(agent.positions, axis=0), axis=-1).max() * FPS
    if speed > _FASTEST:
        raise Refused("a joint leaps")
    if min(agent.positions[..., 1].min(), partner.positions[..., 1].min()) < -_DEEPEST:
        raise Refused("a joint is below the floor")

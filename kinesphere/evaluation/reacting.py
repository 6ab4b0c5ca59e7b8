"""What is compared in the reaction tables: recorded agents, and rollouts of the reactor's graphs in all their modes.

A rollout begins with two true frames of the agent and sees the partner as recorded. As in service, segments are made
three frames before their first one (``lead_frames``), from what the running segment foresees and from the partner as
seen by then; no frame is late beyond that, and what would be below the floor is lifted as it leaves. Only ``slide``
always knows the newest frame: that a network could be run anew for each frame in time is what it assumes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.reactions.dataset import Reaction, ReactionDataset
from kinesphere.evaluation.embedders import load_session
from kinesphere.reaction.rolling import Rollout, Start
from kinesphere.reaction.rollout import STEPS, Graph, Surroundings, floor_frame, on_the_floor, rows_of
from kinesphere.representations import primitive276
from kinesphere.representations.primitive276 import HISTORY, LAYOUT
from kinesphere.scenes import Raster, Scene
from kinesphere.skeleton import NUM_JOINTS, FloatArray

BEFORE: Final = 10  # frames before the partner's cue at which a trial begins
MOST: Final = 120  # frames of a trial
LEAD: Final = 3  # as the reactor's setting lead_frames
_TOGETHER: Final = 32  # rollouts side by side
_TIMED: Final = 160  # frames over which a graph's time is taken
# Told how many frames have been made.
Progress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """A stretch of a reaction: world pose rows [T,276] of the real agent, the partner's joints [T,22,3] and the scene,
    where there are such; onset: frame of the partner's cue."""

    item: Reaction
    rows: FloatArray
    partner: FloatArray | None
    scene: Scene | None
    onset: int | None

    @property
    def frames(self) -> int:
        return len(self.rows)

    @cached_property
    def raster(self) -> Raster | None:
        return None if self.scene is None else Raster(self.scene)


def trial(data: ReactionDataset, item: Reaction) -> Trial:
    """Of two people: from shortly before the partner's cue (or the start), 6 s at most. Among things: the last 6 s, in
    which who moves as recorded reaches the goal."""
    agent, partner, onset = data.agent(item), data.partner(item), item.onset
    begin = max(0, item.frames - MOST) if partner is None else max(0, (onset or 0) - BEFORE)
    part = slice(begin, min(item.frames, begin + MOST))
    rows = rows_of(agent.translation, agent.rotations)[part]
    seen = None if partner is None else partner.positions[part]
    return Trial(item, rows, seen, data.scene(item), None if onset is None else onset - begin)


def joints_of(rows: FloatArray) -> FloatArray:
    """[T,22,3] joint positions of world pose rows [T,276]."""
    return rows[:, LAYOUT["joints"]].reshape(len(rows), NUM_JOINTS, 3)


@dataclass(frozen=True)
class Reactor:
    """A row of the tables. rollout: None for agents that are recorded. varied: other seeds give other movement that is
    worth its time. latency: ms of the graphs' time a frame, for one body."""

    name: str
    rollout: Rollout | None = None
    alpha: tuple[float, float] = (1.0, 1.0)
    aimed: bool = True
    varied: bool = True
    latency: float | None = None

    def react(
        self, trials: Sequence[Trial], texts: FloatArray, seed: int, progress: Progress | None = None
    ) -> list[FloatArray]:
        """World pose rows [T,276] for each trial, the first two as recorded. texts: [N,384] the intents' features."""
        if self.rollout is None:
            return [each.rows for each in trials]
        order = sorted(range(len(trials)), key=lambda index: trials[index].frames)
        made: dict[int, FloatArray] = {}
        done = 0
        for first in range(0, len(order), _TOGETHER):
            chosen = order[first : first + _TOGETHER]
            starts = [self._start(trials[index], texts[index], seed) for index in chosen]

            def told(count: int, before: int = done) -> None:
                if progress is not None:
                    progress(before + count)

            for index, rows in zip(chosen, self.rollout.together(starts, told), strict=True):
                made[index] = _lifted(rows)
            done += sum(start.frames for start in starts)
        return [made[index] for index in range(len(trials))]

    def _start(self, trial: Trial, text: FloatArray, seed: int) -> Start:
        around = Surroundings(
            partner=trial.partner,
            scene=trial.raster,
            goal=np.asarray(trial.item.goal) if self.aimed and trial.item.goal else None,
            text=text,
            alpha=self.alpha,
        )
        # Each reaction has noise of its own, whatever else is evaluated.
        own = np.frombuffer(trial.item.id.encode(), dtype=np.uint8)
        noise = int(np.random.default_rng([seed, *own]).integers(2**62))
        history = trial.rows[:HISTORY].copy()
        for name in STEPS:  # what follows the last known frame is not known
            history[-1, LAYOUT[name]] = history[-2, LAYOUT[name]]
        return Start(history, trial.frames - HISTORY, around, noise)

    def timed(self, trial: Trial, text: FloatArray) -> Reactor:
        """The same with its latency, taken on ``trial``: calls of each graph times the median of their time."""
        if self.rollout is None:
            return self
        segment, refine = _Timed(self.rollout.segment), None
        if self.rollout.refine is not None:
            refine = _Timed(self.rollout.refine)
        start = self._start(trial, text, 0)
        replace(self.rollout, segment=segment, refine=refine).run(start.history, _TIMED, start.around)
        seconds = segment.total() + (refine.total() if refine is not None else 0.0)
        return replace(self, latency=1000 * seconds / _TIMED)


class _Timed:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._seconds: list[float] = []

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        began = time.perf_counter()
        outputs = self._graph(inputs)
        self._seconds.append(time.perf_counter() - began)
        return outputs

    def total(self) -> float:
        """Calls that waited for something else do not count for more than the others."""
        return len(self._seconds) * float(np.median(self._seconds)) if self._seconds else 0.0


def graph(models: Path, name: str) -> Graph:
    """A graph of the model repository, on one thread. Raises InputError(``models``) when it is not there."""
    session = load_session(models / name, 1)
    outputs = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(outputs, session.run(None, dict(inputs)), strict=True))


def reactors(models: Path, ablations: Mapping[str, Path]) -> tuple[list[Reactor], list[Reactor]]:
    """The rows that the graphs in ``models`` make, for two people and among things. ablations: name -> another model
    repository, whose ``reactor_segment`` is run without refinement, for two people only: that is what ablations train.

    Raises InputError(``models``) where a graph is missing.
    """
    segment, refine = graph(models, "reactor_segment"), graph(models, "reactor_refine")
    whole, parts = Rollout(segment, refine, "refine", lead=LEAD), Rollout(segment, lead=LEAD)
    shared = [
        Reactor("segment+FWSR", whole),
        Reactor("segment", parts),
        Reactor("prior only", parts, alpha=(0.0, 0.0)),
    ]
    slide = Reactor("slide", Rollout(segment, mode="slide"), varied=False)
    others = [
        Reactor(f"{name} (segment)", Rollout(graph(folder, "reactor_segment"), lead=LEAD))
        for name, folder in ablations.items()
    ]
    return [*shared[:2], slide, shared[2], *others], [*shared, Reactor("no goal", whole, aimed=False)]


def shuffled(trials: Sequence[Trial], seed: int) -> list[FloatArray]:
    """For each trial the real agent of another one, from where this one's agent stands and faces; one that is too short
    stands still at its end."""
    order = np.random.default_rng([seed, 3]).permutation(len(trials))
    made: dict[int, FloatArray] = {}
    for at, index in enumerate(order):
        own, others = trials[index], trials[order[at - 1]]
        chosen = others.rows[np.minimum(np.arange(own.frames), others.frames - 1)]
        local = primitive276.to_canonical(chosen, floor_frame(joints_of(chosen[:1])[0]))
        made[int(index)] = primitive276.to_world(local, floor_frame(joints_of(own.rows[:1])[0]))
    return [made[index] for index in range(len(trials))]


def _lifted(rows: FloatArray) -> FloatArray:
    """What leaves: lifted where it would be below the floor."""
    result = rows.copy()
    joints = joints_of(rows)
    translation = on_the_floor(rows[:, LAYOUT["translation"]], joints)
    up = (translation - rows[:, LAYOUT["translation"]])[:, None]
    up[:HISTORY] = 0.0  # as recorded
    result[:, LAYOUT["translation"]] += up[:, 0]
    result[:, LAYOUT["joints"]] = (joints + up).reshape(len(rows), -1)
    return result

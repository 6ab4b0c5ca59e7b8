"""The body that reacts: what its networks are asked, and what becomes of their answers. No clock, no server.

A segment is eight frames that follow two, told in a canonical frame of its own (``primitive276``). It is made ahead of
need from the frames that the running segment predicts; then, frame by frame, refinement corrects it with the newest
that is seen, and one frame (two, where the client's rate is below the model's) leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kinesphere.reaction import rollout
from kinesphere.reaction.features import occupancy_around
from kinesphere.reaction.rollout import LATENT
from kinesphere.representations import primitive276
from kinesphere.representations.primitive276 import FUTURE, HISTORY, Frame
from kinesphere.scenes import Raster
from kinesphere.skeleton import NUM_JOINTS, FloatArray
from services.common.runtime import Array
from services.reactor import poses
from services.reactor.poses import MODEL_FPS
from services.reactor.state import AgentState


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the session asks for. text: [384], zeros for no intent. alpha: [2], people and scene. goal: [3] or None."""

    text: FloatArray
    alpha: FloatArray
    goal: FloatArray | None = None
    scene: Raster | None = None


@dataclass(eq=False)
class Segment:
    """Eight frames under way, told in ``frame``. start: the history that they were made from [2,276]; latent: [1,64];
    future: [8,276]; place: which of the eight is next."""

    number: int
    frame: Frame
    start: FloatArray
    latent: FloatArray
    future: FloatArray
    occupancy: FloatArray
    place: int = 0


@dataclass(frozen=True, eq=False)
class Draft:
    """A segment that is asked for: everything but the network's answer. ahead: frames that leave before its first."""

    number: int
    frame: Frame
    start: FloatArray
    occupancy: FloatArray
    ahead: int = 0


@dataclass(eq=False)
class Agent:
    """poses: the two newest frames [2,91]; rows: the same as world features [2,276]; frames: how many were made."""

    seed: int
    poses: FloatArray = field(default_factory=lambda: np.repeat(poses.standing()[None], 2, axis=0))
    rows: FloatArray = field(init=False)
    frames: int = 0
    segment: Segment | None = None
    following: Segment | None = None

    def __post_init__(self) -> None:
        self.rows = rollout.rows_of(*poses.split(self.poses))

    @property
    def left(self) -> int:
        """Frames of the running segment that have not left."""
        return FUTURE - self.segment.place if self.segment else 0

    def state(self) -> AgentState:
        segment = self.segment
        if segment is None:
            rest = np.zeros((HISTORY, primitive276.LAYOUT.total), np.float32)
            segment = Segment(
                -1, Frame(np.eye(3), np.zeros(3)), rest, np.zeros((1, LATENT), np.float32),
                np.zeros((FUTURE, primitive276.LAYOUT.total), np.float32), rest, FUTURE,
            )  # fmt: skip
        return AgentState(
            self.frames, self.poses, self.rows, segment.number, segment.place, segment.frame.axes,
            segment.frame.origin, segment.start, segment.latent, segment.future,
        )  # fmt: skip

    @classmethod
    def resumed(cls, seed: int, state: AgentState, scene: Raster | None) -> Agent:
        """The agent as ``state`` left it."""
        agent = cls(seed, state.poses)
        agent.rows, agent.frames = state.rows, state.frames
        if state.segment >= 0:
            frame = Frame(state.axes, state.origin)
            agent.segment = Segment(
                state.segment, frame, state.start, state.latent, state.future, occupancy_around(scene, frame),
                state.place,
            )  # fmt: skip
        return agent

    def draft(self, scene: Raster | None) -> Draft:
        """The next segment: after the running one as it is foreseen, or after the frames that have left."""
        rows, number = self.rows, 0
        if self.segment is not None:
            number = self.segment.number + 1
            if self.left:
                rows = rollout.emit(self.segment.future[-HISTORY:], self.segment.frame)
        start, frame = rollout.segment_history(rows)
        return Draft(number, frame, start, occupancy_around(scene, frame), self.left)

    def segment_inputs(
        self, draft: Draft, seen: Sequence[FloatArray], conditions: Conditions
    ) -> dict[str, Array]:
        """Inputs of ``reactor_segment``, a row for each partner's window [n,22,3]; one row when nobody is seen."""
        inputs = _observed(draft.frame, seen, conditions, draft.occupancy, draft.ahead)
        count = len(inputs["partner"])
        # The same noise for every partner, and again on a replica that takes over.
        noise = np.random.Generator(np.random.Philox(key=self.seed, counter=draft.number))
        values = noise.standard_normal((1, 1, LATENT), dtype=np.float32)
        inputs["noise"] = np.repeat(values, count, axis=0)
        inputs["history"] = np.repeat(draft.start[None], count, axis=0)
        inputs["text"] = np.repeat(conditions.text[None], count, axis=0)
        return inputs

    def begin(self, draft: Draft, latent: FloatArray, future: FloatArray, weights: FloatArray) -> None:
        """The network's answer to ``segment_inputs``: latent [n,1,64], future [n,8,276], mixed by ``weights`` [n]."""
        mixed = _mixed(latent, weights), _mixed(future, weights)
        if not all(np.isfinite(each).all() for each in mixed):
            return  # asked for again
        self.following = Segment(draft.number, draft.frame, draft.start, *mixed, draft.occupancy)

    def turn_over(self) -> bool:
        """Start the following segment when the running one is used up; False when there is none to start."""
        if self.left:
            return True
        if self.following is None:
            return False
        self.segment, self.following = self.following, None
        return True

    def refine_inputs(self, seen: Sequence[FloatArray], conditions: Conditions) -> dict[str, Array]:
        """Inputs of ``reactor_refine`` for the running segment, rows as in ``segment_inputs``."""
        segment = self.segment
        assert segment is not None
        inputs = _observed(segment.frame, seen, conditions, segment.occupancy)
        count = len(inputs["partner"])
        history, _ = rollout.segment_history(self.rows, segment.frame)
        inputs["history"] = np.repeat(history[None], count, axis=0)
        inputs["start"] = np.repeat(segment.start[None], count, axis=0)
        inputs["latent"] = np.repeat(segment.latent[None], count, axis=0)
        inputs["frame"] = np.full(count, segment.place, np.int64)
        return inputs

    def refined(self, future: FloatArray, weights: FloatArray) -> None:
        """The network's answer to ``refine_inputs``: future [n,8,276], mixed by ``weights`` [n]."""
        assert self.segment is not None
        self.segment.future = _mixed(future, weights)

    def take(self, steps: int) -> list[tuple[FloatArray, Frame]]:
        """The next ``steps`` rows [276], as the networks made them and as they follow what has left, each with its
        frame; fewer when there is no segment to take them from, or it holds nonsense."""
        rows: list[tuple[FloatArray, Frame]] = []
        newest = self.rows[-1:]
        while len(rows) < steps and self.turn_over():
            segment = self.segment
            assert segment is not None
            left = primitive276.to_canonical(newest, segment.frame)[0]
            row = rollout.carried(segment.future, segment.start, segment.place, 1, left)[0]
            segment.place += 1
            if not np.isfinite(row).all():
                # What follows from it would be nonsense too: the next segment goes on from what has left.
                segment.place, self.following = FUTURE, None
                break
            rows.append((row, segment.frame))
            if len(rows) < steps:
                newest = primitive276.to_world(row[None], segment.frame)
        return rows

    def follow(self, row: FloatArray, pose: FloatArray) -> bool:
        """The frame of a world pose row [276] and its pose [91] leaves; False: only as far as a body can go."""
        near, cut = poses.limited(self.poses[1], pose)
        self._add(near)
        if cut:
            self.rows = rollout.rows_of(*poses.split(self.poses))
        else:
            self.rows = np.stack([self.rows[1], row])
        return not cut

    def hold(self) -> None:
        """A frame leaves that no network made: the movement dies down."""
        self._add(poses.died_down(self.poses))
        self.rows = rollout.rows_of(*poses.split(self.poses))

    def _add(self, pose: FloatArray) -> None:
        self.poses = np.stack([self.poses[1], pose])
        self.frames += 1


def advance(agents: Sequence[Agent], steps: Sequence[int]) -> list[int]:
    """Let ``steps`` frames leave each agent, the arithmetic for all at once; how many were held or cut short."""
    taken = [agent.take(count) for agent, count in zip(agents, steps, strict=True)]
    together = [row for rows in taken for row, _ in rows]
    worlds: list[FloatArray] = []
    if together:
        own = iter(rollout.sound(np.stack(together)))
        worlds = [primitive276.to_world(next(own)[None], frame)[0] for rows in taken for _, frame in rows]
        translation, rotations, joints = primitive276.decode(np.stack(worlds))
        found = zip(worlds, poses.join(rollout.on_the_floor(translation, joints), rotations), strict=True)
    held = []
    for agent, rows, count in zip(agents, taken, steps, strict=True):
        odd = sum(not agent.follow(*next(found)) for _ in rows)
        for _ in range(count - len(rows)):
            agent.hold()
            odd += 1
        held.append(odd)
    return held


def steps_for(sequence: int, fps: float, frames: int) -> tuple[int, float]:
    """For frame ``sequence`` of the client: frames that the model has yet to make after ``frames``, and where between
    its last two the client's lies (1: on the last)."""
    at = sequence * MODEL_FPS / fps
    whole = int(np.ceil(at - 1e-6))
    return whole + 1 - frames, min(1.0, 1.0 - (whole - at))


def _mixed(answers: FloatArray, weights: FloatArray) -> FloatArray:
    """[n,...] answers to n partners -> [...]."""
    mixed: FloatArray = answers[0] if len(answers) == 1 else np.tensordot(weights, answers, 1)
    return mixed


def _observed(
    frame: Frame, seen: Sequence[FloatArray], conditions: Conditions, occupancy: FloatArray, ahead: int = 0
) -> dict[str, Array]:
    """What both graphs are told of others and of the surroundings, a row for each partner. ahead: frames until the one
    that they are told at, in which nobody has been seen yet."""
    nobody = np.zeros((0, NUM_JOINTS, 3), np.float32)
    windows = [rollout.late_window(frame, window, ahead) for window in seen or [nobody]]
    goal = np.zeros(4, np.float32)
    if conditions.goal is not None:
        goal[:3], goal[3] = (conditions.goal - frame.origin) @ frame.axes, 1.0
    count = len(windows)
    return {
        "partner": np.stack([features for features, _ in windows]),
        "partner_mask": np.stack([mask for _, mask in windows]),
        "occupancy": np.repeat(occupancy[None], count, axis=0),
        "goal": np.repeat(goal[None], count, axis=0),
        "alpha": np.repeat(conditions.alpha[None], count, axis=0),
    }

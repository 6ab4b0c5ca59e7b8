"""Rolling out: frames after frames from the reactor's two graphs, of one body or of many side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError
from kinesphere.reaction.features import occupancy_around
from kinesphere.reaction.rollout import (
    LATENT,
    TEXT,
    Floats,
    Graph,
    Surroundings,
    carried,
    emit,
    segment_history,
    sound,
)
from kinesphere.representations import primitive276
from kinesphere.representations.primitive276 import FUTURE, HISTORY, LAYOUT, Frame
from kinesphere.skeleton import FloatArray

Mode = Literal["segment", "refine", "slide"]


@dataclass(frozen=True, eq=False)
class Start:
    """Where a rollout begins. history: world pose rows [T,276] of what has been, T from 2; row i goes with frame i of
    the partner. frames: how many follow. seed: of its noise."""

    history: Floats
    frames: int
    around: Surroundings
    seed: int = 0


@dataclass(frozen=True)
class Rollout:
    """Frames after frames. mode: ``segment`` emits whole segments; ``refine`` corrects each frame before it leaves;
    ``slide`` makes a new segment for every frame and emits its first one. late: frames that a partner's are behind.
    lead: frames before a segment's first one at which it is made, as a service does (its ``lead_frames``): from the
    frames that the running segment foresees, without a partner's newest ``lead`` ones. ``slide`` has no lead.
    """

    segment: Graph
    refine: Graph | None = None
    mode: Mode = "segment"
    late: int = 0
    lead: int = 0

    def run(self, history: Floats, frames: int, around: Surroundings, seed: int = 0) -> FloatArray:
        """World pose rows [T,276] of what has been (T from 2) -> [T+frames,276], the same and what follows.

        The partner's frame i belongs to row i. The same seed gives the same movement. Raises InputError(``history``).
        """
        return self.together([Start(history, frames, around, seed)])[0]

    def together(
        self, starts: Sequence[Start], progress: Callable[[int], None] | None = None
    ) -> list[FloatArray]:
        """What ``run`` makes of each of ``starts``, side by side: the graphs are called for all of them at once.

        progress: called with the count of frames that have been made so far, of all together.
        """
        bodies = [_Body(start) for start in starts]
        self._draft([body for body in bodies if body.wanting])
        while running := [body for body in bodies if body.wanting]:
            for body in running:
                body.turn_over()
            if self.mode == "refine":
                self._refined(running)
            else:
                _leave(running, 0, 1 if self.mode == "slide" else FUTURE)
            unmade = [body for body in running if body.wanting and body.following is None]
            self._draft(unmade, self.lead if self.mode == "segment" else 0)
            if progress is not None:
                progress(sum(min(len(body.rows), body.wanted) - body.known for body in bodies))
        return [body.rows[: body.wanted] for body in bodies]

    def _draft(self, bodies: list[_Body], unseen: int = 0, ahead: int = 0) -> None:
        """The following segment of each body. unseen: newest frames of the partner that are not known yet. ahead:
        frames of the running segment that have not left; it is gone on from as it is foreseen."""
        if not bodies:
            return
        for body in bodies:
            body.draft(ahead > 0)
        inputs = [
            body.inputs(body.following, body.following.start, self.late + unseen, ahead)
            | {
                "text": _text(body.around.text),
                "noise": body.noise.standard_normal((1, LATENT)).astype(np.float32),
            }
            for body in bodies
            if body.following is not None
        ]
        made = self.segment(_batch(inputs))
        for body, latent, future in zip(bodies, made["latent"], made["future"], strict=True):
            assert body.following is not None
            body.following.latent, body.following.future = latent, future

    def _refined(self, bodies: list[_Body]) -> None:
        """The eight frames of the running segments, each corrected before it leaves."""
        if self.refine is None:
            raise InputError("refine", "this mode needs the graph reactor_refine")
        for place in range(FUTURE):
            inputs = []
            for body in bodies:
                running = body.running
                history, _ = segment_history(body.rows, running.frame)
                inputs.append(
                    body.inputs(running, history, self.late)
                    | {"start": running.start, "latent": running.latent, "frame": np.array(place)}
                )
            for body, future in zip(bodies, self.refine(_batch(inputs))["future"], strict=True):
                body.running.future = future
            _leave(bodies, place, 1)
            if self.lead and FUTURE - 1 - place == self.lead:
                wanting = [body for body in bodies if len(body.rows) + self.lead < body.wanted]
                self._draft(wanting, self.lead, self.lead)


@dataclass(eq=False)
class _Segment:
    """Eight frames told in ``frame``. start: the history that they are made from [2,276]; cells: what is around."""

    frame: Frame
    start: FloatArray
    cells: FloatArray
    latent: FloatArray = field(default_factory=lambda: np.zeros((1, LATENT), np.float32))
    future: FloatArray = field(default_factory=lambda: np.zeros((FUTURE, LAYOUT.total), np.float32))


class _Body:
    """One of those that are rolled out together. rows: world pose rows so far; running, following: its segments."""

    running: _Segment

    def __init__(self, start: Start) -> None:
        self.rows: FloatArray = np.array(start.history, dtype=np.float32)
        self.known = len(self.rows)
        self.wanted = self.known + start.frames
        self.around = start.around
        self.noise = np.random.default_rng(start.seed)
        self.following: _Segment | None = None

    @property
    def wanting(self) -> bool:
        return len(self.rows) < self.wanted

    def turn_over(self) -> None:
        assert self.following is not None
        self.running, self.following = self.following, None

    def draft(self, ahead: bool) -> None:
        rows = emit(self.running.future[-HISTORY:], self.running.frame) if ahead else self.rows
        start, frame = segment_history(rows)
        self.following = _Segment(frame, start, occupancy_around(self.around.scene, frame))

    def carried(self, place: int, count: int) -> FloatArray:
        running = self.running
        left = primitive276.to_canonical(self.rows[-1:], running.frame)[0]
        return carried(running.future, running.start, place, count, left)

    def inputs(
        self, segment: _Segment, history: FloatArray, late: int, ahead: int = 0
    ) -> dict[str, NDArray[Any]]:
        seen = self.around.observed(segment.frame, len(self.rows) - 1 + ahead, late)
        return {"history": history, "occupancy": segment.cells, **seen}


def _leave(bodies: list[_Body], place: int, count: int) -> None:
    """Those of the running segments' frames leave; the arithmetic is done for all at once."""
    futures = np.stack([body.carried(place, count) for body in bodies])
    rows = sound(futures.reshape(-1, LAYOUT.total)).reshape(futures.shape)
    for body, made in zip(bodies, rows, strict=True):
        body.rows = np.concatenate([body.rows, primitive276.to_world(made, body.running.frame)])


def _batch(inputs: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    return {name: np.stack([each[name] for each in inputs]) for name in inputs[0]}


def _text(text: Floats | None) -> FloatArray:
    return np.zeros(TEXT, np.float32) if text is None else np.asarray(text, dtype=np.float32)

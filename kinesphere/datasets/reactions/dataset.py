"""The reaction data set as training and evaluation read it, and how it is stored.

A folder holds ``reactions.jsonl`` (one line a reaction), ``bodies.npy`` (float32 rows of 91 numbers: root translation 3,
then 22 local rotations as quaternions wxyz) and ``scenes/NAME.npz``. A mirrored reaction shares the rows and the scene of
the plain one and is turned round when it is read. World: Y up, metres, the floor at y = 0, 20 frames a second.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.scenes import Scene, store
from kinesphere.skeleton import NUM_JOINTS, FloatArray

Origin = Literal["recorded", "composed"]
WIDTH: Final = 3 + 4 * NUM_JOINTS


@dataclass(frozen=True)
class Reaction:
    """One line of ``reactions.jsonl``.

    take: ids of the takes that it was made from, the agent's first, joined by " | ". situation: which rule or recording
    it is of. origin: recorded together, or composed of single-person takes. text: intents of the agent, each alone a
    full one. onset: frame at which the partner's cue begins, if there is one. answer: frame at which the agent's
    reaction begins, if that is known. scene: name of the scene, for movement among things. goal: where in the world
    the agent is to get (x, y, z), metres, if anywhere. rows: first row of the agent in ``bodies.npy``, and of the
    partner (-1 without one).
    """

    id: str
    take: str
    situation: str
    origin: Origin
    split: Split
    mirrored: bool
    frames: int
    text: tuple[str, ...]
    onset: int | None
    scene: str | None
    rows: tuple[int, int]
    answer: int | None = None
    goal: tuple[float, float, float] | None = None

    @property
    def seconds(self) -> float:
        """How long the frames last."""
        return self.frames / FPS

    def to_json(self) -> str:
        """The reaction as a line, without the line's end."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Reaction:
        """The reaction of a line that ``to_json`` made."""
        fields: dict[str, Any] = json.loads(line)
        fields["text"], fields["rows"] = tuple(fields["text"]), tuple(fields["rows"])
        fields["goal"] = tuple(fields["goal"]) if fields["goal"] else None
        return cls(**fields)


class ReactionDataset:
    """A folder made by ``kinesphere data reactions``. Raises InputError(``data``) when it is not one."""

    def __init__(self, path: Path | str = ".data/reactions") -> None:
        self.path = Path(path)
        if not (self.path / "reactions.jsonl").is_file():
            raise InputError("data", f"{self.path} holds no reactions.jsonl: run `kinesphere data reactions`")
        with (self.path / "reactions.jsonl").open(encoding="utf-8") as lines:
            self.items: list[Reaction] = [Reaction.from_json(line) for line in lines]

    @cached_property
    def _rows(self) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = np.load(self.path / "bodies.npy", mmap_mode="r")
        return rows

    def split(self, name: Split) -> list[Reaction]:
        """The reactions of one split, in the order of the file."""
        return [item for item in self.items if item.split == name]

    def agent(self, item: Reaction) -> Motion:
        """The body that reacts: ``item.frames`` frames."""
        return self._motion(item.rows[0], item)

    def partner(self, item: Reaction) -> Motion | None:
        """The body that it reacts to, as many frames; None for movement among things."""
        return None if item.rows[1] < 0 else self._motion(item.rows[1], item)

    def scene(self, item: Reaction) -> Scene | None:
        """The things around the agent; None for two people on an empty floor."""
        if item.scene is None:
            return None
        found = _scene(self.path / "scenes" / f"{item.scene}.npz")
        return found.mirrored() if item.mirrored else found

    def _motion(self, start: int, item: Reaction) -> Motion:
        motion = from_rows(np.array(self._rows[start : start + item.frames]))
        return motion.mirrored() if item.mirrored else motion


@lru_cache(maxsize=64)
def _scene(path: Path) -> Scene:
    return store.load(path)


def to_rows(motion: Motion) -> FloatArray:
    """[T,91] of a motion on the reference body."""
    parts = [motion.translation, motion.rotations.reshape(motion.num_frames, -1)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def from_rows(rows: FloatArray) -> Motion:
    """The motion of ``to_rows``. Raises InputError(``rows``) on another width."""
    if rows.ndim != 2 or rows.shape[1] != WIDTH:
        raise InputError("rows", f"has shape {list(rows.shape)}, expected [T, {WIDTH}]")
    return Motion.from_rotations(rows[:, :3], rows[:, 3:].reshape(len(rows), NUM_JOINTS, 4), FPS)

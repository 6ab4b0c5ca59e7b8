"""Recorded walks put into furnished rooms, so that nothing is touched and the way leads somewhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere import rotations as rot
from kinesphere.body import yaw
from kinesphere.datasets.reactions.bodies import depth_in, surface_places
from kinesphere.datasets.reactions.cast import LEAST, MOST, Cast
from kinesphere.datasets.reactions.composed import Sample, said, seeded
from kinesphere.datasets.reactions.library import Entry
from kinesphere.datasets.reactions.parallel import Progress, in_order
from kinesphere.datasets.reactions.rooms import Room, furnish, mesh_pieces
from kinesphere.datasets.reactions.strips import Refused, carried, finished
from kinesphere.datasets.reactions.travels import walk_and_stop
from kinesphere.datasets.splits import Split
from kinesphere.motion import Motion
from kinesphere.scenes import Box

Place = NDArray[np.float64]
# Rooms of boxes and of meshes, and samples of each kind, for each split. No room is in two splits.
ROOMS: Final[dict[Split, tuple[int, int]]] = {"train": (24, 12), "val": (3, 2), "test": (6, 4)}
COUNTS: Final[dict[Split, int]] = {"train": 200, "val": 12, "test": 40}
_TRIES: Final = 8
_PLACES: Final = 60  # places that are tried for one movement
_CLEAR: Final = 0.04  # metres between body and things
_NEAR: Final = 0.7  # metres: a way that never comes as near as this to anything says nothing about the room
_ARRIVED: Final = (0.30, 0.55)  # metres from the pelvis to what it walked to


@dataclass(frozen=True)
class Task:
    """One sample to be made: its name and the seed decide all of it."""

    kind: str
    split: Split
    number: int
    seed: int

    @property
    def name(self) -> str:
        """What its sample is called."""
        return f"{self.kind}/{self.split}-{self.number:04d}"


def tasks(seed: int, limit: int | None = None) -> list[Task]:
    """Every sample to be made; at most ``limit`` of each kind and split."""
    return [
        Task(kind, split, number, seed)
        for kind in ("walk_to", "cross_room")
        for split, count in COUNTS.items()
        for number in range(count if limit is None else min(count, limit))
    ]


def make_rooms(roots: list[Path], seed: int) -> dict[Split, list[Room]]:
    """The rooms of every split; those of meshes where a root holds TRUMANS furniture (``formats/trumans``)."""
    folder = next(
        (root / "formats" / "trumans" for root in roots if (root / "formats" / "trumans").is_dir()), None
    )
    pieces = mesh_pieces(folder) if folder is not None else []
    rooms: dict[Split, list[Room]] = {}
    for split, (boxed, meshed) in ROOMS.items():
        rooms[split] = [
            furnish(name, seeded(f"{seed} room {name}"), pieces if kind == "meshes" else None)
            for kind, count in (("boxes", boxed), ("meshes", meshed if pieces else 0))
            for name in (f"{kind}-{split}-{number:02d}" for number in range(count))
        ]
    return rooms


def place_all(
    entries: list[Entry],
    rooms: dict[Split, list[Room]],
    work: list[Task],
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[list[Sample], Counter[tuple[str, str]]]:
    """The samples of all tasks, and how often each (kind, reason) was refused on the way."""
    made = in_order(_place, work, jobs, progress, prepare=_prepare, prepared=(entries, rooms))
    refused: Counter[tuple[str, str]] = Counter()
    for task, (_, reasons) in zip(work, made, strict=True):
        refused.update((task.kind, reason) for reason in reasons)
    return [sample for sample, _ in made if sample is not None], refused


_library: list[Entry] = []
_rooms: dict[Split, list[Room]] = {}


def _prepare(entries: list[Entry], rooms: dict[Split, list[Room]]) -> None:
    """Gives this process what its tasks draw from."""
    _library[:] = entries
    _rooms.clear()
    _rooms.update(rooms)


def _place(task: Task) -> tuple[Sample | None, list[str]]:
    reasons: list[str] = []
    for draw in range(_TRIES):
        chance = seeded(f"{task.seed} {task.name} {draw}")
        cast = Cast(_library, task.split, chance)
        rooms = _rooms[task.split]
        try:
            if not rooms:
                raise Refused("there is no room")
            room = rooms[int(chance.integers(len(rooms)))]
            return (_walk_to if task.kind == "walk_to" else _cross)(task, cast, room), reasons
        except Refused as refusal:
            reasons.append(str(refusal))
    return None, reasons


def _walk_to(task: Task, cast: Cast, room: Room) -> Sample:
    """Somebody stands, walks up to a piece of furniture and stops in front of it."""
    own = cast.pick("walk")
    angle = np.radians(cast.between(-60, 60))
    strip = walk_and_stop(cast, own, cast.frames(0.3, 1.0), float(angle), cast.between(1.0, 3.2))
    strip = cast.prolonged(strip, min(MOST, max(LEAST, strip.frames + cast.frames(0.3, 1.0))))
    motion = finished(strip)
    target = room.targets[int(cast.chance.integers(len(room.targets)))]
    for _ in range(_PLACES):
        place, heading = _before(target, cast)
        put = _ending(motion, place, heading)
        if _fits(put, room):
            name = target.label
            words = (
                f"[walk] to the {name}",
                f"[go] up to the {name} and [stop]",
                f"[walk] over to the {name}",
                f"[approach] the {name} without touching it",
                f"[cross] the room to the {name}",
            )
            return _sample(task, put, room, said(words, cast.chance), own)
    raise Refused("no place in the room fits")


def _cross(task: Task, cast: Cast, room: Room) -> Sample:
    """Somebody walks through the room, past the furniture."""
    kind = ("walk", "walk-turn-left", "walk-turn-right")[int(cast.chance.integers(3))]
    own = cast.pick(kind)
    length = min(own.piece.frames, cast.frames(4.0, 6.5))
    if length < LEAST:
        raise Refused("the walk is too short")
    start = int(cast.chance.integers(own.piece.frames - length + 1))
    strip = own.piece.cut(start, start + length)
    motion = finished(strip)
    half = np.array(room.size) / 2 - 0.3
    for _ in range(_PLACES):
        place = np.array([cast.between(-half[0], half[0]), 0.0, cast.between(-half[1], half[1])])
        put = _ending(motion, place, cast.between(-np.pi, np.pi))
        if _fits(put, room):
            words = (
                "[walk] through the room",
                "[cross] the room without touching anything",
                "[walk] between the furniture",
                "[make] <their> way through the room",
                "[walk] past the furniture",
            )
            return _sample(task, put, room, said(words, cast.chance), own)
    raise Refused("no place in the room fits")


def _sample(task: Task, motion: Motion, room: Room, text: tuple[str, ...], own: Entry) -> Sample:
    x, y, z = (float(value) for value in motion.translation[-1])
    return Sample(
        task.name, own.take, task.kind, task.split, motion, None, text, goal=(x, y, z), scene=room.scene
    )


def _before(target: Box, cast: Cast) -> tuple[Place, float]:
    """A place in front of one side of a thing, and the heading there: to the thing, within 20 degrees."""
    side = int(cast.chance.integers(4))
    depth, run = (target.size[2], target.size[0]) if side % 2 == 0 else (target.size[0], target.size[2])
    outward = target.yaw + side * np.pi / 2
    local = np.array([cast.between(-0.35, 0.35) * run, 0.0, depth / 2 + cast.between(*_ARRIVED)])
    place = rot.rotate(rot.about_y(outward), local) + np.array([target.centre[0], 0.0, target.centre[2]])
    return np.asarray(place), float(outward + np.pi + np.radians(cast.between(-20, 20)))


def _ending(motion: Motion, place: Place, heading: float) -> Motion:
    """The movement turned and shifted so that it ends over ``place``, facing ``heading``."""
    turn = heading - float(yaw(motion.positions[-1:])[0])
    root = rot.rotate(rot.about_y(turn), motion.translation[-1].astype(np.float64))
    return carried(motion, turn, (place - root) * np.array([1.0, 0.0, 1.0]))


def _fits(motion: Motion, room: Room) -> bool:
    """Whether the body touches nothing, stays in the room, and comes near to some thing that is no wall."""
    half = np.array(room.size) / 2
    if np.any(np.abs(motion.translation[:, [0, 2]]) > half):
        return False
    # The trunk first: most places fail there already.
    if room.scene.distance(motion.translation[::8]).min() < 0.15:
        return False
    if depth_in(room.scene.distance(surface_places(motion.positions[::2]))).min() < _CLEAR:
        return False
    away = min(float(box.distance(motion.translation).min()) for box in room.targets)
    return away < _NEAR

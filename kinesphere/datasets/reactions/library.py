"""The single-person takes that situations are composed of: on one body, on the floor, with their cue found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.datasets import sources, splits
from kinesphere.datasets.events import find_events
from kinesphere.datasets.kinematics import Span
from kinesphere.datasets.labels import CONTENTS
from kinesphere.datasets.reactions.parallel import Progress, in_order
from kinesphere.datasets.reactions.strips import Strip, moved, strip
from kinesphere.datasets.sources import Take
from kinesphere.datasets.splits import Split
from kinesphere.datasets.windows import FPS
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.representations import hml263
from kinesphere.skeleton import JOINT_INDEX, FloatArray

GESTURES: Final = frozenset(
    {"wave-left-hand", "wave-right-hand", "wave-both-hands", "bye", "byebye", "bow", "guide", "call", "respond",
     "raise-up-left-hand", "raise-up-right-hand", "raise-up-both-hands"}
)  # fmt: skip
TRAVELS: Final = frozenset(
    {"walk", "walk-back", "walk-left", "walk-right", "walk-turn-left", "walk-turn-right", "run"}
)
ATTACKS: Final = ("punch", "kick")
_DEVIATION: Final = 0.15  # metres from the pose at rest: beyond it a gesture is under way
_WRISTS: Final = [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]


@dataclass(frozen=True, eq=False)
class Entry:
    """A take, or the part of one that shows an attack, first facing +Z with the pelvis over the origin.

    content: what it shows ("wave", "raise", "bow", "walk", "punch", "idle"...). side: the hand or foot that does it
    ("left", "right", "both" or ""). cue: frames in which it is done. rests: whether the first and the last pose stand at
    ease, arms down. speed: metres a second over the floor, for travel.
    """

    take: str
    split: Split
    content: str
    side: str
    style: str
    piece: Strip
    cue: Span
    rests: tuple[bool, bool]
    speed: float = 0.0

    def mirrored(self) -> Entry:
        """The same seen in a mirror: the other hand, the other way."""
        swapped = {"left": "right", "right": "left"}
        piece = Strip(self.piece.motion.mirrored(), self.piece.planted[:, ::-1])
        return replace(self, side=swapped.get(self.side, self.side), piece=piece)


def wanted(take: Take) -> bool:
    """Whether situations are composed of this take."""
    if _is_idle(take) or _is_fight(take):
        return True
    return take.source == "bandai-namco" and _content(take) in GESTURES | TRAVELS


def _content(take: Take) -> str:
    """``wave-left-hand`` of a Bandai Namco take."""
    return take.path.stem.split("_")[1]


def _is_idle(take: Take) -> bool:
    return take.source == "reactidle"


def _is_fight(take: Take) -> bool:
    if take.source == "bandai-namco":
        return _content(take) in ATTACKS
    return take.kind in ("cmu [practice] karate", "deepmimic humanoid3d_kic", "deepmimic humanoid3d_pun")


def load_entries(
    roots: list[Path],
    *,
    limit: int | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[list[Entry], list[tuple[str, str]]]:
    """Entries of all takes under ``roots`` that situations use, and (take, reason) of those that cannot be used.

    Splits are those of the single-person data set, so that no part of a test take is ever trained on. Idle takes and
    fights are too few of a kind to be dealt out there, and all of them in its training; here they are dealt out, since
    they serve as what an agent waits in, or as what a partner does, never as the answer that is learnt.
    limit: at most so many takes of one kind.
    """
    takes = sources.enumerate_takes(roots)
    dealt = splits.assign((take.group, take.kind) for take in takes)
    chosen = [take for take in _fewer(takes, limit) if wanted(take)]
    for kind in (_is_idle, _is_fight):
        groups = sorted({take.group for take in chosen if kind(take)}, key=_order)
        held = max(1, round(splits.SHARES["test"] * len(groups))) if len(groups) >= 3 else 0
        for number, group in enumerate(groups):
            dealt[group] = "test" if number < held else "val" if held and number == held else "train"
    work = [(take, dealt[take.group]) for take in chosen]
    loaded = in_order(_load, work, jobs, progress)
    refused = [(take.id, reason) for (take, _), (_, reason) in zip(work, loaded, strict=True) if reason]
    return [entry for entries, _ in loaded for entry in entries], refused


def _fewer(takes: list[Take], limit: int | None) -> list[Take]:
    if limit is None:
        return takes
    kept: dict[str, int] = {}
    result = []
    for take in sorted(takes, key=lambda take: _order(take.id)):
        if kept.get(take.kind, 0) < limit:
            kept[take.kind] = kept.get(take.kind, 0) + 1
            result.append(take)
    return sorted(result, key=lambda take: take.id)


def _order(name: str) -> str:
    return hashlib.sha256(f"kinesphere reactions {name}".encode()).hexdigest()


def _load(job: tuple[Take, Split]) -> tuple[list[Entry], str]:
    take, split = job
    try:
        motion = Motion.from_positions(hml263.uniform_positions(sources.load(take)), FPS)
    except (InputError, ValueError, OSError) as error:
        return [], str(error) or type(error).__name__
    if motion.num_frames < FPS:
        return [], "shorter than 1 s"
    return entries_of(take, split, motion), ""


def entries_of(take: Take, split: Split, motion: Motion) -> list[Entry]:
    """What situations can use of one take: the whole, or for fights one entry for each blow."""
    if _is_idle(take):
        whole = (0, motion.num_frames)
        return [Entry(take.id, split, "idle", "", "normal", grounded(motion), whole, (True, True))]
    if _is_fight(take):
        return _attacks(take, split, motion)
    content = _content(take)
    piece = grounded(motion)
    if content in TRAVELS:
        piece = _straightened(piece, content)
        path = np.linalg.norm(np.diff(piece.motion.translation[:, [0, 2]], axis=0), axis=-1)
        steady = path[8:-8] if len(path) > 24 else path
        speed = float(np.median(steady) * FPS)
        return [
            Entry(
                take.id, split, content, "", take.label.style, piece, (0, piece.frames), (False, False), speed
            )
        ]
    name, side = _gesture(content)
    return [Entry(take.id, split, name, side, take.label.style, piece, cue_of(piece), at_rest(piece))]


def _straightened(piece: Strip, content: str) -> Strip:
    """A walk turned so that it first goes along +Z (backward walks along -Z, the body facing +Z all the same)."""
    root = piece.motion.translation
    along = root[min(24, len(root) - 1)] - root[0]
    if content in ("walk-left", "walk-right") or np.hypot(along[0], along[2]) < 0.1:
        return piece
    angle = float(np.arctan2(along[0], along[2]))
    return moved(piece, -angle + (np.pi if content == "walk-back" else 0.0), np.zeros(3))


def _gesture(content: str) -> tuple[str, str]:
    """("wave", "left") of wave-left-hand."""
    side = CONTENTS[content].side if content in CONTENTS else ""
    if content in ("bye", "byebye"):
        return "wave", side
    if content == "respond":
        return "raise", "left"
    return content.split("-")[0], side


def cue_of(piece: Strip) -> Span:
    """Frames from which, and until which, the body is away from its pose at the start and at the end."""
    relative = piece.motion.positions - piece.motion.positions[:, :1]
    away = np.linalg.norm(relative - relative[0], axis=-1).max(axis=1) > _DEVIATION
    back = np.linalg.norm(relative - relative[-1], axis=-1).max(axis=1) > _DEVIATION
    start = int(np.argmax(away)) if away.any() else 0
    stop = len(back) - int(np.argmax(back[::-1])) if back.any() else piece.frames
    return (start, stop) if start < stop else (0, piece.frames)


def at_rest(piece: Strip) -> tuple[bool, bool]:
    """Whether the body stands at ease at its first and at its last frame: both hands low, both feet down."""
    positions = piece.motion.positions
    low = positions[:, _WRISTS, 1].max(axis=1) < positions[:, 0, 1] + 0.15
    toes = positions[:, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], 1].max(axis=1) < 0.06
    return bool(low[0] and toes[0]), bool(low[-1] and toes[-1])


def _attacks(take: Take, split: Split, motion: Motion) -> list[Entry]:
    """One entry for each punch or kick that follows some calm: it and up to 2 s around it, the blow going to +Z."""
    found = []
    earlier = 0
    for event in find_events(motion.positions, FPS):
        if event.kind not in ATTACKS:
            continue
        begins, ends = round(event.start * FPS), min(round(event.end * FPS), motion.num_frames)
        start = max(0, begins - 40, min(earlier + 3, begins))
        earlier = max(earlier, ends)
        part = motion.slice(start, min(motion.num_frames, ends + 40))
        cue = (begins - start, ends - start)
        if cue[0] < 6:
            continue
        piece = _towards_blow(grounded(part), cue, event.kind, event.side)
        style = take.label.style
        found.append(Entry(take.id, split, event.kind, event.side, style, piece, cue, (False, False)))
    return found


def _towards_blow(piece: Strip, cue: Span, kind: str, side: str) -> Strip:
    """The piece turned so that the blow goes to +Z from the pelvis, which is over the origin when it lands."""
    sides = ("left", "right") if side == "both" or not side else (side,)
    limbs = [JOINT_INDEX[f"{name}_{'wrist' if kind == 'punch' else 'foot'}"] for name in sides]
    reach = (piece.motion.positions[:, limbs] - piece.motion.positions[:, :1])[..., [0, 2]].mean(axis=1)
    at = cue[0] + int(np.argmax(np.linalg.norm(reach[cue[0] : cue[1]], axis=-1)))
    turned = moved(piece, -float(np.arctan2(reach[at, 0], reach[at, 1])), np.zeros(3))
    root = turned.motion.positions[at, 0]
    return moved(turned, 0.0, np.array([-root[0], 0.0, -root[2]]))


def grounded(motion: Motion) -> Strip:
    """A recording on the floor, first facing +Z with the pelvis over the origin."""
    piece = strip(motion)
    turned = moved(piece, -piece.heading(0), np.zeros(3))
    root: FloatArray = turned.motion.positions[0, 0]
    return moved(turned, 0.0, np.array([-root[0], -turned.motion.positions[..., 1].min(), -root[2]]))

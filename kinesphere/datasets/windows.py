"""Cutting a take into clips: whole when it is short enough, else windows whose borders lie between events."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.datasets.events import Event
from kinesphere.datasets.kinematics import Span

FPS: Final = 20.0
LEAST, MOST, LIKED = 40, 200, 120  # frames: 2 s, 10 s, 6 s
# Features come in blocks of this many frames in the networks (0.8 s), so clips are whole blocks.
BLOCK: Final = 16
_SELDOM_ALONE: Final = ("kick", "punch", "jump", "bow")
_AROUND: Final = 0.7  # seconds


def cut(frames: int, events: list[Event], *, more: bool, described: list[Span] | None = None) -> list[Span]:
    """[start, stop) windows of 2 to 10 s over a take of ``frames``; the first ones cover it without overlap.

    described: spans that people wrote sentences about; those of fitting length become windows too. more: add
    overlapping ones (for training): windows half a step off for long takes, and both ends of takes with travel, so that
    walking, then turning are also seen apart.
    """
    if frames <= MOST:
        found = [(0, frames)]
        travels = any(event.kind in ("walk", "run") and event.amount > 2.5 for event in events)
        if more and travels and frames >= 72:
            part = max(round(0.55 * frames), 50)
            found += [(0, part), (frames - part, frames)]
        return found
    found = _chain(0, frames, events)
    for start, stop in described or ():
        stop = min(stop, frames)
        if LEAST <= stop - start <= MOST and all(abs(a - start) + abs(b - stop) > 20 for a, b in found):
            found.append((start, stop))
    if more:
        half = (found[0][1] - found[0][0]) // 2
        found += _chain(half, frames, events) if frames - half >= LEAST else []
    return found


def close_ups(frames: int, events: list[Event], windows: list[Span]) -> list[tuple[Span, Event]]:
    """Short windows around single events of the kinds that otherwise only come amid much else, and what each shows."""
    found: list[tuple[Span, Event]] = []
    for event in events:
        if event.kind not in _SELDOM_ALONE:
            continue
        stop = min(frames, round((event.end + _AROUND) * FPS))
        start = max(0, min(round((event.start - _AROUND) * FPS), stop - LEAST))
        stop = min(frames, max(stop, start + LEAST))
        known = [*windows, *(span for span, _ in found)]
        if stop - start <= 2 * LEAST and all(abs(a - start) + abs(b - stop) > 20 for a, b in known):
            found.append(((start, stop), event))
    return found


def _chain(start: int, frames: int, events: list[Event]) -> list[Span]:
    borders = sorted({round(time * FPS) for event in events for time in (event.start, event.end)})
    found = []
    while frames - start > MOST:
        low, high = start + 64, min(start + 180, frames - LEAST)
        near = [border for border in borders if low <= border <= high]
        stop = min(near, key=lambda border: abs(border - start - LIKED)) if near else min(start + LIKED, high)
        found.append((start, stop))
        start = stop
    if frames - start >= LEAST:
        found.append((start, frames))
    return found


def fit(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """The window [T,22,3] with T - 1 a multiple of 16 frames and at least 2 s: its end is trimmed, or, where the person
    has come to rest, held. Raises ValueError when the window is too short and does not end at rest.
    """
    frames = len(positions)
    surplus = (frames - 1) % BLOCK
    moving = np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean(axis=1) * FPS
    ending = float(moving[-4:].mean()) if len(moving) > 4 else np.inf
    if frames - 1 >= 48 and (
        surplus == 0 or ending > 0.3 or surplus <= 5 or float(moving[-surplus:].max()) < 0.12
    ):
        return positions[: frames - surplus]
    # Short takes may end with a little movement: it is let run out.
    if ending > (0.3 if frames > 2 * BLOCK else 0.9) or frames < FPS:
        if frames - 1 >= 2 * BLOCK:
            return positions[: frames - surplus]
        raise ValueError(f"{frames / FPS:.1f} s long and ends in motion; at least 1.6 s is needed")
    wanted = max(48, -(-(frames - 1) // BLOCK) * BLOCK) + 1
    lead = (wanted - frames) // 3 if float(moving[:4].mean()) < 0.3 else 0
    first = np.repeat(positions[:1], lead, axis=0)
    return np.concatenate([first, positions, _run_out(positions, wanted - frames - lead)])


def _run_out(positions: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """``frames`` more frames in which the movement at the end dies away (in about 0.2 s)."""
    fade = 0.1 * FPS  # frames
    velocity = (positions[-1] - positions[-3]) / 2
    along = fade * (1 - np.exp(-(np.arange(frames) + 1) / fade))
    ending: NDArray[np.float32] = (positions[-1] + along[:, None, None] * velocity).astype(np.float32)
    return ending


def resample(positions: NDArray[np.floating], fps: float) -> NDArray[np.float32]:
    """[T,...] samples at ``fps`` -> the same at 20 fps, linearly."""
    count = int(np.floor((len(positions) - 1) / fps * FPS + 1e-6)) + 1
    at = np.minimum(np.arange(count) / FPS * fps, len(positions) - 1)
    low = np.clip(np.floor(at).astype(int), 0, max(len(positions) - 2, 0))
    weight = (at - low).reshape(-1, *[1] * (positions.ndim - 1))
    high = np.minimum(low + 1, len(positions) - 1)
    blended: NDArray[np.float32] = (positions[low] * (1 - weight) + positions[high] * weight).astype(
        np.float32
    )
    return blended

"""Events in a movement, in order of time, read off its geometry: who walks where, which hand waves, which way one turns.

Thresholds are metres, degrees and m/s of an adult-sized body; those on height are relative to the leg's length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from kinesphere.datasets.kinematics import Kinematics, Span, kinematics, spans

Kind = Literal[
    "walk", "run", "turn", "raise", "wave", "jump", "crouch", "sit", "bow", "kick", "leg", "punch", "lie",
    "inverted", "energetic", "stand",
]  # fmt: skip
# Directions of travel by the angle between facing and moving, degrees, left positive.
_DIRECTIONS: Final = (
    (20, "forward"),
    (45, "diagonal"),
    (125, "sideways"),
    (155, "back-diagonal"),
    (181, "backward"),
)


@dataclass(frozen=True)
class Event:
    """Something that happens between two times.

    start, end: seconds. side: left, right, both or empty. way: direction of travel (forward, backward, sideways,
    diagonal, back-diagonal) or level (chest, shoulder, head, overhead for hands; low, waist, high for kicks; slight,
    deep for bows and crouches). amount: metres for travel and jumps, degrees for turns. count: waves, jumps, punches.
    pace: slow, normal or fast.
    """

    kind: Kind
    start: float
    end: float
    side: str = ""
    way: str = ""
    amount: float = 0.0
    count: int = 0
    pace: str = "normal"


def find_events(positions: NDArray[np.floating], fps: float = 20.0, *, gait: str = "") -> list[Event]:
    """Events of joint positions [T,22,3]; ``gait`` ("walk" or "run") overrides the reading's guess of the two."""
    k = kinematics(positions, fps)
    low = lying(k) + inversions(k)
    floor_frames = _mask(k, low)
    found = list(low)
    travel = locomotion(k, gait)
    jumped = jumps(k)
    found += jumped
    travel = [event for event in travel if not _is_jump(event, jumped)]
    turned = turns(k)
    upright = [event for event in travel + turned if not _covered(event, floor_frames, k)]
    found += upright
    running = _mask(k, [event for event in travel if event.kind == "run"])
    walking = _mask(k, [event for event in travel if event.kind == "walk"])
    hand_events = hands(k, running, walking)
    kicked = kicks(k, running | _mask(k, jumped))
    punched = punches(k, running)
    if punched:
        hand_events = [
            event for event in hand_events if event.kind == "wave" or event.way in ("overhead", "head")
        ]
    others = hand_events + kicked + punched
    around = [replace(event, start=max(0.0, event.start - 0.7), end=event.end + 0.7) for event in jumped]
    others += bends(k, _mask(k, around) | running)
    found += [event for event in others if not _covered(event, floor_frames, k)]
    return sorted(found, key=lambda event: (event.start, event.end))


def locomotion(k: Kinematics, gait: str = "") -> list[Event]:
    """Travel over the floor, one event for each stretch with one direction relative to where the person faces."""
    moving = spans(k.speed > 0.22, close=round(0.5 * k.fps), least=round(0.5 * k.fps))
    events = []
    for start, stop in moving:
        metres = k.path(start, stop)
        net = float(np.linalg.norm(k.positions[stop - 1, 0, [0, 2]] - k.positions[start, 0, [0, 2]]))
        if metres < 0.4 or net < 0.25:
            continue
        events += [_travel(k, a, b, gait) for a, b in _by_direction(k, start, stop)]
    return [event for event in events if event.amount >= 0.3]


def _by_direction(k: Kinematics, start: int, stop: int) -> list[Span]:
    """Cuts a stretch where the direction of travel relative to the body changes for good (over 0.8 s)."""
    wide = 0.35 * k.fps
    forward = gaussian_filter1d(k.forward[start:stop], wide, mode="nearest")
    left = gaussian_filter1d(k.leftward[start:stop], wide, mode="nearest")
    angles = np.degrees(np.arctan2(left, forward))
    # Quarter turns around the body: ahead, left, behind, right.
    sector = (np.floor((angles + 45) / 90).astype(int)) % 4
    cuts, at = [0], 0
    least = round(0.8 * k.fps)
    for frame in range(1, len(sector)):
        same_ahead = np.all(sector[frame : frame + least] == sector[frame])
        if (
            sector[frame] != sector[at]
            and frame + least <= len(sector)
            and same_ahead
            and frame - at >= least
        ):
            cuts.append(frame)
            at = frame
    cuts.append(len(sector))
    return [(start + a, start + b) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]


def _travel(k: Kinematics, start: int, stop: int, gait: str) -> Event:
    forward, left = float(k.forward[start:stop].mean()), float(k.leftward[start:stop].mean())
    angle = float(np.degrees(np.arctan2(left, forward)))
    way = next(name for limit, name in _DIRECTIONS if abs(angle) < limit)
    side = "" if way in ("forward", "backward") else ("left" if angle > 0 else "right")
    metres = k.path(start, stop)
    speed = metres / max((stop - start) / k.fps, 1e-6)
    brisk = float(np.percentile(k.speed[start:stop], 75))
    feet = np.minimum(k.left.foot_height[start:stop], k.right.foot_height[start:stop])
    flying = float(np.mean(feet > 0.07))
    kind: Kind = "run" if brisk > 2.0 or (brisk > 1.35 and flying > 0.12) else "walk"
    if gait in ("walk", "run"):
        kind = "run" if gait == "run" else "walk"
    slow, fast = (1.9, 3.0) if kind == "run" else (0.8, 1.45)
    if way not in ("forward", "diagonal"):
        slow, fast = 0.5, 1.1
    pace = "slow" if speed < slow else "fast" if speed > fast else "normal"
    return Event(kind, start / k.fps, stop / k.fps, side, way, metres, pace=pace)


def turns(k: Kinematics) -> list[Event]:
    """Changes of facing of 35 degrees and more; side is the way turned, amount the degrees."""
    yaw = np.degrees(gaussian_filter1d(k.yaw, 0.3 * k.fps, mode="nearest"))
    rate = np.gradient(yaw) * k.fps
    events = []
    for sign, side in ((1, "left"), (-1, "right")):
        for start, stop in spans(rate * sign > 14, close=round(0.4 * k.fps), least=round(0.2 * k.fps)):
            # The smoothed curve reaches its ends late: measure a little beyond.
            a, b = max(0, start - round(0.2 * k.fps)), min(k.frames - 1, stop + round(0.2 * k.fps))
            degrees = float(np.degrees(k.yaw[b] - k.yaw[a])) * sign
            if degrees >= 35:
                quickness = degrees / ((stop - start) / k.fps)
                pace = "fast" if quickness > 150 else "slow" if quickness < 35 else "normal"
                events.append(Event("turn", start / k.fps, stop / k.fps, side, "", degrees, pace=pace))
    return events


def hands(k: Kinematics, running: NDArray[np.bool_], walking: NDArray[np.bool_]) -> list[Event]:
    """Hands raised to the chest or higher, and waving; both hands together make one event. The swing of the arms
    that goes with running or walking is none."""
    found: dict[str, list[Event]] = {"left": [], "right": []}
    for name in ("left", "right"):
        side = k.side(name)
        level = gaussian_filter1d(side.wrist_level, 0.06 * k.fps, mode="nearest")
        up = (level > -0.2) & ~(running & (level < 0.2)) & ~(walking & (level < 0.08))
        for start, stop in spans(up, close=round(0.35 * k.fps), least=round(0.25 * k.fps)):
            peak = float(level[start:stop].max())
            held = np.flatnonzero(level[start:stop] > peak - 0.14)
            waved = _oscillations(side.wrist[start + held[0] : start + held[-1] + 1], k.fps)
            if peak < -0.1 and waved < 2:
                continue
            way = (
                "overhead"
                if peak > 0.24
                else "head"
                if peak > 0.1
                else "shoulder"
                if peak > -0.1
                else "chest"
            )
            speed = float(np.percentile(side.wrist_speed[start:stop], 90))
            pace = "fast" if speed > 2.4 else "slow" if speed < 0.8 else "normal"
            kind: Kind = "wave" if waved >= 2 else "raise"
            found[name].append(Event(kind, start / k.fps, stop / k.fps, name, way, peak, waved, pace))
    return _pair(found["left"], found["right"])


def _pair(left: list[Event], right: list[Event]) -> list[Event]:
    events, used = [], set()
    for a in left:
        for index, b in enumerate(right):
            shared = min(a.end, b.end) - max(a.start, b.start)
            if index in used or shared < 0.55 * min(a.end - a.start, b.end - b.start) or shared < 0.2:
                continue
            if shared < 0.35 * max(a.end - a.start, b.end - b.start):
                continue
            used.add(index)
            high = a if a.amount < b.amount else b  # the lower of the two names the height of both
            count = min(a.count, b.count)
            if count < 2 <= max(a.count, b.count) and max(a.count, b.count) >= 4:
                events += [a, b]
            else:
                kind: Kind = "wave" if count >= 2 else "raise"
                start, end = min(a.start, b.start), max(a.end, b.end)
                events.append(replace(high, kind=kind, side="both", start=start, end=end, count=count))
            break
        else:
            events.append(a)
    return events + [b for index, b in enumerate(right) if index not in used]


def _oscillations(wrist: NDArray[np.float64], fps: float) -> int:
    """How many times a held-up hand [n,3] goes to and fro (3.5 cm and more, faster than about 0.6 Hz)."""
    from scipy.signal import find_peaks  # here: who only looks captions up need not wait for its import

    if len(wrist) < 0.8 * fps:
        return 0
    swing = wrist - gaussian_filter1d(wrist, 0.45 * fps, axis=0, mode="nearest")
    _, _, axes = np.linalg.svd(swing - swing.mean(axis=0), full_matrices=False)
    along = swing @ axes[0]
    least = max(0.035, 0.35 * float(np.percentile(np.abs(along), 90)))
    tops = len(find_peaks(along, prominence=least)[0])
    bottoms = len(find_peaks(-along, prominence=least)[0])
    return (tops + bottoms + 1) // 2 if tops + bottoms >= 3 else 0


def jumps(k: Kinematics) -> list[Event]:
    """Both feet off the floor with the pelvis rising; amount is metres travelled, count the jumps in a row."""
    feet = np.minimum(k.left.foot_height, k.right.foot_height)
    airborne = []
    for start, stop in spans(feet > 0.09, close=1, least=max(2, round(0.12 * k.fps))):
        if stop - start > 1.0 * k.fps or start == 0 or stop == k.frames:
            continue
        before = k.height[max(0, start - round(0.3 * k.fps)) : start + 1].min()
        rise = float(k.height[start:stop].max() - before)
        apart = float(np.abs(k.left.foot[start:stop, 2] - k.right.foot[start:stop, 2]).max())
        if rise < 0.1 or (k.speed[start:stop].mean() > 1.2 and apart > 0.45):
            continue
        airborne.append((start, stop))
    groups: list[list[Span]] = []
    for span in airborne:
        if groups and span[0] - groups[-1][-1][1] < 0.9 * k.fps:
            groups[-1].append(span)
        else:
            groups.append([span])
    events = []
    for group in groups:
        start, stop = max(0, group[0][0] - 6), min(k.frames, group[-1][1] + 4)
        metres = k.path(start, stop)
        angle = np.degrees(np.arctan2(k.leftward[start:stop].mean(), k.forward[start:stop].mean()))
        way = (
            "place"
            if metres < 0.35
            else "forward"
            if abs(angle) < 50
            else "backward"
            if abs(angle) > 130
            else "sideways"
        )
        side = ("left" if angle > 0 else "right") if way == "sideways" else ""
        rise = float(max(k.height[a:b].max() for a, b in group)) - k.standing
        pace = "fast" if rise > 0.28 else "normal"
        events.append(Event("jump", start / k.fps, stop / k.fps, side, way, metres, len(group), pace))
    return events


def bends(k: Kinematics, busy: NDArray[np.bool_]) -> list[Event]:
    """Bows (trunk forward over straight legs), crouches and seats (pelvis low)."""
    events = []
    rest = float(np.percentile(k.pitch, 15))
    lean = gaussian_filter1d(k.pitch, 0.1 * k.fps, mode="nearest") - rest
    low = k.height < 0.8 * k.standing
    for start, stop in spans((lean > 13) & ~busy, close=round(0.3 * k.fps), least=round(0.3 * k.fps)):
        peak = float(lean[start:stop].max())
        squatting = float(np.mean(low[start:stop]))
        if peak < 18 or squatting > 0.5 or k.speed[start:stop].mean() > 0.35:
            continue
        hand = min(float(k.positions[start:stop, 20:22, 1].min()), 9.0)
        way = "floor" if hand < 0.45 and peak > 40 else "deep" if peak > 42 else "slight" if peak < 26 else ""
        pace = "slow" if (stop - start) / k.fps > 3.5 else "normal"
        events.append(Event("bow", start / k.fps, stop / k.fps, "", way, peak, pace=pace))
    for start, stop in spans(low & ~busy & (k.tilt < 70), close=round(0.3 * k.fps), least=round(0.3 * k.fps)):
        depth = float(k.height[start:stop].min()) / k.standing
        still = float(np.mean(k.speed[start:stop] < 0.2)) > 0.8 and stop - start > 1.2 * k.fps
        knees = k.positions[start:stop, 4:6, 1].mean(axis=1) - k.height[start:stop]
        seated = still and 0.35 < depth < 0.72 and abs(float(np.median(knees))) < 0.18
        seated = seated and float(np.median(k.tilt[start:stop])) < 35
        if seated:
            events.append(Event("sit", start / k.fps, stop / k.fps, "", "", depth))
        else:
            way = "deep" if depth < 0.6 else ""
            events.append(Event("crouch", start / k.fps, stop / k.fps, "", way, depth))
    return events


def kicks(k: Kinematics, busy: NDArray[np.bool_]) -> list[Event]:
    """A leg swung out, nearly straight, to knee height or higher; slow ones are raised legs."""
    events = []
    for name, other in (("left", "right"), ("right", "left")):
        side, support = k.side(name), k.side(other)
        out = (side.foot_height > 0.3) & (side.extension > 0.84) & (support.foot_height < 0.2) & ~busy
        out &= side.foot_height > support.foot_height + 0.25
        for start, stop in spans(out, close=2, least=2):
            peak = float(side.foot_height[start:stop].max()) / k.standing
            speed = float(side.foot_speed[max(0, start - 4) : stop + 2].max())
            if speed < 3.2 and (peak < 0.5 or stop - start < 0.3 * k.fps):
                continue
            way = "high" if peak > 1.0 else "waist" if peak > 0.62 else "low"
            kind: Kind = "kick" if speed >= 3.2 else "leg"
            a, b = max(0, start - round(0.2 * k.fps)), min(k.frames, stop + round(0.2 * k.fps))
            events.append(
                Event(kind, a / k.fps, b / k.fps, name, way, peak, 1, "fast" if speed > 7 else "normal")
            )
    return events


def punches(k: Kinematics, running: NDArray[np.bool_]) -> list[Event]:
    """Quick straightening of an arm forward at chest to head height; consecutive ones are counted together."""
    from scipy.signal import find_peaks

    hits: list[tuple[int, str]] = []
    for name in ("left", "right"):
        side = k.side(name)
        peaks, _ = find_peaks(side.wrist[:, 2], prominence=0.16, distance=max(1, round(0.2 * k.fps)))
        for frame in peaks.tolist():
            near = slice(max(0, frame - round(0.3 * k.fps)), frame + 1)
            opened = float(side.reach[frame] - side.reach[near].min())
            forward = side.wrist[frame, 2]
            level = side.wrist_level[frame]
            fast = float(side.wrist_speed[near].max()) > 3.0
            if fast and opened > 0.22 and forward > 0.3 and -0.3 < level < 0.3 and not running[frame]:
                hits.append((frame, name))
    hits.sort()
    events: list[Event] = []
    for frame, name in hits:
        time = frame / k.fps
        if events and time - events[-1].end < 1.2:
            last = events[-1]
            side_name = last.side if last.side == name else "both"
            events[-1] = replace(last, end=time + 0.2, side=side_name, count=last.count + 1)
        else:
            events.append(Event("punch", max(0.0, time - 0.3), time + 0.2, name, "", 0.0, 1))
    return events


def lying(k: Kinematics) -> list[Event]:
    """On the floor: pelvis low and trunk near horizontal. way says whether the person goes down, gets up or stays."""
    flat = (k.height < 0.45 * k.standing) & (k.tilt > 55)
    events = []
    for start, stop in spans(flat, close=round(0.5 * k.fps), least=round(0.4 * k.fps)):
        before = bool(start > 0 and k.height[:start].max() > 0.75 * k.standing)
        after = bool(stop < k.frames and k.height[stop:].max() > 0.75 * k.standing)
        way = {(False, True): "up", (True, False): "down", (True, True): "through", (False, False): "stay"}[
            before, after
        ]
        moved = k.path(start, stop)
        if way == "stay" and moved > 0.6:
            way = "crawl"
        events.append(Event("lie", start / k.fps, stop / k.fps, "", way, moved))
    return events


def inversions(k: Kinematics) -> list[Event]:
    """Upside down: head below the pelvis and a foot above it (cartwheels, handstands, flips)."""
    feet = np.maximum(k.left.foot_height, k.right.foot_height)
    upside = (k.uprightness < -0.1) & (feet > k.height)
    events = []
    for start, stop in spans(upside, close=round(0.3 * k.fps), least=2):
        hands_low = float(k.positions[start:stop, 20:22, 1].min()) < 0.25
        long = (stop - start) / k.fps > 1.5
        curled = float(k.height[start:stop].mean()) < 0.55 * k.standing
        way = (
            "roll" if curled else "handstand" if long and hands_low else "cartwheel" if hands_low else "flip"
        )
        events.append(Event("inverted", start / k.fps, stop / k.fps, "", way))
    return events


def _is_jump(travel: Event, jumped: list[Event]) -> bool:
    """Whether the way travelled is no more than that of a jump in it."""
    for jump in jumped:
        shared = min(travel.end, jump.end) - max(travel.start, jump.start)
        if shared > 0 and travel.kind == "walk" and travel.amount - jump.amount < 0.7:
            return True
    return False


def _mask(k: Kinematics, events: list[Event]) -> NDArray[np.bool_]:
    mask = np.zeros(k.frames, dtype=np.bool_)
    for event in events:
        mask[round(event.start * k.fps) : round(event.end * k.fps) + 1] = True
    return mask


def _covered(event: Event, mask: NDArray[np.bool_], k: Kinematics) -> bool:
    start, stop = round(event.start * k.fps), max(round(event.start * k.fps) + 1, round(event.end * k.fps))
    return bool(mask[start:stop].mean() > 0.5) if stop > start and start < len(mask) else False

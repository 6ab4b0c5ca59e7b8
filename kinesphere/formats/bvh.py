"""BVH (Biovision hierarchy): a parser for any skeleton.

The format has no standard; this follows what Motion Builder, Blender and the files of the CMU and Bandai Namco
collections agree on: channels are applied in the order listed, angles are degrees, and a position channel replaces
the joint's offset. End sites become joints called ``<parent>_end``.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Final

import numpy as np

from kinesphere.errors import FormatError
from kinesphere.formats import limits
from kinesphere.formats.hierarchy import Float, SourceHierarchy
from kinesphere.motion import MAX_FPS, MIN_FPS

_CHANNELS: Final = {
    f"{axis}{kind}".lower(): f"{axis}{kind}" for axis in "XYZ" for kind in ("position", "rotation")
}
# Longest hierarchy text and header line that are looked at; MAX_JOINTS joints fit several times.
_MAX_HEADER: Final = 4 * 2**20
_MOTION: Final = re.compile(rb"^[ \t]*MOTION[ \t\r]*$", re.MULTILINE)
_FRAMES: Final = re.compile(
    rb"\s*Frames\s*:\s*([0-9]{1,18})\s+Frame\s+Time\s*:\s*([0-9.eE+-]{1,40})[^\S\n]*(?:\n|$)"
)


def read(path: Path) -> SourceHierarchy:
    """Read a BVH file in its own units and axes. Raises FormatError naming what is wrong."""
    return parse(limits.read_bytes(path))


def parse(data: bytes) -> SourceHierarchy:
    """Parse the bytes of a BVH file. Raises FormatError naming what is wrong."""
    head = data[:_MAX_HEADER].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.startswith(b"HIERARCHY"):
        raise FormatError("hierarchy", "a BVH file begins with HIERARCHY")
    match = _MOTION.search(data, 0, _MAX_HEADER)
    if match is None:
        raise FormatError("motion", f"no MOTION section within the first {_MAX_HEADER} bytes")
    try:
        text = data[: match.start()].lstrip(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError:
        text = data[: match.start()].decode("latin-1")
    names, parents, offsets, channels = _Header(text).parse()
    count = sum(len(c) for c in channels)
    if count == 0:
        raise FormatError("hierarchy.channels", "no joint has a channel, so nothing moves")
    frames, fps = _frames(data, match.end(), count)
    return SourceHierarchy(names, parents, offsets, channels, frames, fps)


def _frames(data: bytes, start: int, channels: int) -> tuple[Float, float]:
    match = _FRAMES.match(data, start)
    if match is None:
        raise FormatError("motion.frames", "MOTION is not followed by 'Frames: N' and 'Frame Time: seconds'")
    declared = int(match.group(1))
    # Every number takes at least two bytes, so a declared count that the file cannot hold is refused unread.
    if declared * channels * 2 > len(data) - match.end() + 2:
        raise FormatError("motion.frames", f"{declared} frames are declared, more than the file can hold")
    limits.check_frames(declared, channels, "motion.frames")
    try:
        step = float(match.group(2))
    except ValueError:
        raise FormatError("motion.frame_time", "is not a number") from None
    if not np.isfinite(step) or step <= 0 or not MIN_FPS <= 1 / step <= MAX_FPS * 1.001:
        raise FormatError(
            "motion.frame_time", f"{step} s is outside {MIN_FPS:g} to {MAX_FPS:g} frames a second"
        )
    values = numbers(data[match.end() :], "motion")
    if len(values) != declared * channels:
        raise FormatError(
            "motion",
            f"holds {len(values)} numbers, {declared} frames of {channels} channels need {declared * channels}",
        )
    return values.reshape(declared, channels), rate(step)


def numbers(data: bytes, field: str) -> Float:
    """Whitespace-separated numbers as float64. Raises FormatError if one is malformed, not finite or absurdly large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy warns, and stops, at the first thing that is not a number
            values = np.fromstring(data, dtype=np.float64, sep=" ")
    except (DeprecationWarning, ValueError):
        raise FormatError(field, "holds something that is not a number") from None
    if not np.all(np.isfinite(values)):
        raise FormatError(field, "holds NaN or infinite values")
    if values.size and np.max(np.abs(values)) > limits.MAX_COORDINATE:
        raise FormatError(field, f"holds a value beyond {limits.MAX_COORDINATE:g}")
    return np.asarray(values, dtype=np.float64)


def rate(step: float) -> float:
    """Frames a second from a rounded frame time: 0.00833333 is 120, 0.0333333 is 30, 0.041667 is 24."""
    fps = 1.0 / step
    nearest = round(fps)
    return float(nearest) if abs(fps - nearest) < 2e-4 * fps else fps


class _Header:
    """Recursive structure, parsed with a stack so that depth is bounded by MAX_DEPTH and not by Python's."""

    def __init__(self, text: str) -> None:
        self.tokens = text.split()
        self.at = 0

    def next(self, what: str) -> str:
        if self.at >= len(self.tokens):
            raise FormatError("hierarchy", f"ends where {what} is expected")
        self.at += 1
        return self.tokens[self.at - 1]

    def expect(self, word: str) -> None:
        got = self.next(repr(word))
        if got != word:
            raise FormatError("hierarchy", f"{got[:40]!r} stands where {word!r} is expected")

    def number(self, what: str) -> float:
        word = self.next(what)
        try:
            value = float(word)
        except ValueError:
            raise FormatError(f"hierarchy.{what}", f"{word[:40]!r} is not a number") from None
        if not abs(value) <= limits.MAX_COORDINATE:
            raise FormatError(
                f"hierarchy.{what}", f"{value:g} is not finite or beyond {limits.MAX_COORDINATE:g}"
            )
        return value

    def parse(self) -> tuple[tuple[str, ...], tuple[int, ...], Float, tuple[tuple[str, ...], ...]]:
        names: list[str] = []
        parents: list[int] = []
        offsets: list[list[float]] = []
        channels: list[tuple[str, ...]] = []
        seen: set[str] = set()
        stack: list[int] = []
        self.expect("HIERARCHY")
        while True:
            word = self.next("ROOT, JOINT, End Site or '}'")
            if word == "}":
                stack.pop()
                if not stack:
                    break
                continue
            if word == "End":
                self.expect("Site")
                name = f"{names[stack[-1]]}_end" if stack else ""
                while name in seen:
                    name += "_"
            elif word in ("ROOT", "JOINT"):
                name = self._name(seen)
            else:
                raise FormatError("hierarchy", f"{word[:40]!r} is not ROOT, JOINT, End Site or '}}'")
            if (word == "ROOT") != (not stack):
                raise FormatError("hierarchy", f"{word} stands in the wrong place")
            if len(names) >= limits.MAX_JOINTS:
                raise FormatError("hierarchy", f"more than {limits.MAX_JOINTS} joints")
            if len(stack) >= limits.MAX_DEPTH:
                raise FormatError("hierarchy", f"deeper than {limits.MAX_DEPTH} levels")
            seen.add(name)
            names.append(name)
            parents.append(stack[-1] if stack else -1)
            stack.append(len(names) - 1)
            self.expect("{")
            self.expect("OFFSET")
            offsets.append([self.number("offset") for _ in range(3)])
            channels.append(() if word == "End" else self._channels(name))
        if self.at != len(self.tokens):
            raise FormatError(
                "hierarchy", f"{self.tokens[self.at][:40]!r} follows the end of the only root allowed"
            )
        return tuple(names), tuple(parents), np.asarray(offsets, dtype=np.float64), tuple(channels)

    def _name(self, seen: set[str]) -> str:
        # Names may hold spaces ("Left Hip"); the brace ends them.
        words = [self.next("a joint's name")]
        while self.at < len(self.tokens) and self.tokens[self.at] != "{" and len(words) < 8:
            words.append(self.next("a joint's name"))
        name = " ".join(words)
        if len(name) > 200:
            raise FormatError("hierarchy", "a joint's name is longer than 200 characters")
        if name in seen:
            raise FormatError(
                "hierarchy", f"two joints are called {name!r}, so the tree has a loop or a double"
            )
        return name

    def _channels(self, joint: str) -> tuple[str, ...]:
        self.expect("CHANNELS")
        word = self.next("the number of channels")
        if not word.isascii() or not word.isdigit() or len(word) > 9 or int(word) > limits.MAX_CHANNELS:
            raise FormatError(
                "hierarchy.channels",
                f"joint {joint!r} declares {word[:40]} channels, at most {limits.MAX_CHANNELS}",
            )
        channels = []
        for _ in range(int(word)):
            kind = self.next("a channel")
            if kind.lower() not in _CHANNELS:
                raise FormatError("hierarchy.channels", f"{kind[:40]!r} of joint {joint!r} is not a channel")
            channels.append(_CHANNELS[kind.lower()])
        if len(set(channels)) != len(channels):
            raise FormatError("hierarchy.channels", f"joint {joint!r} names one channel twice")
        return tuple(channels)

"""A 3D viewer as one HTML file: no server, no network, opens from disk in any browser with WebGL 2."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import numpy as np

from kinesphere.body import yaw
from kinesphere.drawing.figure import PALETTES, across, as_list, body_points, capsules
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.skeleton import FloatArray


def write_viewer(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    title: str = "",
    *,
    caption: str = "",
    names: Sequence[str] | None = None,
    paused: bool = False,
) -> Path:
    """Write a self-contained HTML page that plays the motions (people of one scene); returns ``path``.

    Drag orbits, wheel or pinch zooms, right drag moves, space plays, arrows step a frame. Two people or more are first
    seen from the side. Positions are kept to the millimetre. title, caption: text over the picture (any characters;
    never read as HTML). names: one a person.
    Raises InputError when there is nothing to draw or a person moves over more than 65 m.
    """
    people = as_list(motions)
    bodies = [body_points(motion.positions) for motion in people]
    records = []
    for index, (motion, points) in enumerate(zip(people, bodies, strict=True)):
        origin, packed = _packed(points)
        name = names[index] if names and index < len(names) else motion.person_id or f"person {index + 1}"
        records.append(
            {
                "name": name,
                "fps": motion.fps,
                "origin": origin,
                "positions": packed,
                "colours": asdict(PALETTES[index % len(PALETTES)]),
            }
        )
    starts = np.stack([motion.positions[0, 0] for motion in people])
    apart = float(np.linalg.norm(starts - starts.mean(axis=0), axis=1).max())
    data = {
        "title": title or "Motion",
        "caption": caption,
        "points": bodies[0].shape[1],
        "capsules": [[c.a, c.b, c.ra, c.rb, c.side] for c in capsules()],
        "people": records,
        "height": 0.9,
        "distance": 4.2 + 1.6 * apart,
        "azimuth": across(bodies, float(yaw(people[0].positions[:1])[0]) + 0.6),
        "paused": paused,
    }
    # "<" is escaped so that no text can end the script element.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    page = files("kinesphere.drawing").joinpath("viewer.html").read_text(encoding="utf-8")
    before, rest = page.split("__TITLE__", 1)
    between, after = rest.split("__DATA__", 1)
    path = Path(path)
    path.write_text(before + html.escape(title or "Motion") + between + text + after, encoding="utf-8")
    return path


def _packed(points: FloatArray) -> tuple[list[float], str]:
    """The middle of the positions (metres, whole millimetres) and the rest as base64 int16 millimetres."""
    origin = np.round((points.min(axis=(0, 1)) + points.max(axis=(0, 1))) / 2, 3).astype(np.float64)
    millimetres = np.round((points - origin) * 1000)
    if not np.all(np.abs(millimetres) < 32767):
        raise InputError("motions", "a person moves over more than 65 m, or holds values that are not finite")
    return origin.tolist(), base64.b64encode(millimetres.astype("<i2").tobytes()).decode("ascii")

"""Contact sheet: poses along time on the floor, and the root's path from above, in one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from kinesphere.body import facing, yaw
from kinesphere.drawing.camera import Camera
from kinesphere.drawing.figure import PALETTES, Palette, across, as_list, body_points
from kinesphere.drawing.raster import GRID, INK, SCALE, SKY, SOLID, Painter, font, mix
from kinesphere.drawing.surroundings import blocks, footprint
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.scenes import Scene
from kinesphere.skeleton import FloatArray

PANEL: Final = (200, 300)
PANEL_TOGETHER: Final = (340, 300)
MAP: Final = 300
HEADER: Final = 46
_FOV: Final = 0.3


def contact_sheet(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    title: str = "",
    *,
    poses: int = 8,
    labels: Sequence[str] | None = None,
    together: bool = False,
    scene: Scene | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Write a PNG with ``poses`` (2 to 16) poses of each motion, evenly spaced from the first frame to the last.

    The camera looks from the front left of where the person first faces and follows the root; the floor grid (0.5 m)
    and the trail stay in the world. An arrow on the floor shows where the body faces. Left limbs are blue, right ones
    orange. The map at the right is seen from above, first facing up, with the poses' numbers and a scale bar.

    labels: one line of text a motion. together: draw all motions as people of one scene, in one row, seen from the side
    so that those who face each other do not hide each other.
    scene: what stands around them, in the motions' world. names: one a person, told beside the colours of the limbs.
    Returns ``path``. Raises InputError on no motion, on another skeleton, or on a count of poses out of range.
    """
    if not 2 <= poses <= 16:
        raise InputError("poses", f"{poses} is outside 2 to 16")
    listed = as_list(motions)
    rows = [listed] if together else [[motion] for motion in listed]
    width = _panel(rows[0], scene)[0] * poses + MAP
    head = HEADER if title or labels else 0
    row_height = PANEL[1] + 26
    sheet = Image.new("RGB", (width, head + row_height * len(rows)), SKY)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((14, 12), _fitted(title, width - 330, 22), fill=INK, font=font(22))
    if head:
        _legend(draw, width, names)
    for index, row in enumerate(rows):
        top = head + index * row_height
        picture = _row(row, poses, scene)
        sheet.paste(picture, (0, top + 26))
        seconds = max(motion.seconds for motion in row)
        label = labels[index] if labels and index < len(labels) else ""
        about = f"{seconds:.1f} s, {row[0].num_frames} frames at {row[0].fps:g} fps"
        line = f"{label}  ({about})" if label else about
        draw.text((14, top + 4), _fitted(line, width - 20, 16), fill=mix(INK, SKY, 0.25), font=font(16))
    path = Path(path)
    sheet.save(path, format="PNG", optimize=False)
    return path


def _legend(draw: ImageDraw.ImageDraw, width: int, names: Sequence[str]) -> None:
    """At the right end of the header: the colours of left and right, beside each person's name if there are any."""
    if not names:
        entries = [(width - 160, "left", [PALETTES[0].left]), (width - 84, "right", [PALETTES[0].right])]
    else:
        entries, at = [], width - 14
        for index in reversed(range(len(names))):
            palette = PALETTES[index % len(PALETTES)]
            at -= 46 + int(font(17).getlength(names[index]))
            entries.append((at, names[index], [palette.left, palette.right]))
            at -= 14
    for at, name, colours in entries:
        for place, colour in enumerate(colours):
            left = at + 17 * place
            draw.rounded_rectangle((left, 17, left + 14, 31), 4, fill=colour)
        draw.text((at + 17 * len(colours) + 3, 14), name, fill=INK, font=font(17))


def _fitted(text: str, pixels: int, size: int) -> str:
    """``text`` cut with an ellipsis so that it is at most ``pixels`` wide."""
    text = " ".join(text.split())
    if font(size).getlength(text) <= pixels:
        return text
    while text and font(size).getlength(text + "...") > pixels:
        text = text[: int(len(text) * 0.95)] if len(text) > 20 else text[:-1]
    return text + "..."


def _row(people: Sequence[Motion], poses: int, scene: Scene | None = None) -> Image.Image:
    points = [body_points(motion.positions) for motion in people]
    palettes = [PALETTES[index % len(PALETTES)] for index in range(len(people))]
    times = np.linspace(0, max((motion.num_frames - 1) / motion.fps for motion in people), poses)
    frames = [
        np.clip(np.round(times * motion.fps).astype(int), 0, motion.num_frames - 1) for motion in people
    ]
    heading = float(yaw(people[0].positions[:1])[0])
    panel = _panel(people, scene)
    target_height, distance = _fit(points, panel, together=len(people) > 1)
    azimuth = across(points, heading + 0.6)
    picture = Image.new("RGB", (panel[0] * poses + MAP, panel[1]), SKY)
    for number in range(poses):
        now = [body[at[number]] for body, at in zip(points, frames, strict=True)]
        centre = np.mean([pose[0] for pose in now], axis=0)
        target = np.array([centre[0], target_height, centre[2]])
        camera = Camera(target, distance, azimuth, 0.22, panel, _FOV)
        painter = Painter(camera)
        painter.ground(centre, radius=3.0)
        for pose in now:
            painter.shadow(pose)
        for body, at in zip(points, frames, strict=True):
            painter.trail(body[: at[number] + 1, 0])
        if scene is not None:
            painter.solids(scene)
        for pose in now:
            painter.arrow(pose[0], facing(pose[:22]))
        painter.figures(now, palettes)
        painter.text((10, panel[1] - 24), f"{number + 1}", 15)
        painter.text((panel[0] - 10, panel[1] - 24), f"{times[number]:.2f} s", 15, anchor="ra")
        picture.paste(painter.image(), (number * panel[0], 0))
        ImageDraw.Draw(picture).line(
            (number * panel[0], 0, number * panel[0], panel[1]), fill=(255, 255, 255), width=2
        )
    picture.paste(_map(points, frames, palettes, heading, scene), (panel[0] * poses, 0))
    return picture


def _panel(people: Sequence[Motion], scene: Scene | None) -> tuple[int, int]:
    """Pixels of one pose's picture: wider where several people or things share it."""
    return PANEL_TOGETHER if len(people) > 1 or scene is not None else PANEL


def _fit(points: Sequence[FloatArray], panel: tuple[int, int], *, together: bool) -> tuple[float, float]:
    """Height to look at and distance so that every pose fits into a panel."""
    everyone = np.concatenate([body.reshape(-1, 3) for body in points])
    top = max(float(everyone[:, 1].max()) + 0.12, 0.6)
    bottom = min(float(everyone[:, 1].min()), 0.0)
    if together:
        frames = min(len(body) for body in points)
        centre = np.mean([body[:frames, :1] for body in points], axis=0)
        away = np.concatenate([(body[:frames] - centre).reshape(-1, 3) for body in points])
    else:
        away = np.concatenate([(body - body[:, :1]).reshape(-1, 3) for body in points])
    half_width = float(np.quantile(np.hypot(away[:, 0], away[:, 2]), 0.97)) + 0.12
    half_height = (top - bottom) / 2 + 0.16
    aspect = panel[0] / panel[1]
    half = max(half_height, half_width / aspect)
    return (top + bottom) / 2, half / float(np.tan(_FOV / 2)) + half_width * 0.4


def _map(
    points: Sequence[FloatArray],
    frames: Sequence[NDArray[np.int_]],
    palettes: Sequence[Palette],
    heading: float,
    scene: Scene | None = None,
) -> Image.Image:
    """Paths from above: the first facing points up, so the person's left is at the left."""
    size = (MAP * SCALE, PANEL[1] * SCALE)
    image = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(image)
    sin, cos = np.sin(heading), np.cos(heading)

    def from_above(path: NDArray[np.floating]) -> NDArray[np.floating]:
        ahead = path[:, 0] * sin + path[:, 2] * cos
        left = path[:, 0] * cos - path[:, 2] * sin
        return np.stack([-left, -ahead], axis=-1)

    paths = [from_above(body[:, 0]) for body in points]
    everyone = np.concatenate(paths)
    # With things around, what the way leads to is shown too.
    around = 0.9 if scene is not None else 0.0
    low, high = everyone.min(axis=0) - around, everyone.max(axis=0) + around
    room = np.array(size) - 84 * SCALE
    scale = float(np.min(room / np.maximum(high - low, 1.2)))
    offset = np.array(size) / 2 - (low + high) / 2 * scale
    metre = scale
    for tick in range(-200, 201):
        for axis in (0, 1):
            at = offset[axis] + tick * metre * 0.5
            if 0 < at < size[axis]:
                line = (at, 0, at, size[1]) if axis == 0 else (0, at, size[0], at)
                draw.line(line, fill=mix(GRID, (255, 255, 255), 0.6), width=1)
    for box in (*scene.boxes, *blocks(scene)) if scene is not None else ():
        flat = footprint(box)
        outline = from_above(np.stack([flat[:, 0], np.zeros(4), flat[:, 1]], axis=-1)) * scale + offset
        draw.polygon([(float(x), float(y)) for x, y in outline], fill=mix(SOLID, (255, 255, 255), 0.4))
    for body, path, at, palette in zip(points, paths, frames, palettes, strict=True):
        dots = path * scale + offset
        colours = [mix(palette.middle, (255, 255, 255), 0.6), mix(palette.middle, (0, 0, 0), 0.3)]
        for index in range(len(dots) - 1):
            shade = mix(colours[0], colours[1], index / max(len(dots) - 1, 1))
            draw.line((*dots[index], *dots[index + 1]), fill=shade, width=3 * SCALE)
        directions = from_above(facing(body[at, :22]))
        last_label = np.array([-1e9, -1e9])
        for number, (frame, direction) in enumerate(zip(at, directions, strict=True)):
            x, y = dots[frame]
            tip = dots[frame] + direction * 16 * SCALE
            draw.line((x, y, *tip), fill=INK, width=SCALE)
            draw.ellipse(
                (x - 4 * SCALE, y - 4 * SCALE, x + 4 * SCALE, y + 4 * SCALE), fill=palette.middle, outline=INK
            )
            # Numbers of poses that lie close together would cover one another: name the first of them only.
            if np.linalg.norm(dots[frame] - last_label) > 18 * SCALE:
                across = np.array([-direction[1], direction[0]]) * 14 * SCALE
                draw.text(
                    tuple(dots[frame] + across), f"{number + 1}", fill=INK, font=font(13 * SCALE), anchor="mm"
                )
                last_label = dots[frame]
    bar = 1.0 if metre < size[0] * 0.5 else 0.5
    y = size[1] - 18 * SCALE
    draw.line((14 * SCALE, y, 14 * SCALE + bar * metre, y), fill=INK, width=2 * SCALE)
    draw.text(
        (14 * SCALE, y - 4 * SCALE),
        f"{bar:g} m, seen from above",
        fill=INK,
        font=font(13 * SCALE),
        anchor="lb",
    )
    return image.reduce(SCALE)

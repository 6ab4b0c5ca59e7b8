"""Draws floor, shadow and capsule figures with Pillow: painter's order, outline, base and highlight for roundness.

Everything is drawn at twice the size and halved at the end, which smooths the edges. A frame costs a few milliseconds,
where matplotlib's 3D axes take a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kinesphere.drawing.camera import NEAR, Camera
from kinesphere.drawing.figure import Capsule, Colour, Palette, capsules
from kinesphere.drawing.surroundings import solid_panes
from kinesphere.scenes import Scene

SCALE: Final = 2
SKY: Final[Colour] = (247, 249, 252)
FLOOR: Final[Colour] = (226, 231, 238)
GRID: Final[Colour] = (176, 186, 200)
SOLID: Final[Colour] = (196, 178, 152)
SHADOW: Final[Colour] = (186, 194, 206)
INK: Final[Colour] = (40, 46, 58)
# Horizontal drift of a shadow for each metre of height (light from above, slightly to the side).
_LIGHT: Final = np.array([-0.25, 0.0, -0.15])


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own scalable font, so that no system font is needed."""
    return ImageFont.load_default(size)


def mix(a: Colour, b: Colour, weight: float) -> Colour:
    """``a`` with ``weight`` (0..1) of ``b``."""
    red, green, blue = (round(x + (y - x) * weight) for x, y in zip(a, b, strict=True))
    return red, green, blue


@lru_cache(maxsize=4)
def _background(size: tuple[int, int]) -> Image.Image:
    width, height = size
    ramp = np.linspace(0, 1, height)[:, None] ** 0.8
    rows = np.asarray(SKY) * (1 - ramp) + np.asarray(FLOOR) * ramp
    return Image.fromarray(np.repeat(rows[:, None, :], width, axis=1).astype(np.uint8), "RGB")


class Painter:
    """One picture of ``camera.size`` pixels being painted. Call in order: ground, shadows, trail, solids, figures,
    image."""

    def __init__(self, camera: Camera) -> None:
        width, height = camera.size
        self.camera = Camera(
            camera.target,
            camera.distance,
            camera.azimuth,
            camera.elevation,
            (width * SCALE, height * SCALE),
            camera.fov,
        )
        self._image = _background(self.camera.size).copy()
        self._draw = ImageDraw.Draw(self._image)

    def ground(self, centre: NDArray[np.floating], radius: float = 4.0, step: float = 0.5) -> None:
        """Grid lines every ``step`` metres on y = 0 around ``centre``, fading out towards ``radius``."""
        cx, cz = np.round(np.asarray(centre)[[0, 2]] / step) * step
        ticks = np.arange(-radius, radius + step / 2, step)
        u, v = (axis.ravel() for axis in np.meshgrid(ticks, ticks[:-1], indexing="ij"))
        zero = np.zeros_like(u)
        along_z = np.stack([np.stack([u, zero, v], -1), np.stack([u, zero, v + step], -1)], axis=1)
        lines = np.concatenate([along_z, along_z[..., [2, 1, 0]]]) + np.array([cx, 0.0, cz])
        middle = lines.mean(axis=1) - np.array([centre[0], 0.0, centre[2]])
        fade = np.linalg.norm(middle, axis=-1) / radius
        xy, depth = self.camera.project(lines)
        whole = np.isclose(
            np.mod(np.where(np.arange(len(lines)) < len(u), lines[:, 0, 0], lines[:, 0, 2]), 1.0), 0
        )
        width, height = self.camera.size
        seen = (
            (fade < 1)
            & (depth.min(axis=1) > NEAR * 4)
            & (xy.max(axis=1) > 0).all(axis=-1)
            & (xy.min(axis=1) < (width, height)).all(axis=-1)
        )
        shades = [mix(GRID, FLOOR, value) for value in np.linspace(0, 1, 16)]
        for index in np.flatnonzero(seen):
            (x0, y0), (x1, y1) = xy[index]
            shade = shades[int(fade[index] * 15.99)]
            self._draw.line((x0, y0, x1, y1), fill=shade, width=SCALE * (2 if whole[index] else 1))

    def shadow(self, points: NDArray[np.floating]) -> None:
        """The figure's shadow on y = 0; points [26,3]."""
        flat = points + points[:, 1:2] * _LIGHT
        flat[:, 1] = 0.0
        xy, depth = self.camera.project(flat)
        for capsule in capsules():
            self._tube(xy, depth, capsule, SHADOW, 0.8)

    def trail(self, path: NDArray[np.floating], colour: Colour = (120, 130, 148)) -> None:
        """A line [N,3] drawn on the floor (its height is ignored)."""
        flat = np.array(path, dtype=np.float64)
        flat[:, 1] = 0.0
        xy, depth = self.camera.project(flat)
        shown = [(float(x), float(y)) for (x, y), d in zip(xy, depth, strict=True) if d > NEAR * 4]
        if len(shown) > 1:
            self._draw.line(shown, fill=colour, width=2 * SCALE, joint="curve")

    def arrow(
        self, origin: NDArray[np.floating], direction: NDArray[np.floating], colour: Colour = INK
    ) -> None:
        """An arrow on the floor from under ``origin``, 0.25 to 0.6 m along ``direction`` (unit)."""
        base = np.array([origin[0], 0.0, origin[2]])
        side = np.array([direction[2], 0.0, -direction[0]])
        half = [(0.25, 0.022), (0.46, 0.022), (0.46, 0.07), (0.62, 0.0)]
        outline = half + [(ahead, -across) for ahead, across in reversed(half[:-1])]
        shape = np.array([base + ahead * np.asarray(direction) + across * side for ahead, across in outline])
        xy, depth = self.camera.project(shape)
        if depth.min() > NEAR * 4:
            self._draw.polygon([(float(x), float(y)) for x, y in xy], fill=colour)

    def solids(self, scene: Scene) -> None:
        """The things of a scene, drawn before the figures. What is nearer than the camera's target, and would hide the
        figures, is left open: its outline alone is drawn."""
        jobs: list[tuple[float, NDArray[np.float64], Colour]] = []
        for corners, shade in solid_panes(scene):
            xy, depth = self.camera.project(corners)
            if depth.min() > NEAR * 4:
                jobs.append((float(depth.mean()), xy, mix(SOLID, SKY, shade)))
        for depth_of, xy, colour in sorted(jobs, key=lambda job: -job[0]):
            outline = [(float(x), float(y)) for x, y in xy]
            line = mix(colour, INK, 0.25)
            if depth_of > self.camera.distance:
                self._draw.polygon(outline, fill=colour, outline=line)
            else:
                self._draw.line([*outline, outline[0]], fill=mix(colour, SKY, 0.4), width=1)

    def figures(self, people: Sequence[NDArray[np.floating]], palettes: Sequence[Palette]) -> None:
        """People as capsules, each [26,3], all sorted together by depth so that they hide one another rightly."""
        jobs = []
        for points, palette in zip(people, palettes, strict=True):
            xy, depth = self.camera.project(points)
            jobs += [
                (float(depth[c.a] + depth[c.b]) / 2, xy, depth, c, palette.of(c.side)) for c in capsules()
            ]
        for _, xy, depth, capsule, colour in sorted(jobs, key=lambda job: -job[0]):
            self._tube(xy, depth, capsule, mix(colour, (0, 0, 0), 0.45), 1.0, grow=1.4 * SCALE)
            self._tube(xy, depth, capsule, colour, 1.0)
            self._tube(xy, depth, capsule, mix(colour, (255, 255, 255), 0.35), 0.42, shift=-0.35)

    def text(
        self, at: tuple[float, float], text: str, size: int, colour: Colour = INK, anchor: str = "la"
    ) -> None:
        """Text at pixel ``at`` of the final picture; ``anchor`` as in Pillow."""
        self._draw.text(
            (at[0] * SCALE, at[1] * SCALE), text, fill=colour, font=font(size * SCALE), anchor=anchor
        )

    def image(self) -> Image.Image:
        """The finished picture, RGB."""
        return self._image.reduce(SCALE)

    def _tube(
        self,
        xy: NDArray[np.float64],
        depth: NDArray[np.float64],
        capsule: Capsule,
        colour: Colour,
        thickness: float,
        *,
        grow: float = 0.0,
        shift: float = 0.0,
    ) -> None:
        da, db = depth[capsule.a], depth[capsule.b]
        if min(da, db) < NEAR * 4:
            return
        focal = self.camera.focal
        wa, wb = capsule.ra * focal / da, capsule.rb * focal / db
        # The highlight sits up and to the left on each end, where the light comes from.
        ax, ay = xy[capsule.a] + shift * wa
        bx, by = xy[capsule.b] + shift * wb
        ra, rb = wa * thickness + grow, wb * thickness + grow
        dx, dy = bx - ax, by - ay
        length = float(np.hypot(dx, dy))
        if length > 1e-3:
            nx, ny = -dy / length, dx / length
            self._draw.polygon(
                [
                    (ax + nx * ra, ay + ny * ra),
                    (bx + nx * rb, by + ny * rb),
                    (bx - nx * rb, by - ny * rb),
                    (ax - nx * ra, ay - ny * ra),
                ],
                fill=colour,
            )
        self._draw.ellipse((ax - ra, ay - ra, ax + ra, ay + ra), fill=colour)
        self._draw.ellipse((bx - rb, by - rb, bx + rb, by + rb), fill=colour)

"""MP4 (H.264, plays in any browser) and GIF of people moving on a grid floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from kinesphere.body import yaw
from kinesphere.drawing.camera import Camera
from kinesphere.drawing.figure import PALETTES, across, aligned, as_list
from kinesphere.drawing.raster import INK, SKY, Painter, font, mix
from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.skeleton import FloatArray

_FOV: Final = 0.5
MAX_SECONDS: Final = 600.0
# A GIF counts in hundredths of a second: 20 frames a second is exact, 30 is not.
_GIF_FPS: Final = 20.0


def write_video(
    motions: Motion | Sequence[Motion],
    path: str | Path,
    title: str = "",
    *,
    size: tuple[int, int] = (640, 480),
    fps: float | None = None,
    names: Sequence[str] = (),
) -> Path:
    """Write ``.mp4`` or ``.gif``, chosen by the suffix; several motions are people of one scene.

    The camera looks from the front left of where the first person starts, and at two or more from the side; it stays
    still when the whole movement fits and otherwise follows the people's smoothed middle. size: pixels, even numbers,
    64 to 2048. fps: frames a second of the file (default 30 for MP4, 20 for GIF), positions being interpolated
    smoothly. names: one a person, written in the colour of the left limbs. Returns ``path``.
    Raises InputError on another suffix, a size or length out of range, or nothing to draw.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".mp4", ".gif"):
        raise InputError("path", f"ends in '{path.suffix}', expected .mp4 or .gif")
    if any(side % 2 or not 64 <= side <= 2048 for side in size):
        raise InputError("size", f"{size[0]}x{size[1]} is not made of even numbers from 64 to 2048")
    people = as_list(motions)
    if max(motion.seconds for motion in people) > MAX_SECONDS:
        raise InputError("motions", f"longer than {MAX_SECONDS:g} s cannot be written as a video")
    rate = fps if fps is not None else (_GIF_FPS if suffix == ".gif" else 30.0)
    if not 1 <= rate <= 120:
        raise InputError("fps", f"{rate:g} is outside 1 to 120")
    frames = _frames(people, rate, size, title, names)
    if suffix == ".gif":
        _write_gif(frames, path, rate)
    else:
        _write_mp4(frames, path, rate, size)
    return path


def _frames(
    people: Sequence[Motion], fps: float, size: tuple[int, int], title: str, names: Sequence[str]
) -> Iterator[Image.Image]:
    points = aligned(people, fps)
    palettes = [PALETTES[index % len(PALETTES)] for index in range(len(people))]
    targets, distance = _camera_path(points, fps, size)
    azimuth = across(points, float(yaw(people[0].positions[:1])[0]) + 0.6)
    total = len(points[0])
    for frame in range(total):
        painter = Painter(Camera(targets[frame], distance, azimuth, 0.3, size, _FOV))
        painter.ground(targets[frame], radius=max(4.0, distance * 0.8), step=0.5 if distance < 9 else 1.0)
        now = [body[frame] for body in points]
        for pose in now:
            painter.shadow(pose)
        for body in points:
            painter.trail(body[: frame + 1 : 2, 0])
        painter.figures(now, palettes)
        if title:
            painter.text((14, 12), _line(title, size[0]), 17)
        left = 14.0
        for name, palette in zip(names, palettes, strict=False):
            painter.text((left, size[1] - 24), name, 14, palette.left)
            left += font(14).getlength(name) + 14
        painter.text(
            (size[0] - 12, size[1] - 24), f"{frame / fps:.1f} s", 14, mix(INK, SKY, 0.3), anchor="ra"
        )
        yield painter.image()


def _line(title: str, width: int) -> str:
    title = " ".join(title.split())
    room = max(10, int(width / 9))
    return title if len(title) <= room else title[: room - 3] + "..."


def _camera_path(
    points: Sequence[FloatArray], fps: float, size: tuple[int, int]
) -> tuple[NDArray[np.float64], float]:
    """Where to look at each frame [T,3], and from how far."""
    roots = np.stack([body[:, 0] for body in points], axis=1).astype(np.float64)
    everyone = np.concatenate(points, axis=1)
    low, high = everyone.min(axis=(0, 1)), everyone.max(axis=(0, 1))
    height = float(max(high[1], 1.2) + min(low[1], 0.0)) / 2
    spread = float(np.hypot(high[0] - low[0], high[2] - low[2])) / 2
    if spread <= 2.2:
        middle = (low + high) / 2
        centre = np.broadcast_to(middle, roots[:, 0].shape).copy()
        radius = spread
    else:
        centre = gaussian_filter1d(roots.mean(axis=1), sigma=0.6 * fps, axis=0, mode="nearest")
        away = everyone - centre[:, None]
        radius = float(np.quantile(np.hypot(away[..., 0], away[..., 2]).max(axis=1), 0.98))
    centre[:, 1] = height
    half = max(float(high[1] - min(low[1], 0)) / 2 + 0.25, (radius + 0.15) * size[1] / size[0])
    return centre, half / float(np.tan(_FOV / 2)) + radius * 0.5


def _write_mp4(frames: Iterator[Image.Image], path: Path, fps: float, size: tuple[int, int]) -> None:
    import imageio_ffmpeg

    writer = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=fps,
        codec="libx264",
        macro_block_size=2,
        quality=None,
        output_params=["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart", "-threads", "2"],
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()


def _write_gif(frames: Iterator[Image.Image], path: Path, fps: float) -> None:
    """One palette for all frames, taken from the first: the colours of a scene do not change."""
    first = next(frames)
    palette = first.quantize(colors=128, method=Image.Quantize.MEDIANCUT)

    def reduced() -> Iterator[Image.Image]:
        for frame in frames:
            yield frame.quantize(palette=palette, dither=Image.Dither.NONE)

    palette.save(
        path, save_all=True, append_images=reduced(), duration=round(1000 / fps), loop=0, optimize=False
    )

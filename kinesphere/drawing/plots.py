"""Curves of a motion over time: heights, speeds and when each foot is on the ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinesphere.body import yaw
from kinesphere.drawing.figure import PALETTES, as_list
from kinesphere.metrics.physics import ground_contacts
from kinesphere.motion import Motion
from kinesphere.skeleton import JOINT_INDEX


def plot_motion(motion: Motion, path: str | Path, title: str = "") -> Path:
    """Write a PNG with four panels on one time axis; returns ``path``.

    Heights of head, root, wrists (m); horizontal speed of the root and of each wrist against the root (m/s); heading
    (degrees, growing to the person's left); height of each foot with bars where it is in contact with the ground.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    as_list(motion)
    positions, fps = motion.positions, motion.fps
    seconds = np.arange(motion.num_frames) / fps
    sides = {"left": _hex(PALETTES[0].left), "right": _hex(PALETTES[0].right)}
    grey = _hex(PALETTES[0].middle)
    figure = Figure(figsize=(10, 8.5), layout="constrained")
    FigureCanvasAgg(figure)
    height, speed, heading, feet = figure.subplots(4, 1, sharex=True, height_ratios=(3, 3, 2, 2))
    if title:
        figure.suptitle(title)

    def at(name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return positions[:, JOINT_INDEX[name]]

    height.plot(seconds, at("head")[:, 1], color="#222222", label="head")
    height.plot(seconds, at("pelvis")[:, 1], color=grey, label="root", linewidth=2)
    root = at("pelvis")
    if motion.num_frames > 1:
        root_velocity = np.gradient(root, axis=0) * fps
        speed.plot(
            seconds, np.linalg.norm(root_velocity[:, [0, 2]], axis=1), color=grey, label="root", linewidth=2
        )
    for side, colour in sides.items():
        wrist, foot = at(f"{side}_wrist"), at(f"{side}_foot")
        height.plot(seconds, wrist[:, 1], color=colour, label=f"{side} wrist")
        if motion.num_frames > 1:
            relative = np.gradient(wrist - root, axis=0) * fps
            speed.plot(
                seconds, np.linalg.norm(relative, axis=1), color=colour, label=f"{side} wrist", linewidth=1
            )
        feet.plot(seconds, foot[:, 1], color=colour, label=f"{side} foot")
    if motion.num_frames > 1:
        contacts = ground_contacts(positions, fps)
        for row, (side, colour) in enumerate(sides.items()):
            low = -0.04 - 0.045 * row
            feet.fill_between(
                seconds,
                low,
                low + 0.03,
                where=contacts[:, row],
                color=colour,
                step="mid",
                label=f"{side} contact",
            )
    heading.plot(seconds, np.degrees(yaw(positions)), color="#222222")
    for axes, name in (
        (height, "height, m"),
        (speed, "speed, m/s"),
        (heading, "heading, degrees"),
        (feet, "feet, m"),
    ):
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    heading.axhline(0, color="#bbbbbb", linewidth=0.8)
    feet.set_xlabel("time, s")
    path = Path(path)
    figure.savefig(path, dpi=110, format="png")
    return path


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)

"""``kinesphere convert IN OUT``."""

from __future__ import annotations

from pathlib import Path

import click

from kinesphere.cli import artifacts
from kinesphere.cli.output import emit, human_size, json_option, progress


@click.command(short_help="Convert a motion file to another format.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--fps", type=float, help="Resample to this rate (1 to 480); kept when left out.")
@click.option(
    "--uniform", is_flag=True, help="Put the movement on HumanML3D's body; else limb lengths are kept."
)
@click.option(
    "--body",
    type=click.Path(path_type=Path),
    help="A SMPL-X, SMPL-H or SMPL model file (.npz) that you have: its mesh goes into the .glb.",
)
@json_option
def convert(
    source: Path, target: Path, fps: float | None, uniform: bool, body: Path | None, as_json: bool
) -> None:
    """Convert the motion file IN to OUT. The suffixes say the formats.

    Reads .bvh of any rig, .glb, .amc (with the .asf beside it), .npz (AMASS, SMPL-X), .npy (HumanML3D), .csv, and
    DeepMimic's .txt. Writes .bvh, .glb, .npz, .npy (joints; 263-d features where the name ends in 263), .csv, and
    pictures: .png (contact sheet), .mp4, .gif, .html (viewer).
    """
    artifacts.check_suffix(target, "out")
    with progress(f"Reading {source.name}", None, as_json=as_json):
        motion = artifacts.load(source, "in", uniform=uniform)
        if fps is not None:
            motion = motion.resampled(fps)
    with progress(f"Writing {target.name}", None, as_json=as_json):
        artifacts.write(motion, target, source.stem, body)
    size = target.stat().st_size
    emit(
        {
            "in": source, "out": target, "frames": motion.num_frames, "fps": motion.fps,
            "seconds": round(motion.seconds, 3), "joints": motion.skeleton.num_joints, "bytes": size,
        },
        [f"{target}  {motion.num_frames} frames at {motion.fps:g} fps, {human_size(size)}"],
        as_json=as_json,
    )  # fmt: skip

"""``kinesphere train STAGE``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import click

from kinesphere.cli.output import json_option

STAGES = ("evaluator", "tokenizer", "vae", "decoder", "sft", "prior_vae", "prior", "hhi", "hsi", "fwsr")


@click.command(short_help="Train one stage from a recipe.")
@click.argument("stage", type=click.Choice(STAGES))
@click.option(
    "--recipe",
    default="small",
    show_default=True,
    help="A .yaml file, or the name of one that ships: tiny, small, base.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Built data set [the recipe's].")
@click.option(
    "--models", type=click.Path(path_type=Path), help="Model repository to build on and export into [models]."
)
@click.option("--steps", type=click.IntRange(1), help="Stop after so many more updates; a later run goes on.")
@click.option("--threads", type=click.IntRange(1), help="Threads of torch.")
@click.option("--no-export", is_flag=True, help="Train only.")
@click.option("--export-only", is_flag=True, help="Export the last checkpoint, train nothing.")
@json_option
def train(
    stage: str, recipe: str, data: Path | None, models: Path | None, steps: int | None, threads: int | None,
    no_export: bool, export_only: bool, as_json: bool,
) -> int:  # fmt: skip
    """Train STAGE from a recipe, with checkpoints that resume, and export into models/. Needs the train extra."""
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    # The domain library never imports a service: the trainer is another program.
    command = [sys.executable, "-m", "services.trainer", stage, "--recipe", recipe]
    for name, value in (("data", data), ("models", models), ("steps", steps), ("threads", threads)):
        if value is not None:
            command += [f"--{name}", str(value)]
    for name, wanted in (("no-export", no_export), ("export-only", export_only), ("json", as_json)):
        if wanted:
            command.append(f"--{name}")
    return subprocess.run(command, check=False).returncode

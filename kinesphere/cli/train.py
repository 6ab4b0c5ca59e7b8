"""``kinesphere train STAGE``."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import click

STAGES = ("evaluator", "tokenizer", "vae", "decoder", "sft")


@click.command(
    short_help="Train one stage from a recipe.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.argument("stage", type=click.Choice(STAGES))
@click.option(
    "--recipe",
    default="small",
    show_default=True,
    help="A .yaml file, or the name of one that ships: tiny, small, base.",
)
@click.pass_context
def train(ctx: click.Context, stage: str, recipe: str) -> int:
    """Train STAGE from a recipe, with checkpoints that resume, and export into models/.

    Further options go to the trainer; `python -m services.trainer --help` lists them. Needs the train extra.
    """
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    # The domain library never imports a service: the trainer is another program.
    command = [sys.executable, "-m", "services.trainer", stage, "--recipe", recipe, *ctx.args]
    return subprocess.run(command, check=False).returncode

"""``kinesphere train STAGE``: run a recipe, resume it, export it."""

from __future__ import annotations

from pathlib import Path

import torch

from services.trainer.loop import Trainer
from services.trainer.recipes import Recipe
from services.trainer.stages import make_stage
from services.trainer.trained import RUNS


def train(
    recipe: Recipe,
    *,
    export: bool = True,
    steps: int | None = None,
    threads: int | None = None,
    export_only: bool = False,
) -> dict[str, float]:
    """Train ``recipe`` (at most ``steps`` more updates), then export into its model repository.

    A run that was stopped goes on from its last checkpoint under ``runs/NAME``. Returns the figures of the last
    evaluation.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    trainer = Trainer(make_stage(recipe), RUNS / recipe.name)
    metrics = trainer.evaluate() if export_only else trainer.run(stop_after=steps)
    if export:
        trainer.export(Path(recipe.models))
    return metrics

"""Recipes: what a training run is, as a small YAML file, checked when it is loaded.

A recipe names its stage, its data, the network's sizes, the optimiser, the budget and the seed; nothing else decides
what a run does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kinesphere.errors import InputError

RECIPES = Path(__file__).parent / "recipes"
Stage = Literal["evaluator", "tokenizer", "vae", "decoder", "sft", "prior_vae", "prior", "hhi", "hsi", "fwsr"]


class Optimizer(BaseModel):
    """AdamW with linear warm-up and cosine decay to a tenth."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lr: float = Field(2e-4, gt=0, le=1)
    weight_decay: float = Field(0.01, ge=0, le=1)
    warmup: int = Field(100, ge=0)
    clip: float = Field(1.0, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)


class Budget(BaseModel):
    """How long to train: ``steps`` updates of ``batch`` clips each; evaluated and saved every ``every`` steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(gt=0, le=10_000_000)
    batch: int = Field(gt=0, le=4096)
    every: int = Field(500, gt=0)


class Recipe(BaseModel):
    """One training run. ``network`` holds the stage's own sizes; the stage checks its names.

    models: the model repository that the run exports into, and takes the frozen networks from that it builds on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage
    preset: Literal["tiny", "small", "base"]
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    data: str = ".data/kinesphere"
    models: str = "models"
    seed: int = Field(0, ge=0)
    device: Literal["cpu", "cuda", "auto"] = "auto"
    ema: float = Field(0.999, ge=0, lt=1)
    optimizer: Optimizer = Optimizer()
    budget: Budget
    network: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)


def load_recipe(path: str | Path) -> Recipe:
    """Read and check a recipe. ``path`` is a file, or ``STAGE/PRESET`` for one that ships.

    Raises InputError naming the offending field (``recipe.budget.steps``).
    """
    file = Path(path)
    if not file.exists():
        file = RECIPES / f"{path}.yaml"
    if not file.exists():
        shipped = sorted(str(p.relative_to(RECIPES).with_suffix("")) for p in RECIPES.rglob("*.yaml"))
        raise InputError(
            "recipe", f"no file {path} and no shipped recipe of that name; shipped: {', '.join(shipped)}"
        )
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise InputError("recipe", f"{file} is not YAML: {error}") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"recipe.{where}", first["msg"]) from error


def check_options(recipe: Recipe, given: dict[str, Any], known: set[str], where: str) -> None:
    """Raise InputError for a key of ``network`` or ``options`` that the stage does not have."""
    for key in given:
        if key not in known:
            raise InputError(
                f"recipe.{where}.{key}", f"{recipe.stage} knows only: {', '.join(sorted(known))}"
            )

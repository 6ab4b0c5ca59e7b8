"""Networks of finished stages, for the stages that build on them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from kinesphere.errors import InputError
from services.trainer.networks.tokenizer import MotionTokenizer, TokenizerConfig
from services.trainer.networks.vae import MotionVAE, VAEConfig
from services.trainer.recipes import load_recipe

RUNS = Path("runs")


def _load(network: nn.Module, name: str, runs: Path) -> None:
    file = runs / name / "checkpoint.pt"
    if not file.exists():
        raise InputError("recipe.options", f"{file} does not exist: train {name} first")
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["ema"])
    network.eval().requires_grad_(False)


def trained_tokenizer(recipe: str, runs: Path = RUNS) -> MotionTokenizer:
    """The averaged weights of a tokenizer recipe's run."""
    loaded = load_recipe(recipe)
    network = MotionTokenizer(TokenizerConfig(**loaded.network))
    _load(network, loaded.name, runs)
    return network


def trained_vae(recipe: str, runs: Path = RUNS) -> MotionVAE:
    """The averaged weights of a VAE recipe's run."""
    loaded = load_recipe(recipe)
    network = MotionVAE(VAEConfig(**loaded.network))
    _load(network, loaded.name, runs)
    return network

"""Networks of finished stages, for the stages that build on them: torch's from a run, or frozen ones as exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import nn

from kinesphere.errors import InputError
from services.trainer.networks.primitive_vae import PrimitiveVAE, PrimitiveVAEConfig
from services.trainer.networks.prior import Prior, PriorConfig
from services.trainer.networks.tokenizer import MotionTokenizer, TokenizerConfig
from services.trainer.networks.vae import MotionVAE, VAEConfig
from services.trainer.recipes import load_recipe

RUNS = Path("runs")


_Network = TypeVar("_Network", bound=nn.Module)


def trained_tokenizer(recipe: str, runs: Path = RUNS) -> MotionTokenizer:
    """The averaged weights of a tokenizer recipe's run."""
    return _trained(recipe, runs, lambda sizes: MotionTokenizer(TokenizerConfig(**sizes)))


def trained_vae(recipe: str, runs: Path = RUNS) -> MotionVAE:
    """The averaged weights of a VAE recipe's run."""
    return _trained(recipe, runs, lambda sizes: MotionVAE(VAEConfig(**sizes)))


def trained_primitive_vae(recipe: str, runs: Path = RUNS) -> PrimitiveVAE:
    """The averaged weights of a run of the reactor's VAE."""
    return _trained(recipe, runs, lambda sizes: PrimitiveVAE(PrimitiveVAEConfig(**sizes)))


def trained_prior(recipe: str, runs: Path = RUNS) -> Prior:
    """The averaged weights of a run of the reactor's prior."""
    return _trained(recipe, runs, lambda sizes: Prior(PriorConfig(**sizes)))


def _trained(recipe: str, runs: Path, make: Callable[[dict[str, Any]], _Network]) -> _Network:
    """The network that ``make`` makes of the recipe's sizes, frozen. Raises InputError where it was not trained."""
    loaded = load_recipe(recipe)
    file = runs / loaded.name / "checkpoint.pt"
    if not file.exists():
        raise InputError("recipe.options", f"{file} does not exist: train {loaded.name} first")
    network = make(loaded.network)
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["ema"])
    network.eval().requires_grad_(False)
    return network


@dataclass(frozen=True)
class CodedMotion:
    """Codes of N blocks (semantic [N], detail [4N]) and the features before quantization, [N,C] and [4N,C]."""

    semantic: list[int]
    detail: list[int]
    semantic_features: NDArray[np.float16]
    detail_features: NDArray[np.float16]


class FrozenTokenizer:
    """The tokenizer of a model repository, as it is served. Raises InputError when the repository has none."""

    def __init__(self, models: Path) -> None:
        graph = models / "tokenizer_encode" / "1" / "model.onnx"
        if not graph.exists():
            raise InputError("recipe.models", f"{graph} does not exist: train and export a tokenizer first")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.code_dim = int(self._session.get_outputs()[3].shape[-1])

    def encode(self, motion: NDArray[np.float32]) -> CodedMotion:
        """Codes and features of hml263 motion [16N,263]."""
        semantic, detail, coarse, fine = self._session.run(None, {"motion": motion[None]})
        return CodedMotion(
            semantic[0].tolist(),
            detail[0].tolist(),
            coarse[0].astype(np.float16),
            fine[0].astype(np.float16),
        )

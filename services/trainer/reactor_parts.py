"""The reactor put together from what has been trained so far, for exporting it and for the stages that build on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from kinesphere.errors import InputError
from services.trainer.networks.interaction import (
    AdaptedPrior,
    InteractionConfig,
    MetaInteraction,
    partner_module,
    scene_module,
)
from services.trainer.networks.primitive_vae import PrimitiveVAE
from services.trainer.networks.prior import Prior
from services.trainer.networks.refinement import Refinement, RefinementConfig
from services.trainer.reactor_graphs import RefineGraph, SegmentGraph, export_reactor
from services.trainer.recipes import load_recipe
from services.trainer.trained import RUNS, trained_primitive_vae, trained_prior

MODULES = {"hhi": partner_module, "hsi": scene_module}


@dataclass
class Reactor:
    """All parts. A part that has not been trained yet is as it starts: it changes nothing."""

    vae: PrimitiveVAE
    prior: Prior
    hhi: MetaInteraction
    hsi: MetaInteraction
    refinement: Refinement
    clamp: float

    @classmethod
    def of(
        cls,
        preset: str,
        *,
        vae: PrimitiveVAE | None = None,
        prior: Prior | None = None,
        hhi: MetaInteraction | None = None,
        hsi: MetaInteraction | None = None,
        refinement: Refinement | None = None,
        runs: Path = RUNS,
    ) -> Reactor:
        """The parts that are given, and for the others the runs of ``preset``.

        Raises InputError(``recipe.options``) if there is neither a prior nor a run of one; modules may be missing.
        """
        vae = vae or trained_primitive_vae(f"prior_vae/{preset}", runs)
        prior = prior or trained_prior(f"prior/{preset}", runs)
        hhi = hhi or module_of(f"hhi/{preset}", prior, runs)
        hsi = hsi or module_of(f"hsi/{preset}", prior, runs)
        if hhi.places != prior.config.blocks or hsi.places != prior.config.blocks:
            raise InputError("recipe.network", "the modules were trained on a prior of another depth")
        refinement = refinement or refinement_of(f"fwsr/{preset}", runs)
        clamp = InteractionConfig(**load_recipe(f"hhi/{preset}").network).clamp
        return cls(vae, prior, hhi, hsi, refinement, clamp)

    def export(self, models: Path, recipe: str, metrics: Mapping[str, float]) -> list[Path]:
        """Write both graphs; ``recipe`` names the run whose figures ``metrics`` are."""
        for part in (self.vae, self.prior, self.hhi, self.hsi, self.refinement):
            part.cpu().eval()
        segment = SegmentGraph(self.prior, self.vae, self.hhi, self.hsi, self.clamp)
        return export_reactor(segment, RefineGraph(self.vae, self.refinement), models, recipe, metrics)


def module_of(recipe: str, prior: Prior, runs: Path = RUNS) -> MetaInteraction:
    """The averaged weights of a module's run; as it starts if there is none."""
    loaded = load_recipe(recipe)
    config = InteractionConfig(**loaded.network)
    network = AdaptedPrior(prior, MODULES[loaded.stage](config, prior.config.width, prior.config.blocks))
    file = runs / loaded.name / "checkpoint.pt"
    if file.exists():
        averaged = torch.load(file, map_location="cpu", weights_only=True)["ema"]
        network.module.load_state_dict(
            {
                name.removeprefix("module."): value
                for name, value in averaged.items()
                if name.startswith("module.")
            }
        )
    return network.module


def refinement_of(recipe: str, runs: Path = RUNS) -> Refinement:
    """The averaged weights of a refinement's run; as it starts if there is none."""
    loaded = load_recipe(recipe)
    network = Refinement(refinement_config(loaded.network))
    file = runs / loaded.name / "checkpoint.pt"
    if file.exists():
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["ema"])
    return network


def refinement_config(network: Mapping[str, object]) -> RefinementConfig:
    """A recipe's ``network``: ``features`` is the width of what is modulated, the rest are the modules' own sizes."""
    sizes = dict(network)
    width = sizes.pop("features", 128)
    if not isinstance(width, int):
        raise InputError("recipe.network.features", "is not a number")
    return RefinementConfig(width, InteractionConfig(**sizes))  # type: ignore[arg-type]

"""One file a stage: what is trained, on which batches, how it is judged and what it exports."""

from __future__ import annotations

from importlib import import_module

from services.trainer.loop import TrainingStage
from services.trainer.recipes import Recipe

_CLASSES = {
    "evaluator": "EvaluatorStage",
    "tokenizer": "TokenizerStage",
    "vae": "VAEStage",
    "decoder": "DecoderStage",
    "sft": "SFTStage",
    "prior_vae": "PrimitiveVAEStage",
    "prior": "PriorStage",
    "hhi": "PartnerStage",
    "hsi": "SceneStage",
    "fwsr": "RefinementStage",
}


def make_stage(recipe: Recipe) -> TrainingStage:
    """The stage that a recipe names; only its own file is imported."""
    module = import_module(f"services.trainer.stages.{recipe.stage}")
    stage: TrainingStage = getattr(module, _CLASSES[recipe.stage])(recipe)
    return stage

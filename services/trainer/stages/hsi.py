"""Stage ``hsi``: what stands around and where to go, told to the prior."""

from __future__ import annotations

from torch import Tensor

from services.trainer.primitives import Frames
from services.trainer.reaction_data import Batch, scene_inputs
from services.trainer.stages.interaction import InteractionStage


class SceneStage(InteractionStage):
    domain = "hsi"

    def observe(self, batch: Batch, frames: Frames, newest: int, late: Tensor | None) -> tuple[Tensor, ...]:
        return scene_inputs(batch, frames)

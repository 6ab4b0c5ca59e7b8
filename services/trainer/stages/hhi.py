"""Stage ``hhi``: what a partner does, told to the prior."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from services.trainer.networks.interaction import MetaInteraction, PartnerEncoder
from services.trainer.primitives import Frames, floor_frames
from services.trainer.reaction_data import Batch, partner_inputs
from services.trainer.stages.interaction import InteractionStage, observed_statistics


class PartnerStage(InteractionStage):
    domain = "hhi"

    def prepare(self, module: MetaInteraction) -> None:
        batch = self.train.draw(np.random.default_rng(self.recipe.seed), 1024, 1)
        seen = partner_inputs(batch, floor_frames(batch.joints[:, 0]), 1)
        encoder = module.encoder
        assert isinstance(encoder, PartnerEncoder)
        encoder.normalizer.set(*(each.to(self.device) for each in observed_statistics(*seen)))

    def observe(self, batch: Batch, frames: Frames, newest: int, late: Tensor | None) -> tuple[Tensor, ...]:
        return partner_inputs(batch, frames, newest, late)

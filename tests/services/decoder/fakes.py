"""A runtime that records what it is asked and answers with something that can be checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from services.common.runtime import ModelDescription, Tensors


class RecordingRuntime:
    """``decoder_window``: latents are the noise plus the plan's ids; motion repeats each latent's first value."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    async def infer(self, model: str, inputs: Tensors) -> dict[str, Any]:
        assert model == "decoder_window"
        self.calls.append({name: array[0] for name, array in inputs.items()})
        ids = (inputs["semantic"] * 1000 + inputs["detail"])[..., None] * inputs["valid"][..., None]
        latents = (inputs["noise"] + ids)[:, 8:].astype(np.float32)
        motion = np.repeat(latents[..., :1], 4, axis=1) * np.ones(263, np.float32)
        return {"latents": latents, "motion": motion}

    async def load(self, *models: str) -> None: ...

    async def describe(self, model: str) -> ModelDescription:
        return ModelDescription(model, "1", "")

    async def close(self) -> None: ...

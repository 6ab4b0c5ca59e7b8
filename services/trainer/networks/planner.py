"""The planner's network: a causal language model and the projectors that let it see features.

Continuous in: MiniLM's token features (prefix) and the tokenizer's features before quantization (motion) go through
projectors into the embedding space. Discrete out: text and motion tokens of one vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TEXT_WIDTH = 384


class PrefixProjector(nn.Module):
    """text_features [B,L,384] -> embeds [B,L,D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, text_features: Tensor) -> Tensor:
        out: Tensor = self.layers(text_features)
        return out


class MotionProjector(nn.Module):
    """semantic_features [B,N,C], detail_features [B,4N,C] -> embeds [B,5N,D], block by block."""

    def __init__(self, width: int, code_dim: int) -> None:
        super().__init__()
        self.width = width
        self.semantic = nn.Sequential(nn.LayerNorm(code_dim), nn.Linear(code_dim, width))
        self.detail = nn.Sequential(nn.LayerNorm(code_dim), nn.Linear(code_dim, width))

    def forward(self, semantic_features: Tensor, detail_features: Tensor) -> Tensor:
        semantic = self.semantic(semantic_features)[:, :, None]
        detail = self.detail(detail_features).unflatten(1, (-1, 4))
        return torch.cat([semantic, detail], dim=2).flatten(1, 2)


class PlannerNetwork(nn.Module):
    """A transformers causal LM with its projectors.

    dropout: share of what each attention and feed-forward part adds that training leaves out (Qwen3 itself only knows
    dropout of the attention's weights).
    """

    def __init__(self, language_model: Any, code_dim: int, *, prefix: bool, dropout: float = 0.0) -> None:
        super().__init__()
        width = language_model.config.hidden_size
        self.language_model = language_model
        self.prefix = PrefixProjector(width) if prefix else None
        self.motion = MotionProjector(width, code_dim)
        if dropout:
            for name, module in language_model.named_modules():
                if name.endswith(("o_proj", "down_proj")):
                    module.register_forward_hook(
                        lambda part, _, added: F.dropout(added, dropout, part.training)
                    )

    def embed(self, ids: Tensor) -> Tensor:
        out: Tensor = self.language_model.get_input_embeddings()(ids)
        return out

    def forward(self, embeds: Tensor, mask: Tensor, where: Tensor) -> Tensor:
        """embeds [B,S,D], mask [B,S] -> logits [N,V] of the N positions at which ``where`` [B,S] is true."""
        # An adapter is in the layers themselves; the model around it would compute the logits of every position.
        model = getattr(self.language_model, "get_base_model", lambda: self.language_model)()
        states = model.model(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
        out: Tensor = model.get_output_embeddings()(states[where])
        return out

"""The evaluator: a text-motion matching network that judges results and is used for nothing else.

Transformer towers over motion and over MiniLM's token features, trained with a symmetric InfoNCE loss in which captions
that mean nearly the same are no negatives of each other (TMR, Petrovich et al. 2023). It shares neither weights nor
architecture with the tokenizer's semantic path, so a system cannot please it by construction.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from services.trainer.networks.layers import (
    AttentionPool,
    Normalizer,
    TextTower,
    TransformerBlock,
    key_bias,
    sinusoid,
)

FEATURES = 263
STRIDE = 4


class MotionTower(nn.Module):
    """Raw hml263 [B,T,263] and lengths [B] in frames -> unit vectors [B,D]."""

    def __init__(self, width: int, layers: int, outputs: int) -> None:
        super().__init__()
        self.width = width
        self.normalizer = Normalizer(FEATURES)
        self.stem = nn.Linear(FEATURES * STRIDE, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, 4, dropout=0.1) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.pool = AttentionPool(width)
        self.outputs = nn.Linear(width, outputs)

    def forward(self, motion: Tensor, lengths: Tensor) -> Tensor:
        batch = motion.shape[0]
        frames = torch.arange(motion.shape[1], device=motion.device)
        real = (frames[None] < lengths[:, None]).to(motion.dtype)
        x = self.normalizer(motion) * real[..., None]
        x = self.stem(x.reshape(batch, -1, FEATURES * STRIDE))
        mask = real[:, ::STRIDE]
        x = x + sinusoid(torch.arange(x.shape[1], device=x.device), self.width)
        for block in self.blocks:
            x = block(x, key_bias(mask))
        return F.normalize(self.outputs(self.pool(self.norm(x), mask)), dim=-1)


class Evaluator(nn.Module):
    """Both towers. ``outputs`` is the size of the common space."""

    def __init__(self, width: int = 192, layers: int = 3, text_layers: int = 2, outputs: int = 256) -> None:
        super().__init__()
        self.motion = MotionTower(width, layers, outputs)
        self.text = TextTower(width, text_layers, outputs)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def embed_text(self, features: Tensor, mask: Tensor) -> Tensor:
        return F.normalize(self.text(features, mask), dim=-1)

    def loss(
        self, motion: Tensor, lengths: Tensor, text: Tensor, mask: Tensor, alike: Tensor
    ) -> tuple[Tensor, Tensor]:
        """InfoNCE and top-1 accuracy. alike [B,B] bool: pairs off the diagonal that are no true negatives."""
        a, b = self.motion(motion, lengths), self.embed_text(text, mask)
        return info_nce(a, b, self.log_scale, alike)


def info_nce(a: Tensor, b: Tensor, log_scale: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric InfoNCE of unit vectors a, b [B,D]; returns (loss, top-1 accuracy)."""
    logits = a @ b.T * log_scale.exp().clamp(max=50.0)
    diagonal = torch.eye(len(a), dtype=torch.bool, device=a.device)
    logits = logits.masked_fill(alike & ~diagonal, -1e4)
    target = torch.arange(len(a), device=a.device)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    return loss, (logits.argmax(dim=-1) == target).float().mean()

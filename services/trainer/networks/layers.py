"""Building blocks shared by the networks: masked and causal convolutions, transformer blocks, pooling."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Module):
    """1-D convolution over [B,C,T]; ``causal`` lets frame t see only frames up to t."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, dilation: int = 1, causal: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation)
        span = (kernel - 1) * dilation
        self.pad = (span, 0) if causal else (span // 2, span - span // 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, self.pad))
        return out


class Downsample(nn.Module):
    """Halve the rate: a strided convolution. Causal: output i sees inputs up to 2i+1."""

    def __init__(self, inputs: int, outputs: int, *, causal: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 4, stride=2)
        self.pad = (2, 0) if causal else (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, self.pad))
        return out


class ResBlock(nn.Module):
    """Pre-activation residual block: dilated 3-tap convolution, then a 1-tap one."""

    def __init__(self, width: int, dilation: int, *, causal: bool = False) -> None:
        super().__init__()
        self.first = Conv(width, width, 3, dilation=dilation, causal=causal)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return out


def upsample(x: Tensor) -> Tensor:
    """Double the rate of [B,C,T] by repeating frames."""
    return x.repeat_interleave(2, dim=-1)


def sinusoid(positions: Tensor, width: int) -> Tensor:
    """Sinusoidal features of positions [...] -> [...,width] (Vaswani et al. 2017)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000.0) * torch.arange(half, device=positions.device) / half)
    angles = positions[..., None].float() * rates
    # Not -1: ONNX's exporter shares that constant in a graph and rewrites it for the first operator's rank.
    return torch.cat([angles.sin(), angles.cos()], dim=positions.ndim)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and feed-forward; with ``conditioned`` each norm is scaled and shifted by a vector
    (adaptive layer norm, DiT: Peebles and Xie 2023)."""

    def __init__(self, width: int, heads: int, *, conditioned: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=not conditioned)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=not conditioned)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)
        self.modulation = nn.Linear(width, 6 * width) if conditioned else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def attend(self, x: Tensor, bias: Tensor | None) -> Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return out

    def forward(self, x: Tensor, bias: Tensor | None = None, condition: Tensor | None = None) -> Tensor:
        """x [B,L,W], bias broadcastable to [B,H,L,L] (added to the scores), condition [B,W]."""
        if self.modulation is None or condition is None:
            x = x + self.dropout(self.attend(self.norm1(x), bias))
            plain: Tensor = x + self.dropout(self.feed(self.norm2(x)))
            return plain
        s1, b1, g1, s2, b2, g2 = self.modulation(F.silu(condition))[:, None].chunk(6, dim=-1)
        x = x + g1 * self.attend(self.norm1(x) * (1 + s1) + b1, bias)
        out: Tensor = x + g2 * self.feed(self.norm2(x) * (1 + s2) + b2)
        return out


def key_bias(mask: Tensor) -> Tensor:
    """[B,L] (1 = real) -> [B,1,1,L] additive attention bias."""
    return (mask[:, None, None] - 1.0) * 1e4


class AttentionPool(nn.Module):
    """Weighted mean over time with learned scores: [B,L,W], mask [B,L] -> [B,W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = self.score(x)[..., 0] + (mask - 1.0) * 1e4
        out: Tensor = (scores.softmax(dim=-1)[..., None] * x).sum(dim=1)
        return out


class TextTower(nn.Module):
    """MiniLM's token features [B,L,384] and their mask [B,L] -> one vector [B,D]."""

    def __init__(self, width: int, layers: int, outputs: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.inputs = nn.Linear(384, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, 4, dropout=dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.pool = AttentionPool(width)
        self.outputs = nn.Linear(width, outputs)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        x = self.inputs(features)
        for block in self.blocks:
            x = block(x, key_bias(mask))
        out: Tensor = self.outputs(self.pool(self.norm(x), mask))
        return out


class Normalizer(nn.Module):
    """Raw features to zero mean and unit deviation, and back; the statistics travel with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def set(self, mean: Tensor, std: Tensor) -> None:
        self.mean.copy_(mean)
        self.std.copy_(std.clamp_min(1e-3))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def invert(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean

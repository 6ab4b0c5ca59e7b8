"""DMoTok, the dual-granularity motion tokenizer (HSI-GPT2).

Semantic path: E_sem, aligned with a text tower by InfoNCE, gives one feature per 16 frames, quantized with C_sem.
Detail path: E_det gives one feature per 4 frames, quantized with a residual quantizer (depth 1 is a plain VQ-VAE, more
is VIM's RQ-VAE). Both are concatenated along channels, the semantic one repeated in time, into the motion decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from vector_quantize_pytorch import ResidualVQ, VectorQuantize

from services.trainer.networks.evaluator import info_nce
from services.trainer.networks.layers import (
    AttentionPool,
    Conv,
    Downsample,
    Normalizer,
    ResBlock,
    TextTower,
    upsample,
)

FEATURES = 263
DETAIL_STRIDE = 4
SEMANTIC_STRIDE = 16


@dataclass(frozen=True)
class TokenizerConfig:
    """Sizes. ``semantic_codes`` = 0 drops the semantic path (the single-codebook ablation).

    A code whose moving count a batch falls below ``dead_below`` is reset; it must lie well under the mean count, which
    is vectors a batch over codes, or live codes are thrown away faster than they settle.
    """

    width: int = 256
    semantic_width: int = 192
    code_dim: int = 256
    semantic_codes: int = 512
    detail_codes: int = 512
    depth: int = 1
    blocks: int = 2
    dead_below: float = 0.05


class DetailEncoder(nn.Module):
    """E_det: normalized motion [B,263,T] -> [B,D,T/4]."""

    def __init__(self, width: int, outputs: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [Conv(FEATURES, width, 3), nn.SiLU()]
        for _ in range(2):
            layers.append(Downsample(width, width))
            layers += [ResBlock(width, 3**i) for i in reversed(range(blocks))]
        self.layers = nn.Sequential(*layers, nn.SiLU(), Conv(width, outputs, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class SemanticEncoder(nn.Module):
    """E_sem: normalized motion [B,263,T] (zero where padded) and mask [B,T] -> [B,D,T/16]."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(FEATURES, width, 4, stride=4)
        self.fine = nn.ModuleList(ResBlock(width, d) for d in (1, 2, 4))
        self.down1, self.down2 = Downsample(width, width), Downsample(width, width)
        self.coarse = nn.ModuleList(ResBlock(width, d) for d in (1, 2))
        self.outputs = nn.Conv1d(width, outputs, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        real = mask[:, None, ::4]
        x = self.stem(x) * real
        for block in self.fine:
            x = block(x) * real
        x = self.down1(x) * mask[:, None, ::8]
        x = self.down2(x) * mask[:, None, ::SEMANTIC_STRIDE]
        for block in self.coarse:
            x = block(x) * mask[:, None, ::SEMANTIC_STRIDE]
        out: Tensor = self.outputs(F.silu(x))
        return out


class MotionDecoder(nn.Module):
    """Quantized features [B,D,T/4] -> normalized motion [B,263,T]."""

    def __init__(self, inputs: int, width: int, blocks: int) -> None:
        super().__init__()
        self.inputs = Conv(inputs, width, 3)
        self.low = nn.Sequential(*[ResBlock(width, 3**i) for i in reversed(range(blocks))])
        self.mid_conv = Conv(width, width, 3)
        self.mid = nn.Sequential(*[ResBlock(width, 3**i) for i in reversed(range(blocks))])
        self.high_conv = Conv(width, width, 3)
        self.outputs = Conv(width, FEATURES, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.low(F.silu(self.inputs(x)))
        x = self.mid(self.mid_conv(upsample(x)))
        x = F.silu(self.high_conv(upsample(x)))
        out: Tensor = self.outputs(x)
        return out


class MotionTokenizer(nn.Module):
    """The whole tokenizer. Public methods take raw hml263 motion [B,T,263], T a multiple of 16."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.code_dim
        self.normalizer = Normalizer(FEATURES)
        self.detail_encoder = DetailEncoder(config.width, dim, config.blocks)
        self.detail_quantizer = ResidualVQ(
            dim=dim, num_quantizers=config.depth, codebook_size=config.detail_codes, decay=0.99, kmeans_init=True,
            kmeans_iters=10, threshold_ema_dead_code=config.dead_below, commitment_weight=1.0,
        )  # fmt: skip
        self.decoder = MotionDecoder(2 * dim if config.semantic_codes else dim, config.width, config.blocks)
        if config.semantic_codes:
            self.semantic_encoder = SemanticEncoder(config.semantic_width, dim)
            self.semantic_quantizer = VectorQuantize(
                dim=dim, codebook_size=config.semantic_codes, decay=0.99, use_cosine_sim=True, kmeans_init=True,
                kmeans_iters=10, threshold_ema_dead_code=config.dead_below, commitment_weight=1.0,
            )  # fmt: skip
        self.pool = AttentionPool(dim)
        self.motion_head = nn.Linear(dim, 256)
        self.text_tower = TextTower(192, 2, 256)
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def semantic_features(self, motion: Tensor, mask: Tensor) -> Tensor:
        """E_sem's features before quantization, unit length, [B,T/16,D]."""
        x = (self.normalizer(motion) * mask[..., None]).transpose(1, 2)
        return F.normalize(self.semantic_encoder(x, mask).transpose(1, 2), dim=-1)

    def detail_features(self, motion: Tensor) -> Tensor:
        """E_det's features before quantization, [B,T/4,D]."""
        out: Tensor = self.detail_encoder(self.normalizer(motion).transpose(1, 2)).transpose(1, 2)
        return out

    def embed_motion(self, features: Tensor, mask: Tensor) -> Tensor:
        """Semantic features [B,N,D] and mask [B,N] -> unit vectors [B,256] in the space shared with text.

        Without a semantic path the detail features take their place.
        """
        return F.normalize(self.motion_head(self.pool(features, mask)), dim=-1)

    def embed_text(self, features: Tensor, mask: Tensor) -> Tensor:
        """MiniLM features [B,L,384] -> unit vectors [B,256]."""
        return F.normalize(self.text_tower(features, mask), dim=-1)

    def contrast(
        self, features: Tensor, mask: Tensor, text: Tensor, text_mask: Tensor, alike: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Symmetric InfoNCE between motions and their captions: (loss, top-1 accuracy)."""
        return info_nce(
            self.embed_motion(features, mask), self.embed_text(text, text_mask), self.log_scale, alike
        )

    def decode_features(self, detail: Tensor, semantic: Tensor | None) -> Tensor:
        """Quantized features [B,4N,D] and [B,N,D] -> normalized motion [B,16N,263]."""
        x = detail
        if semantic is not None:
            x = torch.cat([detail, semantic.repeat_interleave(4, dim=1)], dim=2)
        out: Tensor = self.decoder(x.transpose(1, 2)).transpose(1, 2)
        return out

    def decode(self, detail_codes: Tensor, semantic_codes: Tensor | None) -> Tensor:
        """Token ids [B,4N] (or [B,4N,depth]) and [B,N] -> raw motion [B,16N,263]."""
        if detail_codes.ndim == 2:
            detail_codes = detail_codes[..., None]
        detail = self.lookup_detail(detail_codes)
        semantic = None if semantic_codes is None else self.lookup_semantic(semantic_codes)
        return self.normalizer.invert(self.decode_features(detail, semantic))

    def lookup_detail(self, codes: Tensor) -> Tensor:
        """[B,4N,depth] -> [B,4N,D]: the sum of the residual codebooks' entries."""
        books = self.detail_quantizer.codebooks
        return sum((books[q][codes[..., q]] for q in range(codes.shape[-1])), torch.zeros(()))

    def lookup_semantic(self, codes: Tensor) -> Tensor:
        """[B,N] -> [B,N,D]."""
        out: Tensor = self.semantic_quantizer.codebook[codes]
        return out

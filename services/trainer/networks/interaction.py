"""Meta-Interaction modules (ReMoGen, arXiv:2604.01082): what a partner does and what stands around, told to a prior
that does not change.

An encoder turns a domain's observation into cues: a TCN over the partner's frames (HHI), a ViT over the local
occupancy and the goal (HSI). A block lets the body's own features attend to themselves, then to the cues, and gives
FiLM's gamma and beta for every block of the prior. The last layers start at zero: an untrained module changes
nothing. Modules that were trained apart mix at run time: Delta = sum_i alpha_i Delta_i, its length clamped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.reaction.features import PARTNER, PARTNER_FRAMES
from kinesphere.scenes.raster import CELLS
from services.trainer.networks.layers import Conv, Normalizer, TransformerBlock, key_bias
from services.trainer.networks.primitive_vae import FEATURES

PATCH = 4
PATCHES = (CELLS[0] // PATCH) * (CELLS[2] // PATCH)
GOAL = 4


@dataclass(frozen=True)
class InteractionConfig:
    """width: of cues and of the block's own attention; layers: of the scene's ViT. clamp: the most that all modules
    together may add to a feature vector, as a part of its own length."""

    width: int = 64
    heads: int = 4
    layers: int = 2
    clamp: float = 1.0


class Cues(NamedTuple):
    """tokens [B,N,W]; bias [B,1,1,N], large and negative where there is none; present [B,1]: 0 = nothing observed."""

    tokens: Tensor
    bias: Tensor
    present: Tensor


class PartnerEncoder(nn.Module):
    """Partner frames [B,10,72] and their mask [B,10] -> a cue a frame, each seeing what came before it."""

    def __init__(self, config: InteractionConfig) -> None:
        super().__init__()
        w = config.width
        self.normalizer = Normalizer(PARTNER.total)
        self.frames = nn.Linear(PARTNER.total + 1, w)
        self.convolutions = nn.ModuleList(Conv(w, w, 3, dilation=d, causal=True) for d in (1, 2, 4))
        self.place = nn.Parameter(torch.randn(PARTNER_FRAMES, w) * 0.02)
        self.norm = nn.LayerNorm(w)

    def forward(self, partner: Tensor, mask: Tensor) -> Cues:
        seen = mask[:, :, None]
        x = self.frames(torch.cat([self.normalizer(partner) * seen, seen], dim=2)) + self.place
        for convolution in self.convolutions:
            x = x + convolution(F.silu(x).transpose(1, 2)).transpose(1, 2)
        return Cues(self.norm(x), key_bias(mask), mask.max(dim=1, keepdim=True).values)


class SceneEncoder(nn.Module):
    """Occupancy [B,24,12,24] and goal [B,4] -> a cue for each column of 4 x 4 cells, and one for the goal."""

    def __init__(self, config: InteractionConfig) -> None:
        super().__init__()
        w = config.width
        self.patches = nn.Linear(PATCH * PATCH * CELLS[1], w)
        self.goal = nn.Sequential(nn.Linear(GOAL, w), nn.SiLU(), nn.Linear(w, w))
        self.place = nn.Parameter(torch.randn(PATCHES + 1, w) * 0.02)
        self.blocks = nn.ModuleList(TransformerBlock(w, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(w)

    def forward(self, occupancy: Tensor, goal: Tensor) -> Cues:
        x, z = CELLS[0] // PATCH, CELLS[2] // PATCH
        columns = occupancy.reshape(-1, x, PATCH, CELLS[1], z, PATCH).permute(0, 1, 4, 2, 5, 3)
        given = goal[:, 3:]
        tokens = torch.cat(
            [self.patches(columns.reshape(-1, PATCHES, PATCH * PATCH * CELLS[1])), self.goal(goal * given)[:, None]],
            dim=1,
        ) + self.place  # fmt: skip
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        filled = occupancy.flatten(1).amax(dim=1, keepdim=True)
        return Cues(tokens, torch.zeros_like(tokens[:, None, None, :, 0]), torch.maximum(filled, given))


class MetaInteraction(nn.Module):
    """Ego features and cues -> gamma and beta for each of ``places`` in a network of features [B,features]."""

    def __init__(self, config: InteractionConfig, encoder: nn.Module, features: int, places: int) -> None:
        super().__init__()
        w = config.width
        self.heads, self.places = config.heads, places
        self.width, self.scale = w, (w // config.heads) ** -0.5
        self.encoder = encoder
        self.normalizer = Normalizer(FEATURES)
        self.features = nn.Linear(features, w)
        self.history = nn.Linear(FEATURES, w)
        self.ego = TransformerBlock(w, config.heads)
        self.query_norm = nn.LayerNorm(w)
        self.query, self.key, self.value = nn.Linear(w, w), nn.Linear(w, w), nn.Linear(w, w)
        self.out = nn.Sequential(nn.Linear(w, w), nn.SiLU())
        self.film = nn.Linear(w, 2 * places * features)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def observe(self, history: Tensor, *observation: Tensor) -> Observation:
        """What does not change while a latent is denoised: raw history [B,2,276] and what the encoder takes."""
        cues: Cues = self.encoder(*observation)
        past = self.ego.norm1(self.history(self.normalizer(history)))
        _, past_keys, past_values = self.ego.qkv(past).chunk(3, dim=2)
        return Observation(
            self._split(past_keys), self._split(past_values), self._split(self.key(cues.tokens)),
            self._split(self.value(cues.tokens)), cues.bias, cues.present,
        )  # fmt: skip

    def forward(self, h: Tensor, seen: Observation) -> Tensor:
        """Features h [B,F] -> the gammas of all places, then the betas, side by side: [B,2*places*F].

        The body's own features are one token; of the self-attention, whose other tokens are the history, its row alone
        is worked out.
        """
        block, x = self.ego, self.features(h)
        query, key, value = (self._row(part) for part in block.qkv(block.norm1(x)).split(self.width, dim=1))
        keys, values = torch.cat([key, seen.past_keys], dim=2), torch.cat([value, seen.past_values], dim=2)
        x = x + block.out(self._attended(query, keys, values))
        x = x + block.feed(block.norm2(x))
        signal = self._attended(self._row(self.query(self.query_norm(x))), seen.keys, seen.values, seen.bias)
        film: Tensor = self.film(self.out(x + signal))
        return film

    def _split(self, x: Tensor) -> Tensor:
        """[B,N,W] -> [B,heads,N,W/heads]."""
        return x.reshape(x.shape[0], x.shape[1], self.heads, x.shape[2] // self.heads).transpose(1, 2)

    def _attended(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None) -> Tensor:
        """One query's attention: [B,heads,1,D] to [B,heads,N,D] -> [B,W].

        Written out, since torch's own becomes thrice as many operators in a graph, which at a batch of one cost more
        time than the arithmetic.
        """
        scores = (query * self.scale) @ keys.transpose(2, 3)
        weights = (scores if bias is None else scores + bias).softmax(dim=3)
        mixed: Tensor = (weights @ values).reshape(-1, self.width)
        return mixed

    def _row(self, x: Tensor) -> Tensor:
        """[B,W] -> [B,heads,1,W/heads]."""
        return x.reshape(-1, self.heads, 1, self.width // self.heads)


class Observation(NamedTuple):
    """past_keys, past_values [B,heads,2,W/heads] of the history; keys, values [B,heads,N,W/heads] and bias [B,1,1,N] of
    the cues; present [B,1]."""

    past_keys: Tensor
    past_values: Tensor
    keys: Tensor
    values: Tensor
    bias: Tensor
    present: Tensor


class Mixer:
    """Several modules as one ``prior.Modulate``: sum_i alpha_i (gamma_i * norm(h) + beta_i), clamped.

    Gammas and betas are found once a denoising step, from the features that enter the first block. A module that
    observes nothing is silent.
    """

    def __init__(
        self,
        modules: list[tuple[MetaInteraction, Observation]],
        alpha: Tensor,
        clamp: float,
    ) -> None:
        """alpha [B,M], in the order of ``modules``."""
        self.modules, self.clamp = modules, clamp
        self.weights = [alpha[:, i : i + 1] * seen.present for i, (_, seen) in enumerate(modules)]
        self.width, self.places = modules[0][0].features.in_features, modules[0][0].places
        self.films: tuple[Tensor, ...] = ()

    def __call__(self, place: int, h: Tensor) -> Tensor:
        if place == 0:
            films = [
                weight * module(h, seen)
                for weight, (module, seen) in zip(self.weights, self.modules, strict=True)
            ]
            self.films = sum(films[1:], films[0]).split(self.width, dim=1)
        gamma, beta = self.films[place], self.films[self.places + place]
        return clamped(gamma * F.layer_norm(h, (self.width,)) + beta, h, self.clamp)


def clamped(delta: Tensor, h: Tensor, limit: float) -> Tensor:
    """``delta`` [B,F], shortened to ``limit`` times the length of ``h`` [B,F] where it is longer."""
    most = limit * h.norm(dim=1, keepdim=True)
    shortened: Tensor = delta * (most / delta.norm(dim=1, keepdim=True).clamp_min(1e-6)).clamp_max(1.0)
    return shortened


def partner_module(config: InteractionConfig, features: int, places: int) -> MetaInteraction:
    """An HHI module; it observes ``partner`` [B,10,72] and ``partner_mask`` [B,10]."""
    return MetaInteraction(config, PartnerEncoder(config), features, places)


def scene_module(config: InteractionConfig, features: int, places: int) -> MetaInteraction:
    """An HSI module; it observes ``occupancy`` [B,24,12,24] and ``goal`` [B,4]."""
    return MetaInteraction(config, SceneEncoder(config), features, places)


class AdaptedPrior(nn.Module):
    """A prior and one module that tells it of its domain; which of them learns is the stage's to say."""

    def __init__(self, prior: nn.Module, module: MetaInteraction) -> None:
        super().__init__()
        self.prior, self.module = prior, module

"""Chains of segments, many at once, in torch: what a stage looks at to judge its network, and figures of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kinesphere.skeleton import JOINT_INDEX
from services.trainer.networks.primitive_vae import PrimitiveVAE
from services.trainer.networks.prior import Modulate, Prior, Sampler
from services.trainer.primitives import Frames, bodies_of, following_history, nested

FPS = 20.0
_ANKLES = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]
_TOES = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]
# What modulates segment i, told the history [B,2,276] and its frames in the world.
Watch = Callable[[int, Tensor, Frames], Modulate]


def roll(
    prior: Prior,
    vae: PrimitiveVAE,
    history: Tensor,
    frames: Frames,
    text: Tensor,
    segments: int,
    *,
    seed: int = 0,
    watch: Watch | None = None,
) -> Tensor:
    """Go on from raw ``history`` [B,2,276] in ``frames`` by ``segments``: world joints [B,8 segments,22,3], metres."""
    sampler, generator, made = Sampler(prior), torch.Generator().manual_seed(seed), []
    for segment in range(segments):
        noise = torch.randn(len(history), 1, 64, generator=generator).to(history.device)
        modulate = watch(segment, history, frames) if watch is not None else None
        future = vae.decode(history, sampler(history, text, noise, modulate))
        joints = bodies_of(future)
        made.append(joints @ frames.axes.transpose(1, 2)[:, None] + frames.origin[:, None, None])
        history, inner = following_history(future)
        frames = nested(frames, inner)
    return torch.cat(made, dim=1)


def physics(joints: Tensor) -> dict[str, float]:
    """Figures of world joints [B,T,22,3] at 20 frames a second, floor at y = 0.

    skating_mm: how far a toe that is lower than 8 cm goes over the floor in a frame; lowest_mm: mean height of the
    lowest joint in the last second; jerk: metres per second cubed, mean over joints; speed: of the pelvis, metres a
    second.
    """
    toes = joints[:, :, _TOES]
    steps = toes.diff(dim=1)[..., [0, 2]].norm(dim=-1)
    down = (torch.maximum(toes[:, 1:, :, 1], toes[:, :-1, :, 1]) < 0.08).float()
    return {
        "skating_mm": 1000 * float((steps * down).sum() / down.sum().clamp_min(1.0)),
        "lowest_mm": 1000 * float(joints[:, -int(FPS) :, :, 1].amin(dim=2).mean()),
        "jerk": float(joints.diff(n=3, dim=1).norm(dim=-1).mean() * FPS**3),
        "speed": float(joints[:, :, 0].diff(dim=1)[..., [0, 2]].norm(dim=-1).mean() * FPS),
    }


def frechet(made: Tensor, true: Tensor, size: int = 32) -> float:
    """Frechet distance of two sets of vectors [N,D], in the ``size`` first principal components of the true ones.

    Cheap and of no use but to compare checkpoints with each other: the tables' FID has its own evaluator.
    """
    mean = true.mean(dim=0)
    _, values, vectors = torch.linalg.svd(true - mean, full_matrices=False)
    basis = vectors[:size].T * (len(true) ** 0.5) / values[:size].clamp_min(1e-6)
    a, b = (made - mean) @ basis, (true - mean) @ basis
    product = torch.cov(a.T) @ torch.cov(b.T)
    root = torch.linalg.eigvals(product).real.clamp_min(0).sqrt().sum()
    spread = torch.trace(torch.cov(a.T)) + torch.trace(torch.cov(b.T)) - 2 * root
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)

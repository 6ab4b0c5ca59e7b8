"""Stage ``vae``: the causal motion VAE whose latents the decoder denoises."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.representations import hml263
from kinesphere.skeleton import JOINT_INDEX
from services.trainer.data import MotionData
from services.trainer.export import export_onnx, write_card
from services.trainer.loop import TrainingStage
from services.trainer.networks.vae import MotionVAE, VAEConfig
from services.trainer.recipes import Recipe, check_options

_OPTIONS = {
    "crop", "kl_weight", "velocity_weight", "acceleration_weight", "foot_weight", "encoder_until", "latent_noise",
}  # fmt: skip
_FEET = [JOINT_INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("ankle", "foot")]


class VAEStage(TrainingStage):
    """Random crops; smooth L1 on features and their first and second differences, L1 on the feet's movement, KL with a
    small weight.

    From step ``encoder_until`` on only the decoder learns, from latents that are ``latent_noise`` off, as those that
    the denoiser makes will be.
    """

    network: MotionVAE

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(VAEConfig)}, "network")
        check_options(recipe, recipe.options, _OPTIONS, "options")
        root = Path(recipe.data)
        self.crop = int(recipe.options.get("crop", 64))
        self.train, self.val = MotionData(root, "train", minimum=32), MotionData(root, "val", minimum=32)
        torch.manual_seed(recipe.seed)
        self.network = MotionVAE(VAEConfig(**recipe.network))
        self.network.normalizer.set(self.train.mean, self.train.std)
        self.network.start_from_components(self._sample())

    def _sample(self, count: int = 4096) -> Tensor:
        """Crops [count,16,263] of clips spread over the training split."""
        rng = np.random.default_rng(self.recipe.seed)
        crops = []
        for pick in rng.choice(len(self.train.clips), size=count, p=self.train.weights):
            motion = self.train.motion(self.train.clips[pick])
            start = int(rng.integers(0, len(motion) - 16 + 1))
            crops.append(motion[start : start + 16])
        return torch.from_numpy(np.stack(crops))

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        clips, rng = self.train.draw(self.recipe.seed, step, self.recipe.budget.batch)
        crops = []
        for clip in clips:
            motion = torch.from_numpy(self.train.motion(clip))
            start = int(rng.integers(0, max(0, len(motion) - self.crop) + 1))
            part = motion[start : start + self.crop]
            crops.append(torch.cat([part, part[-1:].expand(self.crop - len(part), -1)]))
        motion = torch.stack(crops).to(self.device)
        options = self.recipe.options
        encoding = step < options.get("encoder_until", self.recipe.budget.steps)
        with torch.set_grad_enabled(encoding):
            mean, log_variance = self.network.posterior(motion)
            latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
            kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()
        with torch.no_grad():
            if encoding:
                self.network.scale.lerp_(mean.var(dim=(0, 1)).mean().sqrt(), 0.02)
        latent = latent / self.network.scale
        if not encoding:
            latent = latent + options.get("latent_noise", 0.0) * torch.randn_like(latent)
        rebuilt = self.network.decode_normalized(latent)
        wanted = self.network.normalizer(motion)
        reconstruction = F.smooth_l1_loss(rebuilt, wanted)
        velocity = F.smooth_l1_loss(rebuilt.diff(dim=1), wanted.diff(dim=1))
        acceleration = F.smooth_l1_loss(rebuilt.diff(n=2, dim=1), wanted.diff(n=2, dim=1), beta=0.1)
        feet = F.l1_loss(feet_steps(self.network.normalizer.invert(rebuilt)), feet_steps(motion))
        loss = (
            reconstruction
            + options.get("velocity_weight", 0.5) * velocity
            + options.get("acceleration_weight", 0.0) * acceleration
            + options.get("foot_weight", 0.0) * feet
            + options.get("kl_weight", 1e-4) * kl
        )
        parts = {
            "reconstruction": reconstruction, "velocity": velocity, "acceleration": acceleration, "feet": feet, "kl": kl
        }  # fmt: skip
        return loss, {name: float(part.detach()) for name, part in parts.items()}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        vae = cast(MotionVAE, network)
        errors, latents = [], []
        for clip in self.val.clips[:: max(1, len(self.val.clips) // 160)]:
            motion = torch.from_numpy(self.val.motion(clip))[None].to(self.device)
            latent = vae.encode(motion)
            rebuilt = vae.decode(latent)[0].cpu().numpy()
            a, b = hml263.decode(rebuilt), hml263.decode(motion[0].cpu().numpy())
            errors.append(float(np.linalg.norm((a - a[:, :1]) - (b - b[:, :1]), axis=-1).mean() * 1000))
            latents.append(latent[0])
        return {
            "MPJPE_mm": float(np.mean(errors)),
            "latent_std": float(torch.cat(latents).var(dim=0).mean().sqrt()),
        }

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        vae = cast(MotionVAE, network).cpu()
        folder = models / "vae_encode"
        export_onnx(
            _Encode(vae), {"motion": torch.randn(2, 64, 263)}, ["latents"], folder,
            dynamic={"motion": {1: "frames"}, "latents": {1: "codes"}},
        )  # fmt: skip
        write_card(folder, "vae_encode", "Motion to the latents that the decoder continues from.",
                   f"vae/{self.recipe.preset}", metrics)  # fmt: skip
        return [folder]


def feet_steps(motion: Tensor) -> Tensor:
    """How far ankles and toes go in a frame, m, raw hml263 [B,T,263] -> [B,T-1,4,3], but for the root's turning, which
    is small in a frame: what a foot that stands must have none of."""
    first = hml263.LAYOUT["joint_positions"].start
    columns = [first + 3 * (joint - 1) + axis for joint in _FEET for axis in range(3)]
    steps = motion[..., columns].diff(dim=1).unflatten(-1, (len(_FEET), 3))
    x, z = motion[:, :-1, hml263.LAYOUT["root_velocity"]].unbind(-1)
    moved: Tensor = steps + torch.stack([x, torch.zeros_like(x), z], dim=-1)[:, :, None]
    return moved


class _Encode(nn.Module):
    def __init__(self, vae: MotionVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, motion: Tensor) -> Tensor:
        return self.vae.encode(motion)

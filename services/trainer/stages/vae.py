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
from services.trainer.data import MotionData
from services.trainer.export import export_onnx, write_card
from services.trainer.loop import TrainingStage
from services.trainer.networks.vae import MotionVAE, VAEConfig
from services.trainer.recipes import Recipe, check_options


class VAEStage(TrainingStage):
    """Random crops; smooth L1 on features and velocities, KL with a small weight."""

    network: MotionVAE

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(VAEConfig)}, "network")
        check_options(recipe, recipe.options, {"crop", "kl_weight", "velocity_weight"}, "options")
        root = Path(recipe.data)
        self.crop = int(recipe.options.get("crop", 64))
        self.train, self.val = MotionData(root, "train", minimum=32), MotionData(root, "val", minimum=32)
        torch.manual_seed(recipe.seed)
        self.network = MotionVAE(VAEConfig(**recipe.network))
        self.network.normalizer.set(self.train.mean, self.train.std)

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        clips, rng = self.train.draw(self.recipe.seed, step, self.recipe.budget.batch)
        crops = []
        for clip in clips:
            motion = torch.from_numpy(self.train.motion(clip))
            start = int(rng.integers(0, max(0, len(motion) - self.crop) + 1))
            part = motion[start : start + self.crop]
            crops.append(torch.cat([part, part[-1:].expand(self.crop - len(part), -1)]))
        motion = torch.stack(crops).to(self.device)
        mean, log_variance = self.network.posterior(motion)
        with torch.no_grad():
            self.network.scale.lerp_(mean.std(dim=(0, 1)), 0.02)
        latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        rebuilt = self.network.decode_normalized(latent / self.network.scale)
        wanted = self.network.normalizer(motion)
        reconstruction = F.smooth_l1_loss(rebuilt, wanted)
        velocity = F.smooth_l1_loss(rebuilt.diff(dim=1), wanted.diff(dim=1))
        kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).mean()
        options = self.recipe.options
        loss = (
            reconstruction
            + options.get("velocity_weight", 0.5) * velocity
            + options.get("kl_weight", 1e-4) * kl
        )
        return loss, {"reconstruction": float(reconstruction), "velocity": float(velocity), "kl": float(kl)}

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
        return {"MPJPE_mm": float(np.mean(errors)), "latent_std": float(torch.cat(latents).std(dim=0).mean())}

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


class _Encode(nn.Module):
    def __init__(self, vae: MotionVAE) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, motion: Tensor) -> Tensor:
        return self.vae.encode(motion)

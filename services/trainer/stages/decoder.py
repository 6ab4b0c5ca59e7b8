"""Stage ``decoder``: latent diffusion in windows, conditioned on the plan tokens and the latents already emitted."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from kinesphere.representations import hml263
from services.trainer.data import MotionData
from services.trainer.export import compact, export_onnx, write_card
from services.trainer.loop import TrainingStage
from services.trainer.networks.denoiser import Denoiser, DenoiserConfig
from services.trainer.networks.tokenizer import MotionTokenizer
from services.trainer.networks.vae import MotionVAE
from services.trainer.recipes import Recipe, check_options
from services.trainer.stages.tokenizer import encode_clip
from services.trainer.trained import RUNS, trained_tokenizer, trained_vae

_OPTIONS = {"tokenizer", "vae", "history_noise", "corrupt", "swap"}


@dataclass
class CodedClip:
    """A clip as the decoder sees it, all of length L: plan vectors of the true tokens and of tokens some of which are
    wrong, and the latents themselves."""

    plan: Tensor
    spoilt: Tensor
    latents: Tensor


class WindowSampler(nn.Module):
    """One window: the whole sampling loop and the VAE's decoder, as one graph.

    The scheduler is diffusers' DDIM without noise; its few steps are unrolled when the graph is traced.
    """

    def __init__(self, denoiser: Denoiser, tokenizer: MotionTokenizer, vae: MotionVAE) -> None:
        super().__init__()
        self.denoiser, self.tokenizer, self.vae = denoiser, tokenizer, vae
        config = denoiser.config
        self.scheduler = make_scheduler(DDIMScheduler, config)
        self.scheduler.set_timesteps(config.steps)

    def forward(
        self,
        semantic: Tensor,
        detail: Tensor,
        valid: Tensor,
        history: Tensor,
        history_mask: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """semantic, detail [B,H+W] ids, the first of a window beginning a block; valid [B,H+W];
        history [B,H,latent]; history_mask [B,H];
        noise [B,H+W,latent] (its last W rows are used) -> raw motion [B,4W,263], latents [B,W,latent]."""
        config = self.denoiser.config
        plan = plan_vectors(self.tokenizer, self.vae, semantic[:, ::4], detail)
        sample = config.temperature * noise[:, config.history :]
        for step in self.scheduler.timesteps.tolist():
            time = torch.full_like(sample[:, 0, 0], float(step))
            predicted = self.denoiser(sample, time, plan, valid, history, history_mask)
            sample = self.scheduler.step(predicted, step, sample).prev_sample
        known = history * history_mask[..., None]
        frames = self.vae.decode(torch.cat([known, sample], dim=1))
        # Nothing is joined to what lies before the start or behind the end.
        before = torch.cat([history_mask, torch.ones_like(noise[:, config.history + 1 :, 0])], dim=1)
        frames = join_patches(frames, before * valid[:, 1:])
        return frames[:, 4 * config.history :], sample


def join_patches(frames: Tensor, weight: Tensor) -> Tensor:
    """Smooth the borders of the VAE's patches: frames [B,4L,F], weight [B,L-1] (1 = join) -> [B,4L,F].

    A latent's four frames are one patch, and where two meet the step between them is off by more than inside: motion
    would jerk five times a second. What the step has beyond the mean of its two neighbours is halved, by a quarter on
    either side.
    """
    length = weight.shape[1] + 1
    patches = frames.reshape(frames.shape[0], length, 4, frames.shape[2])
    last, first = patches[:, : length - 1, 3], patches[:, 1:, 0]
    around = (last - patches[:, : length - 1, 2]) + (patches[:, 1:, 1] - first)
    part = 0.25 * weight[:, :, None] * (first - last - 0.5 * around)
    none = 0.0 * frames[:, :1]
    ends = torch.cat([part, none], dim=1)
    starts = torch.cat([none, part], dim=1)
    middle = 0.0 * ends
    return (patches + torch.stack([-starts, middle, middle, ends], dim=2)).reshape(frames.shape)


def make_scheduler(kind: type, config: DenoiserConfig) -> Any:
    """A diffusers scheduler with the settings that training and sampling share: MLD's betas, rescaled so that the last
    step is pure noise as sampling's first one is (Lin et al. 2024). Noise alone tells nothing of itself to predict."""
    more = {"timestep_spacing": "trailing", "set_alpha_to_one": True} if kind is DDIMScheduler else {}
    return kind(
        num_train_timesteps=config.train_steps, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        prediction_type=config.prediction, clip_sample=False,
        rescale_betas_zero_snr=config.prediction != "epsilon", **more,
    )  # fmt: skip


def plan_vectors(tokenizer: MotionTokenizer, vae: MotionVAE, semantic: Tensor, detail: Tensor) -> Tensor:
    """Token ids [B,N] and [B,4N] to what the denoiser is told of each latent [B,4N,2D+latent]: the codebooks' vectors
    and the draft, which is the latent of what the tokenizer decodes them to."""
    draft = vae.encode(tokenizer.decode(detail, semantic))
    told = tokenizer.lookup_semantic(semantic).repeat_interleave(4, dim=1)
    return torch.cat([tokenizer.lookup_detail(detail[..., None]), told, draft], dim=2)


class DecoderStage(TrainingStage):
    """Windows drawn from clips coded beforehand by the trained tokenizer and VAE."""

    network: Denoiser

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        check_options(recipe, recipe.network, {f.name for f in fields(DenoiserConfig)}, "network")
        check_options(recipe, recipe.options, _OPTIONS, "options")
        root, preset = Path(recipe.data), recipe.preset
        self.tokenizer = trained_tokenizer(recipe.options.get("tokenizer", f"tokenizer/{preset}"), RUNS)
        self.vae = trained_vae(recipe.options.get("vae", f"vae/{preset}"), RUNS)
        self.train, self.val = MotionData(root, "train", minimum=32), MotionData(root, "val", minimum=32)
        self.network_config = config = DenoiserConfig(
            **{"latent": self.vae.config.latent, "code_dim": self.tokenizer.config.code_dim, **recipe.network}
        )
        torch.manual_seed(recipe.seed)
        self.network = Denoiser(config)
        self.coded: list[CodedClip] = []
        self.scheduler = make_scheduler(DDPMScheduler, config)

    def _code_all(self) -> list[CodedClip]:
        """The training clips, those of one length in a batch."""
        groups: dict[int, list[int]] = defaultdict(list)
        for index, clip in enumerate(self.train.clips):
            groups[self.train.frames(clip)].append(index)
        batches = [group[i : i + 16] for group in groups.values() for i in range(0, len(group), 16)]
        coded: dict[int, CodedClip] = {}
        swap = float(self.recipe.options.get("swap", 0.15))
        generator = torch.Generator().manual_seed(self.recipe.seed)
        for batch in track(batches, description="coding clips"):
            motion = torch.from_numpy(np.stack([self.train.motion(self.train.clips[i]) for i in batch]))
            with torch.no_grad():
                semantic, detail = encode_clip(self.tokenizer, motion)
                assert semantic is not None
                detail = detail[..., 0]
                latents = self.vae.encode(motion)
                plan = self._plan(semantic, detail)
                # The planner's tokens are not always the encoder's: some are wrong, so that the decoder forgives them.
                wrong = torch.rand(detail.shape, generator=generator) < swap
                other = torch.randint(self.tokenizer.config.detail_codes, detail.shape, generator=generator)
                spoilt = self._plan(semantic, torch.where(wrong, other, detail))
            for row, index in enumerate(batch):
                coded[index] = CodedClip(plan[row], spoilt[row], latents[row])
        return [coded[i] for i in range(len(coded))]

    def _plan(self, semantic: Tensor, detail: Tensor) -> Tensor:
        """Plan vectors of whole clips [B,N], [B,4N]; beyond either end the nearest token goes on, as in a window."""
        config = self.network_config
        before, after = config.history // 4, -(-config.new // 4)
        semantic = torch.cat(
            [semantic[:, :1].expand(-1, before), semantic, semantic[:, -1:].expand(-1, after)], dim=1
        )
        detail = torch.cat(
            [detail[:, :1].expand(-1, 4 * before), detail, detail[:, -1:].expand(-1, 4 * after)], dim=1
        )
        return plan_vectors(self.tokenizer, self.vae, semantic, detail)[:, 4 * before : -4 * after]

    def _window(self, coded: CodedClip, start: int, *, spoilt: bool) -> tuple[Tensor, ...]:
        """Plan, inside and latents at positions start-H .. start+W of a clip; what lies outside is marked as such."""
        config = self.network_config
        length = len(coded.latents)
        at = torch.arange(start - config.history, start + config.new)
        inside = ((at >= 0) & (at < length)).float()
        at = at.clamp(0, length - 1)
        return (coded.spoilt if spoilt else coded.plan)[at], inside, coded.latents[at] * inside[:, None]

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        config, options = self.network_config, self.recipe.options
        if not self.coded:  # an export alone needs none
            self.coded = self._code_all()
        rng = np.random.default_rng((self.recipe.seed, step))
        picks = rng.choice(len(self.coded), size=self.recipe.budget.batch, p=self.train.weights)
        windows = []
        for pick in picks:
            coded = self.coded[pick]
            last = max(0, len(coded.latents) - 4)
            start = 0 if rng.random() < 0.25 else int(rng.integers(0, last + 1))
            spoilt = rng.random() < options.get("corrupt", 0.3)
            windows.append(self._window(coded, start, spoilt=spoilt))
        plan, inside, latents = (torch.stack(t).to(self.device) for t in zip(*windows, strict=True))
        history, clean = latents[:, : config.history], latents[:, config.history :]
        history_mask = inside[:, : config.history]
        history = (
            history + options.get("history_noise", 0.05) * torch.randn_like(history) * history_mask[..., None]
        )
        time = torch.randint(0, config.train_steps, (len(clean),), device=self.device)
        noise = torch.randn_like(clean)
        noisy = self.scheduler.add_noise(clean, noise, time)
        if config.prediction == "v_prediction":
            target = self.scheduler.get_velocity(clean, noise, time)
        else:
            target = noise if config.prediction == "epsilon" else clean
        predicted = self.network(noisy, time, plan, inside, history, history_mask)
        weight = inside[:, config.history :, None]
        loss = (F.mse_loss(predicted, target, reduction="none") * weight).sum() / (
            weight.sum() * config.latent
        )
        return loss, {}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Held-out clips coded and decoded again, diffusion beside direct token decoding: MPJPE and skating-free error
        of velocities (mm a frame), both against the recording."""
        sampler = WindowSampler(cast(Denoiser, network), self.tokenizer, self.vae)
        rows: dict[str, list[float]] = {
            "MPJPE_mm": [],
            "velocity_mm": [],
            "direct_MPJPE_mm": [],
            "direct_velocity_mm": [],
        }
        for clip in self.val.clips[:: max(1, len(self.val.clips) // 64)]:
            motion = self.val.motion(clip)
            real = hml263.decode(motion)
            semantic, detail = encode_clip(self.tokenizer, torch.from_numpy(motion)[None])
            assert semantic is not None
            made = hml263.decode(
                decode_windows(sampler, semantic[0].repeat_interleave(4), detail[0, :, 0], seed=0)
            )
            direct = hml263.decode(self.tokenizer.decode(detail, semantic)[0].numpy())
            for prefix, other in (("", made), ("direct_", direct)):
                a, b = other - other[:, :1], real - real[:, :1]
                rows[f"{prefix}MPJPE_mm"].append(float(np.linalg.norm(a - b, axis=-1).mean() * 1000))
                apart = np.diff(other, axis=0) - np.diff(real, axis=0)
                rows[f"{prefix}velocity_mm"].append(float(np.linalg.norm(apart, axis=-1).mean() * 1000))
        return {name: float(np.mean(values)) for name, values in rows.items()}

    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        denoiser = cast(Denoiser, network).cpu()
        config, folder = denoiser.config, models / "decoder_window"
        positions = config.positions
        inputs = {
            "semantic": torch.randint(0, self.tokenizer.config.semantic_codes, (2, positions)),
            "detail": torch.randint(0, self.tokenizer.config.detail_codes, (2, positions)),
            "valid": torch.ones(2, positions),
            "history": torch.randn(2, config.history, config.latent),
            "history_mask": torch.ones(2, config.history),
            "noise": torch.randn(2, positions, config.latent),
        }
        export_onnx(
            WindowSampler(denoiser, self.tokenizer, self.vae), inputs, ["motion", "latents"], folder, dynamic={},
            tolerance=5e-2, int8=True,
        )  # fmt: skip
        compact(folder / "1" / "model.onnx")
        write_card(
            folder, "decoder_window",
            f"One window of the latent diffusion decoder: {config.steps} DDIM steps and the causal VAE decoder.",
            f"decoder/{self.recipe.preset}", metrics, stored="int8 with a scale for each output",
        )  # fmt: skip
        return [folder]


def decode_windows(
    sampler: WindowSampler, semantic: Tensor, detail: Tensor, seed: int, keep: int = 8
) -> np.ndarray:
    """Plan tokens at latent rate [L] -> raw hml263 [4L,263], window after window as the service does it: ``keep`` new
    latents of each window are emitted, the rest were lookahead."""
    config = sampler.denoiser.config
    length = len(detail)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(length + config.positions, config.latent, generator=generator)
    emitted = torch.zeros(0, config.latent)
    frames = []
    for start in range(0, length, keep):
        at = torch.arange(start - config.history, start + config.new)
        inside = ((at >= 0) & (at < length)).float()[None]
        at = at.clamp(0, length - 1)
        past = torch.cat([torch.zeros(config.history, config.latent), emitted])[-config.history :]
        motion, latents = sampler(
            semantic[at][None], detail[at][None], inside, past[None], inside[:, : config.history],
            noise[start : start + config.positions][None],
        )  # fmt: skip
        last = start + config.new >= length
        count = length - start if last else keep
        frames.append(motion[0, : 4 * count])
        emitted = torch.cat([emitted, latents[0, :count]])
        if last:
            break
    return torch.cat(frames).detach().numpy()

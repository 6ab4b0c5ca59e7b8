"""The training loop every stage runs in: optimiser, EMA, progress, curves, checkpoints that resume exactly.

A batch is a function of (seed, step) alone, so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from services.trainer.recipes import Recipe


class TrainingStage(ABC):
    """What a stage adds to the loop: a network, a loss on the batch of a step, an evaluation and an export."""

    recipe: Recipe
    network: nn.Module
    device: torch.device

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        wanted = recipe.device
        self.device = torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")

    @abstractmethod
    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        """Loss on the batch that (seed, step) determines, and what to plot beside it."""

    @abstractmethod
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Figures on the validation split."""

    @abstractmethod
    def export(self, network: nn.Module, models: Path, metrics: dict[str, float]) -> list[Path]:
        """Write the frozen network into the model repository ``models``; returns the folders written."""

    def parameters(self) -> list[nn.Parameter]:
        return [p for p in self.network.parameters() if p.requires_grad]


class Trainer:
    """Runs a stage under ``run_dir``: checkpoint.pt, metrics.jsonl and TensorBoard's events live there."""

    def __init__(self, stage: TrainingStage, run_dir: Path) -> None:
        self.stage, self.recipe, self.run_dir = stage, stage.recipe, run_dir
        run_dir.mkdir(parents=True, exist_ok=True)
        stage.network.to(stage.device)
        optimizer = self.recipe.optimizer
        self.optimizer = torch.optim.AdamW(
            stage.parameters(), lr=optimizer.lr, weight_decay=optimizer.weight_decay, betas=optimizer.betas
        )
        self.step = 0
        self.seconds = 0.0
        # Frozen weights (a language model under an adapter) are neither averaged nor saved.
        frozen = {name for name, p in stage.network.named_parameters() if not p.requires_grad}
        self.kept = [name for name in stage.network.state_dict() if name not in frozen]
        self.ema = {name: value.clone() for name, value in self.weights().items()}
        if self.checkpoint.exists():
            self.load()

    @property
    def checkpoint(self) -> Path:
        return self.run_dir / "checkpoint.pt"

    def weights(self) -> dict[str, Tensor]:
        """What training changes: trainable parameters and buffers."""
        state = self.stage.network.state_dict()
        return {name: state[name].detach() for name in self.kept}

    def rate(self) -> float:
        """Learning rate of the current step."""
        optimizer, steps = self.recipe.optimizer, self.recipe.budget.steps
        if self.step < optimizer.warmup:
            return optimizer.lr * (self.step + 1) / optimizer.warmup
        done = (self.step - optimizer.warmup) / max(1, steps - optimizer.warmup)
        return optimizer.lr * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))

    def save(self) -> None:
        """Write the checkpoint, replacing the old one only when the new one is whole."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "network": self.weights(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)

    def load(self) -> None:
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        self.stage.network.load_state_dict(state["network"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema = {name: value.to(self.stage.device) for name, value in state["ema"].items()}
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        torch.set_rng_state(state["random"])

    def update_ema(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        for name, value in self.weights().items():
            if value.dtype.is_floating_point:
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)

    def run(self, *, stop_after: int | None = None) -> dict[str, float]:
        """Train to the recipe's budget (or for ``stop_after`` more steps), resuming if there is a checkpoint; returns
        the last evaluation's figures."""
        budget, metrics = self.recipe.budget, dict[str, float]()
        end = budget.steps if stop_after is None else min(budget.steps, self.step + stop_after)
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        writer = SummaryWriter(str(self.run_dir))
        with Progress(*columns, refresh_per_second=2) as progress:
            task = progress.add_task(self.recipe.name, total=budget.steps, completed=self.step, note="")
            while self.step < end:
                started = time.perf_counter()
                loss, notes = self.train_step()
                self.seconds += time.perf_counter() - started
                self.step += 1
                if self.step % 20 == 0 or self.step == end:
                    for name, value in {"loss": loss, **notes}.items():
                        writer.add_scalar(f"train/{name}", value, self.step)
                    self.log({"step": self.step, "seconds": self.seconds, "loss": loss, **notes})
                progress.update(task, completed=self.step, note=f"loss {loss:.4f}")
                if self.step % budget.every == 0 or self.step == end:
                    metrics = self.evaluate()
                    for name, value in metrics.items():
                        writer.add_scalar(f"val/{name}", value, self.step)
                    self.log(
                        {
                            "step": self.step,
                            "seconds": self.seconds,
                            **{f"val/{k}": v for k, v in metrics.items()},
                        }
                    )
                    progress.console.print(
                        f"step {self.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items())
                    )
                    self.save()
        writer.close()
        return metrics

    def train_step(self) -> tuple[float, dict[str, float]]:
        """One update; seeds torch from (seed, step) so that noise and dropout repeat on resuming."""
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        self.stage.network.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        loss, notes = self.stage.loss(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.stage.parameters(), self.recipe.optimizer.clip)
        self.optimizer.step()
        self.update_ema()
        return float(loss.detach()), notes

    def averaged(self) -> nn.Module:
        """The network with the EMA's weights, in evaluation mode (the live weights are put back by ``restore``)."""
        self._live = {name: value.clone() for name, value in self.weights().items()}
        self.stage.network.load_state_dict(self.ema, strict=False)
        return self.stage.network.eval()

    def restore(self) -> None:
        self.stage.network.load_state_dict(self._live, strict=False)

    def evaluate(self) -> dict[str, float]:
        network = self.averaged()
        with torch.no_grad():
            metrics = self.stage.evaluate(network)
        self.restore()
        return metrics

    def export(self, models: Path) -> list[Path]:
        """Export the averaged weights into the model repository."""
        network = self.averaged()
        with torch.no_grad():
            metrics = self.stage.evaluate(network)
            folders = self.stage.export(
                network, models, {**metrics, "steps": self.step, "seconds": self.seconds}
            )
        self.restore()
        return folders

    def log(self, row: dict[str, float]) -> None:
        with (self.run_dir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({k: round(v, 6) for k, v in row.items()}) + "\n")

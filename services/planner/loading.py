"""From settings to a planner that can write: vocabulary, engine, projectors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from services.planner.engines.base import LanguageModel
from services.planner.prompts import Projector, Prompter
from services.planner.settings import PlannerSettings
from services.planner.vocabulary import Vocabulary


@dataclass(frozen=True)
class ModelFile:
    """A file of weights that is served: its model's name, version folder and SHA-256."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True)
class Planner:
    """A language model and what belongs to it. ``title``: its name for users."""

    title: str
    vocabulary: Vocabulary
    model: LanguageModel
    prompter: Prompter
    files: tuple[ModelFile, ...]


def load_planner(settings: PlannerSettings) -> Planner:
    """Load what ``settings`` name.

    Raises FileNotFoundError naming the file that is missing, FormatError for files that are not a planner's.
    """
    given = Path(settings.model)
    # A name lies in the repository; anything else is a folder of Hugging Face files, a model of the repository or not.
    base = settings.models / settings.model if len(given.parts) == 1 else given
    folder = base / "hf" if (base / "hf").is_dir() else base
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: there is no planner {settings.model!r}")
    vocabulary = Vocabulary(folder / "tokenizer.json")
    model = _engine(settings, base, folder)
    sides = {kind: _beside(base, kind) / "1" / "model.onnx" for kind in ("prefix", "motion")}
    prefix, motion = (Projector(path) if path.is_file() else None for path in sides.values())
    weights = [base / "1" / "model.onnx", _beside(base, "embed") / "1" / "model.onnx", *sides.values()]
    if settings.engine == "transformers":
        weights = [folder / "model.safetensors", *sides.values()]
    files = tuple(_describe(path, base.name) for path in weights if path.is_file())
    return Planner(base.name, vocabulary, model, Prompter(vocabulary, model, prefix, motion), files)


def _beside(base: Path, kind: str) -> Path:
    """The folder of one of a planner's small graphs."""
    return base.with_name(f"{base.name}_{kind}")


def _engine(settings: PlannerSettings, base: Path, folder: Path) -> LanguageModel:
    # Each engine's library is imported only when it is chosen.
    if settings.engine == "transformers":
        from services.planner.engines.transformers import TransformersLanguageModel

        return TransformersLanguageModel(folder, threads=settings.threads, max_rows=settings.max_rows)
    from services.planner.engines.onnx import OnnxLanguageModel

    return OnnxLanguageModel(
        base / "1" / "model.onnx",
        _beside(base, "embed") / "1" / "model.onnx",
        threads=settings.threads,
        max_rows=settings.max_rows,
    )


def _describe(path: Path, fallback: str) -> ModelFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    versioned = path.parent.name.isdigit()
    return ModelFile(
        path.parent.parent.name if versioned else fallback, path.parent.name if versioned else "", digest
    )

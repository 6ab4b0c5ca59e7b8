"""Every stage trains, resumes exactly and exports what serving can load; recipes are checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinesphere.errors import InputError

torch = pytest.importorskip("torch")
import onnxruntime as ort  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from services.trainer.planner_import import read_planner  # noqa: E402
from services.trainer.recipes import Recipe, load_recipe  # noqa: E402
from services.trainer.run import train  # noqa: E402
from tests.services.trainer.synthetic import write_dataset  # noqa: E402

pytestmark = pytest.mark.train
STAGES = ("evaluator", "tokenizer", "vae", "decoder", "sft")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a synthetic data set in which every tiny recipe has been trained and exported."""
    folder = tmp_path_factory.mktemp("training")
    write_dataset(folder / ".data" / "kinesphere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in STAGES:
            train(load_recipe(f"{stage}/tiny"), threads=1)
    return folder


@pytest.mark.parametrize(
    "name",
    ["evaluator_motion", "evaluator_text", "tokenizer_encode", "tokenizer_decode", "embed_motion", "embed_text",
     "vae_encode", "decoder_window", "planner_compact", "planner_compact_embed", "planner_compact_prefix",
     "planner_compact_motion"],
)  # fmt: skip
def test_every_stage_exports_graphs_that_load(workplace: Path, name: str) -> None:
    session = ort.InferenceSession(str(workplace / "models" / name / "1" / "model.onnx"))
    assert session.get_inputs()


def test_tokens_decode_to_motion_of_the_same_length(workplace: Path) -> None:
    models = workplace / "models"
    encode = ort.InferenceSession(str(models / "tokenizer_encode" / "1" / "model.onnx"))
    decode = ort.InferenceSession(str(models / "tokenizer_decode" / "1" / "model.onnx"))
    motion = np.load(workplace / ".data" / "kinesphere" / "hml263.npy")[None, :48]
    semantic, detail, _, _ = encode.run(None, {"motion": motion})
    assert semantic.shape == (1, 3)
    assert detail.shape == (1, 12)
    (rebuilt,) = decode.run(None, {"semantic": semantic, "detail": detail})
    assert rebuilt.shape == motion.shape


def test_the_motion_tower_ignores_padding(workplace: Path) -> None:
    tower = ort.InferenceSession(str(workplace / "models" / "evaluator_motion" / "1" / "model.onnx"))
    motion = np.load(workplace / ".data" / "kinesphere" / "hml263.npy")[None, :32]
    padded = np.concatenate([motion, np.full_like(motion, 7.0)], axis=1)
    lengths = np.array([32])
    (alone,) = tower.run(None, {"motion": motion, "lengths": lengths})
    (with_padding,) = tower.run(None, {"motion": padded, "lengths": lengths})
    np.testing.assert_allclose(alone, with_padding, atol=1e-4)


def test_the_window_graph_obeys_its_seed_and_its_history(workplace: Path) -> None:
    window = ort.InferenceSession(str(workplace / "models" / "decoder_window" / "1" / "model.onnx"))
    rng = np.random.default_rng(0)
    inputs = {
        "semantic": rng.integers(0, 512, (1, 20)), "detail": rng.integers(0, 512, (1, 20)),
        "valid": np.ones((1, 20), np.float32), "history": rng.normal(size=(1, 8, 32)).astype(np.float32),
        "history_mask": np.ones((1, 8), np.float32), "noise": rng.normal(size=(1, 20, 32)).astype(np.float32),
    }  # fmt: skip
    motion, latents = window.run(None, inputs)
    assert motion.shape == (1, 48, 263)
    assert latents.shape == (1, 12, 32)
    np.testing.assert_array_equal(window.run(None, inputs)[0], motion)
    other = window.run(None, {**inputs, "noise": -inputs["noise"]})[1]
    assert np.abs(other - latents).max() > 1e-3
    forgotten = window.run(None, {**inputs, "history_mask": np.zeros((1, 8), np.float32)})[1]
    assert np.abs(forgotten - latents).max() > 1e-6


def test_a_card_names_data_terms_and_hashes(workplace: Path) -> None:
    folder = workplace / "models" / "tokenizer_encode"
    card = json.loads((folder / "card.json").read_text())
    assert "1/model.onnx" in card["sha256"]
    assert "CC BY-NC" in (folder / "README.md").read_text()


def test_a_stopped_run_goes_on_as_if_it_had_not_been(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    budget = {"steps": 6, "batch": 8, "every": 3}
    recipe = load_recipe("vae/tiny").model_dump() | {"budget": budget}
    whole = Recipe.model_validate(recipe | {"name": "whole"})
    halves = Recipe.model_validate(recipe | {"name": "halves"})
    train(whole, export=False, threads=1)
    train(halves, export=False, steps=3, threads=1)
    train(halves, export=False, threads=1)
    a, b = (
        torch.load(Path("runs") / name / "checkpoint.pt", weights_only=True)["ema"]
        for name in ("whole", "halves")
    )
    for key in a:
        torch.testing.assert_close(a[key], b[key], rtol=0, atol=0)


def test_a_planner_is_trained_on_from_what_was_exported(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    model, _, projectors = read_planner(Path("models"), "planner_compact")
    saved = load_file(workplace / "models" / "planner_compact" / "hf" / "model.safetensors")
    read = model.state_dict()
    assert set(saved) <= set(read)
    for key, value in saved.items():
        torch.testing.assert_close(read[key].half(), value, rtol=0, atol=0)
    run = torch.load(Path("runs") / "sft_tiny" / "checkpoint.pt", weights_only=True)["ema"]
    for part, state in projectors.items():
        for key, value in state.items():
            torch.testing.assert_close(run[f"{part}.{key}"], value, rtol=1e-3, atol=1e-4)
    recipe = load_recipe("sft/tiny").model_dump()
    options = recipe["options"] | {"init": "planner_compact", "name": "planner_again"}
    again = Recipe.model_validate(recipe | {"name": "sft_again", "options": options, "network": {}})
    train(again, steps=1, threads=1)
    assert ort.InferenceSession(str(Path("models") / "planner_again" / "1" / "model.onnx")).get_inputs()
    with pytest.raises(InputError, match=r"recipe.options.init.*nobody"):
        train(Recipe.model_validate(again.model_dump() | {"options": options | {"init": "nobody"}}))


def test_the_loss_falls(workplace: Path) -> None:
    rows = [
        json.loads(r)
        for r in (workplace / "runs" / "tokenizer_tiny" / "metrics.jsonl").read_text().splitlines()
    ]
    losses = [r["reconstruction"] for r in rows if "reconstruction" in r]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("stage: dance\npreset: tiny\nname: x\nbudget: {steps: 1, batch: 1}", "recipe.stage"),
        ("stage: vae\npreset: tiny\nname: x\nbudget: {steps: 0, batch: 1}", "recipe.budget.steps"),
        ("stage: vae\npreset: tiny\nname: x\nbudget: {steps: 1, batch: 1}\nlearning: 1", "recipe.learning"),
        ("stage: [", "recipe"),
    ],
)
def test_a_bad_recipe_is_refused_by_field(tmp_path: Path, text: str, field: str) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_recipe(file)
    assert caught.value.field == field


def test_an_unknown_size_is_refused(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    recipe = Recipe.model_validate(load_recipe("vae/tiny").model_dump() | {"network": {"depth": 3}})
    with pytest.raises(InputError, match="recipe.network.depth"):
        train(recipe, export=False)

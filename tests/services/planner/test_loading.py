"""Planners by name and by path: the shipped kind, and any causal language model of Hugging Face."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from services.planner.batching import Batcher
from services.planner.generation import Block, CaptionWriter, Ended, Words
from services.planner.loading import Planner, load_planner
from services.planner.planning import PlanMaker, PlanRequest
from services.planner.sampling import Sampler
from services.planner.settings import PlannerSettings

from .conftest import make_hf


async def plan(planner: Planner, **fields: object) -> list[object]:
    request = {
        "text": "a person waves", "seconds": 2.4, "seed": 1, "temperature": 1.0, "top_p": 0.9, "thinking": True,
    } | fields  # fmt: skip
    async with Batcher(planner.model) as batcher:
        maker = PlanMaker(planner, batcher, encoder=None, max_blocks=2, max_thought=5)
        return [event async for event in maker.plan(PlanRequest(**request))]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "gpt2"])
async def test_any_causal_language_model_loads_by_path(kind: str, tmp_path: Path) -> None:
    folder = make_hf(tmp_path / "mine", kind)
    planner = load_planner(PlannerSettings(model=str(folder), engine="transformers", threads=1))
    assert planner.title == "mine"
    assert planner.model.name == "transformers"
    assert [len(file.sha256) for file in planner.files] == [64]
    events = await plan(planner)
    assert isinstance(events[0], Words)
    assert sum(isinstance(event, Block) for event in events) == 3  # in two passes
    assert isinstance(events[-1], Ended)
    assert events == await plan(planner)
    assert events != await plan(planner, seed=2)


async def test_without_a_projector_captions_read_codes(hf_dir: Path) -> None:
    planner = load_planner(PlannerSettings(model=str(hf_dir), engine="transformers", threads=1))
    assert planner.prompter.wants_codes
    prompt = planner.prompter.caption(blocks=[Block(3, (1, 2, 3, 4)), Block(5, (6, 7, 8, 9))])
    assert prompt.shape == (13, planner.model.width)
    async with Batcher(planner.model) as batcher:
        events = [
            event
            async for event in batcher.write(
                prompt, CaptionWriter(planner.vocabulary, max_tokens=4), Sampler()
            )
        ]
    assert isinstance(events[-1], Ended)


def test_both_engines_serve_the_same_planner(models_dir: Path) -> None:
    one, other = (
        load_planner(PlannerSettings(models=models_dir, engine=e, threads=1))
        for e in ("onnx", "transformers")
    )
    assert one.title == other.title == "planner_compact"
    prompt = one.prompter.plan("a person jumps", features=np.ones((4, 384), np.float32), blocks=3)
    np.testing.assert_allclose(
        prompt,
        other.prompter.plan("a person jumps", features=np.ones((4, 384), np.float32), blocks=3),
        atol=1e-5,
    )
    np.testing.assert_allclose(one.model.prefill(prompt)[1], other.model.prefill(prompt)[1], atol=2e-3)


def test_a_later_pass_is_told_thought_and_blocks(models_dir: Path) -> None:
    planner = load_planner(PlannerSettings(models=models_dir, threads=1))
    v, model = planner.vocabulary, planner.model
    begun = [Block(3, (1, 2, 3, 4))]
    prompt = planner.prompter.plan("jump", blocks=4, thinking=False, thought="Jump up.", begun=begun)
    ids = [
        v.bos, v.text_to_motion, *v.encode("jump"), v.length, int(v.lengths[3]),
        v.think, *v.encode("Jump up."), v.think_end, v.answer, *v.block_ids(3, (1, 2, 3, 4)),
    ]  # fmt: skip
    np.testing.assert_array_equal(prompt, model.embed(ids))


def test_what_is_missing_is_named(models_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no planner 'nobody'"):
        load_planner(PlannerSettings(models=models_dir, model="nobody"))
    with pytest.raises(FileNotFoundError, match="model.onnx"):
        load_planner(PlannerSettings(models=models_dir, model=str(models_dir / "planner_compact" / "hf")))
    # As shipped: configuration and tokenizer, the weights only as ONNX.
    shipped = tmp_path / "planner_compact"
    shutil.copytree(models_dir / "planner_compact", shipped)
    (shipped / "hf" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"hf holds no weights .*KINESPHERE_PLANNER_ENGINE=onnx"):
        load_planner(PlannerSettings(models=tmp_path, engine="transformers"))
    for side in ("embed", "prefix", "motion"):
        shutil.copytree(models_dir / f"planner_compact_{side}", tmp_path / f"planner_compact_{side}")
    assert load_planner(PlannerSettings(models=tmp_path)).model.name == "onnxruntime"

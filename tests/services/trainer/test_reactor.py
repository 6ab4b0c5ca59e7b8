"""The reactor's stages train on little data and export graphs that load; what a module may change, and what not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
import onnxruntime as ort  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from kinesphere import rotations as rot  # noqa: E402
from kinesphere.reaction import rollout  # noqa: E402
from kinesphere.reaction.features import partner_window  # noqa: E402
from kinesphere.reaction.rolling import Rollout  # noqa: E402
from kinesphere.reaction.rollout import Surroundings  # noqa: E402
from kinesphere.representations import primitive276  # noqa: E402
from kinesphere.representations.primitive276 import Frame  # noqa: E402
from services.trainer import primitives  # noqa: E402
from services.trainer.networks.interaction import (  # noqa: E402
    InteractionConfig,
    MetaInteraction,
    Mixer,
    clamped,
    partner_module,
    scene_module,
)
from services.trainer.networks.prior import Prior, PriorConfig, Sampler  # noqa: E402
from services.trainer.networks.refinement import Refinement, RefinementConfig  # noqa: E402
from services.trainer.reaction_data import ReactionData, partner_inputs  # noqa: E402
from services.trainer.reactor_graphs import (  # noqa: E402
    REFINE_INPUTS,
    SEGMENT_INPUTS,
    example_inputs,
    export_untrained,
)
from services.trainer.recipes import Recipe, load_recipe  # noqa: E402
from services.trainer.run import train  # noqa: E402
from tests.services.trainer.synthetic import swinging_motion, write_dataset, write_reactions  # noqa: E402

pytestmark = pytest.mark.train
TINY = InteractionConfig(width=16, heads=2, layers=1)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every tiny recipe of the reactor has been trained and exported, one after the other."""
    folder = tmp_path_factory.mktemp("reactor")
    write_dataset(folder / ".data" / "kinesphere")
    write_reactions(folder / ".data" / "reactions")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in ("prior_vae", "prior", "hhi", "hsi", "fwsr"):
            train(load_recipe(f"{stage}/tiny"), threads=1)
    return folder


def session(models: Path, name: str) -> rollout.Graph:
    graph = ort.InferenceSession(str(models / name / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    outputs = [o.name for o in graph.get_outputs()]
    return lambda inputs: dict(zip(outputs, graph.run(None, dict(inputs)), strict=True))


def given(names: tuple[str, ...], batch: int = 3) -> dict[str, np.ndarray]:
    torch.manual_seed(5)
    return {name: value.numpy() for name, value in example_inputs(batch).items() if name in names}


def test_the_exported_graphs_go_on_from_a_body_that_walks(workplace: Path) -> None:
    models = workplace / "models"
    motion = swinging_motion(20, "left", 1.0, np.random.default_rng(0))
    rows = rollout.rows_of(motion.translation, motion.rotations)
    graphs = session(models, "reactor_segment"), session(models, "reactor_refine")
    around = Surroundings(partner=np.repeat(motion.positions, 3, axis=0) + np.float32(1.5))
    made = Rollout(*graphs, mode="refine").run(rows, 20, around, seed=1)
    again = Rollout(*graphs, mode="refine").run(rows, 20, around, seed=1)
    np.testing.assert_array_equal(made, again)
    # Twenty steps teach it at least not to jump.
    steps = np.linalg.norm(np.diff(rollout.poses(made).positions[18:], axis=0), axis=-1)
    assert steps.max() < 0.3


def test_without_weight_or_without_anything_in_sight_only_the_prior_speaks(workplace: Path) -> None:
    segment = session(workplace / "models", "reactor_segment")
    inputs = given(SEGMENT_INPUTS)
    watched = segment(inputs)["latent"]
    alone = segment(inputs | {"alpha": np.zeros((3, 2), np.float32)})["latent"]
    assert np.abs(watched - alone).max() > 1e-6
    nothing = {
        "partner_mask": np.zeros((3, 10), np.float32),
        "occupancy": np.zeros((3, 24, 12, 24), np.float32),
        "goal": np.zeros((3, 4), np.float32),
    }
    np.testing.assert_allclose(segment(inputs | nothing)["latent"], alone, atol=1e-6)


def test_a_refinement_without_weight_keeps_the_segment(workplace: Path) -> None:
    segment, refine = (session(workplace / "models", f"reactor_{name}") for name in ("segment", "refine"))
    inputs = given(SEGMENT_INPUTS)
    planned = segment(inputs)
    more = given(REFINE_INPUTS) | {"start": inputs["history"], "latent": planned["latent"]}
    kept = refine(more | {"alpha": np.zeros((3, 2), np.float32)})["future"]
    np.testing.assert_allclose(kept, planned["future"], atol=1e-4)
    assert np.abs(refine(more)["future"] - kept).max() > 1e-6


def test_random_weights_can_be_served(tmp_path: Path) -> None:
    export_untrained(tmp_path)
    segment = session(tmp_path, "reactor_segment")
    inputs = given(SEGMENT_INPUTS)
    inputs["history"][:, 0] = inputs["history"][:, 1]
    future = segment(inputs)["future"]
    assert np.abs(future - inputs["history"][:, 1:]).max() < 0.05
    assert np.abs(segment(inputs | {"partner": -inputs["partner"]})["future"] - future).max() > 1e-5


def _latent(prior: Prior, modules: list[MetaInteraction], alpha: float, clamp: float = 1.0) -> Tensor:
    torch.manual_seed(1)
    example = example_inputs()
    observations = ((example["partner"], example["partner_mask"]), (example["occupancy"], example["goal"]))
    observed = [
        (m, m.observe(example["history"], *seen)) for m, seen in zip(modules, observations, strict=True)
    ]
    mixer = Mixer(observed, torch.full((2, 2), alpha), clamp)
    latent: Tensor = Sampler(prior)(example["history"], example["text"], example["noise"], mixer)
    return latent


def test_an_untrained_module_changes_nothing_and_a_trained_one_is_clamped() -> None:
    torch.manual_seed(0)
    prior = Prior(PriorConfig(32, 32, 2, steps=2)).eval()
    modules = [make(TINY, 32, 2).eval() for make in (partner_module, scene_module)]
    with torch.no_grad():
        untrained = _latent(prior, modules, 1.0)
        torch.testing.assert_close(untrained, _latent(prior, modules, 0.0), rtol=0, atol=0)
        for module in modules:
            nn.init.normal_(module.film.weight)
        mixed = _latent(prior, modules, 1.0)
        assert (mixed - untrained).abs().max() > 1e-3
        # Where nothing may be added, even a loud module is not heard.
        torch.testing.assert_close(_latent(prior, modules, 1.0, clamp=0.0), untrained, rtol=0, atol=0)


def test_the_clamp_shortens_what_is_too_long_and_leaves_the_rest() -> None:
    h = torch.tensor([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0]])
    delta = torch.tensor([[6.0, 8.0], [0.3, 0.4], [0.0, 0.0]])
    expected = torch.tensor([[1.5, 2.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(clamped(delta, h, 0.5), expected)


def test_the_clamp_holds_for_both_modules_together() -> None:
    torch.manual_seed(0)
    h = torch.randn(4, 32)
    modules = [make(TINY, 32, 1).eval() for make in (partner_module, scene_module)]
    example = example_inputs(4)
    observations = ((example["partner"], example["partner_mask"]), (example["occupancy"], example["goal"]))
    for module in modules:
        nn.init.normal_(module.film.weight, std=10.0)
    observed = [(m, m.observe(example["history"], *o)) for m, o in zip(modules, observations, strict=True)]
    delta = Mixer(observed, torch.ones(4, 2), 0.7)(0, h)
    torch.testing.assert_close(delta.norm(dim=1), 0.7 * h.norm(dim=1), rtol=1e-4, atol=1e-5)


def test_an_untrained_refinement_changes_nothing() -> None:
    network = Refinement(RefinementConfig(32, TINY)).eval()
    example = example_inputs()
    names = ("latent", "history", "frame", "partner", "partner_mask", "occupancy", "goal", "alpha")
    arguments = [example[name] for name in names]
    with torch.no_grad():
        torch.testing.assert_close(network(*arguments), example["latent"], rtol=0, atol=0)


def _torch_poses(frames: int) -> tuple[Tensor, Tensor, np.ndarray]:
    rng = np.random.default_rng(2)
    motion = swinging_motion(frames, "right", 0.8, rng)
    rows = rollout.rows_of(motion.translation + np.float32(1.0), motion.rotations)
    joints = torch.from_numpy(motion.positions + np.float32(1.0))[None]
    return joints, torch.from_numpy(rot.to_6d(motion.rotations))[None], rows


def test_training_cuts_the_segments_that_serving_cuts() -> None:
    joints, six, rows = _torch_poses(20)
    history, future = primitives.cut(joints, six, 1)
    expected, frame = rollout.segment_history(rows[:10])
    np.testing.assert_allclose(history[0, 0], expected[0], atol=1e-5)
    np.testing.assert_allclose(future[0], primitive276.to_canonical(rows[10:18], frame), atol=1e-5)
    # The next segment's history, from what a network made of this one.
    made = future + 0.02 * torch.randn(future.shape, generator=torch.Generator().manual_seed(0))
    following, inner = primitives.following_history(made)
    expected, after = rollout.segment_history(rollout.emit(made[0].numpy(), frame))
    np.testing.assert_allclose(following[0], expected, atol=1e-4)
    world = primitives.nested(primitives.floor_frames(joints[:, 8]), inner)
    np.testing.assert_allclose(world.axes[0], after.axes, atol=1e-5)
    np.testing.assert_allclose(world.origin[0], after.origin, atol=1e-5)


def test_a_body_that_is_off_is_led_back_without_a_jump() -> None:
    joints, six, _ = _torch_poses(11)
    frames = primitives.floor_frames(joints[:, 0])
    recorded = primitives.encode(joints, six, frames)
    same = primitives.encode_towards(joints, six, frames, frames, 1.0)
    torch.testing.assert_close(same, recorded[:, 2:], rtol=0, atol=1e-5)
    yaw = torch.from_numpy(rot.to_matrix(rot.about_y(np.array([0.3]))).astype(np.float32))
    own = primitives.Frames(yaw @ frames.axes, frames.origin + torch.tensor([[0.2, 0.0, -0.1]]))
    led = primitives.encode_towards(joints, six, frames, own, 1.0)
    # At first it goes on as recorded; in the ninth frame, which the last row's step leads to, it is where it was to be.
    near = primitives.encode(joints, six, own)[:, 2:]
    assert (led[0, 0, :3] - recorded[0, 2, :3]).norm() < 0.06
    torch.testing.assert_close(led[0, 7, :3], near[0, 7, :3], rtol=0, atol=1e-3)


def test_training_sees_a_partner_as_serving_does(workplace: Path) -> None:
    data = ReactionData(workplace / ".data" / "reactions", "train", "hhi")
    sample = data.samples[0]
    assert sample.partner is not None
    batch = data.stretch([sample, sample], [3, 20], 11, np.zeros(2, dtype=bool))
    frames = primitives.floor_frames(batch.joints[:, 0])
    features, mask = partner_inputs(batch, frames, 5, torch.tensor([0, 4]))
    for row, (newest, late) in enumerate(((8, 0), (25, 4))):
        frame = Frame(frames.axes[row].double().numpy(), frames.origin[row].double().numpy())
        seen = sample.partner[: newest + 1 - late]
        expected, expected_mask = rollout.late_window(frame, seen, late)
        np.testing.assert_array_equal(mask[row], expected_mask)
        np.testing.assert_allclose(features[row], expected, atol=2e-4)
    assert partner_window(frame, seen, 20.0)[1].sum() == 10


@pytest.mark.parametrize("kind", ["joint", "none"])
def test_an_ablation_teaches_the_prior_along(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(workplace)
    recipe = load_recipe("hhi/tiny")
    changed = {
        "name": f"hhi_{kind}",
        "options": {**recipe.options, "prior": kind},
        "budget": {"steps": 3, "batch": 4},
    }
    train(Recipe.model_validate(recipe.model_dump() | changed), export=False, threads=1)
    learnt = torch.load(Path("runs") / f"hhi_{kind}" / "checkpoint.pt", weights_only=True)["network"]
    assert any(name.startswith("prior.blocks") for name in learnt)
    frozen = torch.load(Path("runs") / "hhi_tiny" / "checkpoint.pt", weights_only=True)["network"]
    assert not any(name.startswith("prior.blocks") for name in frozen)

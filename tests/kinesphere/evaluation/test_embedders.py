"""The shipped evaluator: its embeddings do not depend on the company they are made in, and mean something."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinesphere.errors import InputError
from kinesphere.evaluation.embedders import OnnxEvaluator
from kinesphere.representations import hml263
from kinesphere.skeleton import SMPL22, FloatArray

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture(scope="module")
def evaluator() -> OnnxEvaluator:
    if not (MODELS / "evaluator_motion").is_dir():
        pytest.skip("no evaluator is shipped here")
    return OnnxEvaluator(MODELS, threads=1)


def gliding(frames: int, speed: float, turn: float = 0.0) -> FloatArray:
    """The rest pose carried over the floor: metres a second forward, degrees a second to the left."""
    time = np.arange(frames + 1) / 20
    heading = np.radians(turn) * time
    step = speed / 20 * np.stack([np.sin(heading), 0 * time, np.cos(heading)], axis=1)
    rest = SMPL22.rest_positions().astype(np.float64)
    rest[:, 1] -= rest[:, 1].min()
    cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
    turned = np.stack(
        [
            cos * rest[:, 0] + sin * rest[:, 2],
            np.tile(rest[:, 1], (len(time), 1)),
            cos * rest[:, 2] - sin * rest[:, 0],
        ],
        axis=-1,
    )
    positions = turned + (np.cumsum(step, axis=0) - step)[:, None]
    return hml263.encode(positions, retarget=False).astype(np.float32)


def test_motions_are_embedded_alike_alone_and_beside_longer_ones(evaluator: OnnxEvaluator) -> None:
    motions = [gliding(32 + 8 * i, 0.2 * i, 10 * i) for i in range(12)]
    together = evaluator.motions(motions)
    assert together.shape == (12, 256)
    alone = np.concatenate([evaluator.motions([motion]) for motion in motions])
    np.testing.assert_allclose(together, alone, atol=2e-4)
    backwards = evaluator.motions(motions[::-1])[::-1]
    np.testing.assert_allclose(together, backwards, atol=2e-4)


def test_texts_keep_their_order(evaluator: OnnxEvaluator) -> None:
    texts = [
        "a person walks forward and then turns left",
        "bow",
        "someone waves with the right hand",
        "he runs",
    ] * 10
    together = evaluator.texts(texts)
    assert together.shape == (40, 256)
    # int8 weights with scales taken from each batch: near, not equal.
    alone = np.concatenate([evaluator.texts([text]) for text in texts[:4]])
    np.testing.assert_allclose(np.linalg.norm(together[:4] - alone, axis=1), 0, atol=0.2)
    np.testing.assert_allclose(together[:4], together[4:8], atol=1e-5)


def test_what_a_motion_does_is_nearest_to_what_says_so(evaluator: OnnxEvaluator) -> None:
    motions = evaluator.motions([gliding(96, 0.0), gliding(96, 1.2), gliding(96, 1.0, 25)])
    texts = evaluator.texts(
        ["a person stands still", "a person walks forward", "a person walks forward and turns left"]
    )
    distances = np.linalg.norm(motions[:, None] - texts[None], axis=-1)
    np.testing.assert_array_equal(distances.argmin(axis=1), [0, 1, 2])


def test_nothing_to_embed_and_missing_models_are_refused(evaluator: OnnxEvaluator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to embed"):
        evaluator.motions([])
    with pytest.raises(InputError, match="evaluator_motion has no VERSION/model.onnx"):
        OnnxEvaluator(tmp_path)


def test_the_newest_version_is_taken(evaluator: OnnxEvaluator, tmp_path: Path) -> None:
    for name in ("evaluator_motion", "evaluator_text"):
        (tmp_path / name / "2").mkdir(parents=True)
        (tmp_path / name / "2" / "model.onnx").write_bytes(b"not a model")
        (tmp_path / name / "10").mkdir()
        (tmp_path / name / "10" / "model.onnx").symlink_to(MODELS / name / "1" / "model.onnx")
    found = OnnxEvaluator(tmp_path, threads=1).motions([gliding(32, 1.0)])
    np.testing.assert_allclose(found, evaluator.motions([gliding(32, 1.0)]), atol=1e-6)

"""Properties of the metrics that hold without reference values."""

from __future__ import annotations

import numpy as np
import pytest

from kinesphere.errors import InputError
from kinesphere.metrics import physics, prediction, t2m
from kinesphere.metrics.caption import caption_scores, normalised
from kinesphere.metrics.reconstruction import procrustes, reconstruction

RNG = np.random.default_rng(0)


def cloud(
    count: int = 320, width: int = 8, seed: int = 0
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=(count, width))


def test_perfect_retrieval_and_chance() -> None:
    same = cloud()
    precision, distance = t2m.retrieval(same, same)
    assert precision == (1.0, 1.0, 1.0)
    assert distance == pytest.approx(0, abs=1e-6)
    precision, _ = t2m.retrieval(cloud(6400, seed=1), cloud(6400, seed=2))
    assert precision == pytest.approx((1 / 32, 2 / 32, 3 / 32), abs=0.012)


def test_fid_of_shifted_gaussian_is_the_squared_shift() -> None:
    a = cloud(4000)
    assert t2m.fid(a, a) == pytest.approx(0, abs=1e-9)
    assert t2m.fid(a, a + 3.0) == pytest.approx(8 * 9, rel=1e-9)
    # Twice as wide: tr(C + 4C - 2*2C) = tr C.
    assert t2m.fid(a, a * 2) == pytest.approx(
        np.trace(np.cov(a, rowvar=False)) + (a.mean(0) ** 2).sum(), rel=1e-6
    )


def test_fid_with_fewer_samples_than_dimensions_is_finite() -> None:
    value = t2m.fid(cloud(20, 64), cloud(20, 64, seed=1))
    assert np.isfinite(value)
    assert value > 0


def test_score_refuses_what_the_protocol_cannot_use() -> None:
    few = cloud(40)
    with pytest.raises(InputError, match="text"):
        t2m.score(few, few, few)
    with pytest.raises(InputError, match="motion"):
        t2m.score(cloud(320), cloud(319), cloud(320))
    broken = cloud(320)
    broken[3, 2] = np.nan
    with pytest.raises(InputError, match="real: holds NaN"):
        t2m.score(cloud(320), cloud(320), broken)


def test_confidence() -> None:
    mean, half = t2m.confidence([1.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(1.96 / np.sqrt(2))


def standing(frames: int = 40) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    from kinesphere.skeleton import SMPL22

    pose = SMPL22.rest_positions()
    pose[:, 1] -= pose[:, 1].min()
    return np.repeat(pose[None], frames, axis=0)


def test_standing_neither_skates_nor_sinks_nor_floats_and_gliding_skates() -> None:
    still = standing()
    assert physics.skating_ratio(still) == 0
    assert physics.penetration_mm(still) == 0
    assert physics.floating_mm(still) == 0
    gliding = still + np.arange(40, dtype=np.float32)[:, None, None] * np.array(
        [0.05, 0, 0], dtype=np.float32
    )
    assert physics.skating_ratio(gliding) > 0.9
    assert not physics.ground_contacts(gliding, 20).any()
    assert physics.ground_contacts(still, 20).all()


def test_heights_are_in_millimetres_beyond_the_tolerance() -> None:
    assert physics.floating_mm(standing() + np.array([0, 0.105, 0])) == pytest.approx(100, rel=1e-4)
    assert physics.penetration_mm(standing() - np.array([0, 0.025, 0])) == pytest.approx(20, rel=1e-4)


def test_jerk_of_a_cubic_is_its_third_derivative() -> None:
    t = np.arange(30) / 20
    positions = np.zeros((30, 22, 3))
    positions[..., 0] = (t**3)[:, None]
    assert physics.jerk(positions, 20) == pytest.approx(np.full(27, 6.0))


def test_winding_number_tells_inside_from_outside() -> None:
    # A tetrahedron around the origin.
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    inside = physics.winding_number(
        corners[faces], np.array([[0, 0, 0], [0.2, 0.1, 0], [3, 0, 0], [0.9, 0.9, -0.9]])
    )
    assert inside == pytest.approx([1, 1, 0, 0], abs=1e-9)


def test_contact_distance_is_negative_when_apart() -> None:
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    faces = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    result = physics.scene_contact(corners[None], faces, np.array([[1.0, 1.0, 3.0]]))
    assert result == physics.SceneContact(non_collision=1.0, contact=0.0, distance=-2.0)
    with pytest.raises(InputError, match="faces"):
        physics.scene_contact(corners[None], faces + 3, np.zeros((1, 3)))


def test_procrustes_undoes_a_similarity_but_not_a_mirror() -> None:
    target = RNG.normal(size=(5, 22, 3))
    turn = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert procrustes(1.7 * target @ turn + 4, target) == pytest.approx(target, abs=1e-9)
    mirrored = target * np.array([-1, 1, 1])
    assert np.abs(procrustes(mirrored, target) - target).mean() > 0.1


def test_reconstruction_ignores_the_root_only_where_it_says_so() -> None:
    target = RNG.normal(size=(10, 22, 3))
    errors = reconstruction(target + 0.5, target)
    assert errors.mpjpe == pytest.approx(0, abs=1e-9)
    assert reconstruction(target + np.array([0.3, 0, 0]), target, align_root=False).mpjpe == pytest.approx(
        300
    )


def test_corrected_displacement_ignores_padding_and_joint_count() -> None:
    target = np.zeros((100, 22, 3))
    predicted = target.copy()
    predicted[:50, :, 0] = 0.1
    predicted[50:] = 9.0  # padding
    errors = prediction.displacement_errors(predicted, target, 50, "prediction")
    assert (errors.ade, errors.fde) == (pytest.approx(0.1), pytest.approx(0.1))
    flawed = prediction.reference_errors(predicted, target, 50, "prediction")
    assert flawed.fde == pytest.approx(9.0 * np.sqrt(66))
    between = prediction.reference_errors(predicted, target, 50, "in-between")
    assert between.ade == pytest.approx(0.1 * np.sqrt(22))


def test_average_pairwise_distance_of_equal_samples_is_zero_and_one_sample_is_refused() -> None:
    assert prediction.average_pairwise_distance(np.ones((3, 5, 6))) == 0
    with pytest.raises(InputError, match="samples"):
        prediction.average_pairwise_distance(np.ones((1, 5, 6)))


def test_captions() -> None:
    assert normalised("  A man's arm -- UP, slowly! ") == "a man's arm up slowly"
    with pytest.raises(InputError, match="references"):
        caption_scores(["a"], [])
    pytest.importorskip("pycocoevalcap")
    same = ["a person walks forward slowly", "someone is waving with the right hand"]
    scores = caption_scores(same, [[text] for text in same])
    assert scores.bleu == pytest.approx((1, 1, 1, 1), abs=1e-6)
    assert scores.rouge_l == pytest.approx(1)
    assert scores.cider == pytest.approx(10)

"""Every metric against what the published reference code prints (golden values; numbers copied from expected.json)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kinesphere.metrics import physics, prediction, t2m
from kinesphere.metrics.reconstruction import reconstruction

pytestmark = pytest.mark.shared_data


class Arrays:
    """Reads the golden folder's arrays by name."""

    def __init__(self, root: Path) -> None:
        self.root = root / "metrics"

    def __call__(self, name: str) -> NDArray[np.float32]:
        array: NDArray[np.float32] = np.load(self.root / f"{name}.npy")
        return array


@pytest.fixture
def load(golden: Path) -> Arrays:
    return Arrays(golden)


EXPECTED = {
    ("humanml3d", "gt"): ((0.4526209677, 0.6098790323, 0.6935483871), 90.4809341, 0.0, 131.716705, None),
    ("humanml3d", "gen"): (
        (0.1310483871, 0.2137096774, 0.2893145161),
        135.4228058,
        5284.48184,
        194.078278,
        31.973652,
    ),
    ("interhuman", "gt"): ((0.2739583333, 0.41875, 0.5), 90.4827423, 0.0, 393.782654, None),
    ("interhuman", "gen"): (
        (0.0770833333, 0.109375, 0.1395833333),
        135.4477386,
        194305.3107,
        581.590759,
        31.973652,
    ),
}


@pytest.mark.parametrize(("name", "system"), list(EXPECTED))
def test_t2m_protocols(load: Arrays, name: str, system: str) -> None:
    protocol = t2m.HUMANML3D if name == "humanml3d" else t2m.INTERHUMAN
    repeated = load("mm") if system == "gen" else None
    result = t2m.score(load("text"), load(system), load("gt"), protocol=protocol, repeated=repeated)
    precision, distance, frechet, diversity, multimodality = EXPECTED[name, system]
    assert result.r_precision == pytest.approx(precision, abs=1e-9)
    assert result.mm_dist == pytest.approx(distance, rel=1e-6)
    assert result.fid == pytest.approx(frechet, rel=1e-7, abs=1e-5)
    assert result.diversity == pytest.approx(diversity, rel=1e-6)
    if multimodality is not None:
        assert result.multimodality == pytest.approx(multimodality, rel=1e-6)
    assert result.samples == (992 if name == "humanml3d" else 960)


@pytest.mark.parametrize(
    ("clip", "skating"), [("joints", 0.13609467455621302), ("slide", 0.9289940828402367)]
)
def test_feet(load: Arrays, clip: str, skating: float) -> None:
    positions = load(clip)[0]
    assert physics.skating_ratio(positions) == pytest.approx(skating, abs=1e-12)
    assert physics.penetration_mm(positions) == 0.0
    assert physics.floating_mm(positions) == pytest.approx(11.252303191844154, rel=1e-6)


def test_reconstruction(load: Arrays) -> None:
    errors = reconstruction(load("rst")[0], load("joints")[0])
    assert errors.mpjpe == pytest.approx(42.51865768432617, rel=1e-6)
    assert errors.pa_mpjpe == pytest.approx(29.86017608642578, rel=1e-6)
    assert errors.acceleration == pytest.approx(78.3709716796875, rel=1e-6)


@pytest.mark.parametrize(
    ("task", "ade", "fde"),
    [
        ("prediction", 0.16123688220977783, 0.16051562130451202),
        ("in-between", 0.1606857180595398, 0.1605946570634842),
    ],
)
def test_displacement_as_published(load: Arrays, task: prediction.Task, ade: float, fde: float) -> None:
    errors = prediction.reference_errors(load("rst")[0], load("joints")[0], 170, task)
    assert errors.ade == pytest.approx(ade, rel=1e-6)
    assert errors.fde == pytest.approx(fde, rel=1e-6)


def test_average_pairwise_distance(load: Arrays) -> None:
    assert prediction.average_pairwise_distance(load("k")) == pytest.approx(1.1375700235366821, rel=1e-6)


def test_scene_contact(load: Arrays) -> None:
    faces = np.load(load.root / "faces.npy")
    result = physics.scene_contact(load("verts"), faces, load("scene")[0])
    assert (result.non_collision, result.contact, result.distance) == (pytest.approx(0.99), 1.0, 0.0)


def test_captions(golden: Path) -> None:
    pytest.importorskip("pycocoevalcap")
    pytest.importorskip("rouge_score")
    from kinesphere.metrics.caption import caption_scores

    hypotheses = (golden / "metrics" / "hyp.txt").read_text().splitlines()
    references = [line.split("\t") for line in (golden / "metrics" / "ref.txt").read_text().splitlines()]
    scores = caption_scores(hypotheses, references)
    expected = (0.7584835430694234, 0.6222694966877064, 0.33517338717673323, 4.8410308568436365e-05)
    assert scores.bleu == pytest.approx(expected, rel=1e-9)
    assert scores.rouge_l == pytest.approx(0.6620263660599953, rel=1e-9)
    assert scores.cider == pytest.approx(1.9510860218285213, rel=1e-9)
    assert scores.rouge_l_google == pytest.approx(0.6717948717948717, rel=1e-9)

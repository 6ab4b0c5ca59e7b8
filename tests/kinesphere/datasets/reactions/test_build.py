"""Building a reaction data set from files: splits, mirrors, the same bytes every time, refusals, reading back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kinesphere.cli.__main__ import main
from kinesphere.datasets.grammar import swap_sides
from kinesphere.datasets.reactions import composed, placed, recorded
from kinesphere.datasets.reactions.build import build
from kinesphere.datasets.reactions.dataset import ReactionDataset, from_rows, to_rows
from kinesphere.datasets.reactions.report import draw_samples, write_report
from kinesphere.datasets.sources import enumerate_takes
from kinesphere.errors import InputError
from kinesphere.metrics.physics import skating_ratio
from kinesphere.motion import Motion
from tests.kinesphere.datasets.bodies import FPS, standing
from tests.kinesphere.datasets.reactions.actors import stepping

LIMIT = 2  # samples of each situation and split


@pytest.fixture(scope="module")
def built(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All takes, but few samples."""
    out = tmp_path_factory.mktemp("reactions")
    patch = pytest.MonkeyPatch()
    for module in (composed, placed):
        patch.setattr(module, "COUNTS", {"train": LIMIT, "val": 1, "test": 1})
    build([archive], out)
    patch.undo()
    return out


def test_mirrored_reactions_are_the_plain_ones_in_a_mirror(built: Path) -> None:
    data = ReactionDataset(built)
    assert len(data.items) > 30
    plain = {item.id: item for item in data.items if not item.mirrored}
    for item in (item for item in data.items if item.mirrored):
        other = plain[item.id.removesuffix("-mirror")]
        assert item.text == tuple(swap_sides(text) for text in other.text)
        assert item.split == other.split
        seen = data.agent(other).positions[:, 1] * np.array([-1, 1, 1], dtype=np.float32)
        assert data.agent(item).positions[:, 2, 1] == pytest.approx(seen[:, 1], abs=0.02)
        assert data.agent(item).translation == pytest.approx(
            data.agent(other).translation * np.array([-1, 1, 1], dtype=np.float32), abs=1e-5
        )
        scene, mirror = data.scene(other), data.scene(item)
        if scene is not None:
            assert mirror is not None
            points = data.agent(other).positions[::20]
            there = points * np.array([-1, 1, 1], dtype=np.float32)
            assert mirror.distance(there) == pytest.approx(scene.distance(points), abs=1e-4)
            assert other.goal is not None
            assert item.goal == pytest.approx((-other.goal[0], other.goal[1], other.goal[2]))


def test_no_take_and_no_room_is_in_two_splits(built: Path) -> None:
    used: dict[str, set[str]] = {}
    for item in ReactionDataset(built).items:
        for name in (*item.take.split(" | "), *([item.scene] if item.scene else [])):
            used.setdefault(name, set()).add(item.split)
    assert len(used) > 20
    assert all(len(splits) == 1 for splits in used.values())
    assert {split for splits in used.values() for split in splits} >= {"train", "test"}


def test_rooms_are_not_touched_and_goals_are_reached(built: Path) -> None:
    data = ReactionDataset(built)
    walks = [item for item in data.items if item.situation in ("walk_to", "cross_room")]
    assert len(walks) >= 4
    for item in walks:
        scene, agent = data.scene(item), data.agent(item)
        assert scene is not None
        assert data.partner(item) is None
        # Joints keep 4 cm and their own radius (3 cm at the toes) from things.
        assert scene.distance(agent.positions).min() > 0.05
        assert agent.translation[-1] == pytest.approx(item.goal, abs=1e-4)
        if item.situation == "walk_to":
            name = item.text[0].rpartition("the ")[2]
            boxes = [box for box in scene.boxes if box.label == name]
            near = min(float(box.distance(agent.translation[-1] * np.array([1, 0.5, 1]))) for box in boxes)
            assert near < 0.75


def test_the_same_files_and_seed_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one", "two", "other")]
    seen: list[tuple[int, int]] = []
    patch = pytest.MonkeyPatch()
    for module in (composed, placed):
        patch.setattr(module, "COUNTS", {"train": 1, "val": 0, "test": 0})
    build([archive], outs[0], progress=lambda done, total: seen.append((done, total)))
    build([archive], outs[1], jobs=2)
    build([archive], outs[2], seed=1)
    patch.undo()
    for name in ("reactions.jsonl", "bodies.npy", "refused.json"):
        assert (outs[0] / name).read_bytes() == (outs[1] / name).read_bytes()
    assert (outs[0] / "bodies.npy").read_bytes() != (outs[2] / "bodies.npy").read_bytes()
    assert seen[-1][0] <= seen[-1][1] == 1000
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_report_counts_what_is_there(built: Path) -> None:
    summary = write_report(built)
    data = ReactionDataset(built)
    assert summary["reactions"] == len(data.items) == sum(summary["splits"].values())
    assert set(summary["situations"]) == {item.situation for item in data.items}
    assert summary["measures"]["wave_back"]["gap"] > 0.5
    assert {"what": "back_off", "reason": "no take of punch fits"}.items() <= {
        **next(row for row in summary["refused"] if row["reason"] == "no take of punch fits"), "times": 0
    }.items()  # fmt: skip
    assert json.loads((built / "report.json").read_text()) == summary
    assert (built / "report.png").stat().st_size > 10_000


def test_every_situation_is_drawn(built: Path) -> None:
    files = draw_samples(built, split="train")
    assert {file.stem for file in files} == {item.situation for item in ReactionDataset(built).items}
    assert all(file.stat().st_size > 10_000 for file in files)


def test_command_builds_and_says_so(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "data",
        "reactions",
        str(archive),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
        "--limit",
        "1",
    ]
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--json"])
    # One take of each kind: hardly anything can be composed, and what there is must be said.
    said = json.loads(capsys.readouterr().out)
    if caught.value.code == 0:
        assert said["reactions"] == len(ReactionDataset(tmp_path / "out").items)
    else:
        assert "raw" in json.dumps(said)


def test_folders_without_takes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        build([tmp_path], tmp_path / "out")
    assert caught.value.field == "raw"
    with pytest.raises(InputError) as caught:
        ReactionDataset(tmp_path)
    assert caught.value.field == "data"


def test_rows_keep_a_motion() -> None:
    motion = Motion.from_positions(stepping(2.0), FPS)
    again = from_rows(to_rows(motion))
    assert again.positions == pytest.approx(motion.positions, abs=1e-5)
    with pytest.raises(InputError):
        from_rows(np.zeros((3, 90), dtype=np.float32))


def test_dancers_keep_their_distance_and_stand_on_one_floor() -> None:
    first = stepping(5.0) * 1.03
    second = (stepping(4.0) + np.array([0.0, 0.0, 0.7], dtype=np.float32)) * 1.03
    a, b = recorded.together(first, second)
    assert len(a) == len(b) == 80
    # Legs that are 3 % longer than the reference's: the world shrinks by as much.
    assert (b - a)[:, 0, 2] == pytest.approx(0.7, abs=0.01)
    for body in (a, b):
        assert np.percentile(body[..., 1].min(axis=1), 5) == pytest.approx(0.0, abs=1e-3)


def test_dancers_of_two_scales_or_two_worlds_are_refused() -> None:
    near = standing(5.0) + np.array([0.0, 0.0, 0.7], dtype=np.float32)
    with pytest.raises(InputError, match="scale"):
        recorded.together(standing(5.0), near * 1.1)
    with pytest.raises(InputError, match="apart"):
        recorded.together(standing(5.0), near * np.array([1, 1, 5], dtype=np.float32))


@pytest.mark.parametrize("frames", [79, 80, 130, 345, 1000])
@pytest.mark.parametrize("overlapping", [True, False])
def test_windows_are_of_4_to_10_seconds(frames: int, overlapping: bool) -> None:
    found = list(recorded.windows(frames, overlapping=overlapping))
    assert all(80 <= stop - start <= 200 and stop <= frames for start, stop in found)
    assert bool(found) == (frames >= 80)
    if found and not overlapping:
        assert all(a[1] == b[0] for a, b in zip(found[:-1], found[1:], strict=True))
        assert frames - found[-1][1] < 80


@pytest.mark.shared_data
def test_real_dancers_are_hand_in_hand(shared_data: Path) -> None:
    samples, refused = recorded.load_pairs(enumerate_takes([shared_data]), limit=2)
    assert refused == []
    assert {sample.origin for sample in samples} == {"recorded"}
    for sample in samples:
        assert sample.partner is not None
        hands = [20, 21]
        mine, theirs = sample.agent.positions[:, hands], sample.partner.positions[:, hands]
        nearest = np.linalg.norm(mine[:, :, None] - theirs[:, None], axis=-1).min(axis=(1, 2))
        assert np.percentile(nearest, 10) < 0.3
    first = [sample for sample in samples if sample.id.startswith("salsa/01-0")]
    second = [sample for sample in samples if sample.id.startswith("salsa/01-1")]
    assert len(first) == len(second) >= 3
    assert np.array_equal(first[0].agent.positions, second[0].partner.positions)


@pytest.mark.shared_data
@pytest.mark.slow
def test_real_takes_make_every_situation_for_training_and_for_test(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (composed, placed):
        monkeypatch.setattr(module, "COUNTS", {"train": 3, "val": 0, "test": 3})
    build([shared_data], tmp_path)
    data = ReactionDataset(tmp_path)
    for name in (*composed.SITUATIONS, "walk_to", "cross_room", "salsa"):
        assert {item.split for item in data.items if item.situation == name} >= {"train", "test"}, name
    for item in data.items:
        if item.origin == "recorded" or item.mirrored:
            continue
        agent = data.agent(item)
        speed = np.linalg.norm(np.diff(agent.positions, axis=0), axis=-1).max() * FPS
        assert speed < 8.0
        assert agent.positions[..., 1].min() > -0.03
        assert skating_ratio(agent.positions) < 0.7
        if item.answer is not None and item.onset is not None:
            assert 0 <= item.answer - item.onset <= 40
            # Until it answers the agent stands.
            still = agent.translation[: item.answer] - agent.translation[0]
            assert np.linalg.norm(still[:, [0, 2]], axis=-1).max() < 0.08

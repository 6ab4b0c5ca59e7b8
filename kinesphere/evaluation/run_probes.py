"""Puts the probes' sentences to a system and counts how often the joints obey."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from kinesphere.evaluation.measures import Measures
from kinesphere.evaluation.probes import PROBES, Probe
from kinesphere.evaluation.systems import System
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray

_UNIT = 16


@dataclass(frozen=True)
class ProbeResult:
    """passes: one bool a seed."""

    probe: Probe
    passes: tuple[bool, ...]

    @property
    def rate(self) -> float:
        return sum(self.passes) / len(self.passes)


@dataclass(frozen=True)
class ProbeReport:
    system: str
    results: tuple[ProbeResult, ...]

    @property
    def rate(self) -> float:
        """Mean pass rate over probes, 0..1."""
        return float(np.mean([result.rate for result in self.results]))

    def by_kind(self) -> dict[str, float]:
        kinds = dict.fromkeys(result.probe.kind for result in self.results)
        return {
            kind: float(np.mean([result.rate for result in self.results if result.probe.kind == kind]))
            for kind in kinds
        }

    def save(self, path: Path | str) -> Path:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "id": r.probe.id,
                "kind": r.probe.kind,
                "text": r.probe.text,
                "rate": r.rate,
                "passes": list(r.passes),
            }
            for r in self.results
        ]
        data = {"system": self.system, "rate": self.rate, "kinds": self.by_kind(), "probes": rows}
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        return path

    def show(self, console: Console | None = None) -> None:
        grid = Table(
            title=f"Probes: {self.system}", caption=f"{self.rate:.0%} of {len(self.results)} sentences"
        )
        for heading in ("kind", "sentence", "obeyed"):
            grid.add_column(heading, justify="right" if heading == "obeyed" else "left")
        for result in self.results:
            style = "" if result.rate >= 0.75 else "yellow" if result.rate > 0 else "red"
            grid.add_row(
                result.probe.kind,
                result.probe.text,
                f"{sum(result.passes)}/{len(result.passes)}",
                style=style,
            )
        for kind, rate in self.by_kind().items():
            grid.add_row(kind, "", f"{rate:.0%}", style="bold")
        (console or Console()).print(grid)


def run_probes(
    system: System,
    *,
    seeds: int = 4,
    probes: Sequence[Probe] = PROBES,
    progress: Callable[[str, int, int], None] | None = None,
    keep: Callable[[Probe, int, FloatArray, bool], None] | None = None,
) -> ProbeReport:
    """Generate each probe ``seeds`` times and check it. keep(probe, seed, joints [T,22,3], passed) sees each motion."""
    passes: dict[str, list[bool]] = {probe.id: [] for probe in probes}
    for seed in range(seeds):
        lengths = [round(probe.seconds * 20 / _UNIT) * _UNIT for probe in probes]
        motions = system.generate([probe.text for probe in probes], lengths, seed)
        for probe, motion in zip(probes, motions, strict=True):
            joints = hml263.decode(motion)
            passed = bool(probe.check(Measures(joints)))
            passes[probe.id].append(passed)
            if keep:
                keep(probe, seed, joints, passed)
        if progress:
            progress(f"seed {seed}", seed + 1, seeds)
    return ProbeReport(system.name, tuple(ProbeResult(probe, tuple(passes[probe.id])) for probe in probes))

"""What a reaction data set holds: counts by situation, origin and split, refusals, plots and pictures to look at."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinesphere.datasets.reactions.bodies import clearance
from kinesphere.datasets.reactions.dataset import Reaction, ReactionDataset
from kinesphere.datasets.windows import FPS
from kinesphere.metrics.physics import skating_ratio

_SPLITS: Final = ("train", "val", "test")
_MEASURED: Final = 12  # samples of each situation that are measured


def summarise(data: ReactionDataset) -> dict[str, Any]:
    """Counts of reactions (mirrored ones included) and hours, and what was refused."""
    items = data.items
    refused = data.path / "refused.json"
    rows: list[list[Any]] = json.loads(refused.read_text()) if refused.is_file() else []
    return {
        "reactions": len(items),
        "hours": round(sum(item.seconds for item in items) / 3600, 3),
        "texts": len({text for item in items for text in item.text}),
        "origins": dict(Counter(item.origin for item in items)),
        "splits": {name: sum(item.split == name for item in items) for name in _SPLITS},
        "situations": {
            name: {
                "origin": of[0].origin,
                **{split: sum(item.split == split for item in of) for split in _SPLITS},
                "takes": len({take for item in of for take in item.take.split(" | ")}),
                "seconds": round(float(np.mean([item.seconds for item in of])), 2),
            }
            for name, of in _by_situation(items).items()
        },
        "refused": [{"what": what, "reason": reason, "times": times} for what, reason, times in rows],
    }


def measure(data: ReactionDataset) -> dict[str, dict[str, float]]:
    """For each situation, over a few samples: least distance between bodies (m), nearest pelvis (m), foot skating of
    the agent (share of frames), delay from cue to answer (s, where both are known)."""
    found: dict[str, dict[str, float]] = {}
    for name, of in _by_situation(data.items).items():
        some = [item for item in of if not item.mirrored]
        some = some[:: max(1, len(some) // _MEASURED)][:_MEASURED]
        gaps, pelvis, skating = [], [], []
        for item in some:
            agent, partner = data.agent(item), data.partner(item)
            skating.append(skating_ratio(agent.positions))
            if partner is not None:
                gaps.append(float(clearance(agent.positions, partner.positions).min()))
                away = (agent.translation - partner.translation)[:, [0, 2]]
                pelvis.append(float(np.linalg.norm(away, axis=-1).min()))
        delays = [
            (item.answer - item.onset) / FPS
            for item in of
            if item.answer is not None and item.onset is not None
        ]
        values = {"gap": gaps, "pelvis": pelvis, "skating": skating, "delay": delays}
        found[name] = {key: round(float(np.mean(of)), 3) for key, of in values.items() if of}
    return found


def write_report(path: Path) -> dict[str, Any]:
    """Writes report.json and report.png into the data set folder ``path`` and returns the summary."""
    data = ReactionDataset(path)
    summary = summarise(data) | {"measures": measure(data)}
    (path / "report.json").write_text(json.dumps(summary, indent=1))
    _plot(data, summary, path / "report.png")
    return summary


def draw_samples(path: Path, *, split: str = "test") -> list[Path]:
    """Writes a contact sheet of one sample of every situation to ``path``/pictures; of another split where ``split`` has
    none. Returns the files."""
    from kinesphere.drawing.contact_sheet import contact_sheet

    data = ReactionDataset(path)
    folder = path / "pictures"
    folder.mkdir(exist_ok=True)
    written = []
    for name, of in _by_situation(data.items).items():
        plain = [item for item in of if not item.mirrored]
        item = next((item for item in plain if item.split == split), plain[0])
        partner = data.partner(item)
        bodies = [data.agent(item)] + ([partner] if partner is not None else [])
        times = [
            f"{word} {frame / FPS:.2f} s"
            for word, frame in (("cue", item.onset), ("answer", item.answer))
            if frame is not None
        ]
        title = f"{name}: {item.text[0]}" + (f"  ({', '.join(times)})" if times else "")
        target = folder / f"{name}.png"
        written.append(
            contact_sheet(
                bodies, target, title, poses=8, labels=[item.take], together=True, scene=data.scene(item)
            )
        )
    return written


def _by_situation(items: list[Reaction]) -> dict[str, list[Reaction]]:
    groups: dict[str, list[Reaction]] = {}
    for item in items:
        groups.setdefault(item.situation, []).append(item)
    return groups


def _plot(data: ReactionDataset, summary: dict[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 8), layout="constrained")
    FigureCanvasAgg(figure)
    (counts, lengths), (delays, places) = figure.subplots(2, 2)
    situations = summary["situations"]
    names = list(situations)[::-1]
    left = np.zeros(len(names))
    for split, colour in zip(_SPLITS, ("#3b6ea8", "#e0a030", "#b5473c"), strict=True):
        width = np.array([situations[name][split] for name in names])
        counts.barh(names, width, left=left, color=colour, label=split)
        left += width
    counts.set(title="Reactions, mirrored ones included", xlabel="reactions")
    counts.legend()
    lengths.hist([item.seconds for item in data.items], bins=np.arange(3.75, 10.5, 0.5), color="#5a9367")
    lengths.set(title="Length", xlabel="seconds", ylabel="reactions")
    waited = [
        (item.answer - item.onset) / FPS
        for item in data.items
        if item.answer is not None and item.onset is not None and item.answer > item.onset
    ]
    delays.hist(waited, bins=np.arange(0, 2.6, 0.1), color="#7a5c99")
    delays.set(title="From the partner's cue to the answer", xlabel="seconds", ylabel="reactions")
    for number, (name, of) in enumerate(_by_situation(data.items).items()):
        some = [item for item in of if item.rows[1] >= 0][:40]
        at = np.array([_partner_at(data, item) for item in some]).reshape(-1, 2)
        marker = "o" if number < 10 else "^"
        places.scatter(at[:, 0], at[:, 1], s=9, alpha=0.6, marker=marker, label=name)
    places.invert_xaxis()  # as seen from above: the agent's left is on the left
    places.plot(0, 0, "k+", markersize=12)
    places.set(title="Where the partner is at the cue (agent at +, facing up)", xlabel="m to the left (+)",
               ylabel="m ahead", aspect="equal")  # fmt: skip
    places.legend(fontsize=6, loc="upper right")
    figure.savefig(path, dpi=80)


def _partner_at(data: ReactionDataset, item: Reaction) -> tuple[float, float]:
    """The partner's pelvis (left, ahead) as the agent sees it at the cue, metres."""
    from kinesphere.representations.primitive276 import frame_of

    agent, partner = data.agent(item), data.partner(item)
    assert partner is not None
    frame = frame_of(agent.positions[item.onset or 0])
    at = (partner.positions[item.onset or 0, 0] - frame.origin) @ frame.axes
    return float(at[0]), float(at[2])

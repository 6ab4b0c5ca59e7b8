"""The data report: counts, hours, vocabulary, refused files with reasons, and plots; as JSON, PNG and one HTML page."""

from __future__ import annotations

import base64
import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from kinesphere.datasets.clips import Clip, ClipDataset
from kinesphere.datasets.windows import BLOCK, FPS, MOST

_WORD: Final = re.compile(r"[a-z]+(?:[-'][a-z]+)*")
# Words that are left out of the plot.
_EMPTY: Final = frozenset(
    _WORD.findall(
        "a an the and then to of in on at for with is are be by it its his her their your they he she him them this that"
        " person man woman someone somebody figure subject human before after afterwards as while from"
    )
)
_MOST_OTHERS: Final = 200  # rows of the page


def summarise(data: ClipDataset) -> dict[str, Any]:
    """Counts and hours by split, source and topic, caption statistics, refused files, files that are no takes."""
    clips = data.clips
    texts = [caption.text for clip in clips for caption in clip.captions]
    words = Counter(word for text in texts for word in _WORD.findall(text.lower()))
    train_words = {
        word
        for clip in clips
        if clip.split == "train"
        for caption in clip.captions
        for word in _WORD.findall(caption.text.lower())
    }
    lengths = [len(_WORD.findall(text.lower())) for text in texts]
    refused, others = (_listed(data.path / name) for name in ("refused.json", "others.json"))
    return {
        "clips": len(clips),
        "takes": len({clip.take for clip in clips}),
        "hours": _hours(clips),
        "hours_not_mirrored": _hours([clip for clip in clips if not clip.mirrored]),
        "splits": _grouped(clips, "split"),
        "sources": _grouped(clips, "source"),
        "topics": _grouped(clips, "topic"),
        "seconds": {
            name: float(np.percentile([clip.seconds for clip in clips], at)) for name, at in _QUANTILES
        },
        "captions": {
            "count": len(texts),
            "distinct": len({text.lower().rstrip(".") for text in texts}),
            "kinds": dict(Counter(caption.kind for clip in clips for caption in clip.captions).most_common()),
            "words_mean": float(np.mean(lengths)) if lengths else 0.0,
            "vocabulary": len(words),
            "unseen_in_training": sorted(set(words) - train_words),
            "commonest": dict(words.most_common(100)),
        },
        "refused": refused,
        "refusals": dict(Counter(reason for _, reason in refused).most_common()),
        "others": others,
    }


def _listed(path: Path) -> list[list[str]]:
    """Pairs of (what, reason); none where the data set was built without the list."""
    pairs: list[list[str]] = json.loads(path.read_text()) if path.is_file() else []
    return pairs


_QUANTILES: Final = (("shortest", 0), ("median", 50), ("longest", 100))


def write_report(path: Path) -> dict[str, Any]:
    """Writes report.json, report.png and report.html into the data set folder ``path`` and returns the summary."""
    data = ClipDataset(path)
    summary = summarise(data)
    (path / "report.json").write_text(json.dumps(summary, indent=1))
    _plot(data, summary, path / "report.png")
    (path / "report.html").write_text(_page(data, summary, path / "report.png"), encoding="utf-8")
    return summary


def _hours(clips: list[Clip]) -> float:
    return round(sum(clip.seconds for clip in clips) / 3600, 3)


def _grouped(clips: list[Clip], field: str) -> dict[str, dict[str, float]]:
    names = Counter(str(getattr(clip, field)) for clip in clips)
    return {
        name: {"clips": count, "hours": _hours([clip for clip in clips if getattr(clip, field) == name])}
        for name, count in names.most_common()
    }


def _plot(data: ClipDataset, summary: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(15, 8), layout="constrained")
    colours = {"train": "#3b6ea8", "val": "#e0a030", "test": "#b5473c"}
    seconds = {name: [clip.seconds for clip in data.split(name)] for name in ("train", "val", "test")}
    # A column for each length that clips have: they are whole blocks.
    block = BLOCK / FPS
    bins = np.arange(1.5, MOST / BLOCK + 1) * block
    axes[0, 0].hist(
        list(seconds.values()), bins=bins, stacked=True, color=list(colours.values()), label=list(seconds)
    )
    axes[0, 0].set(title="Clip length", xlabel="seconds", ylabel="clips")
    axes[0, 0].legend()
    topics = summary["topics"]
    names = list(topics)[:16][::-1]
    axes[0, 1].barh(names, [topics[name]["clips"] for name in names], color="#3b6ea8")
    axes[0, 1].set(title="Main event of a clip", xlabel="clips (log)", xscale="log")
    kinds = summary["sources"]
    axes[0, 2].bar(list(kinds), [kinds[name]["hours"] for name in kinds], color="#5a9367")
    axes[0, 2].set(title="Sources (mirrors counted)", ylabel="hours")
    axes[0, 2].tick_params(axis="x", rotation=20)
    lengths = [len(_WORD.findall(caption.text.lower())) for clip in data.clips for caption in clip.captions]
    axes[1, 0].hist(lengths, bins=range(1, 41), color="#7a5c99")
    axes[1, 0].set(title="Caption length", xlabel="words", ylabel="captions")
    said = summary["captions"]["commonest"].items()
    words = [(word, count) for word, count in said if word not in _EMPTY][:24][::-1]
    axes[1, 1].barh([word for word, _ in words], [count for _, count in words], color="#7a5c99")
    axes[1, 1].set(title="Commonest words that say something", xlabel="uses")
    axes[1, 1].tick_params(axis="y", labelsize=7)
    ends = np.array([_end_point(data, clip) for clip in data.clips[:: max(1, len(data.clips) // 1500)]])
    axes[1, 2].scatter(ends[:, 0], ends[:, 1], s=4, alpha=0.5, color="#b5473c")
    axes[1, 2].invert_xaxis()  # as seen from above: the person's left is on the left
    axes[1, 2].set(
        title="Where clips end (start at 0, facing up)",
        xlabel="m to the left (+)",
        ylabel="m forward",
        aspect="equal",
    )
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _end_point(data: ClipDataset, clip: Clip) -> tuple[float, float]:
    from kinesphere.representations import hml263

    root = hml263.decode(data.features(clip))[-1, 0]
    return float(root[0]), float(root[2])


def _page(data: ClipDataset, summary: dict[str, Any], picture: Path) -> str:
    image = base64.b64encode(picture.read_bytes()).decode()
    captions = summary["captions"]
    rows = {
        "Clips": f"{summary['clips']:,} from {summary['takes']:,} takes",
        "Hours": f"{summary['hours']} ({summary['hours_not_mirrored']} without mirrors)",
        "Captions": f"{captions['count']:,}, {captions['distinct']:,} distinct, {captions['words_mean']:.1f} words on average",
        "Vocabulary": f"{captions['vocabulary']:,} words; {len(captions['unseen_in_training'])} not seen in training",
        "Refused": f"{len(summary['refused'])} files or windows",
    }
    examples = [clip for clip in data.clips if not clip.mirrored][:: max(1, len(data.clips) // 60)]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Kinesphere data report</title>",
        "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}",
        "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:.25em .6em;text-align:left;vertical-align:top}",
        "img{max-width:100%}small{color:#666}</style><h1>Kinesphere data report</h1>",
        _table(("", ""), list(rows.items())),
        f'<img alt="Plots of the data set" src="data:image/png;base64,{image}">',
    ]
    for title in ("splits", "sources", "topics"):
        table = [(name, f"{row['clips']:,}", f"{row['hours']:.2f}") for name, row in summary[title].items()]
        parts += [f"<h2>{title.capitalize()}</h2>", _table((title[:-1], "clips", "hours"), table)]
    parts.append("<h2>Examples</h2>")
    shown = [
        (clip.id, clip.reading, " / ".join(caption.text for caption in clip.captions[:4]))
        for clip in examples
    ]
    parts.append(_table(("clip", "reading", "captions"), shown))
    parts += [
        "<h2>Refused, and why</h2>",
        _table(("file or window", "reason"), [(a, b) for a, b in summary["refused"]]),
        "<h2>Other files of the archives</h2>",
        _table(
            ("file", "what it is, or why it is no take"),
            [(a, b) for a, b in summary["others"][:_MOST_OTHERS]],
        ),
    ]
    if len(summary["others"]) > _MOST_OTHERS:
        parts.append(f"<p>and {len(summary['others']) - _MOST_OTHERS} more (others.json)</p>")
    return "".join(parts)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"

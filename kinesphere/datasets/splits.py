"""Which split a take falls into: decided once for everything that came out of one recording.

All windows, mirrors, file versions and dancers of one recording share a ``group``; groups are dealt out per kind of
content, so that every kind that has several groups is found in each split. The order is that of a hash: it depends on
nothing but names, and adding files of another kind moves nobody.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Literal

Split = Literal["train", "val", "test"]
SHARES: Final[dict[Split, float]] = {"train": 0.80, "val": 0.05, "test": 0.15}
# Kinds with fewer groups than this are for training only: one take cannot be learnt from and judged on.
FEWEST_FOR_TEST: Final = 5


def assign(groups: Iterable[tuple[str, str]]) -> dict[str, Split]:
    """Split of every group, from (group, kind of content) pairs; a group's first kind counts."""
    kinds: dict[str, str] = {}
    for group, kind in groups:
        kinds.setdefault(group, kind)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for group, kind in kinds.items():
        members[kind].append(group)
    splits: dict[str, Split] = {}
    for names in members.values():
        names.sort(key=_order)
        tests = round(SHARES["test"] * len(names)) if len(names) >= FEWEST_FOR_TEST else 0
        vals = round(SHARES["val"] * len(names) + 0.2) if len(names) >= FEWEST_FOR_TEST else 0
        for index, name in enumerate(names):
            splits[name] = "test" if index < tests else "val" if index < tests + vals else "train"
    return splits


def _order(group: str) -> str:
    return hashlib.sha256(f"kinesphere split {group}".encode()).hexdigest()


def of_share(group: str) -> Split:
    """Split of one group by its hash alone: where groups are many, or come one by one."""
    at = int(_order(group)[:8], 16) / 2**32
    return "test" if at < SHARES["test"] else "val" if at < SHARES["test"] + SHARES["val"] else "train"

"""A running session as bytes: what another replica needs to go on from the next frame.

One structured array holds the agent, then one follows for each partner; all little endian, the layout's version first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.reaction.features import PARTNER_FRAMES
from kinesphere.reaction.rollout import LATENT
from kinesphere.representations.primitive276 import FUTURE, HISTORY, LAYOUT
from kinesphere.skeleton import NUM_JOINTS, FloatArray

_VERSION: Final = 1
_F4: Final = "<f4"
_AGENT: Final = np.dtype(
    [
        ("version", "<u2"),
        ("partners", "<u2"),
        ("frames", "<i8"),  # of the model, made so far
        ("poses", _F4, (2, 3 + 4 * NUM_JOINTS)),  # the two newest: translation, rotations
        ("rows", _F4, (HISTORY, LAYOUT.total)),
        ("segment", "<i8"),  # number of the running segment; -1 before the first
        ("place", "<i8"),
        ("axes", "<f8", (3, 3)),
        ("origin", "<f8", (3,)),
        ("start", _F4, (HISTORY, LAYOUT.total)),
        ("latent", _F4, (1, LATENT)),
        ("future", _F4, (FUTURE, LAYOUT.total)),
    ]
)
_PARTNER: Final = np.dtype(
    [
        ("person", "S256"),  # 64 characters of UTF-8
        ("weight", _F4),
        ("seen", "<i8"),
        ("window", _F4, (PARTNER_FRAMES, NUM_JOINTS, 3)),
    ]
)


@dataclass(frozen=True, eq=False)
class PartnerState:
    """A partner's last frames at the model's rate: window [n,22,3], n up to 10."""

    person_id: str
    weight: float
    window: FloatArray


@dataclass(frozen=True, eq=False)
class AgentState:
    """The fields of ``agent.Agent`` and of its segment."""

    frames: int
    poses: FloatArray
    rows: FloatArray
    segment: int
    place: int
    axes: NDArray[np.floating]
    origin: NDArray[np.floating]
    start: FloatArray
    latent: FloatArray
    future: FloatArray


def pack(agent: AgentState, partners: list[PartnerState]) -> bytes:
    head = np.zeros((), _AGENT)
    head["version"], head["partners"] = _VERSION, len(partners)
    for name in AgentState.__dataclass_fields__:
        head[name] = getattr(agent, name)
    rows = np.zeros(len(partners), _PARTNER)
    for row, partner in zip(rows, partners, strict=True):
        count = len(partner.window)
        row["person"], row["weight"], row["seen"] = partner.person_id.encode(), partner.weight, count
        row["window"][:count] = partner.window
    return head.tobytes() + rows.tobytes()


def unpack(data: bytes) -> tuple[AgentState, list[PartnerState]]:
    """Raises ValueError on bytes that this version does not write."""
    if len(data) < _AGENT.itemsize:
        raise ValueError(f"{len(data)} bytes are no state")
    head = np.frombuffer(data, _AGENT, 1)[0]
    count = int(head["partners"])
    if head["version"] != _VERSION or len(data) != _AGENT.itemsize + count * _PARTNER.itemsize:
        raise ValueError(f"state of version {head['version']} with {len(data)} bytes")
    rows = np.frombuffer(data, _PARTNER, count, _AGENT.itemsize)
    fields: dict[str, Any] = {}
    for name in AgentState.__dataclass_fields__:
        value = head[name]
        fields[name] = int(value) if name in ("frames", "segment", "place") else np.array(value)
    partners = [
        PartnerState(
            bytes(row["person"]).decode(), float(row["weight"]), np.array(row["window"][: int(row["seen"])])
        )
        for row in rows
    ]
    return AgentState(**fields), partners

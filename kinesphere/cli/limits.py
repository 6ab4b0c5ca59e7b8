"""The limits that the protos declare (``buf.validate``), checked before services are started for a call."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Final

from kinesphere.errors import InputError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_BOUNDS: Final = (
    ("gte", operator.ge, "at least"), ("gt", operator.gt, "above"), ("lte", operator.le, "at most"),
    ("lt", operator.lt, "below"),
)  # fmt: skip


def check_limits(message: Message) -> None:
    """Raise InputError naming the first number or text of ``message`` itself that is out of its declared limits.

    A quick answer for people: the services check these again, and everything else.
    """
    from kinesphere.v1 import validate_pb2

    for field in message.DESCRIPTOR.fields:
        rules: Any = field.GetOptions().Extensions[validate_pb2.field]  # type: ignore[attr-defined, unused-ignore]
        kind = rules.WhichOneof("type")
        if kind is None or (field.has_presence and not message.HasField(field.name)):
            continue
        own = getattr(rules, kind)
        value = getattr(message, field.name)
        if kind == "string":
            if own.min_len and not value.strip():
                raise InputError(field.name, "is empty")
            if own.max_len and len(value) > own.max_len:
                raise InputError(
                    field.name, f"is {len(value)} characters long, at most {own.max_len} are taken"
                )
        elif kind in ("double", "float", "int32", "int64") and not _within(own, value):
            raise InputError(field.name, f"is {value:g}, must be {_told(own)}")


def _within(rules: Any, value: float) -> bool:
    inside = all(holds(value, getattr(rules, name)) for name, holds, _ in _BOUNDS if rules.HasField(name))
    return inside and math.isfinite(value)


def _told(rules: Any) -> str:
    return " and ".join(
        f"{words} {getattr(rules, name):g}" for name, _, words in _BOUNDS if rules.HasField(name)
    )

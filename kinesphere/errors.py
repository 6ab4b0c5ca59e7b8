"""Errors that the domain library raises on bad input.

Every one names the field that is wrong and, where there is one, the limit it broke, so that a server can turn it into
a ``google.rpc.BadRequest`` and a command line into one sentence, without parsing messages.
"""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used. ``field`` is a dotted path (``motion.fps``), ``reason`` a sentence with the limit."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class FormatError(InputError):
    """A file or byte string that is not what its format says, or that is larger than the parser's limits allow."""

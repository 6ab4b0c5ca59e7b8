"""Structured logs on stderr: one JSON object a line, or coloured text for people.

Every line that is written while a call is served holds its ``request_id``: the one that the caller sent as metadata
``x-request-id``, else a new one. The services behind are called with the same id (see ``clients.metadata``).
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import sys
from collections.abc import Sequence
from typing import Final, Literal, TextIO, cast

import structlog

REQUEST_ID_KEY: Final = "x-request-id"
_REQUEST_ID = re.compile(
    r"[A-Za-z0-9._:-]{1,64}", re.ASCII
)  # anything else could forge lines or fill the log

# Without local variables: they hold requests and tokens.
_EXCEPTIONS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(level: str = "info", style: Literal["json", "console"] = "json", **fields: object) -> None:
    """Set up structlog and the standard library's logging alike. ``fields`` are on every line (``service=...``)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor]
    if style == "json":
        renderer = [_EXCEPTIONS, structlog.processors.JSONRenderer()]
    else:
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    # Our own lines go straight to stderr: by way of the standard library each would take twice as long.
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Stderr())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("grpc", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.contextvars.bind_contextvars(**fields)


class _Stderr:
    """Standard error; when nobody reads it any more lines are lost, and no call fails for it."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def bind_request_id(metadata: Sequence[tuple[str, str | bytes]]) -> str:
    """The id of the call that arrived with ``metadata``; on every line of the current task from now on."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            request_id = value
            break
    else:
        request_id = secrets.token_hex(8)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def current_request_id() -> str | None:
    """The id of the call that the current task serves; None outside of calls."""
    found = structlog.contextvars.get_contextvars().get("request_id")
    return found if isinstance(found, str) else None

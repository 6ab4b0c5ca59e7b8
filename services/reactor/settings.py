"""Settings of the reactor service, from ``KINESPHERE_REACTOR_*`` (see ``services.common.settings``)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from services.common.settings import ServiceSettings


class ReactorSettings(ServiceSettings):
    """What the reactor can be told beyond what every service can."""

    service: ClassVar[str] = "reactor"

    port: int = Field(50055, ge=0, le=65535, description="gRPC port; 0 picks a free one")
    redis_url: str | None = Field(
        None, description="Redis or Valkey that every replica shares; unset: an embedded one, for one replica"
    )

    # Streams stay open for hours, and move to another replica at once when this one drains.
    max_concurrency: int = Field(512, ge=1, le=100_000, description="calls that run at once")
    default_deadline: float = Field(86_400, gt=0, le=86_400, description="seconds, when the client sets none")
    max_deadline: float = Field(
        86_400, gt=0, le=86_400, description="seconds; a longer deadline is cut to it"
    )
    drain_seconds: float = Field(0.2, ge=0, le=3600, description="seconds that streams get at shutdown")

    max_sessions: int = Field(
        256, ge=1, le=100_000, description="sessions that run at once, whatever the measured capacity"
    )
    target_load: float = Field(
        0.8,
        gt=0,
        le=100,
        description="share of the measured capacity that sessions may take; above 1 they are late",
    )
    max_rows: int = Field(32, ge=1, le=1024, description="rows of one model call")
    lead_frames: int = Field(
        3, ge=1, le=7, description="frames before a segment's first one at which it is made"
    )
    lease_seconds: float = Field(
        0.15, ge=0.11, le=10, description="after which a replica that stopped loses its sessions to others"
    )
    session_seconds: float = Field(
        3600, ge=1, le=30 * 86_400, description="seconds that a resting session and its frames are kept"
    )
    frames_kept: int = Field(12_000, ge=100, le=1_000_000, description="frames of a session that are kept")
    store_timeout: float = Field(
        0.1, gt=0, le=10, description="seconds after which a tick goes on without the store"
    )
    memory_only_seconds: float = Field(
        60, ge=1, le=3600, description="seconds that sessions go on without the store"
    )
    slow_reader_seconds: float = Field(
        5, gt=0, le=60, description="seconds for which a client may leave its answers unread"
    )

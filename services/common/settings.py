"""Settings from the environment.

``KINESPHERE_PLANNER_PORT`` beats ``KINESPHERE_PORT``: every setting can be given for all services or for one. Unknown
variables are ignored, values out of range stop the start with the variable's name.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource
from pydantic_settings import SettingsConfigDict as Config

MIB = 1024 * 1024


class ServiceSettings(BaseSettings):
    """What every service can be told. A service subclasses it, sets ``service`` and its own ``port``."""

    model_config = Config(extra="ignore", frozen=True, validate_default=True)
    service: ClassVar[str] = ""

    host: str = Field("127.0.0.1", description="address to listen on; any but loopback needs TLS and a token")
    port: int = Field(50051, ge=0, le=65535, description="gRPC port; 0 picks a free one")
    metrics_host: str = Field("127.0.0.1", description="address of the /metrics page")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="port of /metrics; unset: none, 0: a free one"
    )
    models: Path = Field(Path("models"), description="model repository in Triton's layout")
    model_workers: int = Field(
        default_factory=lambda: _cpus(),
        ge=1,
        le=256,
        description="model calls that run at once, each in a thread of its own",
    )
    pin_model_threads: bool = Field(
        False, description="bind each of these threads to one CPU; for a machine that nobody else uses"
    )

    max_concurrency: int = Field(64, ge=1, le=100_000, description="calls that run at once")
    max_queue: int = Field(128, ge=0, le=100_000, description="calls that wait; one more is refused at once")
    default_deadline: float = Field(120, gt=0, le=86_400, description="seconds, when the client sets none")
    max_deadline: float = Field(600, gt=0, le=86_400, description="seconds; a longer deadline is cut to it")
    slow_reader_seconds: float = Field(
        60, gt=0, le=3600, description="seconds for which a client may leave its answers unread"
    )
    max_message_bytes: int = Field(
        16 * MIB, ge=4096, le=512 * MIB, description="largest message that is taken"
    )
    drain_delay: float = Field(
        0, ge=0, le=300, description="seconds to serve on after health says NOT_SERVING"
    )
    drain_seconds: float = Field(
        30, ge=0, le=3600, description="seconds that calls in flight get at shutdown"
    )

    tls_certificate: Path | None = Field(None, description="PEM chain of the server")
    tls_key: Path | None = Field(None, description="PEM private key of the server")
    tls_client_ca: Path | None = Field(
        None, description="PEM; clients must then show a certificate of it (mTLS)"
    )
    tokens: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="bearer tokens that are let in, separated by commas"
    )

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    otlp_endpoint: str | None = Field(None, description="OpenTelemetry collector (gRPC); unset: no traces")

    @field_validator("tokens", mode="before")
    @classmethod
    def _split_tokens(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("tokens")
    @classmethod
    def _long_tokens(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(token.get_secret_value()) < 16 for token in value):
            raise ValueError("a token has at least 16 characters")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> ServiceSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if not is_loopback(self.host):
            if self.tls_certificate is None:
                raise ValueError(f"host {self.host} is not loopback: give tls_certificate and tls_key")
            if not self.tokens and self.tls_client_ca is None:
                raise ValueError(f"host {self.host} is not loopback: give tokens or tls_client_ca")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings]
        if cls.service:
            sources.append(EnvSettingsSource(settings_cls, env_prefix=f"KINESPHERE_{cls.service.upper()}_"))
        sources.append(EnvSettingsSource(settings_cls, env_prefix="KINESPHERE_"))
        return tuple(sources)


def _cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be reached from this machine."""
    if host == "localhost" or host.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

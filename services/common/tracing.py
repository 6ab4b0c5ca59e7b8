"""OpenTelemetry traces, only when an endpoint is set; the SDK is imported only then.

Context travels in W3C ``traceparent`` metadata, so a trace goes from the caller through the planner to the others.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter


class Tracing:
    """No traces: spans cost nothing."""

    @contextmanager
    def call(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Iterator[None]:
        """A span around a call that arrived with ``metadata``."""
        yield

    def close(self) -> None:
        """Send what is left."""


class OpenTelemetry(Tracing):
    """Real spans, exported in batches."""

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        from opentelemetry import propagate, trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": f"kinesphere-{service}"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("kinesphere")
        self._extract = propagate.extract
        self._kind = trace.SpanKind.SERVER

    @contextmanager
    def call(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Iterator[None]:
        carrier = {key: value for key, value in metadata if isinstance(value, str)}
        service, _, name = method.strip("/").partition("/")
        attributes: Mapping[str, str] = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        with self._tracer.start_as_current_span(
            method.strip("/"), context=self._extract(carrier), kind=self._kind, attributes=attributes
        ):
            yield

    def close(self) -> None:
        self._provider.shutdown()


def start(service: str, endpoint: str | None) -> Tracing:
    """Tracing to ``endpoint``, or none. Raises RuntimeError when the exporter's package is not installed."""
    if endpoint is None:
        return Tracing()
    try:
        module: Any = importlib.import_module("opentelemetry.exporter.otlp.proto.grpc.trace_exporter")
    except ImportError as error:
        raise RuntimeError(
            "otlp_endpoint is set: install opentelemetry-sdk and opentelemetry-exporter-otlp-proto-grpc"
        ) from error
    return OpenTelemetry(service, module.OTLPSpanExporter(endpoint=endpoint))


def outgoing() -> tuple[tuple[str, str], ...]:
    """Metadata that carries the current span to the next service; empty when nobody traces."""
    if "opentelemetry.trace" not in sys.modules:
        return ()
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return tuple(carrier.items())

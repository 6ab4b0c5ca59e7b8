"""Prometheus metrics of a server, each on its own registry so that several servers fit in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

if TYPE_CHECKING:
    from services.common.limits import Admission

disable_created_metrics()  # type: ignore[no-untyped-call]
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Everything that a server counts. Names start with ``kinesphere_``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.calls = Counter(
            "kinesphere_rpc_calls", "Calls finished.", ("method", "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "kinesphere_rpc_seconds",
            "Time from a call's arrival to its status.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_seconds = Histogram(
            "kinesphere_rpc_first_message_seconds",
            "Time from a call's arrival to its first answer.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "kinesphere_queue_seconds",
            "Time that calls waited to be admitted.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.running = Gauge("kinesphere_calls_running", "Calls that run now.", registry=self.registry)
        self.waiting = Gauge(
            "kinesphere_queue_depth", "Calls that wait now; scale on this.", registry=self.registry
        )
        self.model_batch = Histogram(
            "kinesphere_model_batch_size",
            "Rows of a model call after batching.",
            ("model",),
            buckets=_SIZES,
            registry=self.registry,
        )
        self.model_queue_seconds = Histogram(
            "kinesphere_model_queue_seconds",
            "Time that requests waited for a model call.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.model_seconds = Histogram(
            "kinesphere_model_seconds",
            "Time of a model call.",
            ("model",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.model_refused = Counter(
            "kinesphere_model_refused",
            "Requests refused because a model's queue was full.",
            ("model",),
            registry=self.registry,
        )

    def watch(self, admission: Admission) -> None:
        """Let the gauges read from ``admission`` when they are scraped."""
        self.running.set_function(lambda: admission.running)
        self.waiting.set_function(lambda: admission.waiting)


class MetricsPage:
    """``http://HOST:PORT/metrics`` in a thread of its own."""

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        self._server, self._thread = start_http_server(port, addr=host, registry=metrics.registry)
        self.port: int = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""The gRPC bootstrap: one ``Server`` class and one ``run`` for every service."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from services.common import logs, tracing, validation
from services.common.calls import Calls
from services.common.limits import Admission
from services.common.metrics import Metrics, MetricsPage
from services.common.settings import ServiceSettings

log = structlog.get_logger(__name__)
_TELL_SECONDS = 0.05  # for the watchers of health to hear of it, also when no call is in flight


@dataclass(frozen=True)
class Service:
    """A servicer and how to register it: the generated ``add_..._to_server`` and the service's descriptor."""

    servicer: Any
    add: Callable[[Any, Any], None]
    descriptor: ServiceDescriptor


class Server:
    """A gRPC server with health, reflection, limits, errors and metrics. Not started until ``start``."""

    def __init__(
        self,
        settings: ServiceSettings,
        services: Sequence[Service],
        *,
        metrics: Metrics | None = None,
        traces: tracing.Tracing | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.admission = Admission(settings.max_concurrency, settings.max_queue)
        self.metrics.watch(self.admission)
        self._traces = traces or tracing.start(settings.service, settings.otlp_endpoint)
        validation.prepare(service.descriptor for service in services)
        self._names = [service.descriptor.full_name for service in services]
        self._health = HealthServicer()
        self._page: MetricsPage | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._calls = Calls(
            admission=self.admission,
            metrics=self.metrics,
            tracing=self._traces,
            default_deadline=settings.default_deadline,
            max_deadline=settings.max_deadline,
            slow_reader=settings.slow_reader_seconds,
            tokens=[token.get_secret_value() for token in settings.tokens],
        )
        self._server = grpc.aio.server(interceptors=[self._calls], options=_options(settings))
        for service in services:
            service.add(service.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [*self._names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
        reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], self._server)
        self.port = 0

    @property
    def metrics_port(self) -> int | None:
        return self._page.port if self._page else None

    @property
    def address(self) -> str:
        """``host:port`` that a client on this machine dials."""
        return _address(self.settings.host, self.port)

    async def start(self) -> int:
        """Listen; gives the port. Raises RuntimeError when the address cannot be had."""
        settings = self.settings
        address = _address(settings.host, settings.port)
        try:
            if settings.tls_certificate is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, _credentials(settings))
        except RuntimeError as error:
            raise RuntimeError(f"cannot listen on {address}: it is in use or not this machine's") from error
        if settings.metrics_port is not None:
            self._page = MetricsPage(self.metrics, settings.metrics_host, settings.metrics_port)
        await self._server.start()
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("serving", address=self.address, services=self._names, metrics_port=self.metrics_port)
        return self.port

    async def stop(self, grace: float | None = None) -> None:
        """Drain: health says NOT_SERVING, new calls are refused, those in flight get ``grace`` seconds to end.

        Both kinds of refusal are UNAVAILABLE (DRAINING). Watches of health and reflection hold nothing up.
        """
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._stop(grace))
        await asyncio.shield(self._stopping)

    async def _stop(self, grace: float | None) -> None:
        log.info("draining", running=self.admission.running, waiting=self.admission.waiting)
        await self._health.enter_graceful_shutdown()
        if self.settings.drain_delay:
            await asyncio.sleep(self.settings.drain_delay)
        seconds = self.settings.drain_seconds if grace is None else grace
        # Until the last call has ended gRPC keeps listening: probes hear NOT_SERVING, new calls why they are refused.
        # (Its own shutdown would close the port, and end calls that have just arrived with CANCELLED.)
        await asyncio.gather(self._calls.drain(seconds), asyncio.sleep(_TELL_SECONDS))
        await self._server.stop(None)
        if self._page:
            await asyncio.to_thread(self._page.close)
        self._traces.close()
        log.info("stopped")

    async def abort(self) -> None:
        """End now; calls in flight are cancelled."""
        await self._server.stop(None)


Build = Callable[[Metrics], AbstractAsyncContextManager[Sequence[Service]]]


async def serve(settings: ServiceSettings, build: Build) -> None:
    """Serve what ``build`` gives until SIGTERM or SIGINT, then drain; a second signal ends at once.

    ``build(metrics)`` is an async context manager that gives the services; what it opened (models, channels) is
    closed after the last call has ended.
    """
    metrics = Metrics()
    async with build(metrics) as services:
        server = Server(settings, services, metrics=metrics)
        # What lives until the end is not looked at again: a full collection of it is 65 ms of silence in the reactor.
        gc.collect()
        gc.freeze()
        async with _stop_on_signal(server) as stopped:
            await server.start()
            await stopped.wait()
            await server.stop()


@asynccontextmanager
async def _stop_on_signal(server: Server) -> AsyncIterator[asyncio.Event]:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    def on_signal() -> None:
        if stopped.is_set():
            tasks.add(loop.create_task(server.abort()))
        stopped.set()

    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stopped
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def run(settings: ServiceSettings, build: Build) -> None:
    """A service's ``__main__``: logs, uvloop, ``serve``."""
    import uvloop

    logs.configure(settings.log_level, settings.log_format, service=settings.service)
    uvloop.run(serve(settings, build))


def _options(settings: ServiceSettings) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # Answers are bounded by the limits of the requests; a caller has a limit of its own on what it receives.
        ("grpc.max_send_message_length", -1),
        # What a caller may send before its message is asked for. gRPC would let it grow to many MiB for each call, and
        # raises it by itself to the size of a message that is being read.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 128 * 1024),
        ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not share it
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _address(host: str, port: int) -> str:
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def _credentials(settings: ServiceSettings) -> grpc.ServerCredentials:
    assert settings.tls_certificate is not None
    assert settings.tls_key is not None
    pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
    client_ca = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    return grpc.ssl_server_credentials(
        [pair], root_certificates=client_ca, require_client_auth=client_ca is not None
    )

"""``python -m services.reactor``: a body that answers other bodies, until SIGTERM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from kinesphere.text import TextEncoder
from kinesphere.v1 import reactor_pb2, reactor_pb2_grpc
from services.common.embedded import EmbeddedValkey
from services.common.metrics import Metrics
from services.common.onnx_runtime import OnnxRuntime
from services.common.server import Service, run
from services.reactor.meters import Meters
from services.reactor.networks import REFINE
from services.reactor.replica import Replica
from services.reactor.service import ReactorServicer
from services.reactor.sessions import Sessions
from services.reactor.settings import ReactorSettings
from services.reactor.store import Store


@asynccontextmanager
async def build(settings: ReactorSettings, metrics: Metrics) -> AsyncIterator[Sequence[Service]]:
    """The service with its models loaded and timed; a model that is missing only fails the calls that need it."""
    async with AsyncExitStack() as stack:
        url = settings.redis_url
        if url is None:
            url = (await stack.enter_async_context(EmbeddedValkey())).url
        store = Store(
            url,
            lease=settings.lease_seconds,
            expiry=settings.session_seconds,
            frames_kept=settings.frames_kept,
            timeout=settings.store_timeout,
        )
        stack.push_async_callback(store.close)
        runtime = await stack.enter_async_context(OnnxRuntime.of(settings, metrics, inline=[REFINE]))
        sessions = Sessions(store, TextEncoder())
        replica = Replica(settings, runtime, store, sessions, Meters(metrics))
        await stack.enter_async_context(replica)
        yield [
            Service(
                ReactorServicer(settings, runtime, store, sessions, replica),
                reactor_pb2_grpc.add_ReactorServiceServicer_to_server,
                reactor_pb2.DESCRIPTOR.services_by_name["ReactorService"],
            )
        ]


def main() -> None:
    settings = ReactorSettings()
    run(settings, lambda metrics: build(settings, metrics))


if __name__ == "__main__":
    main()

"""``python -m services.decoder``: plan tokens to motion, until SIGTERM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from kinesphere.v1 import decoder_pb2, decoder_pb2_grpc
from services.common.errors import PreconditionError
from services.common.metrics import Metrics
from services.common.onnx_runtime import OnnxRuntime
from services.common.server import Service, run
from services.decoder.service import HISTORY_MODELS, MODELS, DecoderServicer
from services.decoder.settings import DecoderSettings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def build(settings: DecoderSettings, metrics: Metrics) -> AsyncIterator[Sequence[Service]]:
    """The service with its models loaded; a model that is missing only fails the calls that need it."""
    async with OnnxRuntime.of(settings, metrics) as runtime:
        for name in (*MODELS.values(), *HISTORY_MODELS):
            try:
                await runtime.load(name)
            except PreconditionError as error:
                log.warning("model missing", model=name, reason=error.message)
        yield [
            Service(
                DecoderServicer(runtime, settings),
                decoder_pb2_grpc.add_DecoderServiceServicer_to_server,
                decoder_pb2.DESCRIPTOR.services_by_name["DecoderService"],
            )
        ]


def main() -> None:
    settings = DecoderSettings()
    run(settings, lambda metrics: build(settings, metrics))


if __name__ == "__main__":
    main()

"""``python -m services.tokenizer``: motion to tokens and back, embeddings and search, until SIGTERM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from kinesphere.errors import FormatError
from kinesphere.text import TextEncoder
from kinesphere.v1 import tokenizer_pb2, tokenizer_pb2_grpc
from services.common.errors import PreconditionError
from services.common.metrics import Metrics
from services.common.onnx_runtime import OnnxRuntime
from services.common.server import Service, run
from services.tokenizer.coding import Coder
from services.tokenizer.index import SearchIndex
from services.tokenizer.service import MODELS, TokenizerServicer
from services.tokenizer.settings import TokenizerSettings

log = structlog.get_logger(__name__)


@asynccontextmanager
async def build(settings: TokenizerSettings, metrics: Metrics) -> AsyncIterator[Sequence[Service]]:
    """The service with its models loaded; a model or index that is missing only fails the calls that need it."""
    async with OnnxRuntime.of(settings, metrics) as runtime:
        for name in MODELS:
            try:
                await runtime.load(name)
            except PreconditionError as error:
                log.warning("model missing", model=name, reason=error.message)
        yield [
            Service(
                TokenizerServicer(runtime, Coder(runtime, TextEncoder()), _index(settings), settings),
                tokenizer_pb2_grpc.add_TokenizerServiceServicer_to_server,
                tokenizer_pb2.DESCRIPTOR.services_by_name["TokenizerService"],
            )
        ]


def _index(settings: TokenizerSettings) -> SearchIndex | None:
    try:
        return SearchIndex.load(settings.index_folder)
    except (FileNotFoundError, FormatError) as error:
        log.warning("no search index", folder=str(settings.index_folder), reason=str(error))
        return None


def main() -> None:
    settings = TokenizerSettings()
    run(settings, lambda metrics: build(settings, metrics))


if __name__ == "__main__":
    main()

"""``python -m services.planner``: sentences to motion and back, until SIGTERM."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from kinesphere.text import TextEncoder
from kinesphere.v1 import decoder_pb2_grpc, planner_pb2, planner_pb2_grpc, tokenizer_pb2_grpc
from services.common.clients import open_channel
from services.common.metrics import Metrics
from services.common.server import Service, run
from services.planner.batching import Batcher
from services.planner.loading import load_planner
from services.planner.planning import PlanMaker
from services.planner.service import PlannerServicer
from services.planner.settings import PlannerSettings


@asynccontextmanager
async def build(settings: PlannerSettings, metrics: Metrics) -> AsyncIterator[Sequence[Service]]:
    """The service with its language model loaded; the services behind it may come up later."""
    planner = load_planner(settings)
    encoder = TextEncoder() if planner.prompter.wants_features else None
    async with AsyncExitStack() as stack:
        batcher = await stack.enter_async_context(Batcher(planner.model, max_waiting=settings.max_waiting))
        decoder, tokenizer = [
            await stack.enter_async_context(
                open_channel(address, ca=settings.upstream_ca, max_message_bytes=settings.max_message_bytes)
            )
            for address in (settings.decoder, settings.tokenizer)
        ]
        plans = PlanMaker(
            planner,
            batcher,
            encoder=encoder,
            max_blocks=settings.max_blocks,
            max_thought=settings.max_thought,
            thought_temperature=settings.thought_temperature,
        )
        yield [
            Service(
                PlannerServicer(
                    settings,
                    planner,
                    batcher,
                    plans,
                    decoder_pb2_grpc.DecoderServiceStub(decoder),
                    tokenizer_pb2_grpc.TokenizerServiceStub(tokenizer),
                ),
                planner_pb2_grpc.add_PlannerServiceServicer_to_server,
                planner_pb2.DESCRIPTOR.services_by_name["PlannerService"],
            )
        ]


def main() -> None:
    settings = PlannerSettings()
    run(settings, lambda metrics: build(settings, metrics))


if __name__ == "__main__":
    main()

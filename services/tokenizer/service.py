"""TokenizerService: RPCs to domain calls."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from kinesphere.errors import InputError
from kinesphere.representations import hml263
from kinesphere.skeleton import FloatArray
from kinesphere.v1 import status_pb2, tokenizer_pb2_grpc, tokens_pb2
from kinesphere.v1 import tokenizer_pb2 as pb
from services.common import convert
from services.common.errors import PreconditionError
from services.common.runtime import ModelDescription, ModelRuntime
from services.tokenizer.coding import (
    DETAIL_DEPTH,
    DETAIL_PER_BLOCK,
    EMBEDDING_SIZE,
    FEATURE_SIZE,
    FRAMES_PER_BLOCK,
    Coder,
)
from services.tokenizer.index import MODEL, SearchIndex
from services.tokenizer.settings import TokenizerSettings

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

MODELS: Final = ("tokenizer_encode", "tokenizer_decode", "embed_motion", "embed_text")
DEFAULT_LIMIT: Final = 10


class TokenizerServicer(tokenizer_pb2_grpc.TokenizerServiceServicer):
    def __init__(
        self, runtime: ModelRuntime, coder: Coder, index: SearchIndex | None, settings: TokenizerSettings
    ) -> None:
        self._runtime = runtime
        self._coder = coder
        self._index = index
        self._settings = settings

    async def Encode(self, request: pb.EncodeRequest, context: Context) -> pb.EncodeResponse:
        motion = await asyncio.to_thread(convert.motion_from_proto, request.motion)
        codes = await self._coder.encode(motion)
        response = pb.EncodeResponse(
            tokens=tokens_pb2.MotionTokens(blocks=convert.tokens_to_proto(codes.semantic, codes.detail)),
            num_frames=codes.frames,
        )
        if request.with_features:
            response.semantic_features.CopyFrom(convert.tensor_to_proto(codes.semantic_features))
            response.detail_features.CopyFrom(convert.tensor_to_proto(codes.detail_features))
        return response

    async def Decode(
        self, request: pb.TokenizerServiceDecodeRequest, context: Context
    ) -> pb.TokenizerServiceDecodeResponse:
        semantic, detail = convert.tokens_from_proto(
            request.tokens.blocks,
            semantic_size=self._settings.semantic_codes,
            detail_size=self._settings.detail_codes,
        )
        most = FRAMES_PER_BLOCK * len(semantic)
        if request.num_frames > most:
            raise InputError(
                "num_frames", f"{request.num_frames} is more than the {most} of {len(semantic)} blocks"
            )
        fps = request.fps if request.HasField("fps") else hml263.FPS
        motion = await self._coder.decode(semantic, detail, request.num_frames, fps)
        return pb.TokenizerServiceDecodeResponse(motion=convert.motion_to_proto(motion))

    async def Embed(self, request: pb.EmbedRequest, context: Context) -> pb.EmbedResponse:
        embeddings = await asyncio.gather(
            *(self._embed(one, f"inputs[{place}]") for place, one in enumerate(request.inputs))
        )
        return pb.EmbedResponse(embeddings=[pb.Embedding(values=values.tolist()) for values in embeddings])

    async def Search(self, request: pb.SearchRequest, context: Context) -> pb.SearchResponse:
        index = await self._usable_index()
        query = await self._embed(request.query, "query")
        limit = request.limit if request.HasField("limit") else DEFAULT_LIMIT
        return pb.SearchResponse(
            hits=[
                pb.SearchHit(
                    clip_id=match.entry.id,
                    score=match.score,
                    caption=match.entry.caption,
                    source=match.entry.source,
                    seconds=match.entry.seconds,
                )
                for match in index.nearest(query, limit)
            ]
        )

    async def Describe(
        self, request: pb.TokenizerServiceDescribeRequest, context: Context
    ) -> pb.TokenizerServiceDescribeResponse:
        described = [await self._describe(name) for name in MODELS]
        return pb.TokenizerServiceDescribeResponse(
            semantic_codebook_size=self._settings.semantic_codes,
            detail_codebook_size=self._settings.detail_codes,
            detail_depth=DETAIL_DEPTH,
            frames_per_block=FRAMES_PER_BLOCK,
            detail_per_block=DETAIL_PER_BLOCK,
            fps=hml263.FPS,
            embedding_size=EMBEDDING_SIZE,
            feature_size=FEATURE_SIZE,
            index_size=len(self._index) if self._index else 0,
            models=[
                status_pb2.ModelInfo(name=model.name, version=model.version, sha256=model.sha256)
                for model in described
                if model
            ],
        )

    async def _embed(self, one: pb.EmbedInput, path: str) -> FloatArray:
        if one.WhichOneof("input") == "motion":
            motion = await asyncio.to_thread(convert.motion_from_proto, one.motion, f"{path}.motion")
            return await self._coder.embed_motion(motion)
        if not one.text.strip():
            raise InputError(f"{path}.text", "must not be only blanks")
        return await self._coder.embed_text(one.text)

    async def _usable_index(self) -> SearchIndex:
        """Raises PreconditionError without an index, or with one that another network's embeddings are in."""
        if self._index is None or not len(self._index):
            raise PreconditionError(f"no search index in {self._settings.index_folder}")
        served = (await self._runtime.describe(MODEL)).sha256
        if served and served != self._index.model_sha256:
            raise PreconditionError(
                "the search index belongs to another version of embed_motion: build it anew"
            )
        return self._index

    async def _describe(self, name: str) -> ModelDescription | None:
        try:
            return await self._runtime.describe(name)
        except PreconditionError:
            return None

"""What the clients say over gRPC: requests, answers put together, and errors, as this library's own types."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np
from google.rpc import error_details_pb2, status_pb2

from kinesphere.errors import InputError
from kinesphere.motion import Motion
from kinesphere.skeleton import Skeleton
from kinesphere.v1 import decoder_pb2, motion_pb2, planner_pb2, skeleton_pb2, tokenizer_pb2, tokens_pb2
from kinesphere.v1 import status_pb2 as stream_status_pb2

DECODER_MODES: Final[dict[str, decoder_pb2.DecoderMode.ValueType]] = {
    "diffusion": decoder_pb2.DECODER_MODE_DIFFUSION,
    "direct": decoder_pb2.DECODER_MODE_DIRECT,
}
Blocks = tuple[tuple[int, tuple[int, ...]], ...]


class ServiceError(RuntimeError):
    """A call that failed for another reason than its input.

    ``code`` is gRPC's status name (``UNAVAILABLE``), ``reason`` the API's own (``QUEUE_FULL``; empty when the
    service gave none), ``retry_after`` the seconds that the service asks to wait, if it does.
    """

    def __init__(self, code: str, message: str, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.reason, self.retry_after = code, message, reason, retry_after


@dataclass(frozen=True)
class Generated:
    """What PlannerService.Generate made.

    blocks: the plan, for each 0.8 s one semantic token and its detail tokens. seed: makes the same again.
    first_frame_seconds, total_seconds: as the service measured them, from the request's arrival.
    """

    motion: Motion
    thought: str
    blocks: Blocks
    seed: int
    finish_reason: str
    first_frame_seconds: float
    total_seconds: float


@dataclass(frozen=True)
class Encoded:
    """A motion as tokens. num_frames counts frames at 20 fps before padding to whole blocks of 16."""

    blocks: Blocks
    num_frames: int


@dataclass(frozen=True)
class Hit:
    """A clip that TokenizerService.Search found. score: cosine similarity, -1 to 1."""

    clip_id: str
    score: float
    caption: str
    source: str
    seconds: float


@dataclass
class Assembler:
    """Puts the messages of one Generate stream together."""

    header: motion_pb2.MotionHeader | None = None
    status: stream_status_pb2.StreamStatus | None = None
    thought: list[str] = field(default_factory=list)
    blocks: list[tuple[int, tuple[int, ...]]] = field(default_factory=list)
    chunks: list[motion_pb2.MotionChunk] = field(default_factory=list)

    def add(self, response: planner_pb2.GenerateResponse) -> None:
        part = response.WhichOneof("part")
        if part == "header":
            self.header = response.header
        elif part == "thought":
            self.thought.append(response.thought.text)
        elif part == "plan_tokens":
            self.blocks.extend(blocks(response.plan_tokens.blocks))
        elif part == "motion":
            self.chunks.append(response.motion)
        elif part == "status":
            self.status = response.status

    def result(self) -> Generated:
        if self.header is None or self.status is None or not self.chunks:
            raise ServiceError("DATA_LOSS", "the stream ended without a header, frames or a status")
        return Generated(
            motion=motion_of(self.header, self.chunks),
            thought="".join(self.thought).strip(),
            blocks=tuple(self.blocks),
            seed=self.header.seed,
            finish_reason=stream_status_pb2.FinishReason.Name(self.status.finish_reason).removeprefix(
                "FINISH_REASON_"
            ),
            first_frame_seconds=self.status.first_frame_seconds,
            total_seconds=self.status.total_seconds,
        )


def generate_request(
    text: str,
    *,
    seconds: float = 0.0,
    seed: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    thinking: bool | None = None,
    decoder: str = "diffusion",
    fps: float | None = None,
) -> planner_pb2.GenerateRequest:
    """The request of PlannerService.Generate.

    seconds: 0 to 60, 0 lets the model decide. seed: 0 or more; None lets the service pick. decoder: ``diffusion``
    or ``direct``. fps: 10 to 60. None leaves the service's default. Raises InputError naming what protobuf itself
    cannot hold (a seed over 63 bits); the service checks the rest.
    """
    if decoder not in DECODER_MODES:
        raise InputError("decoder_mode", f"{decoder!r} is unknown; choose from {', '.join(DECODER_MODES)}")
    if seed is not None and not -(2**63) <= seed < 2**63:
        raise InputError("seed", "is larger than 63 bits")
    try:
        return planner_pb2.GenerateRequest(
            text=text, seconds=seconds, seed=seed, temperature=temperature, top_p=top_p, thinking=thinking,
            decoder_mode=DECODER_MODES[decoder], fps=fps,
        )  # fmt: skip
    except (UnicodeEncodeError, ValueError) as error:
        raise InputError("text", "is not valid Unicode") from error


def to_proto(motion: Motion) -> motion_pb2.Motion:
    """``motion`` as the API's message."""
    skeleton = motion.skeleton
    return motion_pb2.Motion(
        fps=motion.fps,
        num_frames=motion.num_frames,
        translation=motion.translation.ravel(),
        rotations=motion.rotations.ravel(),
        skeleton=skeleton_pb2.Skeleton(
            name="smpl22",
            joint_names=skeleton.names,
            parents=skeleton.parents,
            offsets=skeleton.offsets.ravel(),
        ),
        betas=[] if motion.betas is None else motion.betas.ravel(),
        person_id=motion.person_id or "",
    )


def from_proto(message: motion_pb2.Motion) -> Motion:
    """The API's message, as a service sent it, as a Motion."""
    return _motion(message.skeleton, message.translation, message.rotations, message.fps, message.person_id)


def motion_of(header: motion_pb2.MotionHeader, chunks: Sequence[motion_pb2.MotionChunk]) -> Motion:
    """A stream's header and chunks as one Motion. Raises ServiceError where frames are missing between chunks."""
    expected = 0
    for chunk in chunks:
        if chunk.start_frame != expected:
            raise ServiceError("DATA_LOSS", f"frame {expected} is missing from the stream")
        expected += chunk.num_frames
    translation = np.concatenate([np.asarray(chunk.translation, dtype=np.float32) for chunk in chunks])
    rotations = np.concatenate([np.asarray(chunk.rotations, dtype=np.float32) for chunk in chunks])
    return _motion(header.skeleton, translation, rotations, header.fps, header.person_id)


def _motion(
    skeleton: skeleton_pb2.Skeleton, translation: Any, rotations: Any, fps: float, person: str
) -> Motion:
    joints = len(skeleton.joint_names)
    body = Skeleton(
        tuple(skeleton.joint_names),
        tuple(skeleton.parents),
        np.asarray(skeleton.offsets, dtype=np.float32).reshape(joints, 3),
    )
    return Motion.from_rotations(
        np.asarray(translation, dtype=np.float32).reshape(-1, 3),
        np.asarray(rotations, dtype=np.float32).reshape(-1, joints, 4),
        fps,
        body,
        person_id=person or None,
    )


def blocks(blocks: Sequence[tokens_pb2.TokenBlock]) -> Blocks:
    return tuple((block.semantic, tuple(block.detail)) for block in blocks)


def encoded(response: tokenizer_pb2.EncodeResponse) -> Encoded:
    return Encoded(blocks(response.tokens.blocks), response.num_frames)


def decode_request(
    blocks: Blocks, fps: float | None, num_frames: int
) -> tokenizer_pb2.TokenizerServiceDecodeRequest:
    return tokenizer_pb2.TokenizerServiceDecodeRequest(
        tokens=motion_tokens(blocks), fps=fps, num_frames=num_frames
    )


def motion_tokens(blocks: Blocks) -> tokens_pb2.MotionTokens:
    """``blocks`` as the API's message. Raises InputError naming what protobuf cannot hold."""
    try:
        return tokens_pb2.MotionTokens(
            blocks=[tokens_pb2.TokenBlock(semantic=semantic, detail=detail) for semantic, detail in blocks]
        )
    except (ValueError, TypeError) as error:
        raise InputError("tokens.blocks", str(error)) from error


def embed_input(value: str | Motion) -> tokenizer_pb2.EmbedInput:
    if isinstance(value, Motion):
        return tokenizer_pb2.EmbedInput(motion=to_proto(value))
    return tokenizer_pb2.EmbedInput(text=value)


def embed_request(inputs: Sequence[str | Motion]) -> tokenizer_pb2.EmbedRequest:
    return tokenizer_pb2.EmbedRequest(inputs=[embed_input(value) for value in inputs])


def vectors(response: tokenizer_pb2.EmbedResponse) -> np.ndarray:
    return np.array([embedding.values for embedding in response.embeddings], dtype=np.float32)


def hits(response: tokenizer_pb2.SearchResponse) -> list[Hit]:
    return [Hit(hit.clip_id, hit.score, hit.caption, hit.source, hit.seconds) for hit in response.hits]


@contextmanager
def translated() -> Iterator[None]:
    """Turn gRPC's errors into this package's."""
    try:
        yield
    except grpc.RpcError as error:
        raise translate(error) from None


def translate(error: grpc.RpcError) -> InputError | ServiceError:
    """A failed call as InputError (bad input; the service named the field) or ServiceError.

    Reads the ``google.rpc`` details: BadRequest, ErrorInfo, RetryInfo.
    """
    call: Any = error
    code, message = call.code().name, call.details() or ""
    reason, retry_after = "", None
    for key, value in call.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            bad, info, retry = (
                error_details_pb2.BadRequest(),
                error_details_pb2.ErrorInfo(),
                error_details_pb2.RetryInfo(),
            )
            if detail.Unpack(bad) and bad.field_violations:
                violation = bad.field_violations[0]
                return InputError(violation.field, violation.description)
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return ServiceError(code, message, reason, retry_after)

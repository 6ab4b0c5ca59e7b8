"""What the planner can be told, from ``KINESPHERE_PLANNER_...`` or ``KINESPHERE_...``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr

from services.common.settings import ServiceSettings


class PlannerSettings(ServiceSettings):
    service: ClassVar[str] = "planner"

    port: int = Field(50051, ge=0, le=65535, description="gRPC port; 0 picks a free one")
    tokenizer: str = Field("127.0.0.1:50052", description="address of the tokenizer service")
    decoder: str = Field("127.0.0.1:50053", description="address of the decoder service")
    upstream_ca: Path | None = Field(None, description="PEM; with it the services behind are called over TLS")
    upstream_token: SecretStr | None = Field(None, description="bearer token for the services behind")

    engine: Literal["onnx", "transformers"] = Field("onnx", description="what runs the language model")
    model: str = Field(
        "planner_compact", description="a model of the repository, or the path of a Hugging Face folder"
    )
    threads: int = Field(1, ge=1, le=256, description="threads of one step of the language model")
    max_rows: int = Field(16, ge=1, le=1024, description="sequences written at once; the others wait")
    max_waiting: int = Field(64, ge=0, le=100_000, description="sequences that wait; one more is refused")

    temperature: float = Field(0.6, gt=0, le=2, description="of a plan, when the request gives none")
    top_p: float = Field(0.9, gt=0, le=1, description="of a plan, when the request gives none")
    max_blocks: int = Field(
        14,
        ge=1,
        le=25,
        description="blocks (0.8 s) of one answer: what the model was trained on; more take passes",
    )
    thought_temperature: float = Field(
        0.0, ge=0, le=2, description="of the thought's words; 0: the likeliest"
    )
    max_thought: int = Field(96, ge=1, le=256, description="tokens of a plan's thoughts together")

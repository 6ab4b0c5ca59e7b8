"""Settings of the tokenizer service, from ``KINESPHERE_TOKENIZER_*`` (see ``services.common.settings``)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from services.common.settings import ServiceSettings


class TokenizerSettings(ServiceSettings):
    """What the tokenizer can be told beyond what every service can."""

    service: ClassVar[str] = "tokenizer"

    port: int = Field(50052, ge=0, le=65535, description="gRPC port; 0 picks a free one")
    search_index: Path | None = Field(
        None, description="folder of the search index; unset: `search_index` in the model repository"
    )
    semantic_codes: int = Field(512, ge=1, le=65536, description="entries of the semantic codebook")
    detail_codes: int = Field(512, ge=1, le=65536, description="entries of the detail codebook")

    @property
    def index_folder(self) -> Path:
        return self.search_index or self.models / "search_index"

"""Settings of the decoder service, from ``KINESPHERE_DECODER_*`` (see ``services.common.settings``)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from services.common.settings import ServiceSettings


class DecoderSettings(ServiceSettings):
    """What the decoder can be told beyond what every service can."""

    service: ClassVar[str] = "decoder"

    port: int = Field(50053, ge=0, le=65535, description="gRPC port; 0 picks a free one")
    foot_lock: bool = Field(True, description="hold feet still while the network says that they are planted")
    semantic_codes: int = Field(512, ge=1, le=65536, description="entries of the semantic codebook")
    detail_codes: int = Field(512, ge=1, le=65536, description="entries of the detail codebook")

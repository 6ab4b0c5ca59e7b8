"""Settings: where they come from, and what refuses to start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.common.settings import ServiceSettings, is_loopback


class Settings(ServiceSettings):
    service = "planner"


def test_a_services_own_variable_beats_the_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINESPHERE_MAX_QUEUE", "5")
    monkeypatch.setenv("KINESPHERE_LOG_LEVEL", "warning")
    monkeypatch.setenv("KINESPHERE_PLANNER_MAX_QUEUE", "7")
    monkeypatch.setenv("KINESPHERE_DECODER_MAX_QUEUE", "9")
    monkeypatch.setenv("KINESPHERE_SOMETHING_ELSE", "x")
    settings = Settings()
    assert settings.max_queue == 7
    assert settings.log_level == "warning"
    assert ServiceSettings().max_queue == 5


def test_tokens_are_split_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINESPHERE_TOKENS", "0123456789abcdef, fedcba9876543210,")
    settings = Settings()
    assert [token.get_secret_value() for token in settings.tokens] == ["0123456789abcdef", "fedcba9876543210"]
    assert "0123456789abcdef" not in repr(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "localhost", "127.8.8.8"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


PEM = {"tls_certificate": Path("a.pem"), "tls_key": Path("a.key")}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0"}, "not loopback"),
        ({"host": "::"}, "not loopback"),
        ({"host": "example.org"}, "not loopback"),
        ({"host": "0.0.0.0", "tokens": "0123456789abcdef"}, "tls_certificate"),
        ({"host": "0.0.0.0", **PEM}, "tokens or tls_client_ca"),
        ({"tls_certificate": Path("a.pem")}, "belong together"),
        ({"tls_client_ca": Path("ca.pem")}, "needs tls_certificate"),
        ({"tokens": "short"}, "at least 16"),
        ({"port": 70000}, "65535"),
        ({"max_queue": -1}, "greater than or equal to 0"),
        ({"default_deadline": 0}, "greater than 0"),
    ],
)
def test_what_refuses_to_start(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings(**options)


def test_open_addresses_start_with_tls_and_a_token_or_client_certificates() -> None:
    Settings(host="0.0.0.0", tokens="0123456789abcdef", **PEM)
    Settings(host="0.0.0.0", tls_client_ca=Path("ca.pem"), **PEM)

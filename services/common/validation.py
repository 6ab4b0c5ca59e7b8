"""Enforces the limits that the protos declare (``buf.validate``) on every message that arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import protovalidate
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from services.common.errors import InvalidRequestError


def check(message: Message) -> None:
    """Raise InvalidRequestError naming every field of ``message`` that breaks its declared limit."""
    violations = protovalidate.collect_violations(message)
    if violations:
        texts: dict[str, str] = {}  # one entry a field, with all that is wrong with it
        for item in violations:
            field, text = field_path(item.proto.field), item.proto.message
            texts[field] = f"{texts[field]}, {text}" if field in texts else text
        raise InvalidRequestError(list(texts.items()))


async def checked(messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
    """The same stream; ends with InvalidRequestError at the first message that breaks a limit."""
    async for message in messages:
        check(message)
        yield message


def prepare(services: Iterable[ServiceDescriptor]) -> None:
    """Compile the rules of every request now (some 20 ms each), not in the first caller's time."""
    for service in services:
        for method in service.methods:
            protovalidate.collect_violations(message_factory.GetMessageClass(method.input_type)())


def field_path(path: Any) -> str:
    """``motion.skeleton.joint_names[3]`` from a ``buf.validate.FieldPath``; empty for the message itself."""
    text = ""
    for element in path.elements if path is not None else ():
        text += f".{element.field_name}" if text else element.field_name
        subscript = element.subscript
        if subscript is not None:
            text += f"[{subscript.value}]"
    return text

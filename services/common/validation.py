"""Enforces the limits that the protos declare (``buf.validate``) on every message that arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import protovalidate
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from services.common.errors import InvalidRequestError

Parse = Callable[[bytes], Message]


def check(message: Message) -> None:
    """Raise InvalidRequestError naming every field of ``message`` that breaks its declared limit."""
    violations = protovalidate.collect_violations(message)
    if violations:
        texts: dict[str, str] = {}  # one entry a field, with all that is wrong with it
        for item in violations:
            field, text = field_path(item.proto.field), item.proto.message
            texts[field] = f"{texts[field]}, {text}" if field in texts else text
        raise InvalidRequestError(list(texts.items()))


def parsed(data: bytes, parse: Parse) -> Message:
    """The message in ``data``, checked. Raises InvalidRequestError."""
    try:
        message = parse(data)
    except DecodeError as error:
        raise InvalidRequestError([("", f"not the message that this method takes: {error}")]) from error
    check(message)
    return message


async def checked(stream: AsyncIterator[bytes], parse: Parse) -> AsyncIterator[Message]:
    """The messages of a stream; ends with InvalidRequestError at the first one that is wrong."""
    async for data in stream:
        yield parsed(data, parse)


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

"""Write ``protos/buf/validate/validate.proto`` from the descriptor inside the installed ``protovalidate`` wheel.

The wheel (Apache-2.0, Buf Technologies) carries the compiled descriptor but not the source file, and the Buf registry
must not be needed to build. So the source is rendered from the descriptor: the same messages, fields, extensions and
predefined rules, without comments. Run it again when the ``protovalidate`` dependency moves.
"""

from __future__ import annotations

import sys
from pathlib import Path

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    message_factory,
    text_format,
    timestamp_pb2,
)
from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from google.protobuf.message import Message
from protovalidate._gen.buf.validate import validate_pb

TARGET = Path(__file__).resolve().parents[1] / "protos" / "buf" / "validate" / "validate.proto"
HEADER = """\
// Copyright 2023-2026 Buf Technologies, Inc.
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//      http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

// Changed by the Kinesphere project: rendered by scripts/vendor_validate.py from the descriptor in the `protovalidate`
// wheel (comments are not in it). Do not edit. Upstream: https://github.com/bufbuild/protovalidate

"""
_SCALARS = {number: name[5:].lower() for name, number in FieldDescriptorProto.Type.items()}
_LABELS = {
    FieldDescriptorProto.LABEL_OPTIONAL: "optional ",
    FieldDescriptorProto.LABEL_REPEATED: "repeated ",
    FieldDescriptorProto.LABEL_REQUIRED: "required ",
}


class Renderer:
    """Renders one proto2 file; ``options`` re-reads options with the file's own extensions known."""

    def __init__(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        self.file = file
        self.pool = descriptor_pool.DescriptorPool()
        for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
            self.pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        self.pool.Add(file)  # type: ignore[no-untyped-call]
        self.predefined = self.pool.FindExtensionByName("buf.validate.predefined")
        message_factory.GetMessageClassesForFiles([file.name], self.pool)
        self.field_options: type[Message] = message_factory.GetMessageClass(
            self.pool.FindMessageTypeByName("google.protobuf.FieldOptions")
        )

    def render(self) -> str:
        lines = ['syntax = "proto2";', "", f"package {self.file.package};", ""]
        lines += [f'import "{name}";' for name in self.file.dependency] + [""]
        for option, value in self.file.options.ListFields():
            text = f'"{value}"' if isinstance(value, str) else str(value).lower()
            lines.append(f"option {option.name} = {text.replace(chr(92), chr(92) * 2)};")
        for field in self.file.extension:
            lines += ["", f"extend {field.extendee.lstrip('.')} {{", *self._field(field, "  "), "}"]
        for message in self.file.message_type:
            lines += ["", *self._message(message, "")]
        for enum in self.file.enum_type:
            lines += ["", *self._enum(enum, "")]
        return "\n".join(lines) + "\n"

    def _message(self, message: DescriptorProto, pad: str) -> list[str]:
        inner = pad + "  "
        lines = [f"{pad}message {message.name} {{"]
        for nested in message.nested_type:
            lines += self._message(nested, inner)
        for enum in message.enum_type:
            lines += self._enum(enum, inner)
        opened: set[int] = set()
        for field in message.field:
            if not field.HasField("oneof_index"):
                lines += self._field(field, inner)
            elif field.oneof_index not in opened:
                opened.add(field.oneof_index)
                lines.append(f"{inner}oneof {message.oneof_decl[field.oneof_index].name} {{")
                for member in message.field:
                    if member.HasField("oneof_index") and member.oneof_index == field.oneof_index:
                        lines += self._field(member, inner + "  ", label="")
                lines.append(f"{inner}}}")
        lines += [f"{inner}reserved {item.start} to {item.end - 1};" for item in message.reserved_range]
        lines += [f'{inner}reserved "{name}";' for name in message.reserved_name]
        for span in message.extension_range:
            end = "max" if span.end > 536870911 else str(span.end - 1)
            lines.append(f"{inner}extensions {span.start} to {end};")
        return [*lines, f"{pad}}}"]

    def _field(self, field: FieldDescriptorProto, pad: str, label: str | None = None) -> list[str]:
        kind = field.type_name.lstrip(".") if field.type_name else _SCALARS[field.type]
        label = _LABELS[field.label] if label is None else label
        return [f"{pad}{label}{kind} {field.name} = {field.number}{self._options(field, pad)};"]

    def _options(self, field: FieldDescriptorProto, pad: str) -> str:
        parts = []
        if field.HasField("default_value"):
            parts.append(f"default = {field.default_value}")
        options = self.field_options.FromString(field.options.SerializeToString())
        for option, value in options.ListFields():
            if option.name == "predefined":
                body = text_format.MessageToString(value, indent=len(pad) // 2 + 1).rstrip()  # type: ignore[no-untyped-call]
                parts.append(f"(buf.validate.predefined) = {{\n{body}\n{pad}}}")
            else:
                parts.append(f"{option.name} = {str(value).lower()}")
        return f" [{', '.join(parts)}]" if parts else ""

    @staticmethod
    def _enum(enum: EnumDescriptorProto, pad: str) -> list[str]:
        lines = [f"{pad}enum {enum.name} {{"]
        if enum.options.allow_alias:
            lines.append(f"{pad}  option allow_alias = true;")
        lines += [f"{pad}  {value.name} = {value.number};" for value in enum.value]
        lines += [f"{pad}  reserved {item.start};" for item in enum.reserved_range]
        lines += [f'{pad}  reserved "{name}";' for name in enum.reserved_name]
        return [*lines, f"{pad}}}"]


def main() -> int:
    file = descriptor_pb2.FileDescriptorProto.FromString(validate_pb.desc().proto.to_binary())
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(HEADER + Renderer(file).render(), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""gRPC spoken by hand over a socket, for what no client library would send; and a process's memory."""

from __future__ import annotations

import socket
import struct
from pathlib import Path


def announce(port: int, path: str, length: int, sent: int = 1000) -> bytes:
    """Call ``path`` with a message that says it has ``length`` bytes, of which ``sent`` come; what the server answers.

    The answer is read up to the end of the stream, so a server that waits for the rest gives a TimeoutError.
    """
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        )
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + _frame(4, 0, 0, b"")
            + _frame(1, 4, 1, headers)
            + _frame(0, 0, 1, b"\x00" + struct.pack(">I", length) + b"\x00" * sent)
        )
        answer, rest = b"", b""
        while True:
            block = connection.recv(65536)
            if not block:
                return answer
            answer, rest = answer + block, rest + block
            while len(rest) >= 9 and len(rest) >= 9 + (size := int.from_bytes(rest[:3], "big")):
                kind, flags, stream = struct.unpack(">BBI", rest[3:9])
                rest = rest[9 + size :]
                if stream == 1 and (kind == 3 or (kind in (0, 1) and flags & 1)):  # RST_STREAM, END_STREAM
                    return answer


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name: bytes, value: bytes) -> bytes:
    """Literal, not indexed, not Huffman-coded (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def peak_memory(pid: int) -> int:
    """Most memory that the process has held so far, in bytes."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024

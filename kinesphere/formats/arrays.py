"""NumPy's .npy and .npz read without trust: no pickles, and every size checked before memory is taken."""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import FormatError
from kinesphere.formats import limits

_MAX_HEADER: Final = 10_000
_MAX_MEMBERS: Final = 256


def parse_npy(data: bytes, field: str = "npy") -> NDArray[Any]:
    """The array in the bytes of an .npy file: numbers, or a short string. Raises FormatError naming ``field``.

    The header is read here and not by NumPy, so that a declared shape is compared with the bytes that are there before
    anything is allocated (format: numpy.lib.format).
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise FormatError(field, "is not in NumPy's .npy format")
    width = 2 if data[6] == 1 else 4
    (length,) = struct.unpack("<H" if width == 2 else "<I", data[8 : 8 + width])
    start = 8 + width + length
    if length > _MAX_HEADER or start > len(data):
        raise FormatError(field, "has a broken header")
    try:
        header = ast.literal_eval(data[8 + width : start].decode("latin-1").strip())
        shape, order, kind = header["shape"], header["fortran_order"], np.dtype(header["descr"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        raise FormatError(field, "has a broken header") from None
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8:
        raise FormatError(field, "has a shape that is no tuple of sizes")
    if kind.hasobject:
        raise FormatError(field, "holds Python objects (a pickle), which are never read")
    if kind.kind not in "fiubUS" or kind.shape:
        raise FormatError(field, f"holds {str(kind)[:40]}, not numbers")
    count = math.prod(shape)
    if count > limits.MAX_VALUES:
        raise FormatError(field, f"declares {count} numbers, at most {limits.MAX_VALUES} are read")
    if count * kind.itemsize != len(data) - start:
        raise FormatError(
            field,
            f"declares {count * kind.itemsize} bytes of numbers and holds {len(data) - start} (cut short?)",
        )
    values = np.frombuffer(data, dtype=kind, count=count, offset=start) if count else np.zeros(0, dtype=kind)
    return values.reshape(shape, order="F" if order else "C")


def parse_npz(data: bytes, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Those of the arrays called ``names`` that the bytes of an .npz hold. Raises FormatError.

    Sizes are taken from the zip's directory and checked before a member is inflated; a member that inflates to more
    than it declares is refused by its checksum, having been cut at the declared size.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > _MAX_MEMBERS:
                raise FormatError("npz", f"holds {len(members)} arrays, at most {_MAX_MEMBERS} are read")
            wanted: dict[str, zipfile.ZipInfo] = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in wanted:
                    raise FormatError(f"npz.{name}", "is there twice")
                if name in names:
                    wanted[name] = member
            size = sum(member.file_size for member in wanted.values())
            if size > limits.MAX_FILE_BYTES:
                raise FormatError(
                    "npz", f"inflates to {size} bytes, at most {limits.MAX_FILE_BYTES} are read"
                )
            arrays = {}
            for name, member in wanted.items():
                with archive.open(member) as stream:
                    arrays[name] = parse_npy(stream.read(member.file_size), f"npz.{name}")
    except (
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,  # encrypted
        NotImplementedError,  # an unknown compression
        EOFError,
        OSError,
        struct.error,
        OverflowError,
        ValueError,
    ) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError("npz", f"is not a readable zip archive: {str(error)[:80]}") from None
    return arrays


def finite(array: NDArray[Any], field: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """``array`` as float64. Raises FormatError unless its shape fits (None: any) and every value is finite and sane."""
    if array.ndim != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        wanted = [n if n is not None else "any" for n in shape]
        raise FormatError(field, f"has shape {list(array.shape)}, expected {wanted}")
    if array.dtype.kind not in "fiub":
        raise FormatError(field, "does not hold numbers")
    with np.errstate(invalid="ignore"):  # signalling NaN are refused below
        values = array.astype(np.float64)
    if not np.all(np.isfinite(values)):
        raise FormatError(field, "holds NaN or infinite values")
    if values.size and np.max(np.abs(values)) > limits.MAX_COORDINATE:
        raise FormatError(field, f"holds a value beyond {limits.MAX_COORDINATE:g}")
    return values

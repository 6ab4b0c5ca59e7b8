"""Pickles that hold plain values and NumPy arrays, read without running what is in them.

Several data sets are published as pickles. Only what NumPy's own arrays are written with is admitted, and even that
through stand-ins: no class of a file's choosing is looked up or called, and no array is made larger than its bytes.
"""

from __future__ import annotations

import io
import pickle
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import FormatError

MAX_BYTES: Final = 512 * 2**20


class _Nothing:
    """Stands for ``numpy.ndarray``, which files name as an argument and have no reason to call."""


def _empty_array(*_: object) -> NDArray[Any]:
    """``numpy._core.multiarray._reconstruct`` for any shape: the array's state brings the real one."""
    return np.ndarray.__new__(np.ndarray, (0,), np.int8)


def _dtype(kind: object, *_: object) -> np.dtype[Any]:
    """A type of numbers or of text by its short name (``f8``)."""
    if not isinstance(kind, str) or len(kind) > 16:
        raise FormatError("pickle", "holds an array type that is no short name")
    return np.dtype(kind)


def _scalar(kind: object, data: object = b"") -> Any:
    """One number of an array type."""
    if not isinstance(kind, np.dtype) or kind.hasobject or not isinstance(data, bytes):
        raise FormatError("pickle", "holds a number that is none")
    if kind.itemsize != len(data):
        raise FormatError("pickle", "holds a number of another size than its type")
    return np.frombuffer(data, dtype=kind)[0]


def _from_buffer(data: object, kind: object, shape: object, order: object) -> NDArray[Any]:
    """``numpy._core.numeric._frombuffer``, which protocol 5 writes arrays with."""
    if not isinstance(data, bytes | bytearray) or not isinstance(kind, np.dtype) or kind.hasobject:
        raise FormatError("pickle", "holds an array that is no bytes of numbers")
    if not isinstance(shape, tuple) or order not in ("C", "F"):
        raise FormatError("pickle", "holds an array of no shape")
    return np.frombuffer(bytes(data), dtype=kind).reshape(shape, order=order)


def _latin(text: object, encoding: object = "latin1") -> bytes:
    """Old pickles write bytes as text."""
    if not isinstance(text, str) or encoding != "latin1":
        raise FormatError("pickle", "holds text in an unusual encoding")
    return text.encode("latin1")


_ADMITTED: Final[dict[tuple[str, str], object]] = {
    ("numpy", "ndarray"): _Nothing(),
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _latin,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _empty_array), ("scalar", _scalar))
    },
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise FormatError("pickle", f"asks for {module[:40]}.{name[:40]}; only NumPy arrays are admitted")
        return _ADMITTED[module, name]

    def persistent_load(self, _: Any) -> Any:
        raise FormatError("pickle", "points to something outside the file")


def parse(data: bytes) -> Any:
    """What the bytes of a pickle hold: dicts, lists, text, numbers, arrays. Raises FormatError."""
    if len(data) > MAX_BYTES:
        raise FormatError("pickle", f"{len(data)} bytes, at most {MAX_BYTES} are read")
    try:
        return _Reader(io.BytesIO(data)).load()
    except FormatError:
        raise
    except Exception as error:  # the reader raises whatever a broken stream leads to
        raise FormatError("pickle", f"cannot be read: {type(error).__name__}") from error


def array(holder: Any, name: str) -> NDArray[Any]:
    """The array ``name`` of a dict that ``parse`` gave. Raises FormatError if it is missing or holds objects."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        raise FormatError(f"pickle.{name}", "is missing or is no array of numbers")
    return value

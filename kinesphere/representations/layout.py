"""``Layout``: the named parts of a feature vector, declared once; slices and the total follow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from kinesphere.errors import InputError


class Layout:
    """Names and widths of the parts of a feature vector, in order.

    >>> layout = Layout(5, root=2, height=3)
    >>> layout["height"]
    slice(2, 5, None)

    Raises ValueError if the widths do not add up to ``total`` (the width that the representation is published with).
    """

    def __init__(self, total: int, /, **sizes: int) -> None:
        if any(size <= 0 for size in sizes.values()) or sum(sizes.values()) != total:
            raise ValueError(f"the parts {sizes} add up to {sum(sizes.values())}, not {total}")
        self.total = total
        ends = list(accumulate(sizes.values()))
        self._slices = {
            name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)
        }

    def __getitem__(self, name: str) -> slice:
        return self._slices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return self.total

    def size(self, name: str) -> int:
        """How many numbers the part ``name`` takes."""
        part = self._slices[name]
        return int(part.stop - part.start)

    def check(self, field: str, features: NDArray[np.floating]) -> None:
        """Raise InputError naming ``field`` unless ``features`` is [T, total] and finite."""
        if features.ndim != 2 or features.shape[1] != self.total:
            raise InputError(field, f"has shape {list(features.shape)}, expected [T, {self.total}]")
        if not np.isfinite(features).all():
            raise InputError(field, "holds NaN or infinite values")

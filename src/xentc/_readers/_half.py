"""Numbers of 2 bytes of which NumPy does not know what they are."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xentc._readers._source import FileError, Index, Source

NAMES = ("bfloat16", "float16")


class Half(Source):
    """A file of 2-byte numbers as `name`. bfloat16 without ml_dtypes is widened to float32, which is exact."""

    def __init__(self, source: Source, name: str):
        if source.dtype.itemsize != 2 or source.dtype.kind not in "Vu" or source.dtype.fields:
            raise FileError(
                f"{source.path}: is of {source.dtype}, expected 2 bytes of no known type, as {name} is saved"
            )
        # An unsigned integer has a byte order; what has none (V) was written by this kind of machine.
        self._storage = source.dtype if source.dtype.kind == "u" else np.dtype("u2")
        self._source, self._widen = source, False
        if name == "float16":
            dtype = np.dtype("f2").newbyteorder(self._storage.byteorder)
        else:
            dtype, self._widen = _bfloat16(self._storage)
        super().__init__(source.path, source.shape, dtype, source.chunks)
        self.is_mapped = source.is_mapped
        if hasattr(source, "edges"):
            self.edges = source.edges

    def read(self, index: Index) -> NDArray[Any]:
        part = self._source.read(index)
        if not self._widen:
            return part.view(self.dtype)
        return (part.view(self._storage).astype(np.uint32) << 16).view(np.float32)

    def release(self) -> None:
        self._source.release()


def _bfloat16(storage: np.dtype[Any]) -> tuple[np.dtype[Any], bool]:
    """As which dtype bfloat16 is handed on, and whether it has to be widened to that."""
    if not storage.isnative:
        return np.dtype(np.float32), True
    try:
        return np.dtype(importlib.import_module("ml_dtypes").bfloat16), False
    except ImportError:
        return np.dtype(np.float32), True

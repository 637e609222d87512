"""Arrays of Zarr stores in folders, chunk by chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xentc._readers._source import FileError, Index, Source, choose, import_extra


def open_zarr(path: str, name: str | None) -> Source:
    zarr = import_extra(path, "zarr", "zarr")
    found = zarr.open(path, mode="r")
    if not hasattr(found, "shape"):
        name = choose(path, sorted(key for key, _ in found.arrays()) if name is None else [name], name)
        found = found[name]
    elif name is not None:
        raise FileError(f"{path}: is one array, and holds none called {name!r}")
    return Chunked(path if name is None else f"{path}::{name}", found, found.chunks)


class Chunked(Source):
    """An array whose parts are read into fresh memory."""

    def __init__(self, path: str, array: Any, chunks: tuple[int, ...] | None):
        super().__init__(path, array.shape, array.dtype, chunks)
        self._array = array

    def read(self, index: Index) -> NDArray[Any]:
        try:
            return np.asarray(self._array[index])
        except Exception as error:
            raise FileError(f"{self.path}: cannot be read: {error or type(error).__name__}") from error

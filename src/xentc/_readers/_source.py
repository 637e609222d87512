"""What every reader gives: an array in a file, of which one part at a time is read."""

from __future__ import annotations

import importlib
import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = tuple[slice, ...]


class FileError(Exception):
    """A file that cannot be used; the message begins with its path."""


class Source:
    """An array in a file. Subclasses read; `chunks` says along which grid that is cheap, None that any part is."""

    is_mapped = False  # or its parts are in this process's own memory

    def __init__(self, path: str, shape: Sequence[int], dtype: np.dtype[Any], chunks: Sequence[int] | None = None):
        self.path, self.shape, self.dtype = path, tuple(shape), dtype
        self.chunks = None if chunks is None else tuple(chunks)

    def read(self, index: Index) -> NDArray[Any]:
        """The part at `index`, of slices without steps. Valid until release()."""
        raise NotImplementedError

    def release(self) -> None:
        """Give back what read() took."""


class Mapped(Source):
    """A memory-mapped array: its parts are views."""

    is_mapped = True

    def __init__(self, path: str, array: NDArray[Any]):
        super().__init__(path, array.shape, array.dtype)
        self._mapping = getattr(array, "_mmap", None)
        self._array = array.view(np.ndarray)
        self._last: NDArray[Any] | None = None

    def read(self, index: Index) -> NDArray[Any]:
        self._last = self._array[index]
        return self._last

    def release(self) -> None:
        """Unmap the pages of the last part. They stay in the page cache, but count no longer as this process's."""
        last, self._last = self._last, None
        if last is None or last.size == 0 or self._mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        base = np.frombuffer(self._mapping, np.uint8).ctypes.data
        start, stop = (address - base for address in np.lib.array_utils.byte_bounds(last))
        start -= start % mmap.PAGESIZE
        self._mapping.madvise(mmap.MADV_DONTNEED, start, stop - start)


MOST_CHUNKS = 1 << 15  # each takes time and memory, whatever it holds


def chunks_behind(source: Source, index: Index, steps: Sequence[int]) -> list[range]:
    """Along each axis the numbers of the chunks that a part lies in."""
    cuts = [cut.indices(length) for cut, length in zip(index, source.shape, strict=True)]
    numbers = [range(start // step, -(-stop // step)) for (start, stop, _), step in zip(cuts, steps, strict=True)]
    if (total := math.prod(map(len, numbers))) > MOST_CHUNKS:
        raise FileError(f"{source.path}: {total} chunks hold what is to be read at a time, at most {MOST_CHUNKS} may")
    return numbers


def import_extra(path: str, module: str, extra: str) -> Any:
    """A module that is imported late, as it is optional."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FileError(f'{path}: needs {module} ({error}): pip install "xentc[{extra}]"') from error


def choose(path: str, names: Sequence[str], name: str | None) -> str:
    """The array called `name`, or the only one, of a file that holds several."""
    some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    if name is None:
        if len(names) == 1:
            return names[0]
        raise FileError(f"{path}: holds {len(names)} arrays ({some}): say which, as in FILE::NAME")
    if name not in names:
        raise FileError(f"{path}: holds no array {name!r}, but {some or 'nothing'}")
    return name

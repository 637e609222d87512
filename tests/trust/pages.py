"""Arrays whose last byte, or first, lies beside a page that nobody may touch: a read beyond it ends the process."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any

import numpy as np

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform != "win32" else None
_PROT_NONE = 0


def protected(address: int, n_bytes: int) -> None:
    assert _LIBC is not None
    if _LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(n_bytes), _PROT_NONE):
        raise OSError(ctypes.get_errno(), "mprotect")


class Arena:
    """Memory between two such pages, to be used by one array after the other."""

    def __init__(self, n_bytes: int) -> None:
        page = mmap.PAGESIZE
        self.room = -(-n_bytes // page) * page
        self._map = mmap.mmap(-1, self.room + 2 * page)
        self._bytes = np.frombuffer(self._map, np.uint8)[page : page + self.room]
        start = self._bytes.ctypes.data
        protected(start - page, page)
        protected(start + self.room, page)

    def copy(self, array: Any, at_end: bool) -> np.ndarray:
        """The same values in C order, beside the page behind them or the page before them."""
        array = np.asarray(array)
        if array.nbytes > self.room:
            raise ValueError(f"{array.nbytes} bytes, and there is room for {self.room}")
        start = self.room - array.nbytes if at_end else 0
        copy = self._bytes[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        return copy

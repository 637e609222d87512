"""Opening .npy files that nobody vouches for: one way in, one kind of error out.

(a) Nothing is read but the header; the data is memory-mapped, so that its size costs no memory.
(b) What np.load would do before it can refuse is refused here first: unpickle, read a header as long as its own length
    field says.
(c) np.load lets out far more than ValueError for a crafted header, so everything it raises is mapped to FileError by
    who opens a file of any format (__init__.py).
"""

from __future__ import annotations

import math
import struct
from typing import IO, Any

import numpy as np

from xentc._readers._source import FileError, Mapped, Source

MAGIC = b"\x93NUMPY"

# The longest header that format version 1 can state. NumPy refuses more than 10,000 characters, but only after
# having read them all: up to 4 GiB in versions 2 and 3.
_LONGEST_HEADER = 65535


def open_npy(path: str) -> Source:
    """Memory-map the .npy file at `path`, read-only: of any dtype but object, in its own byte order and layout."""
    with open(path, "rb") as file:
        check_start(path, file.read(12))
    return Mapped(path, np.load(path, mmap_mode="r", allow_pickle=False))


def check_start(path: str, start: bytes) -> None:
    """Refuse what NumPy must not see at all."""
    if not start.startswith(MAGIC):
        raise FileError(f"{path}: not a .npy file (those are what numpy.save writes)")
    # Version 1 has a length of 2 bytes, the later ones of 4; a file too short to hold either is left to NumPy.
    if len(start) == 12 and start[6] > 1:
        (header_length,) = struct.unpack("<I", start[8:])
        if header_length > _LONGEST_HEADER:
            raise FileError(f"{path}: its header claims {header_length} bytes, at most {_LONGEST_HEADER} are accepted")


def read_header(path: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran's order, dtype and number of bytes, of a .npy file inside another one."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:  # 3.0 is for names of fields that are not latin1
        raise FileError(f"{path}: version {version[0]}.{version[1]} of the .npy format, expected 1.0 or 2.0")
    shape, fortran_order, dtype = readers[version](file)
    check_array(path, shape, dtype)
    return shape, fortran_order, dtype, math.prod(shape) * dtype.itemsize


def check_array(path: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise FileError(f"{path}: holds Python objects")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize >= 2**63:
        raise FileError(f"{path}: no array has the shape {shape}")

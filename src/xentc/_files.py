"""Opening .npy files that nobody vouches for: one way in, one kind of error out.

(a) Nothing is read but the header; the data is memory-mapped, so that its size costs no memory.
(b) What np.load would do before it can refuse is refused here first: block on a pipe, unpickle, unpack a zip archive
    into memory, read a header as long as its own length field says.
(c) np.load lets out far more than ValueError for a crafted header, so everything it raises is mapped to FileError.
"""

from __future__ import annotations

import os
import stat
import struct
import warnings

import numpy as np

_MAGIC = b"\x93NUMPY"

# The longest header that format version 1 can state. NumPy refuses more than 10,000 characters, but only after
# having read them all: up to 4 GiB in versions 2 and 3.
_LONGEST_HEADER = 65535


class FileError(Exception):
    """A file that cannot be used; the message begins with its path."""


def open_array(path: str) -> np.ndarray:
    """Memory-map the .npy file at `path`, read-only.

    Returns
    -------
    ndarray
        A plain ndarray over the mapped file: of any dtype but object, in the file's own byte order and layout.

    Raises
    ------
    FileError
        The file is missing, unreadable, no regular file, no .npy file, truncated, damaged, or holds Python objects.
    """
    try:
        _check_start(path)
        # NumPy's warnings (a shape that overflows, a header of Python 2) must not stand above the line of an error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        raise FileError(f"{path}: not a usable .npy file: {error or type(error).__name__}") from error
    return array.view(np.ndarray)


def _check_start(path: str) -> None:
    """Refuse what np.load must not see at all."""
    # Asked before opening: opening a pipe waits for a writer, maybe for ever.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise FileError(f"{path}: not a regular file, and only those can be memory-mapped")
    with open(path, "rb") as file:
        start = file.read(12)
    if not start:
        raise FileError(f"{path}: the file is empty")
    if not start.startswith(_MAGIC):
        raise FileError(f"{path}: not a .npy file (those are what numpy.save writes)")
    # Version 1 has a length of 2 bytes, the later ones of 4; a file too short to hold either is left to np.load.
    if len(start) == 12 and start[6] > 1:
        (header_length,) = struct.unpack("<I", start[8:])
        if header_length > _LONGEST_HEADER:
            raise FileError(f"{path}: its header claims {header_length} bytes, at most {_LONGEST_HEADER} are accepted")

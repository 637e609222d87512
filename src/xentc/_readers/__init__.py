"""Arrays in files that nobody vouches for: one way in, one kind of error out, a file a format.

(a) Which format it is, the first bytes say; of a folder and of .safetensors, its kind and name.
(b) Opening reads headers only. Whatever libraries raise for a crafted one comes out as FileError.
(c) Formats other than NumPy's and .safetensors come with extras, whose modules are imported here alone, and late.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import warnings

from xentc._readers import _hdf5, _npy, _npz, _safetensors, _zarr
from xentc._readers._half import Half
from xentc._readers._shards import Shards
from xentc._readers._source import FileError, Index, Source

__all__ = ["FileError", "Index", "Source", "files_of", "open_source"]


def open_source(text: str, *, dtype: str | None = None, shard_axis: int = 0) -> Source:
    """
    Open what the command line names: FILE, FILE::NAME or a pattern of either.

    Parameters
    ----------
    dtype : str, optional
        What numbers of 2 bytes are, if the file does not say: "bfloat16" or "float16".
    shard_axis : int, optional
        Along which the files that a pattern matches follow each other, in the order of their names; digits in a name
        count as numbers.

    Raises
    ------
    FileError
        The file is missing, unreadable, no regular file, of no known format, truncated, damaged, or holds Python
        objects; or what reads it is not installed.
    """

    def open_one(path: str) -> Source:
        return _open_checked(path, name, dtype)

    path, name = _split(text)
    paths = [] if os.path.lexists(path) else sorted(glob.glob(path), key=_natural)
    if not paths:
        return open_one(path)
    return Shards(text, paths, open_one, shard_axis)


def files_of(text: str) -> list[str]:
    """The paths behind it."""
    path, _ = _split(text)
    return [path] if os.path.lexists(path) else sorted(glob.glob(path), key=_natural)


def _split(text: str) -> tuple[str, str | None]:
    path, mark, name = text.rpartition("::")
    return (path, name) if mark and not os.path.lexists(text) else (text, None)


def _natural(path: str) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", path)
    return [(int(part), "") if part.isdecimal() and len(part) < 1000 else (-1, part) for part in parts]


def _open_checked(path: str, name: str | None, dtype: str | None) -> Source:
    try:
        # Libraries' warnings (a shape that overflows, a header of Python 2) must not stand above the line of an error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source, is_bfloat16 = _open_format(path, name)
    except FileError:
        raise
    except MemoryError as error:
        raise FileError(f"{path}: not enough memory to open it") from error
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except Exception as error:
        raise FileError(f"{path}: not a usable file of its kind: {error or type(error).__name__}") from error
    if is_bfloat16 or dtype is not None:
        return Half(source, "bfloat16" if is_bfloat16 else str(dtype))
    return source


def _open_format(path: str, name: str | None) -> tuple[Source, bool]:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode) and path.rstrip("/").endswith(".zarr"):
        return _zarr.open_zarr(path, name), False
    # Asked before opening: opening a pipe waits for a writer, maybe for ever.
    if not stat.S_ISREG(mode):
        raise FileError(f"{path}: not a regular file, and only those can be memory-mapped")
    with open(path, "rb") as file:
        start = file.read(8)
    if not start:
        raise FileError(f"{path}: the file is empty")
    if path.endswith(".safetensors"):
        return _safetensors.open_safetensors(path, name)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _npz.open_npz(path, name), False
    if start == _hdf5.MAGIC:
        return _hdf5.open_hdf5(path, name), False
    if name is not None and start.startswith(_npy.MAGIC):
        raise FileError(f"{path}: is one array, and holds none called {name!r}")
    return _npy.open_npy(path), False

"""Arrays of Zarr stores in folders, chunk by chunk.

(a) The metadata is read here first: which codecs there are decides what code runs, and the library knows many.
(b) So are the headers of chunks, right before they are read: a chunk is a file like any other, which may be a pipe, may
    be endless, or may unpack to what no memory holds.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xentc._readers import _packed
from xentc._readers._npy import check_array
from xentc._readers._source import FileError, Index, Source, choose, chunks_behind, import_extra

_LONGEST_METADATA = 1 << 23
_METADATA = "zarr.json", ".zarray", ".zattrs"
_HARMLESS_CODECS = {"bytes", "transpose", "crc32c", "shuffle"}
_SHARDING = "sharding_indexed"
_LARGEST_INDEX = 1 << 20  # inner chunks of a shard
_MOST_AXES = 64  # NumPy's


def open_zarr(path: str, name: str | None) -> Source:
    zarr = import_extra(path, "zarr", "zarr")
    folder = path
    if _shape_of(path) is None:
        folder = os.path.join(path, choose(path, _arrays_in(path) if name is None else [name], name))
    elif name is not None:
        raise FileError(f"{path}: is one array, and holds none called {name!r}")
    label = path if name is None and folder == path else f"{path}::{os.path.relpath(folder, path)}"
    metadata = _metadata(folder)
    if metadata is None or _shape_of(folder) is None:
        raise FileError(f"{label}: there is no such array")
    check = _ChunkCheck(label, folder, metadata)
    found = zarr.open_array(folder, mode="r", zarr_format=metadata["zarr_format"])
    return _ZarrArray(label, found, check)


def _arrays_in(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and _shape_of(entry.path) is not None)


def _shape_of(folder: str) -> list[Any] | None:
    shape = (_metadata(folder) or {}).get("shape")
    return shape if isinstance(shape, list) else None


def _metadata(folder: str) -> dict[str, Any] | None:
    """That of the array in this folder; None where there is none. All that the library will read is looked at."""
    texts = [_text(os.path.join(folder, file)) for file in _METADATA]
    for text in texts[:2]:
        if text is not None:
            metadata = json.loads(text)
            if not isinstance(metadata, dict) or len(metadata.get("shape") or ()) > _MOST_AXES:
                raise FileError(f"{folder}: its metadata make no sense")
            metadata["zarr_format"] = 3 if text is texts[0] else 2
            return metadata
    return None


def _text(path: str) -> bytes | None:
    if not os.path.lexists(path):
        return None
    _check_regular(path, _LONGEST_METADATA)
    with open(path, "rb") as file:
        return file.read(_LONGEST_METADATA)


def _check_regular(path: str, most: int) -> None:
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode):  # to open a pipe is to wait for whoever writes it
        raise FileError(f"{path}: not a regular file")
    if state.st_size > most:
        raise FileError(f"{path}: {state.st_size} bytes, at most {most} are read")


class _ZarrArray(Source):
    """Its parts are read into fresh memory."""

    def __init__(self, label: str, array: Any, check: _ChunkCheck):
        check_array(label, array.shape, array.dtype)
        if min(array.chunks, default=1) < 1:
            raise FileError(f"{label}: no array has chunks of shape {array.chunks}")
        super().__init__(label, array.shape, array.dtype, array.chunks)
        self._array, self._check = array, check

    def read(self, index: Index) -> NDArray[Any]:
        self._check(self._array, chunks_behind(self, index, self._array.shards or self._array.chunks))
        zarr = import_extra(self.path, "zarr", "zarr")
        try:
            # As many chunks as the library likes to unpack at a time would be ten.
            with zarr.config.set({"async.concurrency": 1, "threading.max_workers": 1}):
                return np.asarray(self._array[index])
        except Exception as error:
            raise FileError(f"{self.path}: cannot be read: {error or type(error).__name__}") from error


class _ChunkCheck:
    """Refuses codecs that are not known, and chunks that are not what they should be."""

    def __init__(self, label: str, folder: str, metadata: dict[str, Any]):
        self._label, self._folder = label, folder
        if metadata["zarr_format"] == 2:
            codecs = [*(metadata.get("filters") or ()), *filter(None, [metadata.get("compressor")])]
        else:
            codecs = list(metadata.get("codecs") or ())
        names = [_name(codec) for codec in codecs]
        self._shard: dict[str, Any] | None = None
        if names == [_SHARDING]:
            self._shard = codecs[0]["configuration"]
            names = [_name(codec) for codec in self._shard["codecs"]]
            if [_name(codec) for codec in self._shard["index_codecs"]] not in (["bytes"], ["bytes", "crc32c"]):
                raise FileError(f"{label}: the index of its shards is written in a way that is not read")
        known = _HARMLESS_CODECS | _packed.COMPRESSORS
        unknown = [name for name in names if name not in known]
        compressors = [name for name in names if name in _packed.COMPRESSORS]
        if unknown or len(compressors) > 1:
            raise FileError(
                f"{label}: codecs {names}, expected no others than {sorted(known)}, and one that compresses"
            )
        self._compressor = compressors[0] if compressors else None

    def __call__(self, array: Any, numbers: list[range]) -> None:
        """Look at the chunks of these numbers."""
        stored = array.shards or array.chunks
        expected = math.prod(array.chunks) * array.dtype.itemsize
        for chunk in itertools.product(*numbers):
            path = os.path.join(self._folder, array.metadata.encode_chunk_key(chunk))
            if os.path.lexists(path):  # else it is filled with one value
                self._check_file(path, expected, math.prod(stored) // math.prod(array.chunks))

    def _check_file(self, path: str, expected: int, n_pieces: int) -> None:
        most = expected + expected // 8 + (1 << 16)  # what cannot be compressed grows a little
        _check_regular(path, most if self._shard is None else 2**63)
        with open(path, "rb") as file:
            pieces = [(0, most)] if self._shard is None else list(self._pieces(file, n_pieces))
            for place, n_bytes in pieces:
                if n_bytes > most:
                    raise FileError(f"{path}: a piece of {n_bytes} bytes, expected at most {most}")
                if self._compressor is not None:
                    file.seek(place)
                    data = file.read(min(n_bytes, _packed.HEADER_BYTES.get(self._compressor, n_bytes)))
                    _packed.check_piece(path, self._compressor, data, expected)

    def _pieces(self, file: Any, n_pieces: int) -> Iterator[tuple[int, int]]:
        """Where the inner chunks of a shard lie."""
        assert self._shard is not None
        if n_pieces > _LARGEST_INDEX:
            raise FileError(f"{file.name}: {n_pieces} chunks in a shard, at most {_LARGEST_INDEX} are read")
        checksum = 4 * (len(self._shard["index_codecs"]) - 1)
        at_end = self._shard.get("index_location", "end") == "end"
        if at_end:
            file.seek(-min(16 * n_pieces + checksum, os.fstat(file.fileno()).st_size), os.SEEK_END)
        index = file.read(16 * n_pieces)
        for place, n_bytes in struct.iter_unpack("<QQ", index[: len(index) // 16 * 16]):
            if (place, n_bytes) != (2**64 - 1, 2**64 - 1):  # an empty one
                yield min(place, 2**63 - 1), n_bytes


def _name(codec: Any) -> str:
    """In version 3 it is its name, in version 2 its id."""
    return str(codec.get("name", codec.get("id"))) if isinstance(codec, dict) else str(codec)

"""Datasets in HDF5 files.

(a) Links lead anywhere, to pipes too, and so do datasets whose data is elsewhere: only what is in the file is read.
(b) Chunks are looked at before they are read, as those of Zarr are: deflate unpacks whatever it finds, however much.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xentc._readers import _packed
from xentc._readers._npy import check_array
from xentc._readers._source import FileError, Index, Source, choose, chunks_behind, import_extra

MAGIC = b"\x89HDF\r\n\x1a\n"

_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_LZF_RATIO = 88  # at most: 3 bytes stand for 264


def open_hdf5(path: str, name: str | None) -> Source:
    h5py = import_extra(path, "h5py", "hdf5")
    file = h5py.File(path, "r")
    if name is None:
        names = [key for key in file if isinstance(_followed(h5py, file, key), h5py.Dataset)]
        name = choose(path, names, None)
    dataset = _followed(h5py, file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise FileError(f"{path}: holds no dataset {name!r}")
    label = f"{path}::{name}"
    if dataset.is_virtual or dataset.external:
        raise FileError(f"{label}: its data is in other files")
    check_array(label, dataset.shape, dataset.dtype)
    return _Dataset(label, dataset)


def _followed(h5py: Any, group: Any, name: str) -> Any:
    """What is there, or None; a link on the way to it is not followed."""
    for part in filter(None, name.split("/")):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(part, getlink=True), h5py.HardLink):
            return None
        group = group[part]
    return group


class _Dataset(Source):
    """Its parts are read into fresh memory."""

    def __init__(self, label: str, dataset: Any):
        super().__init__(label, dataset.shape, dataset.dtype, dataset.chunks)
        self._dataset = dataset
        creation = dataset.id.get_create_plist()
        self._filters = [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]
        if not {*self._filters} <= {_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF} or len({*self._filters}) < len(
            self._filters
        ):
            raise FileError(f"{label}: filters {self._filters}, expected no others than gzip, lzf, shuffle, fletcher32")

    def read(self, index: Index) -> NDArray[Any]:
        try:
            if self.chunks is not None and self._filters:
                self._check_chunks(self.chunks, index)
            return np.asarray(self._dataset[index])
        except FileError:
            raise
        except Exception as error:
            raise FileError(f"{self.path}: cannot be read: {error or type(error).__name__}") from error

    def _check_chunks(self, chunks: tuple[int, ...], index: Index) -> None:
        expected = math.prod(chunks) * self.dtype.itemsize
        for numbers in itertools.product(*chunks_behind(self, index, chunks)):
            place = tuple(number * step for number, step in zip(numbers, chunks, strict=True))
            stored = self._dataset.id.get_chunk_info_by_coord(place)
            if stored.byte_offset is None or not stored.size:
                continue  # filled with one value
            if stored.size > expected + expected // 8 + (1 << 16):
                raise FileError(f"{self.path}: a chunk of {stored.size} bytes, expected {expected} when unpacked")
            if _LZF in self._filters and stored.size * _LZF_RATIO > 2 * _packed.HARMLESS:
                raise FileError(f"{self.path}: a chunk of {stored.size} bytes, packed by lzf, could become too large")
            if _DEFLATE in self._filters:
                mask, data = self._dataset.id.read_direct_chunk(place)
                if not mask >> self._filters.index(_DEFLATE) & 1:  # else it was stored as it is
                    _packed.check_piece(self.path, "zlib", data, expected + 4)  # and a checksum

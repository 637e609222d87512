"""Datasets in HDF5 files."""

from __future__ import annotations

from xentc._readers._source import FileError, Source, choose, import_extra
from xentc._readers._zarr import Chunked

MAGIC = b"\x89HDF\r\n\x1a\n"


def open_hdf5(path: str, name: str | None) -> Source:
    h5py = import_extra(path, "h5py", "hdf5")
    file = h5py.File(path, "r")
    if name is None:
        name = choose(path, [key for key, value in file.items() if isinstance(value, h5py.Dataset)], None)
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise FileError(f"{path}: holds no dataset {name!r}")
    return Chunked(f"{path}::{name}", dataset, dataset.chunks)

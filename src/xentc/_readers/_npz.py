"""Arrays in .npz files, memory-mapped.

(a) What numpy.savez writes is not compressed, and is mapped where it lies.
(b) What numpy.savez_compressed writes is unpacked into a temporary file, when the first part of it is read: sizes have
    been compared by then, with the header's and with other files'. So an archive can claim much and cost nothing.
(c) Only deflate is accepted: zipfile unpacks it in pieces of bounded size, and nothing else.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xentc._readers._npy import check_start, read_header
from xentc._readers._source import FileError, Index, Mapped, Source, choose

_PIECE = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def open_npz(path: str, name: str | None) -> Source:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        name = choose(path, list(members), name)
        info, label = members[name], f"{path}::{name}"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileError(f"{label}: compressed in a way that NumPy does not write")
        with archive.open(info) as start:
            check_start(label, start.read(12))
        with archive.open(info) as file:
            shape, fortran_order, dtype, n_bytes = read_header(label, file)
            header_bytes = file.tell()
    if info.file_size != header_bytes + n_bytes:
        raise FileError(f"{label}: {info.file_size} bytes, expected {header_bytes + n_bytes} for its shape {shape}")
    order: Literal["C", "F"] = "F" if fortran_order else "C"
    if info.compress_type == zipfile.ZIP_STORED:
        offset = _data_offset(path, info) + header_bytes
        return Mapped(label, np.memmap(path, dtype, "r", offset, shape, order))
    return _Packed(label, path, info, header_bytes, (shape, dtype, order))


def _data_offset(path: str, info: zipfile.ZipInfo) -> int:
    """Behind the local header, whose name and extra field may be longer than those of the central one."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return info.header_offset + _LOCAL_HEADER.size + int(name_bytes) + int(extra_bytes)


class _Packed(Source):
    """A compressed array."""

    is_mapped = True

    def __init__(self, label: str, path: str, info: zipfile.ZipInfo, header_bytes: int, layout: tuple[Any, Any, Any]):
        super().__init__(label, *layout[:2])
        self._archive, self._info, self._header_bytes, self._layout = path, info, header_bytes, layout
        self._unpacked: Mapped | None = None

    def read(self, index: Index) -> NDArray[Any]:
        if self._unpacked is None:
            self._unpacked = self._unpack()
        return self._unpacked.read(index)

    def release(self) -> None:
        if self._unpacked is not None:
            self._unpacked.release()

    def _unpack(self) -> Mapped:
        room = shutil.disk_usage(tempfile.gettempdir()).free
        if self._info.file_size > room:
            raise FileError(f"{self.path}: {self._info.file_size} bytes to unpack, and TMPDIR has room for {room}")
        shape, dtype, order = self._layout
        with tempfile.TemporaryFile() as target:
            try:
                with zipfile.ZipFile(self._archive) as archive, archive.open(self._info) as packed:
                    shutil.copyfileobj(packed, target, _PIECE)
                target.flush()
                return Mapped(self.path, np.memmap(target, dtype, "r", self._header_bytes, shape, order))
            except Exception as error:  # zlib's and zipfile's own, for data that is damaged
                raise FileError(f"{self.path}: cannot be unpacked: {error}") from error

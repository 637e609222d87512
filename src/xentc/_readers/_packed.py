"""What compressed pieces of a file unpack to, found out before anybody unpacks them into memory.

(a) A piece that says how large it becomes is taken at its word: what unpacks it allocates that much, and no more.
(b) Deflate does not say. It is unpacked here first, in parts that are thrown away, until it ends or is too large; a
    piece so small that it cannot become large is spared that.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from xentc._readers._source import FileError

# As much as a piece may become, whatever it should be: with what else is in memory this is under what is promised.
HARMLESS = 1 << 26
_DEFLATE_RATIO = 1032  # at most, of zlib's format
_PART = 1 << 20
_EITHER_HEADER = 32 + zlib.MAX_WBITS  # zlib's own or gzip's
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def unpacked_bytes(codec: str, data: bytes, expected: int) -> int | None:
    """What `data` becomes, or a number above `expected`, or 0 where it cannot be much; None where it does not say."""
    return _READERS[codec](data, expected)


def _deflate(data: bytes, expected: int) -> int:
    """Of one stream; what follows it, as a checksum of HDF5, is not unpacked."""
    return _inflated(data, expected)[0] if _may_be_large(data) else 0


def _gzip(data: bytes, expected: int) -> int:
    """Of all streams that follow each other."""
    n_bytes = 0
    while data and _may_be_large(data) and n_bytes <= expected:
        more, data = _inflated(data, expected - n_bytes)
        n_bytes += more
    return n_bytes


def _may_be_large(data: bytes) -> bool:
    return len(data) * _DEFLATE_RATIO > HARMLESS


def _inflated(data: bytes, expected: int) -> tuple[int, bytes]:
    """How much a stream unpacks to, or more than `expected`, and what follows it."""
    n_bytes, stream = 0, zlib.decompressobj(_EITHER_HEADER)
    while not stream.eof and n_bytes <= expected:
        part = stream.decompress(data, _PART)
        n_bytes, data = n_bytes + len(part), stream.unconsumed_tail
        if not part and not data:
            break  # cut short: who unpacks it will say so
    return n_bytes, stream.unused_data


def _field(code: str, place: int) -> Callable[[bytes, int], int | None]:
    def read(data: bytes, expected: int) -> int | None:
        size = struct.calcsize(code)
        return int(struct.unpack_from(code, data, place)[0]) if len(data) >= place + size else None

    return read


def _zstd(data: bytes, expected: int) -> int | None:
    """RFC 8878, 3.1.1.1: the descriptor says how wide the field is and where it stands."""
    if len(data) < 6 or data[:4] != _ZSTD_MAGIC:
        return None
    descriptor = data[4]
    single = descriptor >> 5 & 1
    width = (single, 2, 4, 8)[descriptor >> 6]
    start = 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
    size = int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)
    return size if width else None


_READERS: dict[str, Callable[[bytes, int], int | None]] = {
    "gzip": _gzip,
    "zlib": _deflate,
    "zstd": _zstd,
    "blosc": _field("<I", 4),
    "lz4": _field("<I", 0),
}
COMPRESSORS = frozenset(_READERS)
# What has to be read of a piece: all of it, or a header.
HEADER_BYTES = {codec: 18 for codec in COMPRESSORS - {"gzip", "zlib"}}


def check_piece(path: str, codec: str, data: bytes, expected: int) -> None:
    """Refuse a piece that does not become what it should."""
    try:
        found = unpacked_bytes(codec, data, expected)
    except zlib.error as error:
        raise FileError(f"{path}: damaged: {error}") from error
    if found is None:
        raise FileError(f"{path}: does not say to how much it unpacks, or is no {codec}")
    if found > expected:
        raise FileError(f"{path}: unpacks to {found} bytes or more, expected {expected}")

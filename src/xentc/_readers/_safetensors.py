"""Tensors in .safetensors files: a length, as many bytes of JSON, and the data, which is memory-mapped."""

from __future__ import annotations

import json
import math
import os
import struct
from typing import Any

import numpy as np

from xentc._readers._npy import check_array
from xentc._readers._source import FileError, Mapped, Source, choose

# Headers of models of thousands of tensors take a megabyte; the format's own bound, 100 MB, takes Python too long.
_LONGEST_HEADER = 1 << 23
_DTYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "V2", "BOOL": "?"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}


def open_safetensors(path: str, name: str | None) -> tuple[Source, bool]:
    """The tensor, and whether it is of bfloat16."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(_LONGEST_HEADER, os.fstat(file.fileno()).st_size - 8):
            raise FileError(f"{path}: its header claims {length} bytes, which is more than the file has, or than 8 MiB")
        header = json.loads(file.read(length).decode())
    if not isinstance(header, dict):
        raise FileError(f"{path}: its header is no JSON object")
    header.pop("__metadata__", None)
    name = choose(path, list(header), name)
    label = f"{path}::{name}"
    shape, kind, (start, stop) = _checked_entry(label, header[name])
    dtype = np.dtype(_DTYPES[kind])
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise FileError(f"{label}: {stop - start} bytes, expected {math.prod(shape) * dtype.itemsize} for {shape}")
    return Mapped(label, np.memmap(path, dtype, "r", 8 + length + start, shape)), kind == "BF16"


def _checked_entry(label: str, entry: Any) -> tuple[tuple[int, ...], str, tuple[int, int]]:
    keys = "dtype", "shape", "data_offsets"
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (fields.get(key, "") for key in keys)
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise FileError(f"{label}: dtype {kind!r}, expected one of {', '.join(_DTYPES)}")
    if not (_are_lengths(shape) and _are_lengths(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise FileError(f"{label}: its shape or its place in the file makes no sense")
    check_array(label, tuple(shape), np.dtype(_DTYPES[kind]))
    return tuple(shape), kind, (offsets[0], offsets[1])


def _are_lengths(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and 0 <= number < 2**63 for number in value)

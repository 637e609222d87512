"""Zarr stores and HDF5 files made by hand, good ones and such as no library would write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

VALUES = np.arange(12, dtype="<f4").reshape(4, 3)
BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
GZIP = {"name": "gzip", "configuration": {"level": 1}}
ZSTD = {"name": "zstd", "configuration": {"level": 0, "checksum": False}}


def regular(*lengths):
    return {"name": "regular", "configuration": {"chunk_shape": lengths}}


def sharded(*lengths, codecs=(BYTES,), index=(BYTES,)):
    inner = {"chunk_shape": lengths, "codecs": codecs, "index_codecs": index, "index_location": "end"}
    return [{"name": "sharding_indexed", "configuration": inner}]


def store(path: Path, chunk: bytes | None = VALUES.tobytes(), **changes) -> Path:
    """Zarr 3, of one chunk."""
    metadata = {
        **{"zarr_format": 3, "node_type": "array", "shape": [4, 3], "data_type": "float32", "fill_value": 0.0},
        **{"chunk_grid": regular(4, 3), "codecs": [BYTES], "storage_transformers": [], "attributes": {}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    }
    (path / "c" / "0").mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps(metadata | changes))
    if chunk is not None:
        (path / "c" / "0" / "0").write_bytes(chunk)
    return path


def store_2(path: Path, chunk: bytes = VALUES.tobytes(), **changes) -> Path:
    """Zarr 2, of one chunk."""
    metadata = {"zarr_format": 2, "shape": [4, 3], "chunks": [4, 3], "dtype": "<f4", "fill_value": 0.0, "order": "C"}
    path.mkdir(parents=True)
    (path / ".zarray").write_text(json.dumps(metadata | {"filters": None, "compressor": None} | changes))
    (path / "0.0").write_bytes(chunk)
    return path

"""Zarr stores and HDF5 files made to do harm: exit code 2, one line, under 2 s, and no memory that they merely claim.

tests/test_hostile_files.py has the other formats, mutate_files.py changes all of them at random.
"""

import gzip
import os
import re
import resource
import signal
import time
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from amount import examples
from cli_tools import complaint, run, save
from mutate_files import part
from stores import BYTES, GZIP, VALUES, ZSTD, regular, sharded, store, store_2

# Such a library may warn of what it is given.
pytestmark = pytest.mark.filterwarnings("default")

MEMORY = 300 << 20
BOMB_BYTES = 400_000_000  # below this, 16 MB and 48 MB are what chunks of 2**20 x 4 and 2**22 x 3 floats take
LARGE = {"chunk_grid": regular(1 << 22, 3)}


@pytest.fixture(scope="module")
def deflated():
    """400 MB in 2 MB: zlib, and gzip."""
    zeros = bytes(BOMB_BYTES)
    return zlib.compress(zeros, 1), gzip.compress(zeros, 1)


@contextmanager
def limits():
    """An end to whatever waits or grows."""
    with open("/proc/self/status") as status:
        used = int(re.search(r"VmData:\s+(\d+) kB", status.read())[1]) << 10
    before = resource.getrlimit(resource.RLIMIT_DATA)

    def stop(*args):
        raise TimeoutError("took too long")

    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(10)
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def refused(path, reason="", name=""):
    (targets,) = save(path.parent, targets=np.zeros(4, np.int64))
    start = time.monotonic()
    with limits():
        message = complaint(run("evaluate", f"{path}{name}", targets))
    assert time.monotonic() - start < 2
    assert "memory" not in message
    assert reason in message
    return message


@pytest.fixture
def zarr():
    library = pytest.importorskip("zarr")
    library.zeros((1,))[:]  # its threads, and what it imports late
    return library


STORES = {
    "huge shape": ({"shape": [2**62, 2**62]}, "no array"),
    "huge row of nothing": ({"shape": [4, 2**30]}, "samples of"),
    "row in too many chunks": ({"shape": [4, 2**24], "chunk_grid": regular(4, 2)}, "chunks hold"),
    "negative": ({"shape": [-4, -3]}, ""),
    "many axes": ({"shape": [1] * 100}, ""),
    "a million axes": ({"shape": [1] * 1_000_000}, ""),
    "shape of words": ({"shape": ["4", "3"]}, ""),
    "huge chunk": ({"chunk_grid": regular(2**40, 3)}, "chunks of"),
    "chunk of nothing": ({"chunk_grid": regular(0, 0)}, "chunks"),
    "text": ({"data_type": "string", "fill_value": "", "codecs": [{"name": "vlen-utf8"}]}, "codecs"),
    "no such type": ({"data_type": "float33"}, ""),
    "no codec": ({"codecs": []}, ""),
    "unknown codec": ({"codecs": [BYTES, {"name": "numcodecs.pickle"}]}, "codecs"),
    "codec is a number": ({"codecs": [3]}, "codecs"),
    "twice compressed": ({"codecs": [BYTES, GZIP, GZIP]}, "codecs"),
    "key that leads elsewhere": (
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "../"}}},
        "",
    ),
    "shards in shards": ({"codecs": sharded(4, 3, codecs=sharded(4, 3))}, "codecs"),
    "index of a shard is compressed": ({"codecs": sharded(4, 3, index=[BYTES, GZIP])}, "index"),
    "shard of shards without end": ({"chunk_grid": regular(2**40, 3), "codecs": sharded(1, 3)}, "in a shard"),
    "group": ({"node_type": "group"}, ""),
}
CHUNKS = {
    "cut": (VALUES.tobytes()[:-1], {}, "cannot be read"),
    "long": (bytes(1 << 20), {}, "bytes, at most"),
    "no gzip": (VALUES.tobytes(), {"codecs": [BYTES, GZIP]}, ""),
    "no zstd": (VALUES.tobytes(), {"codecs": [BYTES, ZSTD]}, "does not say"),
    "zstd of a terabyte": (
        b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + b"\x01",
        {"codecs": [BYTES, ZSTD]},
        "unpacks to",
    ),
    "blosc of a gigabyte": (
        b"\x02\x01\x01\x04" + (2**30).to_bytes(4, "little") * 3,
        {"codecs": [BYTES, {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle"}}]},
        "",
    ),
    "piece behind the end": (np.array([2**63, 48], "<u8").tobytes(), {"codecs": sharded(4, 3)}, ""),
    "endless piece": (np.array([0, 2**63], "<u8").tobytes(), {"codecs": sharded(4, 3)}, "a piece of"),
}


@pytest.mark.parametrize("name", STORES)
def test_stores(tmp_path, zarr, name):
    changes, reason = STORES[name]
    refused(store(tmp_path / "bad.zarr", **changes), reason)


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks(tmp_path, zarr, name):
    chunk, changes, reason = CHUNKS[name]
    refused(store(tmp_path / "bad.zarr", chunk, **changes), reason)


@pytest.mark.parametrize(
    "changes",
    [{"filters": [{"id": "pickle", "protocol": 5}]}, {"dtype": "|O"}, {"compressor": {"id": "bz2", "level": 1}}],
)
def test_stores_of_version_2(tmp_path, zarr, changes):
    refused(store_2(tmp_path / "bad.zarr", **changes))


def test_stores_behind_these_are_good(tmp_path, zarr):
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    packed, whole = gzip.compress(VALUES.tobytes()), VALUES.tobytes()
    index = np.array([0, 48], "<u8").tobytes()
    paths = [
        store(tmp_path / "plain.zarr"),
        store(tmp_path / "gzip.zarr", packed, codecs=[BYTES, GZIP]),
        store(tmp_path / "shard.zarr", whole + index, codecs=sharded(4, 3)),
        store_2(tmp_path / "version2.zarr"),
        store_2(tmp_path / "zlib.zarr", zlib.compress(whole), compressor={"id": "zlib", "level": 1}),
    ]
    assert len({run("evaluate", path, targets) for path in paths}) == 1
    assert run("evaluate", paths[0], targets)[0] == 0


@pytest.mark.parametrize("codec", ["gzip", "several gzip", "zstd", "blosc", "sharded"])
def test_bombs_in_stores(tmp_path, zarr, deflated, codec):
    numcodecs = pytest.importorskip("numcodecs")
    bomb, codecs = deflated[1], [BYTES, GZIP]
    if codec == "several gzip":
        bomb = gzip.compress(bytes(10_000_000), 1) * 40
    elif codec == "zstd":
        bomb, codecs = numcodecs.zstd.compress(bytes(BOMB_BYTES)), [BYTES, ZSTD]
    elif codec == "blosc":
        bomb = numcodecs.blosc.compress(bytes(BOMB_BYTES), b"lz4", 5)
        codecs = [BYTES, {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "noshuffle"}}]
    elif codec == "sharded":
        bomb += np.array([0, len(bomb)], "<u8").tobytes()
        codecs = sharded(1 << 22, 3, codecs=codecs)
    refused(store(tmp_path / "bad.zarr", bomb, codecs=codecs, **LARGE), "unpacks to")


def test_chunks_that_are_no_files(tmp_path, zarr):
    """A pipe that nobody writes to, a device without end, a hole of 100 GB."""
    for number, kind in enumerate(("pipe", "link", "hole", "metadata", "link to nothing")):
        path = store(tmp_path / f"{number}.zarr", None)
        chunk = path / "c" / "0" / "0"
        if kind == "pipe":
            os.mkfifo(chunk)
        elif kind == "link":
            chunk.symlink_to("/dev/zero")
        elif kind == "hole":
            chunk.touch()
            os.truncate(chunk, 10**11)
        elif kind == "metadata":
            (path / "zarr.json").unlink()
            os.mkfifo(path / "zarr.json")
        else:
            chunk.symlink_to("../../../nothing")
        refused(path)


def test_chunks_across_the_classes(tmp_path, zarr):
    """Sixteen chunks of 24 MB behind a row, 384 MB for the six rows: less is read, and fewer unpacked, at a time."""
    path = tmp_path / "wide.zarr"
    zeros = zarr.create_array(path, shape=(6, 16_000_000), chunks=(6, 1_000_000), dtype="f4", fill_value=1.0)
    zeros[:] = 0.0
    (targets,) = save(tmp_path, targets=np.zeros(6, np.int64))
    with limits():
        code, _, err = run("evaluate", path, targets)
    assert (code, err) == (0, "")


@pytest.fixture
def hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")

    def write(fill):
        path = tmp_path / "bad.h5"
        with h5py.File(path, "w") as file:
            fill(file)
        return path

    write.library = h5py
    return write


def packed(chunk, compression, chunks=(4, 3)):
    def fill(file):
        options = {"maxshape": (None, 3), "chunks": chunks, "compression": compression}
        file.create_dataset("x", (4, 3), "f4", **options).id.write_direct_chunk((0, 0), chunk)

    return fill


FILES = {
    "huge": (lambda file: file.create_dataset("x", (2**40, 2**20), "f4", chunks=(1, 2**20)), "targets.npy"),
    "row in too many chunks": (
        lambda file: file.create_dataset("x", (4, 2**24), "f4", chunks=(4, 2), compression="gzip"),
        "chunks hold",
    ),
    "huge row of nothing": (lambda file: file.create_dataset("x", (4, 2**30), "f4"), "samples of"),
    "huge chunk": (
        lambda file: file.create_dataset("x", (4, 3), "f4", maxshape=(None, 3), chunks=(2**28, 3)),
        "chunks of",
    ),
    "long chunk": (packed(bytes(4_000_000), "lzf"), "bytes, expected"),
    "filter": (
        lambda file: file.create_dataset("x", (4, 3), "f4", chunks=(4, 3), scaleoffset=2),
        "filters",
    ),
    "lzf": (packed(bytes(4_000_000), "lzf", (1 << 22, 3)), "too large"),
    "no deflate": (packed(bytes(48), "gzip"), "cannot be read"),
    "text": (lambda file: file.create_dataset("x", data=[["a"] * 3] * 4), "Python objects"),
    "fields": (lambda file: file.create_dataset("x", (4, 3), [("a", "f4")]), ""),
    "nothing": (lambda file: file.create_dataset("x", dtype="f4"), "no dataset"),
    "group": (lambda file: file.create_group("x"), ""),
    "elsewhere": (lambda file: file.create_dataset("x", (4, 3), "f4", external=[("/dev/zero", 0, 48)]), "other files"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(hdf5, name):
    fill, reason = FILES[name]
    refused(hdf5(fill), reason, "::x")


def test_bomb_in_hdf5(hdf5, deflated):
    refused(hdf5(packed(deflated[0], "gzip", (1 << 22, 3))), "unpacks to")


@pytest.mark.parametrize("name", ["", "::x", "::deep/x"])
def test_links(hdf5, tmp_path, name):
    """To a pipe, and around in circles; both are waited for or followed by whoever opens them."""
    os.mkfifo(tmp_path / "pipe.h5")
    h5py = hdf5.library

    def fill(file):
        file["x"] = h5py.ExternalLink(str(tmp_path / "pipe.h5"), "/x")
        file["deep"], file["loop"] = h5py.SoftLink("/loop"), h5py.SoftLink("/deep")

    refused(hdf5(fill), "holds", name)


def test_virtual_dataset(hdf5, tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    h5py = hdf5.library
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(tmp_path / "pipe.h5"), "x", (4, 3))
    refused(hdf5(lambda file: file.create_virtual_dataset("x", layout)), "other files")


@pytest.mark.parametrize("n_bytes", [8, 100, 1000])
def test_truncated(hdf5, n_bytes):
    path = hdf5(lambda file: file.create_dataset("x", data=VALUES))
    os.truncate(path, n_bytes)
    refused(path)


def test_mutated_headers():
    count = examples(300)
    counts, faults = part(0, 0, count)
    assert not faults
    assert counts.total() == count
    assert counts["refused"] > count / 4

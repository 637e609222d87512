"""Files made to do harm: exit code 2, one line, under 2 s and 300 MB of anonymous memory each.

tests/test_cli_files.py has the .npy files; these are the others, and headers changed at random.
"""

import io
import json
import re
import resource
import struct
import time
import zipfile

import numpy as np
import pytest
from cli_tools import complaint, header, npy, run, save
from test_cli_files import HOSTILE as HOSTILE_NPY

LOGITS = np.arange(12, dtype="<f4").reshape(4, 3)
LOGITS_BYTES = LOGITS.tobytes()
GOOD_NPY = npy(header(), LOGITS_BYTES)


def archive(data=GOOD_NPY, name="logits.npy", method=zipfile.ZIP_STORED, more=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        packed.writestr(name, data)
        for other in more:
            packed.writestr(other, data)
    return file.getvalue()


def replaced(data, old, new):
    assert old in data
    return data.replace(old, new)


def tensors(text=None, data=LOGITS_BYTES, length=None, **changes):
    entry = {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 48]} | changes
    text = (json.dumps({"logits": entry}) if text is None else text).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


GOOD = {".npy": GOOD_NPY, ".npz": archive(), ".safetensors": tensors()}
PACKED = archive(npy(header(), bytes(range(48))), method=zipfile.ZIP_DEFLATED)
BOMB = npy(header(shape="(4, 25000000)"), bytes(400_000_000))  # 400 kB when packed, and else a file as any
HOSTILE = {
    "no member.npz": archive()[-22:-14] + bytes(14),
    "two members.npz": archive(more=["other.npy"]),
    "no directory.npz": archive()[:100],
    "cut in the directory.npz": archive()[:-30],
    "member is text.npz": archive(b"text"),
    "member is empty.npz": archive(b""),
    "member is a zip.npz": archive(archive()),
    "objects.npz": archive(npy(header("'|O'"), bytes(96))),
    "one byte short.npz": archive(GOOD_NPY[:-1]),
    "one byte long.npz": archive(GOOD_NPY + b"\0"),
    "negative.npz": archive(npy(header(shape="(-4, -3)"), bytes(48))),
    "huge.npz": archive(npy(header(shape="(4, 1000000000000)"), bytes(48))),
    "beyond 64 bits.npz": archive(npy(header(shape="(4, 99999999999999999999999)"), bytes(48))),
    "wraps to nothing.npz": archive(npy(header(shape="(4, 4611686018427387904)"))),
    "long header.npz": archive(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + GOOD_NPY[10:]),
    "version 9.npz": archive(npy(header(), bytes(48), version=9)),
    "bzip2.npz": archive(method=zipfile.ZIP_BZIP2),
    "lzma.npz": archive(method=zipfile.ZIP_LZMA),
    "size that lies.npz": replaced(archive(), struct.pack("<II", len(GOOD_NPY), len(GOOD_NPY)), b"\xff" * 8),
    "encrypted.npz": replaced(archive(), b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
    "other local name.npz": archive().replace(b"logits.npy", b"xxxxxx.npy", 1),
    "damaged stream.npz": PACKED[:80] + bytes(len(PACKED) - 80 - 90) + PACKED[-90:],
    "empty.safetensors": b"",
    "three bytes.safetensors": b"abc",
    "length alone.safetensors": bytes(8),
    "length of the universe.safetensors": tensors(length=2**64 - 1),
    "a terabyte of header.safetensors": tensors(length=2**40),
    "longer than the file.safetensors": tensors(length=1000),
    "not JSON.safetensors": tensors("{'logits': 1}"),
    "deep.safetensors": tensors('{"a":' + "[" * 200_000),
    "a list.safetensors": tensors("[1, 2]"),
    "no tensor.safetensors": tensors("{}"),
    "entry is a number.safetensors": tensors('{"logits": 3}'),
    "no shape.safetensors": tensors('{"logits": {"dtype": "F32", "data_offsets": [0, 48]}}'),
    "dtype.safetensors": tensors(dtype="F8_E4M3"),
    "dtype is a list.safetensors": tensors(dtype=["F32"]),
    "negative.safetensors": tensors(shape=[-4, -3]),
    "fractions.safetensors": tensors(shape=[4.0, 3.0]),
    "huge.safetensors": tensors(shape=[2**62, 2**62]),
    "wraps.safetensors": tensors(shape=[4, 2**62], data_offsets=[0, 0]),
    "backwards.safetensors": tensors(data_offsets=[48, 0]),
    "behind the end.safetensors": tensors(data_offsets=[48, 96]),
    "far behind the end.safetensors": tensors(data_offsets=[2**62, 2**62 + 48]),
    "cut.safetensors": tensors(data=bytes(47)),
    "one axis.safetensors": tensors(shape=[12]),
    "many axes.safetensors": tensors(shape=[1] * 100, data_offsets=[0, 4]),
    "number of 5000 digits.safetensors": tensors('{"logits": ' + "9" * 5000 + "}"),
    "terminal codes.safetensors": tensors('{"\\u001b[31m\\n": {}}'),
} | {f"{name}.npy": data for name, data in HOSTILE_NPY.items()}


def check(path, data, targets):
    """Returns whether the file was refused. A change that leaves a file usable is no fault."""
    path.write_bytes(data)
    start = time.monotonic()
    result = run("evaluate", path, targets)
    assert time.monotonic() - start < 2
    if result[0] == 0:
        assert result[2] == ""
        return False
    assert path.name in complaint(result) or "targets.npy" in complaint(result)
    return True


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    before = memory("RssAnon")
    assert check(tmp_path / name, HOSTILE[name], targets)
    assert memory("RssAnon") - before < 100 << 20


@pytest.mark.parametrize("suffix", GOOD)
def test_the_files_behind_these_are_good(tmp_path, suffix):
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    assert not check(tmp_path / f"good{suffix}", GOOD[suffix], targets)


def test_what_claims_much_costs_nothing(tmp_path):
    """Memory that cannot be had, and that is not asked for."""
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory("VmData") + (200 << 20), before[1]))
    try:
        for name in ("huge.npz", "long header.npz", "a terabyte of header.safetensors", "huge.safetensors"):
            assert "memory" not in complaint(run("evaluate", written(tmp_path / name), targets))
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def test_bomb_is_not_unpacked_for_targets_of_another_shape(tmp_path, monkeypatch):
    bomb = tmp_path / "bomb.npz"
    bomb.write_bytes(archive(BOMB, method=zipfile.ZIP_DEFLATED))
    (targets,) = save(tmp_path, targets=np.zeros(5, np.int64))
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: pytest.fail("unpacked"))
    assert "targets.npy" in complaint(run("evaluate", bomb, targets))


def written(path):
    path.write_bytes(HOSTILE[path.name])
    return path


def memory(name):
    with open("/proc/self/status") as status:
        return int(re.search(rf"{name}:\s+(\d+) kB", status.read())[1]) << 10


def mutated(rng, data):
    """The header changed in a few places: bits, bytes, digits, cuts, repetitions."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place = int(rng.integers(0, len(data)))
        kind = rng.integers(0, 6)
        if kind == 0:
            data[place] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[place] = int(rng.choice([0, 0xFF, 0x7F, 0x80, *b"0919-([{}])',:\"\n"]))
        elif kind == 2:
            digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
            if digits:
                place = int(rng.choice(digits))
                data[place : place + 1] = b"9" * int(rng.choice([1, 2, 9, 19, 30]))
        elif kind == 3:
            del data[place : place + int(rng.integers(1, 9))]
        elif kind == 4:
            data[place:place] = data[place : place + int(rng.integers(1, 30))]
        else:
            data[place : place + 4] = struct.pack("<I", int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1])))
        if not data:
            break
    return bytes(data)


@pytest.mark.filterwarnings("error")
def test_mutated_headers(tmp_path, rng):
    """tests/trust/mutate_files.py is the same for as many as one likes, and for other formats."""
    count = 300  # whatever the share: one mutant in eleven can be read, so that of a few all may be refused
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    seeds = [*GOOD.items(), (".npz", PACKED), (".npz", archive(method=zipfile.ZIP_DEFLATED))]
    before, refused = memory("RssAnon"), 0
    for number in range(count):
        suffix, data = seeds[number % len(seeds)]
        refused += check(tmp_path / f"mutant{suffix}", mutated(rng, data), targets)
    assert count / 4 < refused < count
    assert memory("RssAnon") - before < 100 << 20

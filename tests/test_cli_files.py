"""xentc evaluate on files that nobody should have made: one line on stderr, exit code 2."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from cli_tools import DIGITS, complaint, evaluate, expected, header, npy, run, save

GOOD = npy(header(), bytes(48))
HOSTILE = {
    "empty": b"",
    "text": b"1.0 2.0 3.0\n",
    "pickle": pickle.dumps([1.0]),
    "zip": b"PK\x03\x04" + bytes(60),
    "magic alone": b"\x93NUMPY",
    "no header": GOOD[:10],
    "half a header": GOOD[:40],
    "no data": GOOD[:-48],
    "one byte short": GOOD[:-1],
    "version 9": npy(header(), bytes(48), version=9),
    "long header claimed": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + GOOD[10:],
    "long header": npy(header() + " " * 60000, bytes(48)),
    "objects": npy(header("'|O'"), bytes(96)),
    "structured": npy(header("[('a', '<f4')]"), bytes(48)),
    "nothing wide": npy(header("'|V0'")),
    "strings": npy(header("'<U1'"), bytes(48)),
    "no such dtype": npy(header("'<q9'"), bytes(48)),
    "dtype is a number": npy(header("4"), bytes(48)),
    "dtype is a list": npy(header("[]"), bytes(48)),
    "dtype in pieces": npy(header("[1, (2,)]"), bytes(48)),
    "huge": npy(header(shape="(4, 1000000000000)"), bytes(48)),
    "beyond 64 bits": npy(header(shape="(4, 99999999999999999999999)"), bytes(48)),
    "wraps to nothing": npy(header(shape="(4, 4611686018427387904)"), bytes(48)),
    "negative": npy(header(shape="(-4, -3)"), bytes(48)),
    "shape is a number": npy(header(shape="4"), bytes(48)),
    "shape of words": npy(header(shape="('a', 3)"), bytes(48)),
    "too many axes": npy(header(shape="(" + "1," * 100 + ")"), bytes(48)),
    "one axis": npy(header(shape="(4,)"), bytes(48)),
    "no axis": npy(header(shape="()"), bytes(48)),
    "not a dictionary": npy("[1, 2]\n", bytes(48)),
    "keys missing": npy("{'descr': '<f4'}\n", bytes(48)),
    "unfinished": npy("{'descr': '<f4', 'shape': (4,\n", bytes(48)),
    "code": npy("__import__('os')._exit(7)\n", bytes(48)),
    "deep brackets": npy("[" * 9000 + "]" * 900, bytes(48)),
    "deep signs": npy(header(shape="(" + "-" * 9000 + "4, 3)"), bytes(48)),
    "line ends": npy("{'a\\nb\\r\\x1b[31m': 1}\n", bytes(48)),
    "nul": npy(header() + "\0", bytes(48)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    logits, targets = save(tmp_path, logits=np.zeros((4, 3), np.float32), targets=np.zeros(4, np.int64))
    bad = tmp_path / "bad.npy"
    bad.write_bytes(HOSTILE[name])
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert "bad.npy" in complaint(run("evaluate", bad, targets))
        assert complaint(run("evaluate", logits, bad))
        assert complaint(run("evaluate", logits, targets, "--weight", bad))
    assert not shown


@pytest.mark.parametrize(("name", "reason"), [("empty", "is empty"), ("long header claimed", "header claims")])
def test_refused_unread(tmp_path, monkeypatch, name, reason):
    """np.load would read 4 GiB of a header before it refuses; of an empty file it says that it might be a pickle."""
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("np.load was called"))
    (tmp_path / "bad.npy").write_bytes(HOSTILE[name])
    assert reason in complaint(run("evaluate", tmp_path / "bad.npy", DIGITS[1]))


@pytest.mark.parametrize("shape", ["(4, 3)", "(4, 3) ", "(4L, 3L)"])
@pytest.mark.parametrize("version", [1, 2])
def test_good_files_made_by_hand(tmp_path, shape, version):
    """The hostile files' maker makes good files, too: their data at an odd address, or written by Python 2."""
    values = np.arange(12, dtype="<f4").reshape(4, 3)
    (tmp_path / "logits.npy").write_bytes(npy(header(shape=shape), values.tobytes(), version))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        result = evaluate(tmp_path / "logits.npy", *save(tmp_path, targets=np.zeros(4, np.int64)))
    assert not shown
    assert result["loss"] == pytest.approx(expected(values, np.zeros(4, np.int64))["loss"])


def test_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    (tmp_path / "locked.npy").symlink_to("locked.npy")
    for bad in ("missing.npy", "pipe.npy", "locked.npy", ".", "a\nb\x1b[31m.npy", "x" * 5000):
        complaint(run("evaluate", tmp_path / bad, DIGITS[1]))
        complaint(run("evaluate", DIGITS[0], tmp_path / bad))
    complaint(run("evaluate", "nul\0.npy", DIGITS[1]))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u8"])
def test_good_dtypes_of_logits(tmp_path, dtype):
    values, target = (np.arange(12).reshape(4, 3) % 5).astype(dtype), np.arange(4) % 3
    result = evaluate(*save(tmp_path, logits=values, targets=target))
    assert result["loss"] == pytest.approx(expected(values.astype(np.float64), target)["loss"], rel=1e-6)


@pytest.mark.parametrize("dtype", ["?", "c8", "S4", "M8[s]"])
def test_dtypes_of_logits(tmp_path, dtype):
    files = save(tmp_path, logits=np.zeros((4, 3), dtype), targets=np.zeros(4, np.int64))
    assert "logits.npy" in complaint(run("evaluate", *files))


@pytest.mark.parametrize("dtype", ["?", "f4", "c8", "S4", "m8[s]"])
def test_dtypes_of_targets(tmp_path, dtype):
    files = save(tmp_path, logits=np.zeros((4, 3), np.float32), targets=np.zeros(4, dtype))
    assert "targets.npy" in complaint(run("evaluate", *files))


@pytest.mark.parametrize("shape", [(), (3,), (5,), (4, 1), (4, 3), (0,)])
def test_shape_of_targets(tmp_path, shape):
    files = save(tmp_path, logits=np.zeros((4, 3), np.float32), targets=np.zeros(shape, np.int64))
    assert "targets.npy" in complaint(run("evaluate", *files))


@pytest.mark.parametrize("n_samples", [0, 4])
@pytest.mark.parametrize("weight", [np.ones(2), np.ones((3, 1)), np.ones(3, complex), np.array(["a", "b", "c"])])
def test_bad_weight(tmp_path, weight, n_samples):
    logits, targets = np.zeros((n_samples, 3), np.float32), np.zeros(n_samples, np.int64)
    files = save(tmp_path, logits=logits, targets=targets, weight=weight)
    assert "weight.npy" in complaint(run("evaluate", *files[:2], "--weight", files[2]))


def test_no_file_is_written_that_is_something_else(tmp_path):
    """Under another name, by a link, or as what an output is made of: the file would be lost."""
    logits, targets = save(tmp_path, logits=np.zeros((6, 3), np.float32), targets=np.zeros(6, int))
    out = tmp_path / "out.npy"
    again, link = tmp_path / "." / "x" / ".." / "out.npy", tmp_path / "link.npy"
    (tmp_path / "x").mkdir()
    link.symlink_to(logits)
    for name in ("out.npz.logprobs.part", "out.npz.indices.part", "out.npz.part", "saved.part"):
        (tmp_path / name).write_bytes(Path(logits).read_bytes())
    for files, options in (
        ((logits, targets), ("--per-sample", out, "--checkpoint", again)),
        ((logits, targets), ("--per-sample", link)),
        ((logits, targets), ("--checkpoint", targets)),
        ((tmp_path / "out.npz.logprobs.part", targets), ("--logprobs", 2, tmp_path / "out.npz")),
        ((tmp_path / "out.npz.indices.part", targets), ("--logprobs", 2, tmp_path / "out.npz")),
        ((tmp_path / "out.npz.part", targets), ("--logprobs", 2, tmp_path / "out.npz")),
        ((tmp_path / "saved.part", targets), ("--checkpoint", tmp_path / "saved")),
    ):
        before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
        assert "something else" in complaint(run("evaluate", *files, *options))
        assert before == {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize("option", [("--checkpoint",), ("--per-sample",), ("--logprobs", 2)], ids=lambda o: o[0])
def test_outputs_that_are_no_files(tmp_path, option):
    files = save(tmp_path, logits=np.zeros((6, 3), np.float32), targets=np.zeros(6, int))
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero", "/dev/full"):
        assert "no regular file" in complaint(run("evaluate", *files, *option, path))

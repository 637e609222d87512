"""What the tests of the command line share: running it, making its files, and the obvious version of its result."""

import io
import json
import math
import re
import struct
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from xentc import cli

ROOT = Path(__file__).parent.parent
DIGITS = [str(ROOT / "examples" / "digits" / name) for name in ("logits.npy", "labels.npy")]
COMMAND = [sys.executable, "-m", "xentc", "evaluate"]


def expected(logits, targets, ignore_index=-100, weight=None):
    """The obvious version: one sample after the other, in float64."""
    rows = np.moveaxis(logits, 1, -1).reshape(-1, logits.shape[1]).astype(np.float64)
    weight = np.ones(logits.shape[1]) if weight is None else weight.astype(np.float64)
    losses, weights, correct, ignored = [], [], 0, 0
    for row, target in zip(rows, targets.reshape(-1).tolist(), strict=True):
        if target == ignore_index:
            ignored += 1
            continue
        losses.append(weight[target] * (row.max() + np.log(np.exp(row - row.max()).sum()) - row[target]))
        weights.append(weight[target])
        correct += int(row.argmax() == target)
    loss = math.fsum(losses) / math.fsum(weights)
    accuracy = correct / len(losses)
    return {
        "samples": targets.size,
        "ignored": ignored,
        "loss": loss,
        "perplexity": math.exp(loss),
        "accuracy": accuracy,
    }


def save(folder, **arrays):
    paths = []
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        paths.append(str(folder / f"{name}.npy"))
    return paths


def example(shape=(23, 7), dtype=np.float32, targets_dtype=np.int64):
    rng = np.random.default_rng(20)
    logits = rng.normal(0, 3, shape).astype(dtype)
    targets = rng.integers(0, shape[1], (shape[0], *shape[2:])).astype(targets_dtype)
    targets.reshape(-1)[::5] = -100
    return logits, targets, rng.uniform(0.1, 2, shape[1]).astype(dtype)


def npy(header, data=b"", version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin1") + data


def header(descr="'<f4'", shape="(4, 3)", fortran_order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {fortran_order}, 'shape': {shape}, }}\n"


def run(*argv):
    """Run the command in this process: its exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main([str(word) for word in argv])
    return code, out.getvalue(), err.getvalue()


def evaluate(*argv):
    """The five figures that expected() has, of evaluate_all()."""
    found = evaluate_all(*argv)
    return {name: found[name] for name in ("samples", "ignored", "loss", "perplexity", "accuracy")}


def evaluate_all(*argv):
    """Run evaluate --json, which must succeed, and read what it prints strictly."""
    code, out, err = run("evaluate", *argv, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))


def complaint(result):
    """The one line that says what was wrong."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert re.fullmatch(r"xentc: [^\n]+\n", err)
    assert err[:-1].isprintable()
    assert "\\x0a" not in err
    assert len(err) < 600
    assert "Traceback" not in err
    return err

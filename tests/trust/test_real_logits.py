"""More than 2**31 logits that are really there, each row another: all against parts, the last rows against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from entry_points import Operands, bits

import xentc

CLASSES = 2**12
BLOCK = 2**12
ROWS = 2**19 + BLOCK + 3  # 2**31 + 2**24 + 3 * 2**12 logits, 4.3 GB
FREE = 7 << 30  # of the logits, what is made of them, and the rest of the suite

pytestmark = pytest.mark.slow


def available_bytes() -> int:
    """What Linux says that is free or could be; elsewhere nothing, and the tests are skipped."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")), 0)


@pytest.fixture(scope="module")
def labelled() -> Operands:
    """One block of random rows over and over, to which each time something else is added in one class."""
    if available_bytes() < FREE:
        pytest.skip(f"needs {FREE >> 30} GiB of memory")
    rng = np.random.default_rng(7)
    block = rng.normal(0, 3, (BLOCK, CLASSES)).astype(np.float16)
    logits = np.empty((ROWS, CLASSES), np.float16)
    for begin in range(0, ROWS, BLOCK):
        part = logits[begin : begin + BLOCK]
        part[...] = block[: len(part)]
    logits[np.arange(ROWS), rng.integers(0, CLASSES, ROWS)] = rng.uniform(10, 20, ROWS).astype(np.float16)
    return {"input": logits, "target": rng.integers(0, CLASSES, ROWS)}


def parts(labelled: Operands) -> list[Operands]:
    return [
        {name: values[begin : begin + 2**17] for name, values in labelled.items()} for begin in range(0, ROWS, 2**17)
    ]


def last_rows(labelled: Operands) -> tuple[np.ndarray, np.ndarray]:
    """The log-probabilities of the last rows, which begin beyond 2**31 logits, by NumPy; and their targets."""
    x = labelled["input"][-5:].astype(float)
    return x - np.log(np.exp(x).sum(axis=1, keepdims=True)), labelled["target"][-5:]


def test_cross_entropy(labelled: Operands) -> None:
    each = xentc.cross_entropy(**labelled, reduction="none")
    expected = [xentc.cross_entropy(**part, reduction="none") for part in parts(labelled)]
    assert bits(each) == bits(np.concatenate(expected))
    assert xentc.cross_entropy(**labelled) == pytest.approx(each.astype(float).mean(), rel=2e-7)
    logprobs, target = last_rows(labelled)
    np.testing.assert_allclose(each[-5:], -logprobs[np.arange(5), target], rtol=1e-6)


def test_score(labelled: Operands) -> None:
    found = xentc.score(**labelled)
    expected = [xentc.score(**part) for part in parts(labelled)]
    for name in found._fields:
        assert bits(getattr(found, name)) == bits(np.concatenate([getattr(part, name) for part in expected])), name
    logprobs, target = last_rows(labelled)
    np.testing.assert_allclose(found.nll[-5:], -logprobs[np.arange(5), target], rtol=1e-6)
    np.testing.assert_array_equal(found.prediction[-5:], logprobs.argmax(axis=1))


def test_top_logprobs(labelled: Operands) -> None:
    logprobs, indices = xentc.top_logprobs(labelled["input"], 3)
    expected = [xentc.top_logprobs(part["input"], 3) for part in parts(labelled)]
    assert bits(logprobs) == bits(np.concatenate([part[0] for part in expected]))
    assert bits(indices) == bits(np.concatenate([part[1] for part in expected]))
    best = np.sort(last_rows(labelled)[0], axis=1)[:, :-4:-1]
    np.testing.assert_allclose(logprobs[-5:], best, rtol=1e-5, atol=1e-6)

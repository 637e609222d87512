"""Results that are written past the caches, as those of large arrays are on some CPUs: the same bits, and no others.

A line of a cache is 64 bytes, and what is streamed has to begin with one: so every place before one is tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import strategies

import xentc
from xentc import _engine

NEVER = 2**62
CLASSES = (1, 5, 129, 131, 160, 1000, 2047, 2049, 4100, 17_001)
DTYPES = ("float32", "float64", *strategies.HALVES)


@pytest.fixture
def streams() -> Iterator[Any]:
    """Call it with the size above which results are streamed."""
    before = _engine.stream_above(NEVER)
    yield _engine.stream_above
    _engine.stream_above(before)


def at_offset(shape: tuple[int, ...], dtype: Any, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """An array that begins `offset` bytes after a line, and the memory around it, filled with a pattern."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.full(n_bytes + 256, 0x5A, np.uint8)
    begin = -memory.ctypes.data % 64 + 64 + offset
    return memory[begin : begin + n_bytes].view(dtype).reshape(shape), memory


def calls(x: np.ndarray) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """The operands of every function that writes as much as it reads, and what it writes."""
    target = np.arange(len(x)) % x.shape[1]
    upstream = np.random.default_rng(2).normal(size=x.shape)
    soft = np.full(x.shape, 1 / x.shape[1], x.dtype)
    probability = (1 / (1 + np.exp(-x.astype("f8")))).astype(x.dtype)
    both = ("out", "grad_out")
    return {
        "cross_entropy": ({"input": x, "target": target}, ("grad_out",)),
        "cross_entropy, smoothed": ({"input": x, "target": target, "label_smoothing": 0.1}, ("grad_out",)),
        "cross_entropy, soft": ({"input": x, "target": soft, "weight": np.ones(x.shape[1])}, ("grad_out",)),
        "cross_entropy, softcap": ({"input": x, "target": target, "softcap": 5.0}, ("grad_out",)),
        "cross_entropy, none": ({"input": x, "target": np.full(len(x), -100)}, ("grad_out",)),
        "softmax": ({"input": x, "axis": 1, "grad_output": upstream}, both),
        "log_softmax": ({"input": x, "axis": 1, "grad_output": upstream}, both),
        "logsumexp": ({"input": x, "axis": 1, "grad_output": upstream[:, 0].copy()}, ("grad_out",)),
        "binary_cross_entropy": ({"input": probability, "target": probability > 0.5}, ("grad_out",)),
        "binary_cross_entropy_with_logits": ({"input": x, "target": x > 0}, ("grad_out",)),
        "hinge_embedding_loss": ({"input": x, "target": np.where(x > 0, 1, -1)}, ("grad_out",)),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(calls(np.zeros((1, 1), np.float32))))
def test_same_bits_wherever_they_begin(isa: str, streams: Any, name: str, dtype: str) -> None:
    for i, n_classes in enumerate(CLASSES):
        x = np.random.default_rng(i).normal(0, 3, (3, n_classes)).astype(dtype)
        options, written = calls(x)[name]
        for offset in range(0, 64, x.itemsize if n_classes == 1000 else 12 * x.itemsize):
            answers = []
            for above in (NEVER, 0):
                streams(above)
                places = [at_offset(x.shape, dtype, offset) for _ in written]
                outputs = {key: array for key, (array, _) in zip(written, places, strict=True)}
                loss = getattr(xentc, name.split(",")[0])(**options, **outputs, return_grad=True)[0]
                answers.append([np.asarray(loss).tobytes(), *(array.tobytes() for array, _ in places)])
                for array, memory in places:
                    begin = array.ctypes.data - memory.ctypes.data
                    assert set(memory[:begin]) | set(memory[begin + array.nbytes :]) == {0x5A}, (n_classes, offset)
            assert answers[0] == answers[1], (n_classes, offset)


@pytest.mark.parametrize("num_threads", [1, 2, 7])
def test_seen_by_the_caller(isa: str, streams: Any, num_threads: int) -> None:
    """Rows of a team, and long rows that a team shares."""
    for shape in ((300, 1000), (2, 70_000)):
        x = np.random.default_rng(3).normal(0, 3, shape).astype(np.float32)
        target = np.arange(len(x))
        usual = xentc.cross_entropy(x, target, return_grad=True)[1]
        streams(0)
        assert xentc.cross_entropy(x, target, return_grad=True, num_threads=num_threads)[1].tobytes() == usual.tobytes()
        value = xentc.softmax(x, 1, num_threads=num_threads)
        streams(NEVER)
        assert value.tobytes() == xentc.softmax(x, 1).tobytes()


@pytest.mark.parametrize("n_classes", [1000, 17_001])
def test_over_the_input(isa: str, streams: Any, n_classes: int) -> None:
    """Where a result lies over the input, and another one may be streamed."""
    logits = np.random.default_rng(4).normal(0, 3, (3, n_classes)).astype(np.float32)
    upstream, target = np.random.default_rng(5).normal(size=logits.shape), np.arange(3)
    for over in ("out", "grad_out"):
        answers = []
        for above in (NEVER, 0):
            streams(above)
            x, other = logits.copy(), np.empty_like(logits)
            given = {"out": other, "grad_out": other} | {over: x}
            value, grad = xentc.softmax(x, 1, grad_output=upstream, return_grad=True, **given)
            assert (value, grad)[over == "grad_out"] is x
            answers.append((value.tobytes(), grad.tobytes()))
        assert answers[0] == answers[1]
    streams(NEVER)
    usual = xentc.cross_entropy(logits, target, return_grad=True)[1].tobytes()
    streams(0)
    assert xentc.cross_entropy(logits, target, return_grad=True, grad_out=logits)[1] is logits
    assert logits.tobytes() == usual

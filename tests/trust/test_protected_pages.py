"""No entry point reads or writes beyond its arrays: they end, and then begin, at a page that ends the process.

Sizes lie around the widths of vectors, 4 to 64 numbers; every array has an arena of its own, outputs too.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import strategies
from pages import Arena

import xentc

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no mprotect here")

DTYPES = ("float32", "float64", *strategies.HALVES)
CLASSES = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 131, 257, 1023, 1025)
PLANES = ((2, 3, 5), (1, 10, 17), (3, 2, 33), (1, 33, 65), (2, 130, 7))
SHAPES = [(3, n) for n in CLASSES] + [(n, 3) for n in (1, 17, 65)] + [(2, 16387)] + list(PLANES)
ELEMENTS = [(n,) for n in (*CLASSES, 1040)] + [(3, 17), (5, 65)]
Results = dict[str, Any]


def halves(dtype: str) -> str:
    return "float32" if dtype in strategies.HALVES else dtype


def indices(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.integers(0, min(shape[1], 127), shape[:1] + shape[2:]).astype(dtype)


def logits(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(dtype)


def outputs(x: np.ndarray, losses: tuple[int, ...]) -> Results:
    return {"out": np.zeros(losses, halves(x.dtype.name)), "grad_out": np.zeros_like(x)}


# What a call takes: its arrays by name, each to be laid beside a page, and options that are none.
def cross_entropy(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    x, samples = logits(shape, dtype), shape[:1] + shape[2:]
    integers = strategies.INTEGERS[sum(shape) % 8]
    base = {"input": x, "target": indices(shape, integers), **outputs(x, samples)}
    yield base, {}
    upstream = {"sample_weight": np.ones(samples, dtype), "grad_output": np.ones(samples, "float32")}
    yield base | upstream | {"weight": np.ones(shape[1])}, {"label_smoothing": 0.1}
    soft = np.random.default_rng(3).uniform(size=shape).astype(dtype)
    yield base | {"target": soft}, {"temperature": 2.0} if shape[1] % 2 else {}


def nll_loss(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    x = logits(shape, dtype)
    yield {"input": x, "target": indices(shape, "int64"), **outputs(x, shape[:1] + shape[2:])}, {}


def multilabel_margin_loss(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    if len(shape) == 2 and shape[1] < 1000:
        x = logits(shape, dtype)
        target = np.random.default_rng(4).integers(-1, min(shape[1], 127), shape).astype("int8")
        yield {"input": x, "target": target, **outputs(x, shape[:1])}, {}


def softmax(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    x = logits(shape, dtype)
    yield {"input": x, "grad_output": x.copy(), "out": np.zeros_like(x), "grad_out": np.zeros_like(x)}, {"axis": 1}


def logsumexp(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    x, samples = logits(shape, dtype), shape[:1] + shape[2:]
    yield {"input": x, "grad_output": np.ones(samples, dtype), **outputs(x, samples)}, {"axis": 1}


def score(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    yield {"input": logits(shape, dtype), "target": indices(shape, "int16")}, {}


def gather_logprobs(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    yield {"input": logits(shape, dtype), "indices": indices(shape, "uint8")}, {}


def top_logprobs(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    yield {"input": logits(shape, dtype)}, {"k": min(shape[1], 5)}


def binary(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    x = np.random.default_rng(5).uniform(0.01, 0.99, shape).astype(dtype)
    base = {"input": x, "target": (x > 0.5).astype("uint8"), **outputs(x, shape)}
    yield base, {}
    yield base | {"target": x.copy(), "weight": np.ones(shape[-1:], dtype), "grad_output": np.ones(shape)}, {}


def hinge(shape: tuple, dtype: str) -> Iterator[tuple[Results, Results]]:
    x = logits(shape, dtype)
    yield {"input": x, "target": np.where(x > 0, 1, -1).astype("int8"), **outputs(x, shape)}, {}


CALLS: dict[str, tuple[Callable[..., Iterator[tuple[Results, Results]]], list[tuple]]] = {
    "cross_entropy": (cross_entropy, SHAPES),
    "nll_loss": (nll_loss, SHAPES),
    "multilabel_margin_loss": (multilabel_margin_loss, SHAPES),
    "softmax": (softmax, SHAPES),
    "log_softmax": (softmax, SHAPES),
    "logsumexp": (logsumexp, SHAPES),
    "score": (score, SHAPES),
    "top_logprobs": (top_logprobs, SHAPES),
    "gather_logprobs": (gather_logprobs, SHAPES),
    "binary_cross_entropy": (binary, ELEMENTS),
    "binary_cross_entropy_with_logits": (binary, ELEMENTS),
    "hinge_embedding_loss": (hinge, ELEMENTS),
}
ARENAS = [Arena(1 << 19) for _ in range(7)] if sys.platform != "win32" else []


def answers(name: str, arrays: Results, options: Results) -> list[np.ndarray]:
    options = dict(options)
    if "grad_out" in arrays:
        options["return_grad"] = True
    if "out" in arrays and name not in ("softmax", "log_softmax", "logsumexp"):
        options["reduction"] = "none"
    result = getattr(xentc, name)(**arrays, **options)
    return [np.array(part) for part in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("float_dtype", DTYPES)
@pytest.mark.parametrize("name", CALLS)
def test_nothing_beyond_the_page(isa: str, name: str, float_dtype: str) -> None:
    cases, shapes = CALLS[name]
    for shape in shapes:
        for arrays, options in cases(shape, float_dtype):
            expected = answers(name, arrays, options)
            for at_end in (True, False):
                beside = {
                    key: arena.copy(array, at_end) for arena, (key, array) in zip(ARENAS, arrays.items(), strict=False)
                }
                for result, usual in zip(answers(name, beside, options), expected, strict=True):
                    assert result.tobytes() == usual.tobytes(), (shape, options, at_end)


@pytest.mark.parametrize("at_end", [True, False])
def test_the_page_is_there(at_end: bool) -> None:
    """One byte further, and the process ends: else nothing above could fail."""
    code = f"""
import numpy as np
from pages import Arena
array = Arena(5000).copy(np.zeros(5, np.uint8), {at_end})
outside = np.lib.stride_tricks.as_strided(array, (6,), ({1 if at_end else -1},))
print(outside[: {5 if at_end else 1}].sum(), flush=True)
print(outside.sum())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=__file__.rpartition("/")[0], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "0\n")

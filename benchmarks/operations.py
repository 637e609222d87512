"""What is timed: for each function of xentc its input, seeded, and what it is called with besides.

A new function is one row in OPERATIONS. Its arguments and options are torch.nn.functional's, so that xentc and torch
are called alike; other contenders name the operations that they know, and answer None to the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

SMOOTHING = 0.1
HALVES = ("bf16", "f16")
LABELS = 100  # listed classes a sample, of multilabel_margin_loss
BEST = 50  # of top_logprobs
POOL = (
    1_000_003  # random numbers that an array repeats: prime, so that no two rows begin alike. All fresh: seconds a GiB
)


def dtype_of(name: str) -> np.dtype:
    if name == "bf16":
        import ml_dtypes  # only what is timed in bf16 needs it

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype({"f32": np.float32, "f64": np.float64, "f16": np.float16}[name])


def _filled(shape: tuple[int, ...], pool: np.ndarray) -> np.ndarray:
    array = np.empty(shape, pool.dtype)
    flat = array.reshape(-1)
    for start in range(0, flat.size, pool.size):
        part = flat[start : start + pool.size]
        part[...] = pool[: part.size]
    return array


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def normal(shape: tuple[int, ...], dtype: str, seed: int = 1) -> np.ndarray:
    return _filled(shape, (_rng(seed).standard_normal(POOL) * 3).astype(dtype_of(dtype)))


def below_zero(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _filled(shape, (-np.abs(_rng(1).standard_normal(POOL))).astype(dtype_of(dtype)))


def distances(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _filled(shape, np.abs(_rng(1).standard_normal(POOL)).astype(dtype_of(dtype)))


def probabilities(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _filled(shape, _rng(1).uniform(0.01, 0.99, POOL).astype(dtype_of(dtype)))


def no_yes(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _filled(shape, _rng(2).integers(0, 2, POOL).astype(dtype_of(dtype)))


def signs(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _filled(shape, (_rng(2).integers(0, 2, POOL) * 2 - 1).astype(dtype_of(dtype)))


def classes(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return _rng(2).integers(0, shape[1], shape[:1] + shape[2:])


def soft(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    array = _filled(shape, _rng(2).uniform(0.01, 1.0, POOL).astype(np.float32))
    array /= array.sum(axis=1, keepdims=True)
    return array.astype(dtype_of(dtype), copy=False)


def label_lists(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """LABELS different classes a sample, fewer where there are few classes, and the mark of the list's end."""
    target = np.full(shape, -1)
    listed = min(LABELS, shape[1] // 4)
    target[:, :listed] = _rng(2).permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)[:, :listed]
    return target


Make = Callable[[tuple[int, ...], str], np.ndarray]


@dataclass(frozen=True)
class Operation:
    make_input: Make
    make_target: Make | None = None
    options: dict[str, object] = field(default_factory=dict)
    gradient: bool = True
    result: str = "loss"  # or "each": as large as the input; or "rows": a number or a few a sample
    checked: bool = False  # all is looked at before a number is written: with a gradient, one more read
    memory_bound: bool = True  # its traffic is that of whole arrays, so that the memory's speed says something


OPERATIONS = {
    "cross_entropy": Operation(normal, classes),
    "nll_loss": Operation(below_zero, classes, memory_bound=False),
    "binary_cross_entropy": Operation(probabilities, no_yes, checked=True),
    "binary_cross_entropy_with_logits": Operation(normal, no_yes),
    "hinge_embedding_loss": Operation(distances, signs),
    "multilabel_margin_loss": Operation(normal, label_lists, memory_bound=False),
    "softmax": Operation(normal, result="each"),
    "log_softmax": Operation(normal, result="each"),
    "logsumexp": Operation(normal, result="rows"),
    "score": Operation(normal, classes, gradient=False, result="rows"),
    "top_logprobs": Operation(normal, None, {"k": BEST}, gradient=False, result="rows"),
}

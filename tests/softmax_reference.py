"""The obvious version of softmax, log_softmax and logsumexp with gradients, and how far a result may lie from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import reference
import tolerances

import xentc

FAMILY: dict[str, Callable[..., Any]] = {
    "softmax": xentc.softmax,
    "log_softmax": xentc.log_softmax,
    "logsumexp": xentc.logsumexp,
}
FULL = ("softmax", "log_softmax")

# Few classes, more than are transposed, and more than a column block; side by side, and alone.
SHAPES = [(6, 5), (5,), (3, 5, 4), (40, 64), (3, 200), (2, 200, 3), (2, 20000), (2, 17000, 2), (1, 3), (3, 1)]


def upstream_of(name: str, shape: tuple[int, ...], axis: int, seed: int = 7) -> np.ndarray:
    samples = shape if name in FULL else np.delete(shape, axis) if shape else ()
    return np.random.default_rng(seed).normal(size=tuple(map(int, samples)))


def both(name: str, input: Any, axis: int = -1, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    upstream = options.pop("grad_output", None)
    if upstream is None:
        upstream = upstream_of(name, np.shape(input), axis)
    return FAMILY[name](input, axis, return_grad=True, grad_output=upstream, **options)


class Rows(NamedTuple):
    """Of each row (N, C), as reference.softmax_rows computes them."""

    log_softmax: np.ndarray
    softmax: np.ndarray
    not_softmax: np.ndarray
    lse: np.ndarray


def softmax_rows(rows: np.ndarray) -> Rows:
    with np.errstate(all="ignore"):
        steps = reference.softmax_rows(rows)
    lse = steps[3]
    if rows.size:
        highest = rows.max(axis=1)
        lse = np.where(np.isinf(highest), highest, lse)  # nan wins: max keeps it
    return Rows(*steps[:3], lse)


def gradient(name: str, rows: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    """By the logits (N, C). A row that no upstream gradient asks for has none; logsumexp's is torch's beside +inf."""
    steps = softmax_rows(rows)
    if name == "logsumexp":
        infinite = (steps.lse == np.inf)[:, None]
        p = np.where(infinite, np.where(rows == np.inf, np.nan, 0), steps.softmax)
        return np.where(upstream[:, None] == 0, 0, upstream[:, None] * p)
    total = (upstream if name == "log_softmax" else upstream * steps.softmax).sum(axis=1, keepdims=True)
    grad = upstream - steps.softmax * total if name == "log_softmax" else steps.softmax * (upstream - total)
    return np.where(np.all(upstream == 0, axis=1, keepdims=True), 0, grad)


def gradient_size(name: str, rows: np.ndarray, upstream: np.ndarray) -> np.ndarray:
    """Of the terms that a gradient is made of, with what exp's argument is rounded by."""
    p = softmax_rows(rows).softmax
    p_error = reference.term(p, 1 - softmax_rows(rows).log_softmax / 8)
    if name == "logsumexp":
        return np.abs(upstream[:, None]) * p_error
    g = np.abs(upstream)
    if name == "softmax":
        return p_error * (g + (g * p_error).sum(axis=1, keepdims=True))
    return g + p_error * g.sum(axis=1, keepdims=True)


def assert_matches(
    name: str, value: np.ndarray, grad: np.ndarray | None, input: np.ndarray, axis: int, upstream: Any
) -> None:
    full = name != "logsumexp"
    # logsumexp's dtype is that of the arithmetic; a half is rounded once more.
    arithmetic = value.dtype if value.dtype.itemsize >= 4 else np.dtype(np.float32)
    exact_dtype = tolerances.reference_dtype(arithmetic)
    rows = reference.class_rows(input, axis, exact_dtype)[0]
    half = value.dtype.itemsize == 2
    with np.errstate(all="ignore"):
        steps = softmax_rows(rows)
        exact = {"softmax": steps.softmax, "log_softmax": steps.log_softmax, "logsumexp": steps.lse}[name]
        highest = np.abs(rows.max(axis=1, initial=-np.inf))
        floor = 4 * np.longdouble(np.finfo(arithmetic).tiny) / np.longdouble(np.finfo(arithmetic).eps)
        size = np.abs(exact) + floor
        if name == "softmax":
            size = reference.term(exact, 1 - steps.log_softmax / 8) + floor
        elif name == "logsumexp":
            size = np.maximum(size, np.where(np.isfinite(highest), highest, 0))
    extra = 0.0
    if arithmetic == np.float32 and np.any(highest[np.isfinite(highest)] > tolerances.LARGE_LOGIT):
        extra = tolerances.LARGE_LOGIT_ULPS
    allowed = tolerances.row_ulps(value.dtype) + (0 if half else extra)
    shaped = reference.class_rows(value, axis, exact_dtype)[0].astype(value.dtype) if full else value.reshape(-1)
    tolerances.assert_ulp(shaped, exact, allowed, size, name, relative=not half)
    if grad is None:
        return
    given = np.asarray(upstream).astype(exact_dtype)
    given = reference.class_rows(given, axis, exact_dtype)[0] if full else given.reshape(-1)
    with np.errstate(all="ignore"):
        exact = gradient(name, rows, given)
        size = gradient_size(name, rows, given)
        size = size + floor * (1 + (np.abs(given).sum(axis=1, keepdims=True) if full else np.abs(given)[:, None]))
    half = grad.dtype.itemsize == 2
    allowed = tolerances.row_ulps(grad.dtype) + (0 if half else extra)
    shaped = reference.class_rows(grad, axis, exact_dtype)[0].astype(grad.dtype)
    tolerances.assert_ulp(shaped, exact, allowed, size, f"gradient of {name}", relative=not half)

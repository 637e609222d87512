"""The obvious NumPy version of the element-wise losses, beside reference.py and by its rules.

Each function gives Terms: what the loss of an element is the sum of, and the same of its slope, so that a tolerance can
be measured by the size of the terms where they cancel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tolerances
from reference import both, term

LEAST_SLOPE = np.float32(1e-12)  # a float in torch, for float64 too


class Terms(NamedTuple):
    loss: list[np.ndarray]
    slope: list[np.ndarray]


def binary_cross_entropy(x: np.ndarray, t: np.ndarray) -> Terms:
    log_x, log_rest = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return Terms([-t * log_x, (t - 1) * log_rest], [(x - t) / np.maximum((1 - x) * x, x.dtype.type(LEAST_SLOPE))])


def binary_cross_entropy_with_logits(x: np.ndarray, t: np.ndarray, pos_weight: Any = None) -> Terms:
    p = np.ones_like(x) if pos_weight is None else np.asarray(pos_weight).astype(x.dtype)
    push = both(t, np.broadcast_to(p, x.shape))
    return Terms(
        [term(1 - t, np.logaddexp(0, x)), term(push, np.logaddexp(0, -x))],
        [term(1 - t, logistic(x)), -term(push, logistic(-x))],
    )


def hinge_embedding_loss(x: np.ndarray, t: np.ndarray, margin: float = 1.0) -> Terms:
    x, t = np.broadcast_arrays(x, t)
    gap = x.dtype.type(margin) - x
    similar = np.where(t != -1, x, 0), np.where(t != -1, np.where(np.isnan(x), x, 1), 0)
    apart = (
        np.where(gap > 0, gap, np.where(np.isnan(gap), gap, 0)),
        np.where(gap >= 0, -1, np.where(np.isnan(gap), gap, 0)),
    )
    return Terms(
        [similar[0], np.where(t != 1, apart[0], 0)],
        [similar[1], np.where(t != 1, apart[1], 0), np.where(np.isnan(x), x, 0)],
    )


def logistic(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


LOSSES = {
    "binary_cross_entropy": binary_cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
    "hinge_embedding_loss": hinge_embedding_loss,
}


class Answer(NamedTuple):
    loss: np.ndarray
    grad: np.ndarray
    loss_size: np.ndarray  # sums of the absolute values of the terms
    grad_size: np.ndarray


def answer(
    name: str,
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str = "mean",
    grad_output: Any = 1.0,
    dtype: Any = np.longdouble,
    **options: Any,
) -> Answer:
    """Loss and gradient with xentc's meaning of the arguments."""
    with np.errstate(all="ignore"):
        x, t = np.asarray(input).astype(dtype), np.asarray(target).astype(dtype)
        terms = LOSSES[name](x, t, **options)
        loss, slope = sum(terms.loss), sum(terms.slope)
        loss_size, slope_size = sum(map(np.abs, terms.loss)), sum(map(np.abs, terms.slope))
        count = loss.size if reduction == "mean" else 1
        w = np.broadcast_to(np.asarray(1 if weight is None else weight).astype(dtype), loss.shape)
        upstream = np.broadcast_to(np.asarray(grad_output).astype(dtype), loss.shape)
        factor = both(upstream, w) / count if count else np.zeros_like(loss)
        each, sizes = term(w, loss), term(np.abs(w), loss_size)
        if reduction != "none":
            each, sizes = (total.sum() / dtype(count) for total in (each, sizes))
        return Answer(
            each, folded(term(factor, slope), x.shape), sizes, folded(term(np.abs(factor), slope_size), x.shape)
        )


def folded(whole: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Summed over the axes along which an array of this shape is broadcast to the whole."""
    lead = whole.ndim - len(shape)
    ones = tuple(lead + i for i, length in enumerate(shape) if length == 1)
    return whole.sum(axis=(*range(lead), *ones)).reshape(shape)


def assert_matches(result: Any, name: str, input: Any, target: Any, context: Any = "", **options: Any) -> None:
    """4 ULP of float32 or 8 of float64, at the size of the terms; halves once rounded. Below the smallest normal number
    a term may be 0."""
    loss, grad = result if isinstance(result, tuple) else (result, None)
    loss = np.asarray(loss)
    exact = answer(name, input, target, dtype=tolerances.reference_dtype(loss.dtype), **options)
    n = max(np.asarray(input).size, np.asarray(target).size)
    extra = n * np.finfo(np.float64).eps / float(np.finfo(loss.dtype).eps)
    floor = float(np.finfo(loss.dtype).tiny) / float(np.finfo(loss.dtype).eps)
    weights = sum(
        float(np.abs(np.nan_to_num(np.asarray(options.get(key, 1), np.float64))).max(initial=1))
        for key in ("weight", "pos_weight", "grad_output")
    )
    loss_size, grad_size = exact.loss_size + floor * weights * n, exact.grad_size + floor * weights * n
    tolerances.assert_ulp(loss, exact.loss, tolerances.row_ulps(loss.dtype) + extra, loss_size, f"loss {context}")
    if grad is not None:
        grad = np.asarray(grad)
        half = grad.dtype.itemsize == 2
        allowed = tolerances.row_ulps(grad.dtype) + (0 if half else extra)
        tolerances.assert_ulp(grad, exact.grad, allowed, grad_size, f"gradient {context}", relative=not half)

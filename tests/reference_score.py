"""The obvious NumPy version of score, top_logprobs and gather_logprobs, beside reference.py and by its rules."""

from __future__ import annotations

from typing import Any, NamedTuple

import mpmath
import numpy as np
import reference


class Answer(NamedTuple):
    """In the order that score gives them, and the largest probability; of the shape of the samples."""

    nll: np.ndarray
    lse: np.ndarray
    rank: np.ndarray
    prediction: np.ndarray
    entropy: np.ndarray
    confidence: np.ndarray


def score(input: Any, target: Any, ignore_index: int = -100, axis: int | None = None) -> Answer:
    input = np.asarray(input)
    rows, shape = reference.class_rows(input, reference.class_axis(input.ndim, axis), np.longdouble)
    with np.errstate(all="ignore"):
        answer = score_rows(rows, np.reshape(np.asarray(target), -1), ignore_index)
    return Answer(*(array.reshape(shape) for array in answer))


def score_rows(rows: np.ndarray, target: np.ndarray, ignore_index: int) -> Answer:
    n_samples, n_classes = rows.shape
    valid = target != ignore_index
    has_nan = np.isnan(rows).any(axis=1)
    log_softmax, softmax, _, lse = reference.softmax_rows(rows)
    row_max = rows.max(axis=1, initial=-np.inf)
    lse = np.where(has_nan, np.nan, np.where(np.isinf(row_max), row_max, lse))
    if not n_classes:
        nothing = np.full(n_samples, -1)
        return Answer(
            np.zeros(n_samples), lse, nothing, nothing, np.full(n_samples, np.nan), np.full(n_samples, np.nan)
        )
    classes = np.arange(n_classes)
    own_class = np.where(valid, target, 0).astype(np.int64)[:, None]
    own = np.take_along_axis(rows, own_class, axis=1)
    beats = (rows > own) | ((rows == own) & (classes < own_class))
    return Answer(
        nll=np.where(valid, -np.take_along_axis(log_softmax, own_class, axis=1)[:, 0], 0),
        lse=lse,
        rank=np.where(valid & ~has_nan, beats.sum(axis=1), -1),
        prediction=np.where(has_nan, -1, rows.argmax(axis=1)),
        entropy=np.where(softmax == 0, 0, -softmax * log_softmax).sum(axis=1),
        confidence=softmax.max(axis=1),
    )


def top_logprobs(input: Any, k: int, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    input = np.asarray(input)
    axis = reference.class_axis(input.ndim, axis)
    rows, shape = reference.class_rows(input, axis, np.longdouble)
    with np.errstate(all="ignore"):
        order = np.argsort(-rows, axis=1, kind="stable")[:, :k]
        logprobs = np.take_along_axis(reference.softmax_rows(rows)[0], order, axis=1)
        order = np.where(np.isnan(rows).any(axis=1, keepdims=True), -1, order)
    logprobs, order = (np.moveaxis(array.reshape(*shape, k), -1, axis) for array in (logprobs, order))
    return logprobs, order


def exact_entropy(row: Any) -> mpmath.mpf:
    """To 60 digits, for finite logits and -inf."""
    with mpmath.workdps(60):
        finite = [mpmath.mpf(float(x)) for x in row if x > -np.inf]
        top = max(finite)
        shares = [mpmath.exp(x - top) for x in finite]
        total = mpmath.fsum(shares)
        fall = mpmath.fsum(share * (top - x) for share, x in zip(shares, finite, strict=True))
        return mpmath.log(total) + fall / total

"""The obvious NumPy version of nll_loss and multilabel_margin_loss; see reference.py for what that means."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference
import strategies


def reduce(loss: np.ndarray, weight: np.ndarray, reduction: str, samples: tuple) -> tuple[np.ndarray, np.ndarray]:
    """The reduced loss, and what each sample's gradient is divided by. `weight` is what the mean divides by, (N,)."""
    if reduction == "none":
        return loss.reshape(samples), np.ones_like(weight)
    if reduction == "sum":
        return loss.sum(), np.ones_like(weight)
    return loss.sum() / weight.sum(), np.full_like(weight, weight.sum() if np.any(weight != 0) else np.inf)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    axis: int | None = None,
    sample_weight: Any = None,
    grad_output: Any = 1.0,
    dtype: Any = np.longdouble,
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient: -s w[t] x[t]."""
    input, target = np.asarray(input), np.asarray(target)
    axis = reference.class_axis(input.ndim, axis)
    rows, samples = reference.class_rows(input, axis, dtype)
    n_classes = rows.shape[1]
    target = target.reshape(-1)
    valid = target != ignore_index
    is_target = reference.one_hot(target, valid, n_classes, dtype)
    weight = np.ones(n_classes, dtype) if weight is None else np.asarray(weight, dtype)
    weight = np.where(is_target != 0, weight, 0).sum(axis=1)
    if sample_weight is not None:
        weight = reference.both(np.asarray(sample_weight, dtype).reshape(-1), weight)
    with np.errstate(all="ignore"):
        own = np.where(is_target != 0, rows, 0).sum(axis=1)
        loss, denominator = reduce(reference.term(weight, -own), weight, reduction, samples)
        upstream = np.broadcast_to(np.asarray(grad_output, dtype), samples).reshape(-1)
        pull = reference.both(weight, upstream) / denominator
        grad = np.where(is_target != 0, -pull[:, None], 0)
    return loss, np.moveaxis(grad.reshape(*samples, n_classes), -1, axis)


def multilabel_margin_loss(
    input: Any, target: Any, reduction: str = "mean", grad_output: Any = 1.0, dtype: Any = np.longdouble
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient, over all pairs of a listed class (as often as it is listed) and one that is not."""
    input = np.asarray(input)
    arithmetic = reference_arithmetic(input.dtype)
    samples, n_classes = input.shape[:-1], input.shape[-1] if input.ndim else 1
    rows, lists = input.reshape(-1, n_classes), np.asarray(target).reshape(-1, n_classes)
    loss, counts = np.zeros(len(rows), dtype), np.zeros(rows.shape, dtype)
    with np.errstate(all="ignore"):
        for i, (row, classes) in enumerate(zip(rows.astype(arithmetic), lists.tolist(), strict=True)):
            end = next((k for k, j in enumerate(classes) if j < 0), n_classes)
            others = np.setdiff1d(np.arange(n_classes), classes[:end])
            for j in classes[:end]:
                counted = others[1 - row[j] + row[others] > 0]
                loss[i] += (1 - row[j].astype(dtype) + row[counted].astype(dtype)).sum()
                counts[i, j] -= len(counted)
                counts[i, counted] += 1
            if np.isnan(row).any():
                loss[i], counts[i] = np.nan, np.nan
        reduced, denominator = reduce(loss / n_classes, np.ones(len(rows), dtype), reduction, samples)
        upstream = np.broadcast_to(np.asarray(grad_output, dtype), samples).reshape(-1) / (denominator * n_classes)
        grad = np.where(upstream[:, None] == 0, 0, counts * upstream[:, None])
    return reduced, grad.reshape(input.shape)


def reference_arithmetic(dtype: np.dtype) -> type:
    """What pairs are counted in."""
    return np.float32 if dtype == np.float32 or dtype.name in strategies.HALVES else np.float64

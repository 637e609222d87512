"""The obvious NumPy version of an evaluation: all samples at once, in float64, as xentc.Evaluation defines it."""

from __future__ import annotations

from typing import Any

import numpy as np
import reference
from reference import both, term


def evaluate(
    input: Any,
    target: Any,
    *,
    sample_weight: Any = None,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    axis: int | None = None,
    top_k: Any = (1, 5),
    bins: int = 15,
    per_class: bool = False,
) -> dict[str, Any]:
    input, target = np.asarray(input), np.asarray(target)
    rows, _ = reference.class_rows(input, reference.class_axis(input.ndim, axis), np.float64)
    counted = np.ravel(target != ignore_index)
    x, t = rows[counted], np.ravel(target)[counted].astype(np.intp)
    n, n_classes = x.shape
    s = np.ones(n) if sample_weight is None else np.ravel(sample_weight)[counted].astype(float)
    w = np.ones(n_classes) if weight is None else np.asarray(weight, float)

    with np.errstate(all="ignore"):
        log_softmax, softmax, _, _ = reference.softmax_rows(x)
        at_target = x[range(n), t][:, None]
        nan_rows = np.isnan(x).any(axis=1)
        beaten = (x > at_target) | ((x == at_target) & (np.arange(n_classes) < t[:, None]))
        rank = np.where(nan_rows, np.nan, beaten.sum(axis=1))
        loss = term((1 - label_smoothing) * w[t], -log_softmax[range(n), t])
        loss += term(label_smoothing / max(n_classes, 1) * w, -log_softmax).sum(axis=1)
        loss, loss_weight = term(s, loss), both(s, w[t])
        mean = loss.sum() / loss_weight.sum()
        if weight is None and sample_weight is None:
            stderr = np.std(loss, ddof=1) / np.sqrt(n) if n > 1 else np.nan
        else:
            stderr = np.sqrt(((loss - mean * loss_weight) ** 2).sum()) / loss_weight.sum()
        correct = rank == 0
        entropy = -term(softmax, log_softmax).sum(axis=1)
        confidence = softmax.max(axis=1, initial=0)
        edges = np.arange(bins + 1) / bins
        in_bin = (edges[:-1, None] < confidence) & (confidence <= edges[1:, None])
        in_bin[0] |= confidence == 0
        bin_figures = [(m.sum(), average(correct[m], s[m]), average(confidence[m], s[m]), s[m].sum()) for m in in_bin]
        ece = sum(weight * abs(accuracy - sure) for _, accuracy, sure, weight in bin_figures if weight) / s.sum()
        if np.isnan(confidence[s != 0]).any():
            ece = np.nan
        result = {
            "samples": target.size,
            "ignored": target.size - n,
            "nonfinite": nan_rows.sum(),
            "loss": mean,
            "loss_stderr": stderr,
            "perplexity": np.exp(mean),
            "bits": np.log2(np.exp(1)) * mean,
            "accuracy": average(correct, s),
            "top_k": {k: average(rank < k, s) for k in top_k},
            "mean_rank": average(rank + 1, s),
            "mrr": average(np.where(nan_rows, 0, 1 / (rank + 1)), s),
            "entropy": average(entropy, s),
            "ece": ece,
            "bins": [figures[:3] for figures in bin_figures],
        }
        if per_class:
            of_class = [t == k for k in range(n_classes)]
            result["class_samples"] = [m.sum() for m in of_class]
            result["class_loss"] = [loss[m].sum() / loss_weight[m].sum() for m in of_class]
            result["class_accuracy"] = [average(correct[m], s[m]) for m in of_class]
    return result


def average(values: np.ndarray, weight: np.ndarray) -> float:
    return term(weight, values).sum() / weight.sum()

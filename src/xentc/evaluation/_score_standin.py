"""TO BE DELETED when _arguments.score is there: the same numbers, by NumPy, for everything but the speed.

Only _sums.py imports it; there, its name in the import becomes `_arguments`, and nothing else changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xentc import _arguments
from xentc.functional import cross_entropy
from xentc.modules._base import to_array


def _score(input: Any, target: Any, axis: Any, ignore_index: Any, num_threads: Any) -> tuple[Any, ...]:
    nll = np.asarray(
        cross_entropy(input, target, ignore_index=ignore_index, reduction="none", axis=axis, num_threads=num_threads)
    )
    logits, classes = to_array(input), np.asarray(to_array(target))
    if classes.dtype.kind not in "iu" and classes.size:
        raise TypeError(f"target: got {classes.dtype}, expected class indices of an integer dtype")
    axis = min(1, logits.ndim - 1) if axis is None else axis
    x = np.moveaxis(logits, axis, -1).astype(nll.dtype)
    if not x.size:
        empty = np.full(nll.shape, -1)
        return nll, np.full(nll.shape, -np.inf), empty, empty, np.zeros_like(nll), np.zeros_like(nll)
    counted = classes != ignore_index
    index = np.where(counted, classes, 0).astype(np.intp)[..., None]
    with np.errstate(all="ignore"):
        largest = x.max(axis=-1, keepdims=True)
        shifted = np.where(np.isneginf(largest), np.nan, x - largest)
        terms = np.exp(shifted)
        total = terms.sum(axis=-1, dtype=np.float64)
        lse = largest[..., 0] + np.log(total)
        entropy = np.log(total) - np.where(terms == 0, 0, terms * shifted).sum(axis=-1, dtype=np.float64) / total
        confidence = 1 / total
        at_target = np.take_along_axis(x, index, -1)
        before = np.arange(x.shape[-1]) < index
        rank = ((x > at_target) | ((x == at_target) & before)).sum(axis=-1)
    bad = np.isnan(x).any(axis=-1)
    prediction = np.where(bad, -1, x.argmax(axis=-1))
    rank = np.where(bad | ~counted, -1, rank)
    real = [np.asarray(values, nll.dtype) for values in (nll, lse, entropy, confidence)]
    return (*real[:2], rank, prediction, *real[2:])


score: Any = getattr(_arguments, "score", _score)

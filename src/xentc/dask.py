"""Evaluation of dask arrays: each block is scored where it lies, and the sums are merged.

(a) A block is read and scored in one task, of one thread: so a worker holds the logits that it is at, and sends sums.
(b) Sums are merged in a tree, in the order of the blocks. They are exact, and so the tree's shape does not show.
(c) Tasks have no effect but their result: whatever dies with a worker is computed again.
"""

from __future__ import annotations

import copy
import importlib
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from xentc._types import Readable, Real
from xentc.evaluation import Evaluation, Evaluator
from xentc.modules._base import to_array

__all__ = ["evaluate"]

_BRANCHES = 8


def evaluate(
    logits: Any,
    targets: Any,
    *,
    sample_weight: Any = None,
    weight: Readable | None = None,
    ignore_index: SupportsIndex = -100,
    label_smoothing: Real = 0.0,
    axis: SupportsIndex | None = None,
    top_k: Iterable[SupportsIndex] = (1, 5),
    bins: SupportsIndex = 15,
    per_class: bool = False,
) -> Evaluation:
    """
    Evaluate dask arrays, with the scheduler that dask would use: that of a distributed client, if there is one.

    The result has the same bits as that of an `Evaluator` that is given the blocks.

    Parameters
    ----------
    logits : dask.array.Array, shape (N, C), (C,) or (N, C, d1, ...), the classes on `axis`
        Together the blocks may be larger than the memory. A class axis in several chunks is rechunked to one.
    targets : dask.array.Array or array_like, the shape of `logits` without the class axis
        Class indices; rechunked as `logits` is.
    sample_weight : dask.array.Array or array_like, the shape of `targets`, optional
        One weight a sample.
    weight, ignore_index, label_smoothing, axis, top_k, bins, per_class
        As of `Evaluator`.

    Returns
    -------
    Evaluation

    Raises
    ------
    ImportError
        If dask is not installed.
    TypeError, ValueError
        If the arguments do not fit.
    IndexError
        For a target that is no class and not `ignore_index`; its position is that in its block.

    Examples
    --------
    From files, block by block, on a cluster if there is a client::

        logits, targets = dask.array.from_zarr("logits.zarr"), dask.array.from_zarr("targets.zarr")
        xentc.dask.evaluate(logits, targets).perplexity
    """
    dask, array = _imported()
    empty = Evaluator(  # what is wrong with the options shows here, and not on a worker
        weight=weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        axis=axis,
        top_k=top_k,
        bins=bins,
        per_class=per_class,
    )
    logits, class_axis = _checked_logits(logits, axis, array)
    axes = list(range(logits.ndim))
    samples = axes[:class_axis] + axes[class_axis + 1 :]
    operands: list[Any] = [logits, axes]
    for value, name in ((targets, "targets"), (sample_weight, "sample_weight")):
        if value is not None or name == "targets":
            operands += [_like_samples(value, name, logits, samples, array), samples]
    scored = array.blockwise(
        _score,
        axes,
        *operands,
        empty=empty,
        dtype=object,
        meta=np.empty((0,) * logits.ndim, object),
        align_arrays=False,
        adjust_chunks=dict.fromkeys(axes, lambda length: 1),
    )
    states = np.ravel(scored.to_delayed()).tolist()
    merge = dask.delayed(_merge, pure=True)
    while len(states) > 1:
        states = [merge(states[i : i + _BRANCHES]) for i in range(0, len(states), _BRANCHES)]
    return _merge([empty, *dask.compute(*states)]).compute()


def _imported() -> tuple[Any, Any]:
    try:
        return importlib.import_module("dask"), importlib.import_module("dask.array")
    except ImportError as error:
        raise ImportError(f"xentc.dask needs dask ({error}): pip install xentc[dask]") from error


def _checked_logits(logits: Any, axis: SupportsIndex | None, array: Any) -> tuple[Any, int]:
    """With the class axis in one chunk; and which axis that is."""
    if not isinstance(logits, array.Array):
        raise TypeError(f"logits: got {type(logits).__name__}, expected a dask array; xentc.Evaluator takes others")
    if logits.ndim == 0:
        raise ValueError("logits: got a 0-dimensional array, expected at least the class axis")
    number = min(1, logits.ndim - 1) if axis is None else operator.index(axis)
    if not -logits.ndim <= number < logits.ndim:
        raise ValueError(f"axis: got {number}, expected {-logits.ndim} to {logits.ndim - 1} for {logits.ndim} axes")
    number %= logits.ndim
    return logits if logits.numblocks[number] == 1 else logits.rechunk({number: -1}), number


def _like_samples(value: Any, name: str, logits: Any, samples: list[int], array: Any) -> Any:
    """One number a sample, in the chunks of the logits."""
    shape, chunks = tuple(logits.shape[i] for i in samples), tuple(logits.chunks[i] for i in samples)
    unknown = any(math.isnan(length) for length in shape)
    if isinstance(value, array.Array):
        if unknown and value.numblocks == tuple(map(len, chunks)):
            return value  # block by block, the Evaluator checks the shapes
    else:
        value = to_array(value)
    if unknown:
        raise ValueError(f"{name}: got other blocks than logits of unknown sizes: call logits.compute_chunk_sizes()")
    if value.shape != shape:
        raise ValueError(f"{name}: got shape {value.shape} for logits of shape {logits.shape}, expected {shape}")
    return value.rechunk(chunks) if isinstance(value, array.Array) else array.from_array(value, chunks=chunks)


def _score(block: Any, target: Any, sample_weight: Any = None, *, empty: Evaluator) -> NDArray[Any]:
    """The sums of a block, as the only element of an array: that is what dask makes of a block."""
    evaluator = copy.copy(empty)
    evaluator.update(block, target, sample_weight=sample_weight, num_threads=1)
    result = np.empty((1,) * np.ndim(block), object)
    result.fill(evaluator)
    return result


def _merge(states: Sequence[Any]) -> Evaluator:
    first, *others = (state.item() if isinstance(state, np.ndarray) else state for state in states)
    total: Evaluator = copy.copy(first)
    for other in others:
        total.merge(other)
    return total

"""The options of an Evaluator."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xentc.functional import cross_entropy
from xentc.modules._base import own_copy, to_array
from xentc.modules._cross_entropy import check_class_weight


class Options(NamedTuple):
    """An Evaluator's, checked."""

    weight: NDArray[np.float64] | None
    ignore_index: int
    label_smoothing: float
    axis: int | None
    top_k: tuple[int, ...]
    bins: int
    per_class: bool


def checked_options(
    weight: Any, ignore_index: Any, label_smoothing: Any, axis: Any, top_k: Any, bins: Any, per_class: Any
) -> Options:
    own_weight = own_copy(weight, check_class_weight)
    if own_weight is not None:
        with np.errstate(over="ignore"):  # a longdouble
            own_weight = own_weight.astype(np.float64)
    # What a call would refuse is refused here, in the same words.
    nothing = np.empty((0, 1)), np.empty(0, np.int64)
    cross_entropy(*nothing, ignore_index=ignore_index, label_smoothing=label_smoothing)
    return Options(
        weight=own_weight,
        ignore_index=operator.index(ignore_index),
        label_smoothing=float(to_array(label_smoothing)),
        axis=None if axis is None else _integer(axis, "axis", "an integer or None"),
        top_k=_checked_top_k(top_k),
        bins=_positive(bins, "bins", 2**16),
        per_class=_flag(per_class, "per_class"),
    )


def same_options(one: Options, other: Options) -> bool:
    if one.weight is None or other.weight is None:
        return one.weight is other.weight and one[1:] == other[1:]
    return one[1:] == other[1:] and np.array_equal(one.weight, other.weight, equal_nan=True)


def _integer(value: object, name: str, expected: str) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except Exception:  # a foreign __index__ may raise anything
        raise TypeError(f"{name}: got {type(value).__name__}, expected {expected}") from None


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}: got {type(value).__name__}, expected True or False")
    return bool(value)


def _positive(value: object, name: str, most: int) -> int:
    number = _integer(value, name, "an integer")
    if not 1 <= number <= most:
        raise ValueError(f"{name}: got {number}, expected 1 to {most}")
    return number


def _checked_top_k(top_k: Any) -> tuple[int, ...]:
    try:
        values = tuple(top_k)
    except Exception:
        raise TypeError(f"top_k: got {type(top_k).__name__}, expected a sequence of integers") from None
    return tuple(dict.fromkeys(_positive(value, "top_k", 2**31) for value in values))

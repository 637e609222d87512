"""What an evaluation adds up over its samples, and what it makes of the sums.

(a) A sample's numbers do not depend on the block around it, and sums are exact (_exact.py): how the samples are cut
    into blocks, in which order these come and how they are merged does not change a bit.
(b) Everything is a sum, counts too, under a name and a number: the k of a top-k, the bin, the class. So merging, saving
    and loading do not know what is added up.
(c) Sums are values. An update makes those of its block and puts a new value in the old one's place: when it fails, or
    is interrupted, nothing of it has been added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from xentc._arguments import score
from xentc._exact import ZERO, ExactSum, Floats, Groups, exact_counts, exact_dot, exact_sum, exact_sums
from xentc._types import Readable
from xentc.evaluation._options import Options
from xentc.functional import cross_entropy
from xentc.modules._base import to_array

Terms = dict[int, ExactSum]

# Ranks below this are counted, whatever the number of samples is; more where there are more samples.
_FEW_RANKS = 1 << 12
_FEW_BINS = 32
_PIECE = 1 << 15  # samples whose numbers stay in the cache


@dataclass(frozen=True)
class Sums:
    """
    By name and number; what is missing is 0.

    They are kept in layers, of which each is larger than all behind it, so that adding a few samples to sums of many
    classes copies few of these. How they are layered says nothing: `terms` has the sums.
    """

    layers: tuple[Mapping[str, Terms], ...] = ()
    weighted: bool = False  # by classes or by samples: there are two standard errors
    n_classes: int | None = None  # with per_class, once it is known

    @cached_property
    def terms(self) -> Mapping[str, Terms]:
        return reduce(_merged, self.layers, {})

    def __add__(self, other: Sums) -> Sums:
        layers = [*self.layers, *other.layers]
        while len(layers) > 1 and 2 * _size(layers[-1]) >= _size(layers[-2]):
            last = layers.pop()
            layers[-1] = _merged(layers[-1], last)
        n_classes = other.n_classes if self.n_classes is None else self.n_classes
        return Sums(tuple(layers), self.weighted or other.weighted, n_classes)

    def get(self, name: str, number: int = 0) -> ExactSum:
        return self.terms.get(name, {}).get(number, ZERO)

    def count(self, name: str, number: int = 0) -> int:
        return int(self.get(name, number))


def _merged(one: Mapping[str, Terms], other: Mapping[str, Terms]) -> Mapping[str, Terms]:
    terms = {name: dict(of_name) for name, of_name in one.items()}
    for name, of_name in other.items():
        mine = terms.setdefault(name, {})
        for number, term in of_name.items():
            mine[number] = mine.get(number, ZERO) + term
    return terms


def _size(terms: Mapping[str, Terms]) -> int:
    return sum(map(len, terms.values()))


@dataclass(frozen=True)
class _Weights:
    """One a sample, or None where each is 1. A weight of exactly 0 removes what it is multiplied by, a nan too."""

    values: NDArray[np.float64] | None

    def __call__(self, terms: Floats) -> Floats:
        if self.values is None:
            return terms
        with np.errstate(all="ignore"):
            return np.where(self.values == 0, 0, self.values * terms)

    def times(self, other: _Weights) -> _Weights:
        if other.values is None:
            return self
        return other if self.values is None else _Weights(np.where(other.values == 0, 0, self(other.values)))

    def total(self, chosen: NDArray[np.bool]) -> ExactSum:
        return ExactSum(int(np.count_nonzero(chosen))) if self.values is None else exact_sum(self.values[chosen])

    def totals(self, groups: Groups, chosen: NDArray[np.bool] | slice = slice(None)) -> Terms:
        """The sum of each group's."""
        if self.values is None:
            return exact_counts(groups[chosen])
        return exact_sums(self.values[chosen], groups[chosen])


def block_sums(
    input: Readable,
    target: Readable,
    sample_weight: Readable | None,
    num_threads: SupportsIndex | None,
    options: Options,
) -> Sums:
    """Those of one block; errors are those of `score` and `cross_entropy`."""
    numbers = score(input, target, options.axis, options.ignore_index, num_threads)
    nll, entropy, confidence = (np.asarray(numbers[i]) for i in (0, 4, 5))
    rank = np.asarray(numbers[2])
    # An ignored sample has no rank. Nor has one whose row holds a nan, but that loses its nll as well.
    counted = np.ravel((rank >= 0) | np.isnan(nll))
    every = bool(counted.all())

    def chosen(values: Any) -> NDArray[Any]:
        flat = np.ravel(values)
        return flat if every else flat[counted]

    weights = _Weights(None if sample_weight is None else chosen(_sample_weights(sample_weight, nll.shape)))
    loss, loss_weights = chosen(nll), weights
    classes: Groups = np.empty(0, np.intp)
    n_classes = None
    if options.per_class or options.weight is not None:
        n_classes = _n_classes(input, options.axis)
        classes = _checked_classes(chosen(to_array(target)), n_classes)
    if options.weight is not None:
        cross_entropy(np.empty((0, n_classes or 0)), np.empty(0, np.int64), options.weight)  # refuses another length
        loss_weights = weights.times(_Weights(options.weight[classes]))
    if options.label_smoothing > 0:
        loss = weights(chosen(_smoothed(input, target, num_threads, options)))
    else:
        loss = loss_weights(loss)

    rank = chosen(rank)
    terms = {"samples": {0: ExactSum(counted.size)}, "ignored": {0: ExactSum(counted.size - rank.size)}}
    terms |= _loss_terms(loss, loss_weights)
    terms |= _rank_terms(rank, chosen(entropy), weights, options.top_k)
    terms |= _bin_terms(chosen(confidence), rank == 0, weights, options.bins)
    if options.per_class:
        terms |= _class_terms(classes, loss, loss_weights, rank == 0, weights)
    weighted = options.weight is not None or sample_weight is not None
    return Sums((terms,), weighted, n_classes if options.per_class else None)


def _smoothed(
    input: Readable, target: Readable, num_threads: SupportsIndex | None, options: Options
) -> NDArray[np.floating[Any]]:
    """With the weights of the classes in it: they weigh each class's share."""
    return np.asarray(
        cross_entropy(
            input,
            target,
            options.weight,
            ignore_index=options.ignore_index,
            reduction="none",
            label_smoothing=options.label_smoothing,
            axis=options.axis,
            num_threads=num_threads,
        )
    )


def _sample_weights(sample_weight: Readable, shape: tuple[int, ...]) -> NDArray[np.float64]:
    # Refused as cross_entropy refuses it, which computes nothing where there are no classes and all is ignored.
    cross_entropy(np.empty((*shape, 0)), np.broadcast_to(-100, shape), sample_weight=sample_weight, axis=-1)
    with np.errstate(all="ignore"):
        return to_array(sample_weight).astype(np.float64)


def _n_classes(input: Readable, axis: int | None) -> int:
    shape: tuple[int, ...] = to_array(input).shape
    return shape[min(1, len(shape) - 1) if axis is None else axis]


def _checked_classes(classes: NDArray[Any], n_classes: int) -> Groups:
    # Somebody else may have written to the target since `score` checked it.
    if classes.size and not (classes.min() >= 0 and classes.max() < n_classes):
        raise IndexError(f"target: changed while it was read, expected classes of 0 to {n_classes - 1}")
    return classes.astype(np.intp)


def _loss_terms(loss: Floats, weights: _Weights) -> dict[str, Terms]:
    """loss: with its weights in it. The squares are of both, and of one with the other: for the standard error."""
    total = exact_sum(loss)
    if weights.values is None:
        count = ExactSum(loss.size)
        moments = count, exact_dot(loss, loss), total, count
    else:
        factor = weights.values
        moments = exact_sum(factor), exact_dot(loss, loss), exact_dot(loss, factor), exact_dot(factor, factor)
    names = "loss_weight", "loss_squared", "loss_times_weight", "loss_weight_squared"
    return {"loss": {0: total}} | {name: {0: moment} for name, moment in zip(names, moments, strict=True)}


def _rank_terms(
    rank: NDArray[np.int64], entropy: Floats, weights: _Weights, top_k: tuple[int, ...]
) -> dict[str, Terms]:
    highest = int(rank.max(initial=-1))
    if weights.values is None and highest < max(_FEW_RANKS, rank.size) and rank.min(initial=0) >= 0:
        return _counted_rank_terms(rank, highest, top_k) | {"entropy": {0: exact_sum(entropy)}}
    ranked = rank >= 0
    position = np.where(ranked, rank + 1.0, np.nan)
    with np.errstate(invalid="ignore"):
        reciprocal = np.where(ranked, 1 / position, 0)
    return {
        "nonfinite": {0: ExactSum(rank.size - int(np.count_nonzero(ranked)))},
        "weight": {0: weights.total(np.ones(rank.size, np.bool))},
        "correct": {k: weights.total(ranked & (rank < k)) for k in {1, *top_k}},
        "rank": {0: exact_sum(weights(position))},
        "reciprocal_rank": {0: exact_sum(weights(reciprocal))},
        "entropy": {0: exact_sum(weights(entropy))},
    }


def _counted_rank_terms(rank: NDArray[np.int64], highest: int, top_k: tuple[int, ...]) -> dict[str, Terms]:
    """The same without weights, where all have a rank: all that matters is how many samples have which."""
    counts = _counts(rank, highest + 1)
    position = np.arange(1.0, highest + 2)
    return {
        "nonfinite": {0: ExactSum()},
        "weight": {0: ExactSum(rank.size)},
        "correct": {k: ExactSum(int(counts[:k].sum())) for k in {1, *top_k}},
        "rank": {0: exact_dot(position, counts.astype(np.float64))},
        "reciprocal_rank": {0: exact_dot(1 / position, counts.astype(np.float64))},
    }


def _counts(numbers: NDArray[np.integer[Any]], n_numbers: int) -> NDArray[np.intp]:
    """How often each is there. In pieces: what bincount makes of them stays in the cache."""
    counts = np.zeros(n_numbers, np.intp)
    for start in range(0, numbers.size, max(_PIECE, n_numbers)):
        counts += np.bincount(numbers[start : start + max(_PIECE, n_numbers)], minlength=n_numbers)
    return counts


def _bin_terms(confidence: Floats, correct: NDArray[np.bool], weights: _Weights, bins: int) -> dict[str, Terms]:
    """Samples of confidence nan go behind the last bin."""
    number = _bin_numbers(confidence, bins)
    if weights.values is None:
        # Samples and those that are right from one look: numbers of the latter lie behind the others.
        both = _counts(number + (bins + 1) * correct.astype(number.dtype), 2 * (bins + 1)).reshape(2, bins + 1)
        samples, right = (_terms_of(counts) for counts in (both.sum(axis=0), both[1]))
        known = {"bin_samples": samples, "bin_weight": samples, "bin_correct": right}
    else:
        known = {
            "bin_samples": exact_counts(number),
            "bin_weight": weights.totals(number),
            "bin_correct": weights.totals(number, correct),
        }
    return known | {"bin_confidence": exact_sums(weights(confidence), number)}


def _terms_of(counts: NDArray[np.intp]) -> Terms:
    return {number: ExactSum(int(counts[number])) for number in np.flatnonzero(counts).tolist()}


def _bin_numbers(confidence: Floats, bins: int) -> NDArray[np.integer[Any]]:
    """How many inner edges lie below each. Few are compared in turn, which takes a vector at a time; a search jumps."""
    edges = bin_edges(bins)[1:-1]
    if bins > _FEW_BINS:
        return np.where(np.isnan(confidence), bins, np.searchsorted(edges, confidence.astype(np.float64)))
    # The largest number of this dtype up to the edge: what is above one is above the other.
    own = edges.astype(confidence.dtype)
    own = np.where(own > edges, np.nextafter(own, confidence.dtype.type(0)), own)
    number = np.zeros(confidence.size, np.uint8)
    for start in range(0, confidence.size, _PIECE):
        piece, part = confidence[start : start + _PIECE], number[start : start + _PIECE]
        for edge in own:
            part += piece > edge
        part[np.isnan(piece)] = bins
    return number


def bin_edges(bins: int) -> NDArray[np.float64]:
    return np.arange(bins + 1) / bins


def _class_terms(
    classes: Groups, loss: Floats, loss_weights: _Weights, correct: NDArray[np.bool], weights: _Weights
) -> dict[str, Terms]:
    highest, present, groups = int(classes.max(initial=0)), None, classes
    if highest > classes.size:  # sums of groups go through all numbers up to the largest: only those that are there
        present, groups = np.unique(classes, return_inverse=True)
    found = {
        "class_samples": exact_counts(groups),
        "class_weight": weights.totals(groups),
        "class_correct": weights.totals(groups, correct),
        "class_loss": exact_sums(loss, groups),
        "class_loss_weight": loss_weights.totals(groups),
    }
    if present is None:
        return found
    names = present.tolist()
    return {name: {names[group]: term for group, term in terms.items()} for name, terms in found.items()}

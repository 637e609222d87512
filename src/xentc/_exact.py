"""Sums of floats that are exact: of any number of terms, in any order, rounded once where they are read.

(a) A sum is a whole number of Python's times a power of two. Every finite float64 is such a number; so are products.
(b) NumPy does the bulk. An array is taken apart, the leading bits first, into parts whose sum float64 holds exactly
    (Rump, Ogita, Oishi: Accurate floating-point summation, SIAM J. Sci. Comput. 31, 2008): two or three rounds for
    numbers that are alike, whatever there is for others.
(c) Infinities and nans add as they do in floating point, and then nothing else of the sum matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Groups = NDArray[np.integer[Any]]

# 2**15 parts of at most 2**38 units add up to 2**53 at most, which float64 counts without a gap. And so few stay in
# the cache.
_PIECE = 1 << 15
_PART_BITS = 38
_LARGE = 2.0**960  # from here on, the number that cuts a part off could overflow
_LEAST_EXPONENT = -1074  # every float64 is a multiple of 2**-1074
_SPLITTER = 2.0**27 + 1

# What a text may say: more than any sum of 2**64 products of two floats needs, less than what would fill the memory.
_MIN_EXPONENT, _MAX_BITS = -2200, 5000


@dataclass(slots=True, eq=False)
class ExactSum:
    """units * 2**exponent, or `special` where that is an infinity or a nan. Never changed: sums share their terms."""

    # Not frozen, as that makes one three times as slow to create, and per_class creates one a class and a block.

    units: int = 0
    exponent: int = 0
    special: float = 0.0

    def __add__(self, other: ExactSum) -> ExactSum:
        if self.special or other.special:
            return ExactSum(special=self.special + other.special)
        if not self.units or not other.units:
            return self if self.units else other
        exponent = min(self.exponent, other.exponent)
        units = (self.units << self.exponent - exponent) + (other.units << other.exponent - exponent)
        return ExactSum(units, exponent)

    def __neg__(self) -> ExactSum:
        return ExactSum(-self.units, self.exponent, -self.special)

    def __sub__(self, other: ExactSum) -> ExactSum:
        return self + -other

    def __abs__(self) -> ExactSum:
        return ExactSum(abs(self.units), self.exponent, abs(self.special))

    def __mul__(self, other: ExactSum) -> ExactSum:
        if self.special or other.special:
            return ExactSum(special=math.nan)
        return ExactSum(self.units * other.units, self.exponent + other.exponent)

    def __float__(self) -> float:
        return quotient(self, ExactSum(1))

    def __int__(self) -> int:
        """Of a sum of whole numbers."""
        return self.units << self.exponent if self.exponent >= 0 else self.units >> -self.exponent

    def __str__(self) -> str:
        """The same text for the same sum: hexadecimal, an odd number of units."""
        if self.special:
            return self.special.hex()
        zeros = (self.units & -self.units).bit_length() - 1 if self.units else self.exponent
        return f"{self.units >> zeros if self.units else 0:#x}p{self.exponent + zeros if self.units else 0:+d}"

    @classmethod
    def parse(cls, text: str) -> ExactSum:
        """What str() gave; else ValueError."""
        if text in ("nan", "inf", "-inf"):
            return cls(special=float(text))
        units, _, exponent = text.partition("p")
        if len(text) > _MAX_BITS // 4:
            raise ValueError(f"{len(text)} characters")
        result = cls(int(units, 16), int(exponent))
        if not _MIN_EXPONENT <= result.exponent <= _MAX_BITS or str(result) != text:
            raise ValueError(text)
        return result


ZERO = ExactSum()


def quotient(numerator: ExactSum, denominator: ExactSum) -> float:
    """Rounded once; by IEEE where the denominator is 0 or either is not finite."""
    if numerator.special or denominator.special or not denominator.units:
        above = numerator.special or float((numerator.units > 0) - (numerator.units < 0))
        with np.errstate(all="ignore"):
            return float(np.float64(above) / np.float64(denominator.special or float(denominator)))
    shift = numerator.exponent - denominator.exponent
    above, below = numerator.units << max(shift, 0), denominator.units << max(-shift, 0)
    try:
        return above / below  # Python rounds a quotient of integers of any size once, correctly
    except OverflowError:
        return math.inf if (above > 0) == (below > 0) else -math.inf


def root_of_quotient(numerator: ExactSum, denominator: ExactSum) -> float:
    """The root of a quotient that may itself be out of range; nan where it is negative."""
    if numerator.special or denominator.special or not denominator.units:
        return math.nan
    size = numerator.units.bit_length() + numerator.exponent - denominator.units.bit_length() - denominator.exponent
    half = size // 2
    square = quotient(ExactSum(numerator.units, numerator.exponent - 2 * half), denominator)
    with np.errstate(all="ignore"):
        return float(np.ldexp(np.sqrt(square), half))


def exact_sum(values: Floats) -> ExactSum:
    """The sum of a one-dimensional array."""
    total = ZERO
    if not _are_plain(values):
        plain = _is_plain(values)
        odd = values[~plain]
        total = _sums_of_odd(odd, np.zeros(odd.size, np.intp)).get(0, ZERO)
        values = values[plain]
    for start in range(0, values.size, _PIECE):
        for part, exponent in _parts(values[start : start + _PIECE].astype(np.float64)):
            total += ExactSum(int(math.ldexp(float(part.sum()), -exponent)), exponent)
    return total


def exact_sums(values: Floats, groups: Groups) -> dict[int, ExactSum]:
    """The sum of each group. Groups are numbers from 0 on; those that add nothing may be missing."""
    totals: dict[int, ExactSum] = {}
    if not _are_plain(values):
        plain = _is_plain(values)
        totals = _sums_of_odd(values[~plain], groups[~plain])
        values, groups = values[plain], groups[plain]
    for start in range(0, values.size, _PIECE):
        group = groups[start : start + _PIECE]
        for part, exponent in _parts(values[start : start + _PIECE].astype(np.float64)):
            sums = np.bincount(group, weights=part)
            touched = np.flatnonzero(sums)
            units = np.ldexp(sums[touched], -exponent).astype(np.int64).tolist()
            for key, count in zip(touched.tolist(), units, strict=True):
                totals[key] = totals.get(key, ZERO) + ExactSum(count, exponent)
    return totals


def exact_counts(groups: Groups) -> dict[int, ExactSum]:
    """How often each group is there."""
    counts = np.bincount(groups)
    return {group: ExactSum(int(counts[group])) for group in np.flatnonzero(counts).tolist()}


def exact_dot(first: Floats, second: Floats) -> ExactSum:
    """The sum of products; nan where a factor is not finite."""
    if first.dtype == np.float32 and second.dtype == np.float32:
        total = ZERO
        for start in range(0, first.size, _PIECE):
            piece = first[start : start + _PIECE].astype(np.float64)
            with np.errstate(invalid="ignore"):
                total += exact_sum(np.multiply(piece, second[start : start + _PIECE], out=piece))  # 24 bits times 24
        return total
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return ExactSum(special=math.nan)
    wide, other = first.astype(np.float64), second.astype(np.float64)
    if _is_moderate(wide) and _is_moderate(other):
        product, error = _products(wide, other)
        return exact_sum(product) + exact_sum(error)
    # Products may be out of range. Those of mantissas are not; they are summed for each exponent.
    (x, x_exponent), (y, y_exponent) = np.frexp(wide), np.frexp(other)
    exponent = (x_exponent + y_exponent).astype(np.intp)
    least = int(exponent.min(initial=0))
    total = ZERO
    for terms in _products(x, y):
        for group, part in exact_sums(terms, exponent - least).items():
            total += ExactSum(part.units, part.exponent + group + least)
    return total


def _is_moderate(values: NDArray[np.float64]) -> bool:
    """Products, and their last bits, are far from the ends of what float64 holds."""
    size = np.abs(values)
    return bool(size.max(initial=0) < 2.0**450 and size.min(initial=1, where=size > 0) > 2.0**-450)


def _products(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x * y as it is rounded, and what the rounding took (Dekker 1971): halves of a mantissa have exact products."""
    x_upper, y_upper = _upper_half(x), _upper_half(y)
    x_lower, y_lower = x - x_upper, y - y_upper
    product = x * y
    error = x_lower * y_lower - (((product - x_upper * y_upper) - x_lower * y_upper) - x_upper * y_lower)
    return product, error


def _upper_half(values: NDArray[np.float64]) -> NDArray[np.float64]:
    moved = values * _SPLITTER
    return moved - (moved - values)


def _parts(piece: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.float64], int]]:
    """
    Numbers below _LARGE as a sum of arrays: whole multiples of 2**exponent, of at most 2**_PART_BITS each.

    Each array is gone when the next one is asked for, and `piece` holds what is left.
    """
    part = np.empty_like(piece)
    while (largest := _largest(piece)) > 0:
        exponent = max(math.frexp(largest)[1] - _PART_BITS, _LEAST_EXPONENT)
        cut = math.ldexp(1.5, exponent + 52)  # around this number, float64 goes in steps of 2**exponent
        np.add(piece, cut, out=part)
        part -= cut
        piece -= part
        yield part, exponent


def _largest(values: Floats) -> float:
    """In size; nan if there is one. Two passes that write nothing."""
    return max(float(values.max()), -float(values.min())) if values.size else 0.0


def _are_plain(values: Floats) -> bool:
    return _largest(values) < (_LARGE if values.dtype == np.float64 else np.inf)


def _is_plain(values: Floats) -> NDArray[np.bool]:
    plain: NDArray[np.bool] = np.abs(values) < (_LARGE if values.dtype == np.float64 else np.inf)
    return plain


def _sums_of_odd(values: Floats, groups: Groups) -> dict[int, ExactSum]:
    """Infinities, nans and numbers that are large."""
    special = ~np.isfinite(values)
    with np.errstate(invalid="ignore"):  # inf - inf
        sums = np.bincount(groups[special], weights=values[special])
    totals = {group: ExactSum(special=float(sums[group])) for group in np.flatnonzero(sums).tolist()}
    for group, value in zip(groups[~special].tolist(), values[~special].tolist(), strict=True):
        totals[group] = totals.get(group, ZERO) + ExactSum(int(value))
    return totals

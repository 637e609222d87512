"""Loss and accuracy of many blocks of samples, as if they had come in one.

(a) A sample's loss does not depend on the block around it, and sums are exact: how the samples are cut into blocks, and
    in which order these come, does not change a bit of the result.
(b) Memory is a few numbers, whatever the number of samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from xentc.functional import cross_entropy

# At most 2**26 halves of 27 bits can be added in a float64 without rounding; far fewer stay in the cache.
_PIECE = 1 << 16

# In units of 2**-1126 every finite float64 is a whole number: frexp's exponents begin at -1073, mantissas have 53 bits.
_SMALLEST_EXPONENT = -1073
_UNIT_BITS = 53 - _SMALLEST_EXPONENT


@dataclass
class ExactSum:
    """A sum of floats that is rounded once, when it is read. Python's integers hold it; NumPy does the bulk of it."""

    units: int = 0
    special: float = 0.0  # the sum of infinities and nans: never 0 once there is one

    def add(self, values: np.ndarray) -> None:
        """Add the elements of a one-dimensional array."""
        for start in range(0, values.size, _PIECE):
            piece = values[start : start + _PIECE].astype(np.float64)
            finite = np.isfinite(piece)
            if not finite.all():
                with np.errstate(invalid="ignore"):  # inf - inf
                    self.special += float(piece[~finite].sum())
                piece = piece[finite]
            self._add_finite(piece)

    def add_count(self, count: int) -> None:
        """Add 1 `count` times."""
        self.units += count << _UNIT_BITS

    def _add_finite(self, piece: np.ndarray) -> None:
        # The mantissas of one exponent are whole numbers of one unit: add them as halves, in which no bit is lost.
        mantissa, exponent = np.frexp(piece)
        mantissa *= 2.0**27
        upper = np.trunc(mantissa)
        lower = (mantissa - upper) * 2.0**26
        shift = exponent - _SMALLEST_EXPONENT
        upper_sums = np.bincount(shift, weights=upper)
        lower_sums = np.bincount(shift, weights=lower)
        for i in np.flatnonzero(np.bincount(shift)).tolist():
            self.units += ((int(upper_sums[i]) << 26) + int(lower_sums[i])) << i

    def value(self) -> float:
        if self.special != 0.0:
            return self.special
        try:
            return self.units / (1 << _UNIT_BITS)  # Python rounds a quotient of integers of any size once, correctly
        except OverflowError:
            return math.inf if self.units > 0 else -math.inf


@dataclass
class Tally:
    """What has been seen so far."""

    samples: int = 0
    ignored: int = 0
    correct: int = 0
    loss: ExactSum = field(default_factory=ExactSum)
    weight: ExactSum = field(default_factory=ExactSum)

    def update(
        self,
        logits: np.ndarray,  # IN (N, C) or (N, C, d1, ...)
        target: np.ndarray,  # IN (N,) or (N, d1, ...)
        *,
        weight: np.ndarray | None = None,  # IN (C,)
        ignore_index: int = -100,
        num_threads: int | None = None,
    ) -> None:
        """Add a block of samples; errors are those of cross_entropy, and then nothing has been added."""
        # "none", not "sum": a block's sum would be rounded to the logits' dtype, by an amount that depends on where the
        # block ends. A sample's loss is rounded once, by 6e-8 of itself in float32; such errors average out over the
        # samples, and nothing is rounded after them.
        loss = cross_entropy(
            logits, target, weight, ignore_index=ignore_index, reduction="none", num_threads=num_threads
        )
        counted = target != ignore_index
        n_counted = int(np.count_nonzero(counted))
        self.samples += target.size
        self.ignored += target.size - n_counted
        self.correct += _count_correct(logits, target, counted)
        self.loss.add(loss[counted])
        if weight is None:
            self.weight.add_count(n_counted)
        else:
            self.weight.add(weight[target[counted]])

    def results(self) -> dict[str, int | float]:
        """samples, ignored, loss (the weighted mean), perplexity, accuracy; nan where no sample counts."""
        valid = self.samples - self.ignored
        with np.errstate(all="ignore"):  # 0 / 0 is the nan, and exp(1000) the infinity, that is meant
            loss = np.float64(self.loss.value()) / np.float64(self.weight.value())
            perplexity = np.exp(loss)
        return {
            "samples": self.samples,
            "ignored": self.ignored,
            "loss": float(loss),
            "perplexity": float(perplexity),
            "accuracy": self.correct / valid if valid else math.nan,
        }


def _count_correct(logits: np.ndarray, target: np.ndarray, counted: np.ndarray) -> int:
    if not counted.any():
        return 0  # there may be no class to take an argmax of
    prediction = logits.argmax(axis=1)
    # argmax takes the first nan for the largest logit, but a row with a nan in it predicts nothing.
    best = np.take_along_axis(logits, np.expand_dims(prediction, 1), axis=1).squeeze(1)
    return int(np.count_nonzero((prediction == target) & counted & ~np.isnan(best)))

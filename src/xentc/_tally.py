"""Loss and accuracy of many blocks of samples, as if they had come in one.

(a) A sample's loss does not depend on the block around it, and sums are exact: how the samples are cut into blocks, and
    in which order these come, does not change a bit of the result.
(b) Memory is a few numbers, whatever the number of samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from xentc._exact import ExactSum, exact_sum, quotient
from xentc.functional import cross_entropy


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
        self.loss += exact_sum(loss[counted])
        if weight is None:
            self.weight += ExactSum(n_counted)
        else:
            self.weight += exact_sum(weight[target[counted]])

    def results(self) -> dict[str, int | float]:
        """samples, ignored, loss (the weighted mean), perplexity, accuracy; nan where no sample counts."""
        valid = self.samples - self.ignored
        loss = quotient(self.loss, self.weight)
        with np.errstate(over="ignore"):
            perplexity = np.exp(loss)
        return {
            "samples": self.samples,
            "ignored": self.ignored,
            "loss": loss,
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

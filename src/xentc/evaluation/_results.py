"""What an evaluation makes of its sums, with the definitions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xentc._exact import ZERO, ExactSum, quotient, root_of_quotient
from xentc.evaluation._options import Options
from xentc.evaluation._sums import Sums, bin_edges


@dataclass(frozen=True)
class Bin:
    """
    The samples of one range of confidence, lower < confidence <= upper; the first bin takes 0 as well.

    Attributes
    ----------
    lower, upper : float
        The edges.
    samples : int
        How many there are.
    accuracy, confidence : float
        Their means, weighted by the samples' weights; nan where there are none.
    """

    lower: float
    upper: float
    samples: int
    accuracy: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """
    What an `Evaluator` has found. dataclasses.asdict makes a dict of it.

    The samples i that are not ignored count, with weights s_i (`sample_weight`, else 1), classes t_i and ranks r_i, the
    number of classes that beat t_i: a higher logit, or an equal one at a lower index. w is the `weight` of a class,
    else 1. Each mean is nan where nothing counts, or where the weights add up to 0 by themselves.

    Attributes
    ----------
    samples : int
        All that were seen.
    ignored : int
        Those among them whose target is `ignore_index`.
    nonfinite : int
        Those that count and have a nan among their logits. They are wrong in every accuracy and have the reciprocal
        rank 0; loss, mean_rank, entropy and ece are nan.
    loss : float
        In nats: sum of s w[t] nll over sum of s w[t], with nll = -log_softmax[t], or what label_smoothing makes of it:
        that of `cross_entropy`, from losses rounded once each.
    loss_stderr : float
        Standard error of the loss. Without weights the standard deviation (ddof 1) over the root of the number of
        samples, nan for fewer than 2. With weights of classes or samples the root of sum (s w[t])^2 (nll - loss)^2 over
        sum s w[t]: that of a ratio of sums (Cochran, Sampling Techniques, 3rd ed. 1977, 6.4), with ddof 0.
    perplexity : float
        exp(loss) (Jelinek et al., J. Acoust. Soc. Am. 62, 1977, S63).
    bits : float
        loss / ln 2.
    accuracy : float
        Of the highest logit, the first of equal ones: the mean of r = 0.
    top_k : dict of int to float
        The mean of r < k, for each k asked for; 1 for k of at least the number of classes.
    mean_rank : float
        The mean of r + 1.
    mrr : float
        Mean reciprocal rank, the mean of 1 / (r + 1) (Voorhees, The TREC-8 question answering track report, 1999).
    entropy : float
        The mean of the softmax's entropy, in nats.
    ece : float
        Expected calibration error (Guo et al., On calibration of modern neural networks, ICML 2017): the sum over bins
        of their share of the weight times abs(accuracy - confidence), confidence being the largest softmax.
    bins : tuple of Bin
        The bins of equal width behind it: lower, upper, samples, accuracy, confidence.
    class_samples, class_loss, class_accuracy : tuple or None
        With per_class: loss and accuracy as above over the samples whose target is this class, and their number.

    See Also
    --------
    Evaluator
    """

    samples: int
    ignored: int
    nonfinite: int
    loss: float
    loss_stderr: float
    perplexity: float
    bits: float
    accuracy: float
    top_k: dict[int, float]
    mean_rank: float
    mrr: float
    entropy: float
    ece: float
    bins: tuple[Bin, ...]
    class_samples: tuple[int, ...] | None = None
    class_loss: tuple[float, ...] | None = None
    class_accuracy: tuple[float, ...] | None = None

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        """A nan is the same as another."""
        # repr keeps all digits of a float, and tells -0.0 from 0.0.
        return repr(self) == repr(other) if type(other) is type(self) else NotImplemented


def evaluate(sums: Sums, options: Options) -> Evaluation:
    return Evaluation(
        samples=sums.count("samples"),
        ignored=sums.count("ignored"),
        nonfinite=sums.count("nonfinite"),
        **_loss_figures(sums),
        **_rank_figures(sums, options),
        ece=_calibration_error(sums, options),
        bins=_bins(sums, options),
        **(_class_figures(sums) if options.per_class else {}),
    )


def _loss_figures(sums: Sums) -> dict[str, Any]:
    loss = quotient(sums.get("loss"), sums.get("loss_weight"))
    with np.errstate(over="ignore"):
        perplexity = float(np.exp(loss))
    return {
        "loss": loss,
        "loss_stderr": _standard_error(sums),
        "perplexity": perplexity,
        "bits": loss / math.log(2),
    }


def _standard_error(sums: Sums) -> float:
    total, count = sums.get("loss"), sums.get("loss_weight")
    if not sums.weighted:
        # sum (l - m)^2 / (n - 1) / n, times n / n
        squares = count * sums.get("loss_squared") - total * total
        return root_of_quotient(squares, count * count * (count - ExactSum(1)))
    # sum (wl - m w)^2 / (sum w)^2 with m = sum wl / sum w, times (sum w)^2 / (sum w)^2
    squares = (
        count * count * sums.get("loss_squared")
        - ExactSum(2) * total * count * sums.get("loss_times_weight")
        + total * total * sums.get("loss_weight_squared")
    )
    return root_of_quotient(squares, count * count * count * count)


def _rank_figures(sums: Sums, options: Options) -> dict[str, Any]:
    weight = sums.get("weight")
    return {
        "accuracy": quotient(sums.get("correct", 1), weight),
        "top_k": {k: quotient(sums.get("correct", k), weight) for k in options.top_k},
        "mean_rank": quotient(sums.get("rank"), weight),
        "mrr": quotient(sums.get("reciprocal_rank"), weight),
        "entropy": quotient(sums.get("entropy"), weight),
    }


def _calibration_error(sums: Sums, options: Options) -> float:
    """The bin behind the last has the samples of confidence nan, and makes it nan unless they weigh nothing."""
    total = ZERO
    for number in range(options.bins + 1):
        gap = abs(sums.get("bin_correct", number) - sums.get("bin_confidence", number))
        total += -gap if sums.get("bin_weight", number).units < 0 else gap
    return quotient(total, sums.get("weight"))


def _bins(sums: Sums, options: Options) -> tuple[Bin, ...]:
    edges = bin_edges(options.bins).tolist()
    return tuple(
        Bin(
            edges[number],
            edges[number + 1],
            sums.count("bin_samples", number),
            quotient(sums.get("bin_correct", number), sums.get("bin_weight", number)),
            quotient(sums.get("bin_confidence", number), sums.get("bin_weight", number)),
        )
        for number in range(options.bins)
    )


def _class_figures(sums: Sums) -> dict[str, Any]:
    def means(name: str, weight: str) -> tuple[float, ...]:
        return tuple(quotient(sums.get(name, k), sums.get(weight, k)) for k in classes)

    classes = range(sums.n_classes or 0)
    return {
        "class_samples": tuple(sums.count("class_samples", k) for k in classes),
        "class_loss": means("class_loss", "class_loss_weight"),
        "class_accuracy": means("class_correct", "class_weight"),
    }

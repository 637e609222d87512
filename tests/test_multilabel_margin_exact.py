"""multilabel_margin_loss: how near the exact value, and that its gradient counts pairs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import reference_classes
import tolerances
from test_multilabel_margin import lists

import xentc


def exact_loss(row: np.ndarray, classes: np.ndarray) -> np.longdouble:
    """In rational numbers, over the pairs that count in the dtype of the row."""
    listed = classes[: next((k for k, j in enumerate(classes) if j < 0), len(classes))]
    others = row[np.setdiff1d(np.arange(len(row)), listed)]
    total, values = Fraction(0), np.array([Fraction(float(x)) for x in others], object)
    for j, times in zip(*np.unique(listed, return_counts=True), strict=True):
        counted = values[1 - row[j] + others > 0]
        total += int(times) * (len(counted) * (1 - Fraction(float(row[j]))) + sum(counted, Fraction(0)))
    return _to_longdouble(total / len(row))


# The listed logits and the others, each (samples, classes).
ROWS = {
    "usual": lambda rng, n: (rng.normal(0, 1, n), rng.normal(0, 1, n)),
    "wide": lambda rng, n: (rng.normal(0, 100, n), rng.normal(0, 100, n)),
    "close": lambda rng, n: (rng.normal(0, 1e-3, n), rng.normal(0, 1e-3, n)),
    "far from 0": lambda rng, n: (rng.normal(1e4, 1, n), rng.normal(1e4, 1, n)),
    "margin just kept": lambda rng, n: (np.full(n, 3.0), 2 + rng.normal(0, 2.0**-20, n)),
    # A threshold is rounded by as much as the distances are small.
    "margin just kept, beside 0": lambda rng, n: (rng.normal(0, 2e-7, n), rng.normal(-1, 2e-7, n)),
    # Roundings that all go one way.
    "others equal": lambda rng, n: (np.zeros(n), np.full(n, 0.1)),
    "listed evenly": lambda rng, n: (np.zeros(n) + np.arange(n[-1]) / 10, np.full(n, n[-1] / 10 + 0.3)),
}


@pytest.mark.parametrize(("n_classes", "n_listed"), [(200, n) for n in (1, 5, 32, 33, 150)] + [(9000, 1), (4000, 3990)])
@pytest.mark.parametrize("family", ROWS)
def test_accuracy(isa: str, dtype: np.dtype, family: str, n_classes: int, n_listed: int) -> None:
    rng = np.random.default_rng(n_listed)
    target = np.stack([rng.permutation(n_classes) for _ in range(3)])
    listed, input = (values.astype(dtype) for values in ROWS[family](rng, target.shape))
    for row, values, classes in zip(input, listed, target, strict=True):
        row[classes[:n_listed]] = values[classes[:n_listed]]
    target[:, n_listed] = -1
    loss = xentc.multilabel_margin_loss(input, target, reduction="none")
    exact = np.array([exact_loss(row, classes) for row, classes in zip(input, target, strict=True)])
    tolerances.assert_ulp(loss, exact, tolerances.row_ulps(dtype), None, family)


def _to_longdouble(number: Fraction) -> np.longdouble:
    high = float(number)
    return np.longdouble(high) + np.longdouble(float(number - Fraction(high)))


@pytest.mark.parametrize("n_classes", [1, 2, 31, 32, 33, 65, 1000, 3000])
def test_gradient_counts_pairs(isa: str, dtype: np.dtype, n_classes: int) -> None:
    """Times C it is of whole numbers, and each sample's add up to 0."""
    rng = np.random.default_rng(n_classes)
    input, target = rng.normal(0, 2, (8, n_classes)).astype(dtype), lists(rng, (8, n_classes))
    grad = xentc.multilabel_margin_loss(input, target, reduction="sum", return_grad=True, grad_output=float(n_classes))[
        1
    ].astype(np.float64)
    assert np.array_equal(grad, np.round(grad))
    assert np.array_equal(grad.sum(axis=1), np.zeros(8))
    expected = reference_classes.multilabel_margin_loss(input, target, "sum", float(n_classes), np.float64)[1]
    np.testing.assert_array_equal(grad, expected)

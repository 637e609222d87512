"""How close softmax, log_softmax and logsumexp come to the exact value, and their gradients at the dominating class."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import softmax_reference
import tolerances
from softmax_reference import FAMILY, SHAPES, both

import xentc

SMALLEST = {"float32": 1e-30, "float64": 1e-290}  # to which a relative error is promised
# Below, each of the other classes may be off by this much, where its share is no normal number.
FLOORS = {"float32": 4 * float(np.finfo(np.float32).tiny), "float64": 2.0**-990}


def dominated(rng: np.random.Generator, n_classes: int, top: float) -> np.ndarray:
    """The last class but one, of logit `top`, has a -log of its probability from about 1 down to 1e-28."""
    depth = np.linspace(1, 65, 12)
    rows = rng.normal(0, 1, (12, n_classes)) - depth[:, None] - np.log(n_classes) + top
    rows[:, -2] = top
    return rows


ROWS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "dominated at 0": lambda rng, n: dominated(rng, n, 0.0),
    "dominated near 0": lambda rng, n: dominated(rng, n, -1e-20),
    "dominated at -0.3": lambda rng, n: dominated(rng, n, -0.3),
    "dominated at 15": lambda rng, n: dominated(rng, n, 15.0),
    "dominated at 17": lambda rng, n: dominated(rng, n, 17.0),
    "dominated at 1e4": lambda rng, n: dominated(rng, n, 1e4),
    "random": lambda rng, n: rng.normal(0, 3, (12, n)),
    "sum near 1": lambda rng, n: (rows := rng.normal(0, 1, (12, n))) - np.log(np.exp(rows).sum(1))[:, None],
    "equal, sum near 1": lambda rng, n: np.full((12, n), -np.log(n)) + np.linspace(-0.2, 0.2, 12)[:, None],
    "wide": lambda rng, n: rng.normal(0, 200, (12, n)),
}


def exact_rows(rows: np.ndarray) -> dict[str, np.ndarray]:
    """To 60 digits, the largest logit left out of the sum, where the others would be lost beside it even so."""
    answers: dict[str, list] = {name: [] for name in FAMILY}
    with mpmath.workdps(60):
        for row in rows:
            top = int(np.argmax(row))
            below = [mpmath.mpf(float(x)) - mpmath.mpf(float(row[top])) for x in row]
            nll = mpmath.log1p(mpmath.fsum(mpmath.exp(x) for k, x in enumerate(below) if k != top))
            answers["logsumexp"].append(mpmath.mpf(float(row[top])) + nll)
            answers["log_softmax"].append([x - nll for x in below])
            answers["softmax"].append([mpmath.exp(x - nll) for x in below])
        return {name: tolerances.to_longdouble(answer) for name, answer in answers.items()}


@pytest.mark.parametrize("n_classes", [2, 10, 100, 400])
@pytest.mark.parametrize("rows_of", ROWS)
def test_against_mpmath(isa: str, dtype: np.dtype, rows_of: str, n_classes: int) -> None:
    rows = ROWS[rows_of](np.random.default_rng(n_classes), n_classes).astype(dtype)
    exact = exact_rows(rows)
    ulps = tolerances.row_ulps(dtype)
    tiny = float(np.finfo(dtype).tiny)
    for axis in (0, 1):
        input = rows if axis == 1 else np.ascontiguousarray(rows.T)
        actual = {name: FAMILY[name](input, axis) for name in FAMILY}
        actual = {name: array.T if axis == 0 else array for name, array in actual.items()}
        size = np.maximum(np.abs(exact["logsumexp"]), np.abs(rows.max(1)))
        if rows_of == "dominated at 0":
            size = np.abs(exact["logsumexp"])  # log1p of the others is all there is
        tolerances.assert_ulp(actual["logsumexp"], exact["logsumexp"], ulps, size, f"logsumexp, axis {axis}")
        size = np.abs(exact["log_softmax"])
        floor = n_classes * FLOORS[dtype.name] / np.longdouble(np.finfo(dtype).eps)
        size = np.where(size < SMALLEST[dtype.name], size + floor, size)
        tolerances.assert_ulp(actual["log_softmax"], exact["log_softmax"], ulps, size, f"log_softmax, axis {axis}")
        # exp's argument is rounded: half an eps for each unit that a logit lies below lse.
        p = exact["softmax"]
        with np.errstate(all="ignore"):
            size = p * (1 - exact["log_softmax"] / (2 * ulps)) + 4 * tiny / np.finfo(dtype).eps
        tolerances.assert_ulp(actual["softmax"], p, ulps, size, f"softmax, axis {axis}", relative=True)


@pytest.mark.parametrize("n_classes", [2, 10, 100, 17000])
@pytest.mark.parametrize("axis", [0, 1])
def test_gradient_of_the_dominating_class(isa: str, dtype: np.dtype, axis: int, n_classes: int) -> None:
    """p - 1 and p (1 - p) to their own size, with the class itself the only one asked for."""
    rows = dominated(np.random.default_rng(0), n_classes, 0.5).astype(dtype)
    steps = softmax_reference.softmax_rows(rows.astype(np.longdouble))
    upstream = np.zeros(rows.shape)
    upstream[:, -2] = 1
    input, given = (rows, upstream) if axis == 1 else (np.ascontiguousarray(rows.T), upstream.T)
    for name, exact in (("log_softmax", steps.not_softmax), ("softmax", steps.softmax * steps.not_softmax)):
        grad = both(name, input, axis, grad_output=given)[1]
        grad = grad if axis == 1 else grad.T
        tolerances.assert_ulp(grad[:, -2], exact[:, -2], 2 * tolerances.row_ulps(dtype), None, name)


def test_rows_are_dominated_down_to_1e_28() -> None:
    """The family is what it says: otherwise nothing above would notice a value that is rounded to 0."""
    values = -exact_rows(dominated(np.random.default_rng(10), 10, 0.0).astype(np.float32))["log_softmax"][:, -2]
    assert values.max() > 0.1
    assert values.min() < 1e-27


def test_softmax_adds_up_to_1(isa: str, dtype: np.dtype) -> None:
    for shape in SHAPES:
        input = np.random.default_rng(2).normal(0, 3, shape).astype(dtype)
        for axis in range(len(shape)):
            sums = xentc.softmax(input, axis).astype(np.longdouble).sum(axis)
            assert np.abs(sums - 1).max() <= 8 * np.finfo(dtype).eps

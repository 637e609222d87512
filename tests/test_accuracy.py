"""How close a loss, and the gradient at its target, come to the exact value: families of rows that are hard each in
its own way, against mpmath to 60 digits, and many more of them against the reference."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import reference
import tolerances

import xentc

Rows = tuple[np.ndarray, np.ndarray]


def random_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    return rng.normal(0, 3, shape), rng.integers(0, shape[1], shape[0])


def confident_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """Losses from about 1 down to 1e-30."""
    rows, target = rng.normal(0, 1, shape), rng.integers(0, shape[1], shape[0])
    rows[np.arange(shape[0]), target] = np.log(shape[1]) + np.linspace(1, 69, shape[0])
    return rows, target


def masked_rows(rng: np.random.Generator, shape: tuple[int, int], lowest: float = -np.inf) -> Rows:
    rows, target = random_rows(rng, shape)
    mask = rng.random(shape) < 0.5
    mask[np.arange(shape[0]), target] = False
    return np.where(mask, lowest, rows), target


def rows_masked_by_a_number(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    return masked_rows(rng, shape, float(np.finfo(np.float32).min))


def offset_rows(offset: float) -> Callable[[np.random.Generator, tuple[int, int]], Rows]:
    def rows(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
        rows, target = random_rows(rng, shape)
        return rows + offset, target

    return rows


def equal_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    return np.broadcast_to(rng.normal(0, 10, (shape[0], 1)), shape), rng.integers(0, shape[1], shape[0])


def two_levels(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    """The target above C - 1 equal others, losses from 1e-2 to 10."""
    level, target = rng.normal(0, 3, (shape[0], 1)), rng.integers(0, shape[1], shape[0])
    rows = np.repeat(level, shape[1], axis=1)
    losses = np.geomspace(1e-2, 10, shape[0])
    rows[np.arange(shape[0]), target] += np.log(shape[1] - 1) - np.log(np.expm1(losses))
    return rows, target


def spread_rows(rng: np.random.Generator, shape: tuple[int, int]) -> Rows:
    return rng.normal(0, 300, shape), rng.integers(0, shape[1], shape[0])


FAMILIES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Rows]] = {
    "random": random_rows,
    "confident": confident_rows,
    "masked": masked_rows,
    "masked by a number": rows_masked_by_a_number,
    "offset by 1e4": offset_rows(1e4),
    "offset by -1e4": offset_rows(-1e4),
    "offset by 59990": offset_rows(59990.0),
    "all equal": equal_rows,
    "two levels": two_levels,
    "spread": spread_rows,
}
EXACT_ROWS = {10: 25, 1000: 4, 32000: 1}
SMALLEST = {"float32": 1e-30, "float64": 1e-290}  # to which a relative error is promised
# Below, what each of the other classes adds may be off by this much: its share is no normal float32; and powers of two
# of a loss end at -1000.
FLOORS = {"float32": 4 * float(np.finfo(np.float32).tiny), "float64": 2.0**-990}
MANY_ROWS = {2: 2000, 10: 2000, 1000: 200, 32000: 6}


@cache
def family_rows(family: str, n_rows: int, n_classes: int, dtype: str) -> Rows:
    rng = np.random.default_rng([n_classes, n_rows])
    rows, target = FAMILIES[family](rng, (n_rows, n_classes))
    return rows.astype(dtype), target


@cache
def exact_answer(family: str, n_classes: int, dtype: str) -> tuple[Any, Any]:
    """Loss and gradient at the target of each row, in long double."""
    rows, target = family_rows(family, EXACT_ROWS[n_classes], n_classes, dtype)
    losses = [reference.exact_loss(row, int(label)) for row, label in zip(rows, target, strict=True)]
    with mpmath.workdps(60):
        gradients = [mpmath.expm1(-loss) for loss in losses]  # softmax - 1
    return tolerances.to_longdouble(losses), tolerances.to_longdouble(gradients)


@cache
def reference_answer(family: str, n_classes: int, dtype: str) -> tuple[Any, Any]:
    rows, target = family_rows(family, MANY_ROWS[n_classes], n_classes, dtype)
    loss, grad = reference.cross_entropy(rows, target, reduction="none", dtype=tolerances.reference_dtype(dtype))
    return loss, grad[np.arange(len(rows)), target]


def assert_accurate(rows: np.ndarray, target: np.ndarray, exact: tuple[Any, Any], planes: bool) -> None:
    input = np.ascontiguousarray(rows.T)[None] if planes else rows
    labels = target[None] if planes else target
    loss, grad = xentc.cross_entropy(input, labels, reduction="none", return_grad=True)
    loss, grad = loss.reshape(-1), grad[0].T if planes else grad
    ulps = tolerances.row_ulps(rows.dtype)
    for actual, value, name in ((loss, exact[0], "loss"), (grad[np.arange(len(rows)), target], exact[1], "gradient")):
        small = np.abs(value) < SMALLEST[rows.dtype.name]
        tolerances.assert_ulp(actual[~small], value[~small], ulps, context=f"{name} at the target")
        floor = rows.shape[1] * FLOORS[rows.dtype.name] / np.longdouble(np.finfo(rows.dtype).eps)
        tolerances.assert_ulp(actual[small], value[small], ulps, np.abs(value[small]) + floor, f"small {name}")
    sums = np.abs(grad.astype(np.longdouble).sum(axis=1))
    assert sums.max() <= 8 * np.finfo(rows.dtype).eps, f"gradient rows sum to {sums.max():.3g}"


@pytest.mark.parametrize("planes", [False, True], ids=["rows", "planes"])
@pytest.mark.parametrize("n_classes", EXACT_ROWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_against_mpmath(isa: str, dtype: np.dtype, family: str, n_classes: int, planes: bool) -> None:
    rows, target = family_rows(family, EXACT_ROWS[n_classes], n_classes, dtype.name)
    assert_accurate(rows, target, exact_answer(family, n_classes, dtype.name), planes)


@pytest.mark.parametrize("planes", [False, True], ids=["rows", "planes"])
@pytest.mark.parametrize("n_classes", MANY_ROWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_many_rows(isa: str, dtype: np.dtype, family: str, n_classes: int, planes: bool) -> None:
    rows, target = family_rows(family, MANY_ROWS[n_classes], n_classes, dtype.name)
    assert_accurate(rows, target, reference_answer(family, n_classes, dtype.name), planes)


def test_losses_reach_1e_30() -> None:
    """The family is what it says: otherwise nothing above would notice a loss that is rounded to 0."""
    losses = reference_answer("confident", 1000, "float32")[0]
    assert losses.max() > 0.1
    assert 1e-31 < losses.min() < 2e-30


@pytest.mark.parametrize("row", [[0.0, -80.0], [0.0, -100.0], [0.0, -200.0], [0.0, -700.0], [300.0, -300.0]], ids=str)
def test_two_classes_far_apart(isa: str, dtype: np.dtype, row: list[float]) -> None:
    """Down to where the dtype ends."""
    for rows in (np.array([row], dtype), np.array([row + [-np.inf] * 100], dtype)):
        exact = reference.exact_loss(rows[0], 0)
        answer = tolerances.to_longdouble([exact]), tolerances.to_longdouble([mpmath.expm1(-exact)])
        assert_accurate(rows, np.array([0]), answer, False)

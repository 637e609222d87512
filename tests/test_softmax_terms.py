"""softmax of rows whose terms are kept from the pass that adds them up, where that is undone or done again."""

from __future__ import annotations

import numpy as np
import pytest

import xentc

SIZES = [300, 1000, 2079, 16384, 16385]  # the last takes its exponentials again
EPS = float(np.finfo(np.float32).eps)


def rows_of(n_classes: int) -> np.ndarray:
    """The first logits, which the reference is taken from, are near the largest, far below it, or masked."""
    rng = np.random.default_rng(n_classes)
    rows = rng.normal(0, 3, (8, n_classes)).astype(np.float32)
    rows[1, :4] = -120
    rows[2, :100] = -np.inf
    rows[3] += 1000
    rows[4, 0], rows[4, 1:] = 0, -np.linspace(1, 85, n_classes - 1)
    rows[5, :64], rows[5, -1] = -300, 70
    rows[6, :4], rows[6, 4:] = 0, 41  # within what a sum may rise above its reference
    rows[7, 5] = 80000
    return rows


@pytest.mark.parametrize("n_classes", SIZES)
def test_any_reference(isa: str, n_classes: int) -> None:
    rows = rows_of(n_classes)[:7]
    exact = np.exp(rows.astype(np.float64) - rows.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    got = xentc.softmax(rows)
    normal = exact > 2.0**-126
    # The term, the inverse of the sum and their product are rounded; ln 2 is, times the 126 powers between the terms.
    assert np.all(np.abs(got[normal] / exact[normal] - 1) <= 5 * EPS)
    assert np.all(got[~normal] <= 2.0**-125)


@pytest.mark.parametrize("special", [np.nan, np.inf, None], ids=str)
@pytest.mark.parametrize("n_classes", SIZES)
def test_wherever_it_is_written(isa: str, n_classes: int, special: float | None) -> None:
    rows = rows_of(n_classes)
    if special is not None:
        rows[3, n_classes // 2] = special
        rows[0] = -np.inf
    upstream = np.random.default_rng(0).normal(0, 1, rows.shape).astype(np.float32)
    value, grad = xentc.softmax(rows, return_grad=True, grad_output=upstream)
    assert np.isnan(value[3]).all() == (special is not None)
    expected = value.tobytes()
    assert xentc.softmax(rows).tobytes() == expected
    strided = np.empty((8, 2 * n_classes), np.float32)[:, ::2]
    assert xentc.softmax(rows, out=strided).tobytes() == expected
    inside = rows.copy()
    assert xentc.softmax(inside, out=inside).tobytes() == expected
    inside = rows.copy()
    _, over_input = xentc.softmax(inside, return_grad=True, grad_output=upstream, grad_out=inside)
    assert over_input.tobytes() == grad.tobytes()
    inside = rows.copy()
    kept, over_strided = xentc.softmax(
        inside, return_grad=True, grad_output=upstream, out=inside, grad_out=np.empty_like(strided)
    )
    assert kept.tobytes() == expected
    assert over_strided.tobytes() == grad.tobytes()

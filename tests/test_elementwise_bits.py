"""The element-wise losses: the same bits on any threads and beside any neighbours, and how near the exact value."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import strategies
import tolerances
from test_elementwise import BCE, FUNCTIONS, HINGE, LOGITS, NAMES, none, problem

import xentc

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_on_any_number_of_threads(isa: str, dtype: np.dtype, name: str) -> None:
    x, t = problem(name, (640, 1001), dtype)
    cases = [(x, t)] + [(x[:1], t), (x[:, :1], t), (x[0, 0], t), (x, t[:1])] * (name == HINGE)
    for x, t in cases:
        for reduction in ("none", "mean", "sum"):
            bits = set()
            for n in (1, 2, 3, 4, 7, 16):
                result = FUNCTIONS[name](x, t, reduction=reduction, return_grad=True, num_threads=n)
                bits.add(result[0].tobytes() + result[1].tobytes())
            assert len(bits) == 1, (x.shape, t.shape, reduction)


@pytest.mark.parametrize("name", NAMES)
def test_an_element_does_not_know_its_neighbours(isa: str, dtype: np.dtype, name: str) -> None:
    """Alone, in any slice, at any address, beside soft targets or hard ones."""
    x, t = problem(name, 3000, dtype)
    if name != HINGE:
        t[::3] = 0
        t[1::3] = 1
    if name != BCE:
        x[:8] = [INF, -INF, NAN, -NAN, 0.0, -0.0, 120, -120]
    weight = {} if name == HINGE else {"weight": np.linspace(-1, 2, 3000).astype(dtype)}
    if name == LOGITS:
        weight["pos_weight"] = np.linspace(-1, 3, 3000).astype(dtype)
    loss, grad = none(name, x, t, **weight)
    for part in (
        slice(5, 6),
        slice(1, 2999, 7),
        slice(0, None, 3),
        slice(1, None, 3),
        slice(None, None, -1),
        slice(3, 1500),
    ):
        some = none(name, x[part], t[part], **{key: value[part] for key, value in weight.items()})
        assert some[0].tobytes() == loss[part].tobytes(), part
        assert some[1].tobytes() == grad[part].tobytes(), part
    for offset in (*range(8), 60):
        moved = none(name, strategies.at_offset(x, offset), strategies.at_offset(t, 63 - offset), **weight)
        assert (moved[0].tobytes(), moved[1].tobytes()) == (loss.tobytes(), grad.tobytes())


@pytest.mark.parametrize("name", NAMES)
def test_a_sum_does_not_know_the_address(isa: str, dtype: np.dtype, name: str) -> None:
    x, t = problem(name, (333, 30), dtype)
    expected = FUNCTIONS[name](x, t).tobytes()
    wide = np.zeros((333, 41), dtype)
    wide[:, 3:33] = x
    assert FUNCTIONS[name](wide[:, 3:33], t).tobytes() == expected
    assert FUNCTIONS[name](strategies.at_offset(x, 5), strategies.at_offset(t, 1)).tobytes() == expected
    assert FUNCTIONS[name](x.astype(x.dtype.newbyteorder(">")), t).tobytes() == expected


@pytest.mark.parametrize("name", [BCE, LOGITS])
@pytest.mark.parametrize("first_soft", [None, 0, 1500, 4999])
def test_a_sum_where_soft_targets_begin_late(isa: str, dtype: np.dtype, name: str, first_soft: int | None) -> None:
    """A tile that was taken for one of hard targets leaves nothing in the sum; a -0 among them is a 0."""
    x, t = problem(name, 5000, dtype)
    t = np.round(t)
    t[7] = -0.0
    x[8] = -0.0
    if first_soft is not None:
        t[first_soft] = 0.5
    ones = {"weight": np.ones(5000, dtype)}
    each, grad = none(name, x, t)
    assert none(name, x, t, **ones)[0].tobytes() == each.tobytes()
    total, sum_grad = FUNCTIONS[name](x, t, reduction="sum", return_grad=True)
    assert total == FUNCTIONS[name](x, t, reduction="sum", **ones)
    exact = each.sum(dtype=np.float64)
    assert abs(float(total) - exact) <= 6 * np.finfo(dtype).eps * exact  # 11 at a time are added in dtype
    assert sum_grad.tobytes() == grad.tobytes()


def exact_binary(x: float, t: float) -> Any:
    x, t = mpmath.mpf(x), mpmath.mpf(t)
    low = mpmath.mpf(-100)
    return -t * (max(mpmath.log(x), low) if x else low) - (1 - t) * (max(mpmath.log1p(-x), low) if x < 1 else low)


def exact_logits(x: float, t: float) -> tuple[Any, Any]:
    x, t = mpmath.mpf(x), mpmath.mpf(t)
    loss = (1 - t) * mpmath.log1p(mpmath.exp(x)) + t * mpmath.log1p(mpmath.exp(-x))
    return loss, (1 - t) / (1 + mpmath.exp(-x)) - t / (1 + mpmath.exp(x))


def test_probabilities_are_accurate(isa: str, dtype: np.dtype) -> None:
    """Near 0, near 1, around 1/2 and the edges of the logarithm's range; subnormal ones."""
    tiny = np.geomspace(float(np.finfo(dtype).smallest_subnormal) if dtype == np.float32 else 1e-60, 0.3, 150)
    x = np.concatenate([tiny, 1 - tiny, np.linspace(0.2, 0.8, 200), np.sqrt(0.5) + np.linspace(-1e-6, 1e-6, 20)])
    x = np.clip(x.astype(dtype), 0, 1)
    with mpmath.workdps(50):
        for t in (0.0, 1.0, 0.25):
            exact = [exact_binary(float(p), t) for p in x]
            loss = xentc.binary_cross_entropy(x, np.full(x.shape, t, dtype), reduction="none")
            tolerances.assert_ulp(loss, exact, tolerances.row_ulps(dtype), context=f"target {t}")


def test_logits_are_accurate(isa: str, dtype: np.dtype) -> None:
    """However confident: losses down to 1e-30."""
    x = np.concatenate([np.linspace(-69, 69, 400), np.geomspace(1e-9, 1, 50), np.linspace(-1, 1, 100)]).astype(dtype)
    with mpmath.workdps(60):
        for t in (0.0, 1.0):
            exact = [exact_logits(float(logit), t) for logit in x]
            loss, grad = none(LOGITS, x, np.full(x.shape, t, dtype))
            tolerances.assert_ulp(loss, [pair[0] for pair in exact], tolerances.row_ulps(dtype), context=f"target {t}")
            tolerances.assert_ulp(grad, [pair[1] for pair in exact], tolerances.row_ulps(dtype), context=f"slope {t}")

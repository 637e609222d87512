"""Sums that are exact."""

import fractions
import math

import numpy as np
import pytest

from xentc import _tally


def test_exact_sum():
    rng = np.random.default_rng(1)
    values = np.ldexp(rng.uniform(-1, 1, 200_000), rng.integers(-1074, 1000, 200_000))
    values = np.concatenate([values, [5e-324, -5e-324, 5e-324, 0.0, -0.0, 1.7e308, -1.7e308]])
    total = _tally.ExactSum()
    for part in np.split(values, [1, 10, 150_000]):
        total.add(part)
    assert fractions.Fraction(total.units, 2**_tally._UNIT_BITS) == sum(map(fractions.Fraction, values.tolist()))
    assert total.value() == math.fsum(values)


@pytest.mark.filterwarnings("error")
def test_exact_sum_of_what_is_not_finite():
    for values, value in [([1e308, 1e308], math.inf), ([-1e308, -1e308], -math.inf), ([math.inf, 1], math.inf)]:
        total = _tally.ExactSum()
        total.add(np.array(values))
        assert total.value() == value
    total.add(np.array([-math.inf]))
    assert math.isnan(total.value())
    total = _tally.ExactSum()
    total.add(np.array([math.inf, -math.inf]))
    assert math.isnan(total.value())

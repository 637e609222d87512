"""Sums that are exact."""

import fractions
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xentc._exact import ZERO, ExactSum, exact_counts, exact_dot, exact_sum, exact_sums, quotient, root_of_quotient

finite = st.floats(allow_nan=False, allow_infinity=False)
extremes = [5e-324, -5e-324, 5e-324, 0.0, -0.0, 2.3e-308, 1.7e308, -1.7e308, 2.0**960, 1e300, -(2.0**959)]


def fraction(total: ExactSum) -> fractions.Fraction:
    assert not total.special
    return total.units * fractions.Fraction(2) ** total.exponent


def exactly(values: np.ndarray) -> fractions.Fraction:
    return sum(map(fractions.Fraction, values.tolist()), fractions.Fraction())


def wide_values(rng: np.random.Generator, size: int) -> np.ndarray:
    values = np.ldexp(rng.uniform(-1, 1, size), rng.integers(-1074, 1020, size))
    return np.concatenate([values, extremes])


@pytest.mark.filterwarnings("error")
def test_sum(rng):
    values = wide_values(rng, 100_000)
    parts = [exact_sum(part) for part in np.split(values, [1, 10, 70_000])]
    total = parts[2] + parts[0] + (parts[3] + parts[1])
    assert fraction(total) == exactly(values)
    assert float(total) == float(exactly(values))
    assert str(total) == str(exact_sum(values))
    assert fraction(exact_sum(values[:0])) == 0
    single = rng.normal(size=70_000).astype(np.float32)
    assert fraction(exact_sum(single)) == exactly(single)


def test_sum_of_alike(rng):
    """All in the topmost part, where it has the least room."""
    values = rng.uniform(0.5, 1, 100_000)
    assert fraction(exact_sum(values)) == exactly(values)
    assert fraction(exact_sums(values, np.zeros(values.size, int))[0]) == exactly(values)


def test_sum_of_largest_pieces():
    """As many equal terms as there can be in a piece, each as large as a part can be."""
    for value in (1.0, 1 - 2.0**-53, 2.0**-1074, 1.5 * 2.0**-1060):
        for sign in (1, -1):
            assert fraction(exact_sum(np.full(1 << 15, sign * value))) == sign * fractions.Fraction(value) * (1 << 15)


def test_sums_of_groups(rng):
    values = wide_values(rng, 40_000)
    groups = rng.integers(0, 7, values.size)
    totals = exact_sums(values, groups)
    for group in range(7):
        assert fraction(totals[group]) == exactly(values[groups == group])
    assert {group: int(count) for group, count in exact_counts(np.array([3, 0, 3])).items()} == {0: 1, 3: 2}


moderate = st.floats(-1e100, 1e100, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-100)


@given(st.lists(st.tuples(finite, finite) | st.tuples(moderate, moderate), max_size=20))
def test_dot(pairs):
    first, second = np.array(pairs, float).reshape(-1, 2).T
    expected = sum((fractions.Fraction(a) * fractions.Fraction(b) for a, b in pairs), fractions.Fraction())
    assert fraction(exact_dot(first, second)) == expected
    single = np.float32(np.clip(first, -1e38, 1e38))
    assert fraction(exact_dot(single, single)) == sum((fractions.Fraction(x) ** 2 for x in single.tolist()), 0)


@pytest.mark.parametrize("exponent", [0, 440, 460, 520, 900, -440, -460, -500, -540, -1000])
def test_dot_of_any_size(rng, exponent):
    first, second = np.ldexp(rng.normal(size=(2, 100)), exponent)
    second[0] = 0
    expected = sum(fractions.Fraction(a) * fractions.Fraction(b) for a, b in zip(first, second, strict=True))
    assert fraction(exact_dot(first, second)) == expected


@pytest.mark.filterwarnings("error")
def test_what_is_not_finite():
    groups = np.array([2, 0, 2])
    for values, value in [
        ([1e308, 1e308, 1.0], math.inf),
        ([-1e308, 1, -1e308], -math.inf),
        ([math.inf, 1, 1], math.inf),
    ]:
        total = exact_sum(np.array(values))
        assert float(total) == value
    assert math.isnan(float(total + exact_sum(np.array([-math.inf]))))
    assert math.isnan(float(exact_sum(np.array([math.inf, -math.inf]))))
    assert math.isnan(float(exact_dot(np.array([math.inf]), np.array([1.0]))))
    for dtype in (np.float32, np.float64):
        totals = exact_sums(np.array([math.inf, math.nan, 1], dtype), groups)
        assert float(totals[2]) == math.inf
        assert math.isnan(float(totals[0]))


@given(finite, finite)
def test_text(one, other):
    total = exact_sum(np.array([one])) * exact_sum(np.array([other]))
    assert fraction(ExactSum.parse(str(total))) == fraction(total)
    for text in ("nan", "inf", "-inf"):
        assert str(ExactSum.parse(text)) == text


NO_NUMBERS = ["", "1", "0x1", "p", "0x1p", "0xp1", "1p0", "0x2p+0", "0x1p0", "NaN", "0x1.8p+0"]
TOO_LARGE = ["0x1p+999999999999", "0x1p-99999", "0x" + "f" * 10_000 + "p+0"]


@pytest.mark.parametrize("text", NO_NUMBERS + TOO_LARGE)
def test_text_of_nothing(text):
    with pytest.raises(ValueError):  # noqa: PT011 - int() words its own
        ExactSum.parse(text)


def test_quotient():
    def exact(value):
        return exact_sum(np.array([value]))

    assert quotient(exact(1.0), exact(3.0)) == 1 / 3
    assert quotient(exact(5e-324), exact(1.7e308)) == 0
    assert quotient(exact(-1.7e308), exact(5e-324)) == -math.inf
    assert quotient(exact(1.0), ZERO) == math.inf
    assert quotient(exact(-1.0), ZERO) == -math.inf
    assert math.isnan(quotient(ZERO, ZERO))
    assert quotient(exact(1.0), exact(math.inf)) == 0
    assert quotient(exact(math.inf), exact(-2.0)) == -math.inf
    assert math.isnan(quotient(exact(math.nan), exact(1.0)))
    assert root_of_quotient(exact(2.0), exact(1.0)) == math.sqrt(2)
    assert root_of_quotient(exact(1e200) * exact(1e200), exact(1.0)) == 1e200
    assert root_of_quotient(exact(3e-200) * exact(3e-200), exact(1.0)) == 3e-200
    assert math.isnan(root_of_quotient(exact(1.0), ZERO))
    assert math.isnan(root_of_quotient(exact(math.inf), exact(1.0)))
    assert math.isnan(root_of_quotient(exact(-1.0), exact(1.0)))

"""float16 and bfloat16 through the public API: storage that is widened exactly and narrowed with one rounding.

(a) Reading: each of the 65,536 patterns of either type is a logit, and its losses have the bits of the same number's in
    float32. Few classes go through the lane kernel and many through the row kernel; a strided or big-endian row is read
    number by number.
(b) Writing: two equal logits have the probability 1/2, so that the gradient at the other class is half of grad_output:
    any number can be made to be narrowed, ties and their neighbours among them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import reference
import tolerances

import xentc

PATTERNS = np.arange(2**16, dtype=np.uint16)


@pytest.fixture(params=["float16", "bfloat16"])
def half(request: pytest.FixtureRequest) -> np.dtype:
    if request.param == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def assert_same_bits(actual: np.ndarray, expected: np.ndarray) -> None:
    """nan equals nan, whatever its bits; 0.0 is not -0.0."""
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    unsigned = f"u{actual.dtype.itemsize}"
    wide, wide_expected = actual.astype(np.float64), expected.astype(np.float64)
    same = (actual.view(unsigned) == expected.view(unsigned)) | (np.isnan(wide) & np.isnan(wide_expected))
    wrong = np.argwhere(~same)
    assert not len(wrong), f"{len(wrong)} differ, first at {wrong[0]}: {wide[~same][0]!r}, {wide_expected[~same][0]!r}"


def widened(array: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a signalling nan is made quiet
        return array.astype(np.float32)


def contiguous(array: np.ndarray) -> np.ndarray:
    return array


def class_axis_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T).T


def every_other(array: np.ndarray) -> np.ndarray:
    spaced = np.zeros((array.shape[0], array.shape[1] * 2), array.dtype)
    spaced[:, ::2] = array
    return spaced[:, ::2]


def misaligned(array: np.ndarray) -> np.ndarray:
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:]
    shifted = memory.view(array.dtype).reshape(array.shape)
    shifted[...] = array
    return shifted


def big_endian(array: np.ndarray) -> np.ndarray:
    return array.astype(array.dtype.newbyteorder(">"))


LAYOUTS = [contiguous, class_axis_first, every_other, misaligned, big_endian]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_classes", [2, 300])
def test_every_pattern_is_read(
    isa: str, half: np.dtype, n_classes: int, layout: Callable[[np.ndarray], np.ndarray]
) -> None:
    if layout is big_endian and half.name == "bfloat16":
        pytest.skip("there is no big-endian bfloat16")
    for patterns in np.split(PATTERNS, 8):  # tens of MB at a time
        rows = np.zeros((len(patterns), n_classes), half)
        rows[:, 0] = patterns.view(half)
        for label in (0, n_classes - 1):
            target = np.full(len(rows), label)
            loss = xentc.cross_entropy(layout(rows), target, reduction="none")
            same_layout = contiguous if layout in (misaligned, big_endian) else layout
            expected = xentc.cross_entropy(same_layout(widened(rows)), target, reduction="none")
            assert_same_bits(loss, expected)


def test_other_operands_are_widened_too(isa: str, half: np.dtype) -> None:
    """Probabilities, and the weights of samples and classes: as the same numbers in float32."""
    rng, quiet = np.random.default_rng(1), np.where(np.isnan(widened(PATTERNS.view(half))), 0x7FFF, PATTERNS)
    numbers = quiet.astype(np.uint16).view(half)
    rows = rng.normal(0, 2, (len(numbers), 2)).astype(np.float32)
    target = np.arange(len(rows)) % 2
    row, labels = rng.normal(0, 2, (2, len(numbers))).astype(np.float32), [5, 2**15 + 5]

    def losses(convert: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
        return [
            xentc.cross_entropy(rows, convert(np.stack([numbers, numbers[::-1]], axis=1)), reduction="none"),
            xentc.cross_entropy(rows, target, sample_weight=convert(numbers), reduction="none"),
            xentc.cross_entropy(row, labels, weight=convert(numbers), reduction="none"),
        ]

    for actual, expected in zip(losses(contiguous), losses(widened), strict=True):
        assert_same_bits(actual, expected)


@pytest.mark.parametrize("name", ["input", "weight", "sample_weight", "grad_output"])
def test_a_signalling_nan_raises_no_warning(half: np.dtype, name: str) -> None:
    """NumPy warns when it widens one; here warnings are errors."""
    pattern = 0x7C01 if half == np.float16 else 0x7F81
    signalling = np.array([pattern, 0], np.uint16).view(half)
    operands = {"input": np.stack([signalling, signalling]), "reduction": "none"}
    if name != "input":
        operands |= {"input": np.zeros((2, 2), np.float32), name: signalling}
    loss, grad = xentc.cross_entropy(target=[0, 1], return_grad=True, **operands)
    assert np.isnan(grad[0]).all()
    assert np.isnan(loss[0]) == (name != "grad_output")


def narrowing_cases(half: np.dtype) -> np.ndarray:
    """All finite numbers of a half type, the float32 midway to the next one, and its neighbours on either side.

    Without the topmost binade of bfloat16, whose grad_output would be no float32.
    """
    limits = tolerances.float_limits(half)
    positive = PATTERNS[: 2**15].view(half)
    numbers = widened(positive)
    numbers = numbers[np.isfinite(numbers)].astype(np.float64)
    beyond = np.ldexp(1.0, limits.maxexp)
    middles = ((numbers + np.append(numbers[1:], beyond)) / 2).astype(np.float32)
    below, above = np.nextafter(middles, np.float32(0)), np.nextafter(middles, np.float32(np.inf))
    numbers = np.concatenate([numbers.astype(np.float32), below, middles, above])
    return numbers[numbers < 2.0**127]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n_zeros", [1, 299])
def test_every_number_and_tie_is_narrowed(isa: str, half: np.dtype, sign: int, n_zeros: int) -> None:
    """Two equal logits, the rest -inf: the gradient at the other class is grad_output / 2, rounded once."""
    values = sign * narrowing_cases(half)
    for part in np.array_split(values, 8):
        rows = np.full((len(part), n_zeros + 1), -np.inf, half)
        rows[:, :2] = 0
        target = np.ones(len(part), np.uint8)
        upstream = 2 * part.astype(np.float64)
        _, grad = xentc.cross_entropy(rows, target, reduction="none", return_grad=True, grad_output=upstream)
        assert grad.dtype == half
        with np.errstate(over="ignore"):
            expected = part.astype(half)
            at_target = (-part).astype(half)
        nonzero = part != 0  # a grad_output of 0 removes the row, and with it the sign of the 0
        assert_same_bits(grad[nonzero, 0], expected[nonzero])
        assert_same_bits(grad[nonzero, 1], at_target[nonzero])
        assert not grad[~nonzero].astype(np.float32).any()


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("n_classes", [2, 10, 1000])
def test_gradient_is_the_rounded_exact_one(
    isa: str, half: np.dtype, n_classes: int, scale: float, reduction: str, rng: np.random.Generator
) -> None:
    """Within 1 ULP of it. The mean over many rows, and classes far below, make subnormal numbers.

    Where exp itself leaves float32's normal numbers an entry may be 0: (f) of tolerances. Only bfloat16 goes so far.
    """
    n_samples = max(40, 20_000 // n_classes)
    rows = (scale * rng.normal(size=(n_samples, n_classes))).astype(half)
    target = rng.integers(0, n_classes, n_samples)
    loss, grad = xentc.cross_entropy(rows, target, reduction=reduction, return_grad=True)
    assert (loss.dtype, grad.dtype) == (np.float32, half)
    _, exact = reference.cross_entropy(widened(rows), target, reduction=reduction, dtype=np.float64)
    unit = tolerances.ulp(exact, half)
    rounded = np.rint(exact / unit) * unit
    errors = np.abs(grad.astype(np.longdouble) - rounded) / tolerances.ulp(rounded, half)
    errors[(np.abs(exact) < 4 * np.finfo(np.float32).tiny) & (grad == 0)] = 0
    worst = np.unravel_index(errors.argmax(), errors.shape)
    assert errors[worst] <= 1, (
        f"{errors[worst]:.3g} ULP at {tuple(map(int, worst))}: {grad[worst]!r}, expected {rounded[worst]!r}"
    )


@pytest.mark.parametrize("layout", [contiguous, class_axis_first, every_other])
@pytest.mark.parametrize("n_classes", [2, 10, 1000])
def test_gradient_in_place(
    isa: str, half: np.dtype, n_classes: int, layout: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
) -> None:
    rows = layout((3 * rng.normal(size=(500, n_classes))).astype(half))
    target = rng.integers(0, n_classes, 500)
    kept = rows.copy()
    loss, grad = xentc.cross_entropy(rows, target, return_grad=True)
    assert_same_bits(np.ascontiguousarray(rows), np.ascontiguousarray(kept))
    loss_again, grad_again = xentc.cross_entropy(rows, target, return_grad=True, grad_out=rows)
    assert grad_again is rows
    assert loss_again == loss
    assert_same_bits(np.ascontiguousarray(rows), np.ascontiguousarray(grad))


def test_uint16_is_integers(isa: str, half: np.dtype, rng: np.random.Generator) -> None:
    """A view of bits is what its dtype says: numbers up to 65,535, promoted to float64."""
    rows = rng.normal(size=(20, 5)).astype(half)
    target = rng.integers(0, 5, 20)
    bits = rows.view(np.uint16)
    loss, grad = xentc.cross_entropy(bits, target, reduction="none", return_grad=True)
    expected, expected_grad = xentc.cross_entropy(bits.astype(np.float64), target, reduction="none", return_grad=True)
    assert_same_bits(loss, expected)
    assert_same_bits(grad, expected_grad)
    assert not np.allclose(loss, xentc.cross_entropy(rows, target, reduction="none"))


NOT_FINITE: list[tuple[list[float], Any]] = [
    ([0.0, np.nan, 1.0], np.nan),
    ([0.0, np.inf, 1.0], np.nan),
    ([np.inf, 0.0, 1.0], np.nan),
    ([-np.inf, -np.inf, -np.inf], np.nan),
    ([-np.inf, 0.0, 1.0], np.inf),
    ([0.0, -np.inf, 0.0], np.log(2.0)),
    ([0.0, -np.inf, -np.inf], 0.0),
]


@pytest.mark.parametrize("padding", [0, 297], ids=["few classes", "many classes"])
@pytest.mark.parametrize(("row", "loss"), NOT_FINITE, ids=[str(row) for row, _ in NOT_FINITE])
def test_rows_with_inf_and_nan(isa: str, half: np.dtype, row: list[float], loss: float, padding: int) -> None:
    """The row between two plain ones, which stay as they are."""
    plain = [0.0, 1.0, 2.0]
    rows = np.array([r + [-np.inf] * padding for r in (plain, row, plain)], half)
    losses, grad = xentc.cross_entropy(rows, [0, 0, 0], reduction="none", return_grad=True)
    exact = np.log(1 + np.e + np.e**2)
    np.testing.assert_allclose(losses, [exact, loss, exact], rtol=1e-6)
    assert losses.dtype == np.float32
    grad = grad.astype(np.float32)
    softmax = np.exp([0.0, 1.0, 2.0] - exact) - [1, 0, 0]
    limits = tolerances.float_limits(half)
    np.testing.assert_allclose(grad[[0, 2], :3], [softmax, softmax], rtol=float(limits.eps))
    assert not grad[[0, 2], 3:].any()
    if np.isnan(loss):
        assert np.isnan(grad[1]).all()
    else:
        assert not grad[1, rows[1] == -np.inf][1 if loss == np.inf else 0 :].any()
        assert grad[1, 0] == {np.inf: -1.0, 0.0: 0.0}.get(loss, -0.5)

"""softmax, log_softmax and logsumexp: what they give, against SciPy, torch's rules and the obvious version."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import softmax_reference
import strategies
from amount import examples
from checks import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from softmax_reference import FAMILY, FULL, SHAPES, both, upstream_of

import xentc
from xentc.functional import _softmax

INF, NAN = np.inf, np.nan


@pytest.fixture(params=FAMILY)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


# value of softmax, log_softmax, logsumexp; gradient of logsumexp with an upstream gradient of 1
SPECIAL: dict[str, tuple[list, Any, Any, float, Any]] = {
    "-inf throughout": ([-INF, -INF], NAN, NAN, -INF, NAN),
    "one class of -inf": ([-INF], NAN, NAN, -INF, NAN),
    "+inf": ([INF, 0, 1], NAN, NAN, INF, [NAN, 0, 0]),
    "+inf alone": ([INF], NAN, NAN, INF, NAN),
    "+inf twice": ([0, INF, INF], NAN, NAN, INF, [0, NAN, NAN]),
    "+inf and -inf": ([-INF, INF], NAN, NAN, INF, [0, NAN]),
    "+inf and nan": ([INF, NAN, 1], NAN, NAN, NAN, NAN),
    "nan": ([0, NAN], NAN, NAN, NAN, NAN),
    "nan and -inf": ([-INF, NAN], NAN, NAN, NAN, NAN),
    "masked": ([0, -INF, 0], [0.5, 0, 0.5], [-np.log(2), -INF, -np.log(2)], np.log(2), [0.5, 0, 0.5]),
    "one class": ([3], [1], [0], 3, [1]),
    "one class left": ([-INF, -2], [0, 1], [-INF, 0], -2, [0, 1]),
    "-0.0": ([-0.0], [1], [0], 0, [1]),
    "huge": ([3e38, 0, 7e4], [1, 0, 0], [0, -3e38, -3e38], 3e38, [1, 0, 0]),
    "most negative": ([-3e38, -3e38], [0.5, 0.5], -np.log(2), -3e38, [0.5, 0.5]),
}


@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize("n_masked", [0, 100, 17000], ids="{} more classes".format)
@pytest.mark.parametrize("case", SPECIAL)
@pytest.mark.parametrize("axis", [0, 1])
def test_special_values(
    isa: str, dtype: np.dtype, axis: int, case: str, n_masked: int, neighbours: bool, name: str
) -> None:
    """Each alone and between ordinary samples, by rows and side by side, few classes and many: the others are -inf."""
    row, *values, lse_grad = SPECIAL[case]
    rest = np.full(n_masked, -INF)
    rows = np.tile(np.append(rest[:70], np.append(row, rest[70:])), (3, 1)).astype(dtype)
    where = slice(min(70, n_masked), min(70, n_masked) + len(row))
    if neighbours:
        rows[[0, 2]] = np.linspace(-1, 1, rows.shape[1])
    input = rows if axis == 1 else np.ascontiguousarray(rows.T)
    upstream = np.ones(input.shape if name in FULL else 3)
    value, grad = both(name, input, axis, grad_output=upstream)
    value, grad = value[1] if axis == 1 or name not in FULL else value[:, 1], grad[1] if axis == 1 else grad[:, 1]
    expected = np.broadcast_to(values[list(FAMILY).index(name)], (len(row),) if name in FULL else ())
    value = value[where] if name in FULL else value
    np.testing.assert_allclose(value, expected.astype(dtype), rtol=4e-7, atol=0)
    if name == "logsumexp":
        np.testing.assert_allclose(grad[where], np.broadcast_to(lse_grad, len(row)), rtol=4e-7, atol=0)
    elif np.all(np.isnan(values[0])):
        assert np.all(np.isnan(grad))
    if neighbours:  # which are what they are without it
        calm = input.copy()
        calm[(1,) if axis == 1 else (slice(None), 1)] = 0
        whole, without = both(name, input, axis, grad_output=upstream), both(name, calm, axis, grad_output=upstream)
        for some, other in zip(whole, without, strict=True):
            samples_first = axis == 1 or some.ndim == 1
            some, other = (some, other) if samples_first else (some.T, other.T)
            assert_same_bits((some[0], some[2]), (other[0], other[2]))
            assert np.all(np.isfinite(some[0]))


@pytest.mark.parametrize("n_classes", [2, 70, 20000])
@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("axis", [0, 1])
def test_no_upstream_gradient_leaves_none(isa: str, axis: int, value: float, n_classes: int, name: str) -> None:
    """0 times nan is 0 here, for the samples that it is said of."""
    input = np.zeros((3, n_classes), np.float32)
    input[1:] = value
    upstream = np.ones(input.shape if name in FULL else 3)
    upstream[1] = 0
    if axis == 0:
        input, upstream = np.ascontiguousarray(input.T), upstream.T
    grad = both(name, input, axis, grad_output=upstream)[1]
    grad = grad if axis == 1 else grad.T
    assert np.all(grad[1] == 0)
    assert np.all(np.isnan(grad[2]))
    assert np.all(np.isfinite(grad[0]))


@pytest.mark.parametrize("shape", [(2, 0), (0, 3), (0, 0), (0,), (2, 0, 3)], ids=str)
def test_empty(isa: str, dtype: np.dtype, shape: tuple, name: str) -> None:
    value, grad = both(name, np.empty(shape, dtype), 1 if len(shape) > 1 else 0)
    assert grad.shape == shape
    assert value.dtype == dtype
    assert value.shape == (shape if name in FULL else tuple(np.delete(shape, 1 if len(shape) > 1 else 0)))
    if name == "logsumexp":
        assert np.all(value == -INF)
    with pytest.raises(ValueError, match=r"^num_threads: "):
        FAMILY[name](np.empty(shape, dtype), num_threads=0)


@pytest.mark.parametrize("axis", [0, -1])
def test_0_dimensional(isa: str, axis: int, name: str) -> None:
    for input, dtype in ((3.0, np.float64), (np.float32(3), np.float32), (np.array(3, np.int8), np.float64)):
        value, grad = both(name, input, axis)
        assert isinstance(value, dtype)
        assert value == {"softmax": 1, "log_softmax": 0, "logsumexp": 3}[name]
        assert (grad.shape, grad.dtype) == ((), dtype)
        assert grad == (upstream_of(name, (), 0).astype(dtype) if name == "logsumexp" else 0)
    out = np.array(5.0)
    assert FAMILY[name](2.0, axis, out=out) is out
    assert out == {"softmax": 1, "log_softmax": 0, "logsumexp": 2}[name]
    assert xentc.logsumexp(2.0, axis, True).shape == ()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_scipy(isa: str, shape: tuple, name: str) -> None:
    special = pytest.importorskip("scipy.special")
    input = np.random.default_rng(1).normal(0, 3, shape)
    for axis in range(-len(shape), len(shape)):
        expected = getattr(special, name)(input, axis=axis)
        np.testing.assert_allclose(FAMILY[name](input, axis), expected, rtol=1e-12, atol=1e-14)
        single = FAMILY[name](input.astype(np.float32), axis)
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, expected, rtol=4e-6, atol=2e-6)
    kept = xentc.logsumexp(input, 0, keepdims=True)
    np.testing.assert_allclose(kept, special.logsumexp(input, axis=0, keepdims=True), rtol=1e-12, atol=1e-14)


# Any input, any layout.


@settings(max_examples=examples(300))
@given(st.data())
def test_any_input(isa: str, data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(["float32", "float64", *strategies.HALVES, "int32", "uint8"])))
    seed = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(strategies.shapes())
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    input = data.draw(strategies.logits(seed, shape, axis % len(shape), dtype, True))
    names = strategies.layouts_of(strategies.FIRST)
    input = strategies.laid_out(input, data.draw(st.sampled_from(names)))
    name = data.draw(st.sampled_from(list(FAMILY)))
    upstream = upstream_of(name, shape, axis, int(seed.integers(99)))
    upstream[seed.random(upstream.shape) < 0.3] = 0
    upstream = upstream.astype(data.draw(st.sampled_from(["float16", "float32", "float64", "int64"])))
    upstream = strategies.laid_out(upstream, data.draw(st.sampled_from(names)))
    before = input.tobytes(), upstream.tobytes()
    with np.errstate(all="raise"):
        value, grad = both(name, input, axis, grad_output=upstream)
        alone = FAMILY[name](input, axis)
    assert before == (input.tobytes(), upstream.tobytes())
    assert np.asarray(alone).tobytes() == np.asarray(value).tobytes()
    softmax_reference.assert_matches(name, np.asarray(value), grad, input, axis, upstream)


@pytest.mark.parametrize("levels", [(0, 5, -3), (5, -3, 0), (-200, 0, 2), (2, 0, -200), (0, 0, 70)], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_long_rows(isa: str, dtype: np.dtype, axis: int, levels: tuple[int, ...], name: str) -> None:
    """Column blocks of different references: their sums, and those of upstream gradients, are folded over one."""
    rows = np.random.default_rng(4).normal(0, 1, (2, 16384 * 2 + 1000))
    rows += np.repeat(levels, 16384)[: rows.shape[1]]
    input = (rows if axis == 1 else np.ascontiguousarray(rows.T)).astype(dtype)
    upstream = 1 + upstream_of(name, input.shape, axis)
    value, grad = both(name, input, axis, grad_output=upstream)
    softmax_reference.assert_matches(name, value, grad, input, axis, upstream)


@pytest.mark.parametrize("dtype_name", ["float32", "float64", *strategies.HALVES])
@pytest.mark.parametrize("layout", ["C", "Fortran", "transposed", "stepped", "reversed", "sliced"])
@pytest.mark.parametrize("shape", [(6, 5), (5,), (3, 5, 4), (3, 200), (2, 200, 3), (2, 20000), (90, 33)], ids=str)
def test_outputs(isa: str, dtype_name: str, shape: tuple, layout: str, name: str) -> None:
    """What is returned is the memory given; over the input, value or gradient have the bits they have elsewhere."""
    input = np.random.default_rng(0).normal(0, 2, shape).astype(dtype_name)
    for axis in range(len(shape)):
        laid = strategies.laid_out(input, layout)
        expected = both(name, laid, axis)
        out = strategies.laid_out(np.empty(np.shape(expected[0]), expected[0].dtype), layout)
        grad_out = strategies.laid_out(np.empty(shape, input.dtype), layout)
        result = both(name, laid, axis, out=out, grad_out=grad_out)
        assert result[0] is out
        assert result[1] is grad_out
        assert_same_bits(result, expected)
        for over in ("out", "grad_out") if name in FULL else ("grad_out",):
            in_place = laid.copy(order="K") if laid.base is None else strategies.laid_out(input, layout)
            result = both(name, in_place, axis, **{over: in_place})
            assert result[over == "grad_out"] is in_place
            assert_same_bits(result, expected)
        if name in FULL:
            in_place = strategies.laid_out(input, layout)
            assert FAMILY[name](in_place, axis, out=in_place) is in_place
            assert in_place.tobytes() == expected[0].tobytes()


def test_new_results_have_the_layout_of_the_input() -> None:
    for order in "CF":
        input = np.zeros((3, 4, 5), order=order)
        assert all(array.strides == input.strides for array in both("softmax", input))
    assert xentc.softmax(np.zeros((2, 3), ">f4")).dtype == np.dtype("=f4")
    assert xentc.logsumexp(np.zeros((2, 3), np.float16)).dtype == np.float32


def test_keepdims(isa: str, dtype: np.dtype) -> None:
    input = np.random.default_rng(0).normal(size=(3, 70, 4)).astype(dtype)
    for axis in range(3):
        plain = both("logsumexp", input, axis)
        upstream = np.expand_dims(upstream_of("logsumexp", input.shape, axis), axis)
        kept = both("logsumexp", input, axis, keepdims=True, grad_output=upstream)
        assert kept[0].shape == upstream.shape
        assert_same_bits((kept[0].squeeze(axis), kept[1]), plain)
        out = np.empty(upstream.shape[::-1], dtype).T
        assert xentc.logsumexp(input, axis, True, out=out) is out
        assert out.tobytes() == kept[0].tobytes()


def test_examples() -> None:
    result = doctest.testmod(_softmax)
    assert result.attempted > 15
    assert result.failed == 0

"""The element-wise losses: SEMANTICS row by row, any shape, dtype, layout and option against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference_elementwise as reference
import strategies
from amount import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import xentc

BCE, LOGITS, HINGE = NAMES = tuple(reference.LOSSES)
INF, NAN = np.inf, np.nan
END = 1 / float(reference.LEAST_SLOPE)  # the steepest slope of a probability
FUNCTIONS = {name: getattr(xentc, name) for name in NAMES}


def none(name: str, x: Any, t: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    return FUNCTIONS[name](x, t, reduction="none", return_grad=True, **options)


def problem(name: str, shape: Any, dtype: Any, seed: int = 0, soft: bool = True) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=shape) if name == BCE else rng.normal(0, 4, shape)
    t = rng.uniform(size=shape)
    if name == HINGE:
        t = np.where(t < 0.5, -1, 1)
    elif not soft:
        t = np.round(t)
    return x.astype(dtype), t.astype(dtype)


def test_the_examples_of_the_seeds() -> None:
    assert round(float(xentc.binary_cross_entropy([0.7], [1.0])), 4) == 0.3567
    assert round(float(xentc.hinge_embedding_loss([[0.5, 0.7], [-0.3, -0.9]], [1, -1])), 4) == 0.6


# name, input, target, options, loss, gradient
ROWS: list[tuple[str, Any, Any, dict[str, Any], Any, Any]] = [
    (BCE, [0.0, 1.0, 0.0, 1.0], [1, 0, 0, 1], {}, [100, 100, 0, 0], [-END, END, 0, 0]),
    (BCE, [-0.0], [0], {}, [0], [0]),
    (BCE, [0.0, 1.0], [0.25, 0.25], {}, [25, 75], [-0.25 * END, 0.75 * END]),
    (BCE, [0.5, 0.0], [True, False], {"weight": [2.0, INF]}, [2 * np.log(2), NAN], [-4, NAN]),
    (BCE, [0.0, 0.5], [1, 1], {"weight": [0.0, -1.0]}, [0, -np.log(2)], [0, 2]),
    (BCE, [0.5], [1], {"weight": [NAN]}, [NAN], [NAN]),
    (BCE, [0.0], [1], {"grad_output": 0.0}, [100], [0]),
    (LOGITS, [INF, -INF, INF, -INF], [1, 0, 0, 1], {}, [0, 0, INF, INF], [0, 0, 1, -1]),
    (LOGITS, [INF, -INF], [0.5, 0.25], {}, [INF, INF], [0.5, -0.25]),
    (LOGITS, [INF, NAN, 0.0], [1, 1, 1], {"pos_weight": [0.0]}, [0, 0, 0], [0, 0, 0]),
    (LOGITS, [NAN, NAN], [1, 0.5], {}, [NAN, NAN], [NAN, NAN]),
    (LOGITS, [NAN, INF], [1, 0], {"weight": 0.0}, [0, 0], [0, 0]),
    (LOGITS, [NAN, 0.0], [1, 1], {"grad_output": [0.0, 2.0]}, [NAN, np.log(2)], [0, -1]),
    (LOGITS, [0.0, 0.0], [2, -1], {}, [np.log(2), np.log(2)], [-1.5, 1.5]),
    (LOGITS, [0.0], [1], {"pos_weight": 3.0, "weight": [[2.0]][0]}, [6 * np.log(2)], [-3]),
    (LOGITS, [-1000.0, 1000.0], [1, 0], {}, [1000, 1000], [-1, 1]),
    (HINGE, [0.5, -3.0, INF, -INF], [1, 1, 1, 1], {}, [0.5, -3, INF, -INF], [1, 1, 1, 1]),
    (HINGE, [0.5, 1.0, 3.0, -INF, INF], [-1] * 5, {}, [0.5, 0, 0, INF, 0], [-1, -1, 0, -1, 0]),
    (HINGE, [0.5, 3.0], [0, 7], {}, [1, 3], [0, 1]),
    (HINGE, [NAN, NAN, NAN], [1, -1, 0], {}, [NAN] * 3, [NAN] * 3),
    (HINGE, [2.0, 2.0], [1, -1], {"margin": NAN}, [2, NAN], [1, NAN]),
    (HINGE, [2.0, 2.0], [1, -1], {"margin": INF}, [2, INF], [1, -1]),
    (HINGE, [0.5], [-1], {"margin": -1.0}, [0], [0]),
]


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_special_values(isa: str, dtype: np.dtype, row: int) -> None:
    name, x, t, options, loss, grad = ROWS[row]
    with np.errstate(all="raise"):
        result = none(name, np.array(x, dtype), t, **options)
    for ours, theirs in zip(result, (loss, grad), strict=True):
        assert ours.dtype == dtype
        np.testing.assert_allclose(ours, np.array(theirs, float), rtol=4 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_reductions_of_nothing(name: str) -> None:
    empty = np.empty((0, 3), np.float32)
    for reduction, expected in (("mean", NAN), ("sum", 0.0)):
        loss, grad = FUNCTIONS[name](empty, empty, reduction=reduction, return_grad=True)
        np.testing.assert_equal(loss, np.float32(expected))
        assert (grad.shape, grad.dtype) == ((0, 3), np.float32)
    assert none(name, empty, empty)[0].shape == (0, 3)


def test_a_target_of_nothing_leaves_a_gradient_of_zero() -> None:
    loss, grad = xentc.hinge_embedding_loss(np.ones((1, 3)), np.empty((0, 3)), return_grad=True)
    assert np.isnan(loss)
    assert np.array_equal(grad, np.zeros((1, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_zero_dimensional(name: str) -> None:
    loss, grad = none(name, np.float32(0.25), 1)
    assert isinstance(loss, np.float32)
    assert grad.shape == ()
    assert loss == none(name, np.array([0.25], np.float32), [1])[0][0]
    out, grad_out = np.empty((), np.float32), np.empty((), np.float32)
    given = none(name, np.float32(0.25), 1, out=out, grad_out=grad_out)
    assert given[0] is out
    assert given[1] is grad_out
    assert (out, grad_out) == (loss, grad)


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_of_results(name: str) -> None:
    for dtype, loss_dtype, grad_dtype in (
        *((half, "float32", half) for half in strategies.HALVES),
        ("float32", "float32", "float32"),
        (">f4", "float32", "float32"),
        ("float64", "float64", "float64"),
        (">f8", "float64", "float64"),
        ("int8", "float64", "float64"),
    ):
        loss, grad = FUNCTIONS[name](np.ones(3, dtype), np.ones(3), return_grad=True)
        assert (loss.dtype.name, grad.dtype.name) == (loss_dtype, grad_dtype), dtype
        assert grad.dtype.isnative


TARGETS = ("bool", *strategies.INTEGERS, *strategies.HALVES, "float32", "float64", ">f4", ">i8", "longdouble")


@pytest.mark.parametrize("target_dtype", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_targets_of_any_dtype(isa: str, dtype: np.dtype, name: str, target_dtype: str) -> None:
    x, t = problem(name, (70,), dtype, soft=False)
    t = np.abs(t) if np.dtype(target_dtype).kind in "bu" else t
    expected = none(name, x, t)
    for result in (none(name, x, t.astype(target_dtype)), none(name, x, np.repeat(t.astype(target_dtype), 2)[::2])):
        for ours, theirs in zip(result, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=4 * np.finfo(dtype).eps)


def test_a_float64_target_is_not_rounded() -> None:
    x = np.full(2, 0.5, np.float32)
    with pytest.raises(ValueError, match=r"^target: got 1\.0000000001 at 1, expected 0 to 1$"):
        xentc.binary_cross_entropy(x, np.array([1.0, 1.0000000001]))
    assert xentc.hinge_embedding_loss(x, np.array([1.0, 1.0000000001]), reduction="none").tolist() == [0.5, 1.0]
    near = xentc.hinge_embedding_loss(np.array([0.1], np.float32), [-1], margin=0.1, reduction="none", return_grad=True)
    assert near[0] == 0  # float32(0.1) is above 0.1
    assert near[1] == 0


@st.composite
def problems(draw: Any) -> tuple[str, np.ndarray, np.ndarray, dict[str, Any]]:
    name = draw(st.sampled_from(NAMES))
    dtype = draw(st.sampled_from(["float32", "float64", *strategies.HALVES]))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3, 5, 33, 65]), max_size=3)))
    shape = draw(st.sampled_from([shape, shape, (1025,), (2, 1100)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.uniform(size=shape) if name == BCE else rng.normal(0, draw(st.sampled_from([0.1, 3, 40])), shape)
    t_shape = shape
    if name == HINGE and draw(st.booleans()):
        extra = draw(st.sampled_from([(), (2,), (1,)]))
        t_shape = extra + tuple(draw(st.sampled_from([n, 1])) for n in shape)
        x = x[tuple(slice(None, 1) if draw(st.integers(0, 3)) == 0 else slice(None) for _ in shape)]
    t = draw(st.sampled_from([np.round, np.asarray]))(rng.uniform(size=t_shape))
    if name == HINGE:
        t = rng.choice([-1, 1, 1, 0], t_shape)
    t = np.asarray(t).astype(draw(st.sampled_from(["float32", "float64"])) if name != HINGE else "int8")
    x = np.asarray(x).astype(dtype)
    if draw(st.booleans()) and x.size:
        special = [0, 1, 0.5, 1e-30] if name == BCE else [INF, -INF, NAN, 0, 1, 30, -100]
        with np.errstate(all="ignore"):
            x[rng.random(x.shape) < 0.2] = np.array(draw(st.sampled_from(special))).astype(dtype)
    options: dict[str, Any] = {"reduction": draw(st.sampled_from(["none", "mean", "sum"]))}
    for key in ("weight", "pos_weight"):
        if (name == LOGITS or (name == BCE and key == "weight")) and draw(st.booleans()):
            part = tuple(draw(st.sampled_from([n, 1])) for n in shape)[draw(st.integers(0, len(shape))) :]
            options[key] = (rng.integers(0, 9, part) / 4).astype(draw(st.sampled_from(["float32", "float64", "int8"])))
    if name == HINGE:
        options["margin"] = draw(st.sampled_from([1.0, 0.1, 0.0, 2.5]))
    if draw(st.booleans()):
        whole = np.broadcast_shapes(x.shape, t.shape)
        scalar = options["reduction"] != "none" or draw(st.booleans())
        options["grad_output"] = np.where(
            rng.random(() if scalar else whole) < 0.2, 0, rng.normal(size=() if scalar else whole)
        )
    layouts = strategies.layouts_of(strategies.EVERYTHING)
    x = strategies.laid_out(x, draw(st.sampled_from(layouts)))
    t = strategies.laid_out(t, draw(st.sampled_from(layouts)))
    return name, x, t, options


@settings(max_examples=examples(400))
@given(problems())
def test_any_problem(case: tuple) -> None:
    name, x, t, options = case
    before = x.tobytes(), t.tobytes()
    with np.errstate(all="raise"):
        result = FUNCTIONS[name](x, t, return_grad=True, **options)
    reference.assert_matches(result, name, x, t, case, **options)
    alone = FUNCTIONS[name](x, t, **{key: value for key, value in options.items() if key != "grad_output"})
    assert np.asarray(alone).tobytes() == np.asarray(result[0]).tobytes()
    assert (x.tobytes(), t.tobytes()) == before


@pytest.mark.parametrize("n", [1, 15, 16, 17, 31, 33, 1023, 1024, 1025, 32767, 32769, 100_000])
@pytest.mark.parametrize("name", NAMES)
def test_every_length(isa: str, dtype: np.dtype, name: str, n: int) -> None:
    for soft in (True, False):
        x, t = problem(name, n, dtype, n, soft)
        for reduction in ("none", "mean"):
            result = FUNCTIONS[name](x, t, reduction=reduction, return_grad=True)
            reference.assert_matches(result, name, x, t, reduction=reduction)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_derivative(name: str) -> None:
    x, t = problem(name, 200, np.float64)
    x = np.clip(x, 0.05, 0.95) if name == BCE else x[np.abs(x - 1) > 1e-3]
    t = t[: x.size]
    step = 1e-6
    grad = none(name, x, t)[1]
    slope = (none(name, x + step, t)[0] - none(name, x - step, t)[0]) / (2 * step)
    np.testing.assert_allclose(grad, slope, rtol=1e-6, atol=1e-8)

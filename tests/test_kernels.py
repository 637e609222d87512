"""Every kernel on every ISA against the reference: lengths around vectors, tiles and blocks, and every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies
import tolerances
from amount import examples
from hypothesis import given, settings

import xentc

CLASSES = [1, 2, 7, 15, 16, 17, 31, 33, 64, 65, 1000, 4097, 50000]
COLUMN_BLOCK_EDGES = [16383, 16384, 16385, 40000]
SAMPLES = [0, 1, 2, 63, 64, 65, 1000]
MOST_LOGITS = 100_000

# Where the classes of a sample lie: next to each other, a plane apart, or a plane apart with few samples in a plane.
LAYOUTS = {
    "rows": lambda rows: rows,
    "planes": lambda rows: np.ascontiguousarray(rows.T)[None],
    "images": lambda rows: np.ascontiguousarray(
        rows[: len(rows) // 3 * 3].reshape(-1, 3, rows.shape[1]).swapaxes(1, 2)
    ),
}


def case(n_samples: int, n_classes: int, dtype: Any, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of several scales and offsets, confident ones among them; a fixed seed for each size."""
    rng = np.random.default_rng([n_samples, n_classes])
    scale = np.resize([1.0, 0.01, 10.0, 3.0], n_samples)[:, None]
    rows = (
        rng.normal(size=(n_samples, n_classes)) * scale + np.resize([0, 0, -1e3, 1e4, 3], n_samples)[:, None]
    ).astype(dtype)
    target = rng.integers(0, n_classes, n_samples)
    if n_samples > 2:
        target[::3] = rows[::3].argmax(axis=1)
    if n_samples > 1:
        rows[1, target[1]] += 20
    input = LAYOUTS[layout](rows)
    return input, target[: input.size // n_classes].reshape(input.shape[0], *input.shape[2:])


def several_samples(n_classes: int) -> list[int]:
    return sorted({min(n, max(2, MOST_LOGITS // n_classes)) for n in SAMPLES})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_classes", CLASSES + COLUMN_BLOCK_EDGES)
def test_every_length(isa: str, dtype: np.dtype, n_classes: int, layout: str) -> None:
    for n_samples in several_samples(n_classes):
        input, target = case(n_samples, n_classes, dtype, layout)
        result = xentc.cross_entropy(input, target, reduction="none", return_grad=True)
        tolerances.assert_matches(result, input, target, f"{input.shape}", reduction="none")
        alone = xentc.cross_entropy(input, target, reduction="none")
        assert alone.tobytes() == result[0].tobytes(), f"{input.shape}: the gradient changed the loss"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_classes", [1, 7, 33, 65, 1000])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_weight_and_ignored(isa: str, dtype: np.dtype, reduction: str, n_classes: int, layout: str) -> None:
    rng = np.random.default_rng(n_classes)
    for n_samples in (1, 64, 99):
        input, target = case(n_samples, n_classes, dtype, layout)
        target = np.where(rng.random(target.shape) < 0.2, -100, target)
        grad_output = rng.normal(size=target.shape if reduction == "none" else ())
        options = {"weight": rng.uniform(0, 2, n_classes), "reduction": reduction, "grad_output": grad_output}
        result = xentc.cross_entropy(input, target, return_grad=True, **options)
        tolerances.assert_matches(result, input, target, f"{input.shape}", **options)


@pytest.mark.parametrize("layout", ["rows", "planes"])
@pytest.mark.parametrize("n_classes", [33, 100, 4097, 40000])
def test_logits_that_rise_late(isa: str, dtype: np.dtype, n_classes: int, layout: str) -> None:
    """The largest logit is not among the first: the sum has to be started again over another reference."""
    rising = np.linspace(-1000, 1000, n_classes)
    late = np.where(np.arange(n_classes) == n_classes - 1, 500.0, 0.0)
    steps = np.where(np.arange(n_classes) > n_classes // 2, 300.0, -300.0)
    rows = np.array([rising, rising[::-1], late, steps, -late, rising * 10, late * 1e30, -1e30 - late]).astype(dtype)
    for target in (0, n_classes // 2, n_classes - 1):
        input, targets = LAYOUTS[layout](rows), np.full((8,) if layout == "rows" else (1, 8), target)
        result = xentc.cross_entropy(input, targets, reduction="none", return_grad=True)
        tolerances.assert_matches(result, input, targets, reduction="none")


@pytest.mark.parametrize("mask", [-np.inf, -1e30, -3e38])
@pytest.mark.parametrize("top", [0.0, 7e4, -6.4e4])
@pytest.mark.parametrize("n_masked", [0, 4, 70])
@pytest.mark.parametrize("n_classes", [6, 100, 365, 16800])
def test_references_far_from_what_is_summed(
    isa: str, dtype: np.dtype, n_classes: int, n_masked: int, top: float, mask: float
) -> None:
    """The reference is taken from masked logits, or lies far above all classes but the target: it is summed again."""
    if n_masked >= n_classes - 1:
        pytest.skip("no class is left")
    gaps = np.array([30, 50, 53, 60, 80, 87.5, 90, 200, 6.5e4, 7e4, 8e4, 9e4])
    rows = np.full((len(gaps), n_classes), mask)
    rows[:, n_masked:] = top - gaps[:, None] - 2 * (np.arange(n_classes - n_masked) % 100)
    rows[:, -1] = top
    rows = rows.astype(dtype)
    target = np.full(len(gaps), n_classes - 1)
    others = rows[:, :-1].astype(np.longdouble) - rows[:, -1:]
    exact = np.log1p(np.exp(others).sum(axis=1))
    # The promise: (b) of tolerances, and its (f) for each term. logsumexp is rounded beside the largest logit as well.
    eps = np.finfo(dtype).eps
    relative = 5e-6 if abs(top) > tolerances.LARGE_LOGIT else tolerances.row_ulps(dtype) * eps
    limits = {"rtol": float(relative), "atol": float(4 * np.finfo(dtype).tiny * n_classes)}
    for input, wanted in ((rows, target), (np.ascontiguousarray(rows.T)[None], target[None])):
        loss = xentc.cross_entropy(input, wanted, reduction="none").reshape(-1)
        np.testing.assert_allclose(loss.astype(np.longdouble), exact, **limits)
        # A loss that is no normal float is there, and a weight shows it: a sum of which nothing is left would be 0.
        heavy = xentc.cross_entropy(input, wanted, reduction="none", sample_weight=np.full(wanted.shape, 1e37))
        np.testing.assert_allclose(
            heavy.reshape(-1).astype(np.longdouble), exact * 1e37, limits["rtol"], float(4 * np.finfo(dtype).tiny)
        )
        assert xentc.score(input, wanted, axis=1).nll.reshape(-1).tobytes() == loss.tobytes()
        lse = xentc.logsumexp(input, axis=1).reshape(-1)
        wanted_lse = rows[:, -1].astype(np.longdouble) + exact
        np.testing.assert_allclose(lse.astype(np.longdouble), wanted_lse, **limits)
        best = xentc.top_logprobs(input, 1, axis=1)[0].reshape(-1)
        np.testing.assert_allclose(best.astype(np.longdouble), -exact, **limits)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reads_and_writes_nothing_around(isa: str, dtype: np.dtype, layout: str) -> None:
    """What lies beside the logits is nan, and what lies beside the gradient stays as it was."""
    for n_classes in [*range(1, 70), 127, 129, 1000]:
        input, target = case(6, n_classes, dtype, layout)
        inside = (slice(1, -1), *(slice(3, -2),) * (input.ndim - 1))
        larger = np.full([length + (2 if axis == 0 else 5) for axis, length in enumerate(input.shape)], np.nan, dtype)
        larger[inside] = input
        grads = np.full(larger.shape, 7.0, dtype)
        loss, grad = xentc.cross_entropy(
            larger[inside], target, reduction="none", return_grad=True, grad_out=grads[inside]
        )
        expected = xentc.cross_entropy(input, target, reduction="none", return_grad=True)
        assert loss.tobytes() == expected[0].tobytes()
        assert grad.tobytes() == expected[1].tobytes()
        grads[inside] = 7.0
        assert np.all(grads == 7.0)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(3, 5), (5,), (2, 4, 3), (2, 70), (1, 3, 2, 2)], ids=str)
def test_central_differences(isa: str, shape: tuple, reduction: str) -> None:
    """The gradient is the derivative of the loss as it is computed: no formula is asked."""
    rng = np.random.default_rng(0)
    axis = min(1, len(shape) - 1)
    input = rng.normal(size=shape)
    target = rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    if target.ndim:
        target[(-1,) * target.ndim] = 2
    options = {"weight": rng.uniform(0.5, 2, shape[axis]), "ignore_index": 2, "reduction": reduction}
    upstream = rng.normal(size=target.shape if reduction == "none" else ())
    grad = xentc.cross_entropy(input, target, return_grad=True, grad_output=upstream, **options)[1]
    step = 1e-5
    for position in np.ndindex(shape):
        shift = np.zeros(shape)
        shift[position] = step
        above, below = (xentc.cross_entropy(input + sign * shift, target, **options) for sign in (1, -1))
        derivative = np.sum((above - below) * upstream) / (2 * step)
        # The third derivative is below 1, and a loss of a few units is rounded by 1e-15.
        assert abs(grad[position] - derivative) < 10 * (step**2 + 1e-15 / step), (position, grad[position], derivative)


@settings(max_examples=examples(150))
@given(problem=strategies.problems())
def test_any_problem_equals_the_reference(isa: str, problem: strategies.Problem) -> None:
    before = problem.input.tobytes(), problem.target.tobytes()
    loss, grad = xentc.cross_entropy(problem.input, problem.target, return_grad=True, **problem.options)
    tolerances.assert_matches((loss, grad), problem.input, problem.target, **problem.options)
    assert (problem.input.tobytes(), problem.target.tobytes()) == before
    options = {name: value for name, value in problem.options.items() if name != "grad_output"}
    alone = xentc.cross_entropy(problem.input, problem.target, **options)
    assert np.asarray(alone).tobytes() == np.asarray(loss).tobytes()
    check_types(problem, loss, grad)


def check_types(problem: strategies.Problem, loss: Any, grad: np.ndarray) -> None:
    dtype = problem.input.dtype
    native = dtype.newbyteorder("=") if strategies.is_float(dtype) else np.dtype(np.float64)
    loss_dtype = np.dtype(np.float32) if native.itemsize == 2 else native
    assert loss.dtype == loss_dtype
    assert loss.dtype.isnative
    assert grad.dtype == native
    assert grad.dtype.isnative
    assert grad.shape == problem.input.shape
    scalar = problem.options.get("reduction", "mean") != "none" or problem.input.ndim == 1
    assert isinstance(loss, np.generic if scalar else np.ndarray)

"""The reference itself: against torch in float64 wherever torch has an opinion, and against mpmath and by hand where
it has not."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
import reference
import tolerances

SHAPES = {"(N, C)": ((6, 5), 1), "(C,)": ((5,), 0), "(N, C, d1, d2)": ((2, 4, 3, 2), 1), "axis=-1": ((2, 3, 7), -1)}
KINDS = ["index", "ignored", "probability"]


def sample_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    axis %= len(shape)
    return shape[:axis] + shape[axis + 1 :]


def arguments(rng: np.random.Generator, shape: tuple[int, ...], axis: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    input = rng.normal(0, 3, shape)
    if kind == "probability":
        return input, rng.uniform(-0.1, 1, shape)
    target = rng.integers(0, shape[axis], sample_shape(shape, axis))
    return input, np.where(rng.random(target.shape) < 0.3, -100, target) if kind == "ignored" else target


def torch_answer(
    torch: Any,
    input: np.ndarray,
    target: np.ndarray,
    axis: int,
    *,
    grad_output: np.ndarray,
    reduction: str,
    weight: np.ndarray | None = None,
    label_smoothing: float = 0.0,
    sample_weight: np.ndarray | None = None,
    softcap: float | None = None,
    temperature: float = 1.0,
    lse_square_scale: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """The loss as torch's users would build it: F.cross_entropy for each sample, and autograd for the rest."""
    x = torch.tensor(input, requires_grad=True)
    logits = (x if softcap is None else softcap * torch.tanh(x / softcap)) / temperature
    logits = logits.movedim(axis, 0 if input.ndim == 1 else 1)
    soft = target.shape == input.shape
    labels = torch.tensor(np.moveaxis(target, axis, 0 if input.ndim == 1 else 1) if soft else target)
    w = None if weight is None else torch.tensor(weight)
    plain = torch.nn.functional.cross_entropy
    options = {"weight": w, "label_smoothing": label_smoothing}
    loss = plain(logits, labels, reduction="none", **options)
    valid = torch.ones(loss.shape, dtype=torch.bool) if soft else labels != -100
    lse = logits.logsumexp(0 if input.ndim == 1 else 1)
    loss = loss + lse_square_scale * torch.where(valid, lse**2, 0)
    s = torch.ones(loss.shape) if sample_weight is None else torch.tensor(sample_weight)
    if reduction == "none":
        loss = s * loss
    elif reduction == "sum":
        loss = (s * loss).sum()
    elif soft or w is None:
        loss = (s * loss).sum() / (s * valid).sum()
    else:
        loss = (s * loss).sum() / (s * torch.where(valid, w[labels.clamp(0)], 0)).sum()
    loss.backward(torch.tensor(grad_output))
    if reduction == "mean" and sample_weight is None and lse_square_scale == 0:
        torch.testing.assert_close(loss, plain(logits, labels, **options))
    return loss.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(("shape", "axis"), SHAPES.values(), ids=SHAPES)
def test_equals_torch(torch: Any, shape: tuple, axis: int, reduction: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    samples = sample_shape(shape, axis)
    several = {
        "weight": [None, rng.uniform(0.1, 2, shape[axis])],
        "label_smoothing": [0.0, 0.3],
        "sample_weight": [None, rng.uniform(0.1, 2, samples)],
        "transform": [{}, {"softcap": 4.0, "temperature": 0.7}],
        "lse_square_scale": [0.0, 0.01],
    }
    for values in itertools.product(*several.values()):
        options = dict(zip(several, values, strict=True))
        options |= options.pop("transform")
        input, target = arguments(rng, shape, axis, kind)
        if kind == "ignored" and reduction == "mean" and np.all(target == -100):
            continue  # test_mean_of_nothing
        options |= {"reduction": reduction, "grad_output": rng.normal(size=samples if reduction == "none" else ())}
        loss, grad = reference.cross_entropy(input, target, axis=axis, **options)
        expected_loss, expected_grad = torch_answer(torch, input, target, axis, **options)
        np.testing.assert_allclose(loss.astype(float), expected_loss, rtol=1e-12, atol=1e-13, err_msg=str(options))
        np.testing.assert_allclose(grad.astype(float), expected_grad, rtol=1e-11, atol=1e-13, err_msg=str(options))


def test_non_finite_logits_equal_torch(torch: Any) -> None:
    """Rows that SEMANTICS leaves to torch: no ignored sample, no coefficient of 0."""
    inf, nan = np.inf, np.nan
    values = np.array([-inf, inf, nan, 0.0, 1.5])
    input = np.array(list(itertools.product(values, repeat=3)))
    for target in range(3):
        targets = np.full(len(input), target)
        loss, grad = reference.cross_entropy(input, targets, reduction="none")
        x = torch.tensor(input, requires_grad=True)
        expected = torch.nn.functional.cross_entropy(x, torch.tensor(targets), reduction="none")
        expected.sum().backward()
        np.testing.assert_allclose(loss.astype(float), expected.detach().numpy(), rtol=1e-14)
        np.testing.assert_allclose(grad.astype(float), x.grad.numpy(), rtol=1e-14, atol=1e-16)


def rows_and_targets() -> list[tuple[np.ndarray, int]]:
    rng = np.random.default_rng(1)
    rows = [rng.normal(0, scale, 10) for scale in (0.1, 1, 30, 1e4)]
    rows += [np.full(10, 3.0), rows[1] + 1e4, rows[1] - 1e4, np.r_[rows[1][:9], -np.inf]]
    confident = [np.r_[gap, rows[1][1:]] for gap in (5, 40, 70, 500, 1e4)]
    return [(row, 4) for row in rows] + [(row, 0) for row in confident]


@pytest.mark.parametrize(("row", "target"), rows_and_targets())
def test_equals_mpmath(row: np.ndarray, target: int) -> None:
    loss, grad = reference.cross_entropy(row, np.array(target))
    assert_allclose_to_exact(loss, reference.exact_loss(row, target), row)
    assert_allclose_to_exact(grad, reference.exact_gradient(row, target), row)


def assert_allclose_to_exact(actual: Any, exact: Any, row: np.ndarray) -> None:
    """To 4 eps of what the reference computes in, and what rounding x - max costs; or below what its floats hold."""
    limits = np.finfo(np.longdouble)
    exact = tolerances.to_longdouble(exact)
    eps = (4 + np.ptp(row[np.isfinite(row)])) * limits.eps
    np.testing.assert_array_less(np.abs(actual - exact), eps * np.abs(exact) + 16 * limits.tiny)


def test_exact_loss_is_what_mpmath_says_of_the_definition() -> None:
    row = [0.25, -1.5, 3.0]
    with mpmath.workdps(50):
        definition = mpmath.log(mpmath.fsum(mpmath.exp(x) for x in row)) - row[0]
        assert abs(reference.exact_loss(row, 0) - definition) < mpmath.mpf(10) ** -48
        step = mpmath.mpf(10) ** -20
        upper, lower = [row[0], row[1] + step, row[2]], [row[0], row[1] - step, row[2]]
        difference = mpmath.log(mpmath.fsum(map(mpmath.exp, upper))) - mpmath.log(mpmath.fsum(map(mpmath.exp, lower)))
        assert abs(reference.exact_gradient(row, 0)[1] - difference / (2 * step)) < mpmath.mpf(10) ** -28


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_coefficient_of_zero_removes_its_own_term(bad: float, reduction: str) -> None:
    input = np.array([[1.0, 2.0, 3.0], [bad, bad, bad]])
    clean = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    target = np.array([0, 1])
    for options in (
        {"weight": [2.0, 0.0, 1.0]},
        {"sample_weight": [2.0, 0.0]},
        {"ignore_index": 1},
        {"weight": [2.0, 0.0, np.nan]},
    ):
        loss, grad = reference.cross_entropy(input, target, reduction=reduction, **options)
        same_loss, same_grad = reference.cross_entropy(clean, target, reduction=reduction, **options)
        np.testing.assert_array_equal(loss, same_loss)
        np.testing.assert_array_equal(grad, same_grad)
        assert np.all(grad[1] == 0)
    grad = reference.cross_entropy(input, target, reduction="none", grad_output=[3.0, 0.0])[1]
    assert np.all(grad[1] == 0)
    assert np.all(grad[0] != 0)


def test_a_probability_of_zero_removes_its_own_term() -> None:
    input, target = np.array([[-np.inf, 0.0, 1.0]]), np.array([[0.0, 0.25, 0.75]])
    loss, grad = reference.cross_entropy(input, target)
    np.testing.assert_allclose(loss.astype(float), np.log(1 + np.e) - 0.75)
    assert grad[0, 0] == 0


@pytest.mark.parametrize("shape", [(0, 3), (4, 3), (0, 3, 2), (4, 0)])
def test_mean_of_nothing(shape: tuple) -> None:
    input = np.zeros(shape)
    target = np.full(sample_shape(shape, 1), -100)
    for reduction, expected in (("mean", np.nan), ("sum", 0.0), ("none", np.zeros(target.shape))):
        loss, grad = reference.cross_entropy(input, target, reduction=reduction, label_smoothing=0.1)
        np.testing.assert_array_equal(loss, expected)
        np.testing.assert_array_equal(grad, np.zeros(shape))
    assert np.isnan(reference.cross_entropy(np.ones((2, 3)), np.array([0, 1]), weight=[0.0, 0.0, 1.0])[0])
    assert np.isnan(reference.cross_entropy(np.ones((2, 0)), np.ones((2, 0)))[0])
    assert reference.cross_entropy(np.ones((2, 3)), np.ones((2, 3)), weight=[0.0, 0.0, 0.0])[0] == 0

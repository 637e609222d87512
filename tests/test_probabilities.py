"""cross_entropy of probabilities: what each case is worth, and that a target of one-hot rows is that of its indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import strategies
import tolerances
from checks import refuse
from numpy import inf, nan

import xentc

X = [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]
P = np.exp(X[0]) / np.exp(X[0]).sum()
NLL = -np.log(P)  # of X[0], and backwards of X[1]
LN2, LN3 = np.log(2), np.log(3)
Q = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
W = np.array([2.0, 3.0, 0.5])
NONE, SUM = {"reduction": "none"}, {"reduction": "sum"}
WEIGHTED = {"weight": W.tolist()}
LOSS = np.array([Q[0] @ NLL, NLL[1]])
WEIGHTED_LOSS = np.array([(W * Q[0]) @ NLL, 3 * NLL[1]])
GRAD = np.array([P - Q[0], P[::-1] - Q[1]])
WEIGHTED_GRAD = np.array([(W @ Q[0]) * P - W * Q[0], 3 * P[::-1] - W * Q[1]])
SMOOTHED = 0.75 * Q + 0.25 / 3
ZEROS, NANS = np.zeros((2, 3)), [[nan] * 3]
EMPTY = np.zeros((0, 3))

# name: input, target, options, the loss, the gradient
VALUES: dict[str, tuple] = {
    "none": (X, Q, NONE, LOSS, GRAD),
    "sum": (X, Q, SUM, LOSS.sum(), GRAD),
    "mean, over samples": (X, Q, {}, LOSS.sum() / 2, GRAD / 2),
    "weight, none": (X, Q, WEIGHTED | NONE, WEIGHTED_LOSS, WEIGHTED_GRAD),
    "weight, mean, never over weights": (X, Q, WEIGHTED, WEIGHTED_LOSS.sum() / 2, WEIGHTED_GRAD / 2),
    "(C,), none is a scalar": (X[0], Q[0], NONE, LOSS[0], GRAD[0]),
    "(C,), weight, mean": (X[0], Q[0], WEIGHTED, WEIGHTED_LOSS[0], WEIGHTED_GRAD[0]),
    "sample axes inside": (np.array(X).T[None], Q.T[None], NONE, LOSS[None], GRAD.T[None]),
    "sample axes inside, mean over all": (np.array(X).T[None], Q.T[None], {}, LOSS.sum() / 2, GRAD.T[None] / 2),
    "no samples, mean": (EMPTY, EMPTY, {}, nan, EMPTY),
    "no samples, sum": (EMPTY, EMPTY, SUM, 0, EMPTY),
    "no samples, none": (EMPTY, EMPTY, NONE, [], EMPTY),
    "no classes, mean": (EMPTY.T[:2], EMPTY.T[:2], {}, nan, EMPTY.T[:2]),
    "no classes, mean, smoothing": (EMPTY.T[:2], EMPTY.T[:2], {"label_smoothing": 0.5}, nan, EMPTY.T[:2]),
    "no classes, sum": (EMPTY.T[:2], EMPTY.T[:2], SUM, 0, EMPTY.T[:2]),
    "no classes, none": (EMPTY.T[:2], EMPTY.T[:2], NONE, [0, 0], EMPTY.T[:2]),
    "rows of sum 4": (X[:1], 4 * Q[:1], NONE, 4 * LOSS[:1], 4 * GRAD[:1]),
    "a row of ones": (X[:1], [[1, 1, 1]], NONE, [NLL.sum()], [3 * P - 1]),
    "a row of ones, mean": (X, np.ones((2, 3)), {}, NLL.sum(), np.array([3 * P - 1, 3 * P[::-1] - 1]) / 2),
    "a row of sum 0": (X, [[0.5, 0, -0.5], [0, 0, 1]], NONE, [0.5 * (NLL[0] - NLL[2]), NLL[0]],
                       [[-0.5, 0, 0.5], P[::-1] - [0, 0, 1]]),
    "a row of zeros still counts": (X, [[0, 0, 0], [0, 0, 1]], {}, NLL[0] / 2, [[0, 0, 0], (P[::-1] - [0, 0, 1]) / 2]),
    "rows of zeros": (X, ZEROS, {}, 0, ZEROS),
    "negative": (X[:1], [[-1, 0, 2]], NONE, [-NLL[0] + 2 * NLL[2]], [P - [-1, 0, 2]]),
    "nan": (X, [[nan, 0, 0], [0, 1, 0]], NONE, [nan, NLL[1]], [*NANS, GRAD[1]]),
    "+inf": (X[:1], [[inf, 0, 0]], NONE, [inf], None),
    "smoothing": (X, Q, {"label_smoothing": 0.25, **NONE}, [SMOOTHED[0] @ NLL, SMOOTHED[1] @ NLL[::-1]],
                  np.array([P, P[::-1]]) - SMOOTHED),
    "smoothing 1": (X, Q, {"label_smoothing": 1.0}, NLL.mean(), np.array([P - 1 / 3, P[::-1] - 1 / 3]) / 2),
    "smoothing, weight": (X[:1], Q[:1], {"label_smoothing": 0.25, **WEIGHTED}, (W * SMOOTHED[0]) @ NLL,
                          [(W @ SMOOTHED[0]) * P - W * SMOOTHED[0]]),
    "smoothing, rows that do not sum to 1": (X[:1], [[2, 0, 0]], {"label_smoothing": 0.25},
                                             1.5 * NLL[0] + 0.25 * NLL.mean(), [1.75 * P - [19 / 12, 1 / 12, 1 / 12]]),
    "0 at -inf": ([[0, -inf, 0]], [[0.25, 0, 0.75]], NONE, [LN2], [[0.25, 0, -0.25]]),
    "above 0 at -inf": ([[0, -inf, 0]], [[0.5, 0.5, 0]], NONE, [inf], [[0, -0.5, 0.5]]),
    "below 0 at -inf": ([[0, -inf, 0]], [[0.5, -0.5, 1]], NONE, [-inf], [[0, 0.5, -0.5]]),
    "weight 0 at -inf": ([[0, -inf, 0]], [[0.5, 0.5, 0]], {"weight": [1, 0, 1]}, 0.5 * LN2, [[-0.25, 0, 0.25]]),
    "smoothing at -inf": ([[0, -inf, 0]], [[0.25, 0, 0.75]], {"label_smoothing": 0.25, **NONE}, [inf], None),
    "smoothing at -inf of weight 0": ([[0, -inf, 0]], [[0.25, 0, 0.75]],
                                      {"label_smoothing": 0.25, "weight": [1, 0, 1]}, 11 / 12 * LN2, None),
    "zeros over nan": ([[nan, inf, 0], X[1]], [[0, 0, 0], Q[1]], {}, NLL[1] / 2, [[0, 0, 0], GRAD[1] / 2]),
    "weights of 0 over nan": ([[nan] * 3], [[0.5, 0.5, 0]], {"weight": [0, 0, 1], **NONE}, [0], [[0, 0, 0]]),
    "nan in a row": ([[nan, 0, 0], X[1]], Q, NONE, [nan, NLL[1]], [*NANS, GRAD[1]]),
    "nan where the probability is 0": ([[0, nan, 0]], [[1, 0, 0]], NONE, [nan], NANS),
    "+inf in a row": ([[0, inf, 0]], [[1, 0, 0]], NONE, [nan], NANS),
    "-inf throughout": ([[-inf] * 3], [[1, 0, 0]], NONE, [nan], NANS),
    "confident": ([[60.0, 0, 0]], [[1, 0, 0]], NONE, [2 * np.exp(-60.0)], None),
    "confidently wrong": ([[1000.0, 0, 0]], [[0, 0.5, 0.5]], NONE, [1000.0], [[1, -0.5, -0.5]]),
    "a negative ignore_index ignores nothing": (X, Q, {"ignore_index": -1}, LOSS.sum() / 2, GRAD / 2),
    "grad_output": (X, Q, {"grad_output": [2.0, 0.0], **NONE}, LOSS, [2 * GRAD[0], [0, 0, 0]]),
    "sample_weight, mean": (X, Q, {"sample_weight": [3.0, 1.0], **WEIGHTED},
                            (3 * WEIGHTED_LOSS[0] + WEIGHTED_LOSS[1]) / 4,
                            [0.75 * WEIGHTED_GRAD[0], 0.25 * WEIGHTED_GRAD[1]]),
    "sample_weight of 0, mean": ([[nan] * 3, X[1]], Q, {"sample_weight": [0.0, 2.0]}, NLL[1], [[0, 0, 0], GRAD[1]]),
    "every sample_weight 0, mean": (X, Q, {"sample_weight": [0.0, 0.0]}, nan, ZEROS),
    "every weight 0, mean": (X, Q, {"weight": [0, 0, 0]}, 0, ZEROS),
}  # fmt: skip

# torch.nn.functional.cross_entropy in float64: input, target, options
TORCH_INPUT = [[0.3, -1.2, 2.5, 0.0], [1.5, 0.7, -0.6, -2.0]]
TORCH_TARGET = [[0.1, 0.2, 0.3, 0.4], [0.9, 0.0, 0.4, 0.0]]
TORCH_VALUES: dict[str, tuple] = {
    "mean": (
        {},
        1.804753014763574,
        [[-0.004499796664325532, -0.08984753234292484, 0.2606399493314596, -0.1662926203242093],
         [-0.04425281605887651, 0.1823139618537448, -0.1503136490808644, 0.0122525032859961]],
    ),
    "weight, mean": (
        {"weight": [2.0, 0.5, 1.0, 3.0]},
        3.020568479791552,
        [[-0.01809963399578595, -0.0317255582172647, 0.5891519087966275, -0.5393267165835768],
         [-0.2133509194842525, 0.3085313200601835, -0.1159154061368474, 0.02073500556091647]],
    ),
    "weight, smoothing, none": (
        {"weight": [2.0, 0.5, 1.0, 3.0], "label_smoothing": 0.2, "reduction": "none"},
        [4.083013150782254, 2.304539772032969],
        [[-0.09938428222506912, -0.06916178917052468, 1.159559021140053, -0.9910129497444589],
         [-0.2384878792042423, 0.5598070930231661, -0.210621474359388, -0.1106977394595356]],
    ),
    "smoothing, sum": (
        {"label_smoothing": 0.7, "reduction": "sum"},
        4.140545189178504,
        [[-0.113999593328651, -0.2146950646858496, 0.5562798986629193, -0.2275852406484186],
         [0.2354068161474225, 0.1307264898778182, -0.2116798115356033, -0.1544534944896373]],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("input", "target", "options", "loss", "grad"), VALUES.values(), ids=VALUES)
def test_value(isa: str, dtype: np.dtype, input: Any, target: Any, options: dict, loss: Any, grad: Any) -> None:
    input, target = np.array(input, dtype), np.array(target, dtype)
    with np.errstate(all="raise"):
        result = xentc.cross_entropy(input, target, return_grad=True, **options)
        assert np.array_equal(xentc.cross_entropy(input, target, **without_grad(options)), result[0], equal_nan=True)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(result[0], np.array(loss, float), rtol=16 * eps)
    if grad is not None:
        grad = np.array(grad, float)
        assert result[1].shape == grad.shape
        np.testing.assert_allclose(result[1], grad, rtol=8 * eps, atol=8 * eps)
        assert np.all(result[1][np.all(grad == 0, axis=-1)] == 0)


def without_grad(options: dict) -> dict:
    return {name: value for name, value in options.items() if name != "grad_output"}


@pytest.mark.parametrize(("options", "loss", "grad"), TORCH_VALUES.values(), ids=TORCH_VALUES)
def test_torchs_value(isa: str, dtype: np.dtype, options: dict, loss: Any, grad: Any) -> None:
    input, target = np.array(TORCH_INPUT, dtype), np.array(TORCH_TARGET, dtype)
    result = xentc.cross_entropy(input, target, return_grad=True, **options)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(result[0], loss, rtol=16 * eps)
    np.testing.assert_allclose(result[1], grad, rtol=16 * eps, atol=8 * eps)


@pytest.mark.parametrize("target_dtype", ["float16", "float32", "float64", ">f2", ">f4", ">f8", *strategies.HALVES[1:]])
@pytest.mark.parametrize("input_dtype", ["float32", "float64", *strategies.HALVES])
def test_dtype_of_the_target_is_its_own(isa: str, input_dtype: str, target_dtype: str) -> None:
    """Numbers that every float holds: the answer is that of a float64 target, and the result has the input's dtype."""
    rng = np.random.default_rng(0)
    input = rng.normal(size=(9, 21)).astype(input_dtype)
    target = rng.integers(0, 9, (9, 21)) / 8
    for options in ({}, {"reduction": "none", "label_smoothing": 0.5}):
        expected = xentc.cross_entropy(input.astype(np.float64), target, return_grad=True, **options)
        given = target.astype(target_dtype)
        loss, grad = xentc.cross_entropy(input, given, return_grad=True, **options)
        assert grad.dtype == input.dtype
        assert loss.dtype == (np.float64 if input_dtype == "float64" else np.float32)
        np.testing.assert_allclose(loss, expected[0], rtol=8 * float(np.finfo(loss.dtype).eps))
        eps = float(tolerances.float_limits(grad.dtype).eps)
        np.testing.assert_allclose(grad.astype(float), expected[1], rtol=8 * eps, atol=8 * eps)
        tolerances.assert_matches((loss, grad), input, target, **options)


@pytest.mark.parametrize("layout", strategies.layouts_of(strategies.EVERYTHING))
@pytest.mark.parametrize("target_dtype", ["float16", "float32", "float64"])
def test_read_where_it_lies(isa: str, layout: str, target_dtype: str) -> None:
    rng = np.random.default_rng(1)
    input, target = rng.normal(size=(5, 18, 4)).astype(np.float32), rng.uniform(size=(5, 18, 4)).astype(target_dtype)
    given = strategies.laid_out(target, layout)
    before = given.copy()
    result = xentc.cross_entropy(input, given, return_grad=True)
    tolerances.assert_matches(result, input, np.array(given), context=layout)
    assert np.array_equal(given, before)


@pytest.mark.parametrize("n_classes", [1, 2, 10, 33, 1000])
def test_one_hot_is_the_index(isa: str, dtype: np.dtype, rng: np.random.Generator, n_classes: int) -> None:
    input, index = rng.normal(0, 3, (7, n_classes)).astype(dtype), rng.integers(0, n_classes, 7)
    one_hot = np.eye(n_classes, dtype=dtype)[index]
    for options in ({"reduction": "none"}, {"reduction": "sum", "weight": rng.uniform(0.5, 2, n_classes)}, {}):
        loss, grad = xentc.cross_entropy(input, one_hot, return_grad=True, **options)
        tolerances.assert_matches((loss, grad), input, one_hot, **options)
        expected = xentc.cross_entropy(input, index, return_grad=True, **options)
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(loss, expected[0], rtol=16 * eps, atol=1e-300)
        np.testing.assert_allclose(grad, expected[1], rtol=16 * eps, atol=8 * eps)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 50, 128])
def test_nearly_all_on_the_largest_logit(isa: str, dtype: np.dtype, rng: np.random.Generator, n_classes: int) -> None:
    """Side by side, terms are differences from the largest logit: the promise holds at the size of the loss."""
    input = rng.normal(0, 3, (300, n_classes))
    input[np.arange(300), rng.integers(0, n_classes, 300)] += rng.uniform(0, 40, 300)
    input = input.astype(dtype)
    largest = np.eye(n_classes)[input.argmax(1)]
    for rest in (0.0, 1e-6, 1e-3):
        target = (largest * (1 - rest) + rest / n_classes).astype(dtype)
        # log1p of the others beside the largest, in more bits than are promised
        below = input.max(1, keepdims=True).astype(np.longdouble) - input
        others = np.where(largest == 1, 0, np.exp(-below)).sum(1)
        loss = (target.astype(np.longdouble) * (below + np.log1p(others)[:, None])).sum(1)
        actual = xentc.cross_entropy(input, target, reduction="none")
        tolerances.assert_ulp(actual, loss, tolerances.row_ulps(dtype), context=f"{rest} on the others")


@pytest.mark.parametrize("ignore_index", [0, 1, 2, 3, 100, 2**63 - 1])
def test_an_ignore_index_that_a_class_could_be(ignore_index: int) -> None:
    refuse(ValueError, "ignore_index", target=Q.astype(np.float32), ignore_index=ignore_index)


@pytest.mark.parametrize("target_dtype", [*strategies.INTEGERS, "bool", "complex64", "object", "longdouble"])
def test_probabilities_are_floating(target_dtype: str) -> None:
    if np.dtype(target_dtype) == np.float64:
        pytest.skip("long double is float64 here")
    refuse(TypeError, "target", target=np.ones((2, 3), target_dtype))

"""xentc's own options of cross_entropy, alone and together; label smoothing's edges; which inputs are promoted."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tolerances
from checks import assert_same_bits, refuse
from numpy import inf, nan

import xentc

X = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
P = np.exp(X[0]) / np.exp(X[0]).sum()
LSE = np.log(np.exp(X[0]).sum())  # of both rows
NLL = LSE - X[0]  # of X[0], and backwards of X[1]
W = np.array([2.0, 3.0, 0.5])
LN2, LN3 = np.log(2), np.log(3)
Q = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
SOFT = np.array([Q[0] @ NLL, NLL[1]])
NONE, SUM = {"reduction": "none"}, {"reduction": "sum"}
NANS = [nan] * 3


def log_softmax(x: Any) -> np.ndarray:
    x = np.asarray(x, float)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


CAPPED = 2 * np.tanh(X / 2)

# name: input, target, options, the loss
VALUES: dict[str, tuple] = {
    "sample_weight, none": (X, [0, 1], {"sample_weight": [3, 0.5], **NONE}, [3 * NLL[0], 0.5 * NLL[1]]),
    "sample_weight, sum": (X, [0, 1], {"sample_weight": [3, 0.5], **SUM}, 3 * NLL[0] + 0.5 * NLL[1]),
    "sample_weight, mean": (X, [0, 1], {"sample_weight": [3, 0.5]}, (3 * NLL[0] + 0.5 * NLL[1]) / 3.5),
    "sample_weight, weight, mean": (X, [0, 1], {"sample_weight": [3, 0.5], "weight": W},
                                    (6 * NLL[0] + 1.5 * NLL[1]) / 7.5),
    "sample_weight, ignored": (X, [0, -100], {"sample_weight": [3, 5]}, NLL[0]),
    "sample_weight, nan of an ignored sample": (X, [0, -100], {"sample_weight": [3, nan]}, NLL[0]),
    "sample_weight, negative": (X, [0, 1], {"sample_weight": [-1, 3]}, (-NLL[0] + 3 * NLL[1]) / 2),
    "sample_weight, nan": (X, [0, 1], {"sample_weight": [nan, 3], **NONE}, [nan, 3 * NLL[1]]),
    "sample_weight, 0 removes nan": ([NANS, X[1]], [0, 1], {"sample_weight": [0, 3]}, NLL[1]),
    "sample_weight, 0 removes nan, none": ([NANS, X[1]], [0, 1], {"sample_weight": [0, 3], **NONE}, [0, 3 * NLL[1]]),
    "sample_weight, 0 throughout": (X, [0, 1], {"sample_weight": [0, 0]}, nan),
    "sample_weight, 0 throughout, sum": (X, [0, 1], {"sample_weight": [0, 0], **SUM}, 0),
    "sample_weight of one sample": (X[0], 1, {"sample_weight": 4.0, **SUM}, 4 * NLL[1]),
    "sample_weight, probabilities, none": (X, Q, {"sample_weight": [3, 0.5], **NONE}, [3 * SOFT[0], 0.5 * SOFT[1]]),
    "sample_weight, probabilities, mean": (X, Q, {"sample_weight": [3, 0.5], "weight": W},
                                           (3 * ((W * Q[0]) @ NLL) + 0.5 * 3 * NLL[1]) / 3.5),
    "sample_weight, probabilities, 0 removes nan": ([NANS, X[1]], Q, {"sample_weight": [0, 3]}, NLL[1]),
    "weight 0 removes nan": ([NANS, X[1]], [2, 0], {"weight": [1, 1, 0]}, NLL[2]),
    "a row of probability 0 removes nan and counts": ([NANS, X[1]], [[0] * 3, Q[1]], {}, NLL[1] / 2),
    "softcap": (X, [0, 2], {"softcap": 2.0, **NONE}, [-log_softmax(CAPPED)[0, 0], -log_softmax(CAPPED)[1, 2]]),
    "softcap, temperature": (X, [0, 2], {"softcap": 2.0, "temperature": 0.5},
                             -(log_softmax(CAPPED * 2)[0, 0] + log_softmax(CAPPED * 2)[1, 2]) / 2),
    "temperature": (X, [0, 2], {"temperature": 4.0, **NONE}, [-log_softmax(X / 4)[0, 0], -log_softmax(X / 4)[1, 2]]),
    "temperature, probabilities": (X, Q, {"temperature": 4.0}, -np.sum(Q * log_softmax(X / 4)) / 2),
    "temperature, -inf": ([[0, -inf, 0]], [0], {"temperature": 4.0, **NONE}, [LN2]),
    "softcap, -inf is -s": ([[0, -inf, 0]], [0], {"softcap": 2.0, **NONE}, [np.log(2 + np.exp(-2))]),
    "softcap, -inf at the target is -s": ([[0, -inf, 0]], [1], {"softcap": 2.0, **NONE}, [2 + np.log(2 + np.exp(-2))]),
    "softcap, +inf is s": ([[0, inf, 0]], [0], {"softcap": 2.0, **NONE}, [np.log(2 + np.exp(2))]),
    "softcap, -inf throughout": ([[-inf] * 3], [0], {"softcap": 2.0, **NONE}, [LN3]),
    "softcap, nan": ([[0, nan, 0]], [0], {"softcap": 2.0, **NONE}, [nan]),
    "softcap, far out": ([[1e30, 0, -1e30]], [0], {"softcap": 2.0, **NONE}, [np.log1p(np.exp(-2) + np.exp(-4))]),
    "lse_square_scale, none": (X, [0, 1], {"lse_square_scale": 0.5, **NONE}, NLL[:2] + LSE**2 / 2),
    "lse_square_scale, mean": (X, [0, 1], {"lse_square_scale": 0.5}, (NLL[0] + NLL[1] + LSE**2) / 2),
    "lse_square_scale, not times the class weight": (X, [0, 1], {"lse_square_scale": 0.5, "weight": W, **NONE},
                                                     [2 * NLL[0] + LSE**2 / 2, 3 * NLL[1] + LSE**2 / 2]),
    "lse_square_scale, weight, mean": (X, [0, 1], {"lse_square_scale": 0.5, "weight": W},
                                       (2 * NLL[0] + 3 * NLL[1] + LSE**2) / 5),
    "lse_square_scale, times the sample weight": (X, [0, 1], {"lse_square_scale": 0.5, "sample_weight": [3, 0], **NONE},
                                                  [3 * (NLL[0] + LSE**2 / 2), 0]),
    "lse_square_scale, both weights, mean": (X, [0, 1], {"lse_square_scale": 1.0, "sample_weight": [3, 1], "weight": W},
                                             (3 * (2 * NLL[0] + LSE**2) + 3 * NLL[1] + LSE**2) / 9),
    "lse_square_scale, ignored": (X, [0, -100], {"lse_square_scale": 0.5, **NONE}, [NLL[0] + LSE**2 / 2, 0]),
    "lse_square_scale, ignored nan": ([NANS, X[1]], [-100, 0], {"lse_square_scale": 0.5}, NLL[2] + LSE**2 / 2),
    "lse_square_scale, all ignored": (X, [-100, -100], {"lse_square_scale": 0.5}, nan),
    "lse_square_scale, all ignored, sum": (X, [-100, -100], {"lse_square_scale": 0.5, **SUM}, 0),
    "lse_square_scale stays where the weight is 0": (X, [0, 1], {"lse_square_scale": 1.0, "weight": [0, 1, 1], **NONE},
                                                     [LSE**2, NLL[1] + LSE**2]),
    "lse_square_scale, probabilities": (X, Q, {"lse_square_scale": 0.5}, (SOFT.sum() + LSE**2) / 2),
    "lse_square_scale, transformed": (X[:1], [0], {"lse_square_scale": 1.0, "temperature": 2.0},
                                      np.log(np.exp(X[0] / 2).sum()) ** 2 - log_softmax(X[0] / 2)[0]),
    "smoothing 0": (X, [0, 1], {"label_smoothing": 0.0, **NONE}, NLL[:2]),
    "smoothing 0, integer": (X, [0, 1], {"label_smoothing": 0, **NONE}, NLL[:2]),
    "smoothing 1": (X, [0, 1], {"label_smoothing": 1.0, **NONE}, [NLL.mean()] * 2),
    "smoothing 1, weight": (X[:1], [1], {"label_smoothing": 1, "weight": W}, W @ NLL / 3 / 3),
    "smoothing 1, -inf at the target": ([[0, -inf, 0]], [1], {"label_smoothing": 1.0, **NONE}, [inf]),
    "smoothing 1, -inf at a target of weight 0": ([[0, -inf, 0]], [1], {"label_smoothing": 1.0, "weight": [1, 0, 1],
                                                                        **NONE}, [2 * LN2 / 3]),
    "smoothing, weight 0 at the target": (X[:1], [1], {"label_smoothing": 0.3, "weight": [2, 0, 4], **NONE},
                                          [0.1 * (2 * NLL[0] + 4 * NLL[2])]),
    "smoothing, -inf": ([[0, -inf, 0]], [0], {"label_smoothing": 1e-3}, inf),
    "smoothing, -inf of weight 0": ([[0, -inf, 0]], [0], {"label_smoothing": 0.3, "weight": [1, 0, 1]}, 0.9 * LN2),
    "smoothing, no weight but of 0 throughout": (X, [0, 1], {"label_smoothing": 0.3, "weight": [0, 0, 0]}, nan),
    "smoothing, one class": ([[7.0]], [0], {"label_smoothing": 0.3, **NONE}, [0]),
}  # fmt: skip


@pytest.mark.parametrize(("input", "target", "options", "loss"), VALUES.values(), ids=VALUES)
def test_value(isa: str, dtype: np.dtype, input: Any, target: Any, options: dict, loss: Any) -> None:
    """The value is computed in the table; what gradient belongs to it, by the reference."""
    input = np.array(input, dtype)
    with np.errstate(all="raise"):
        result = xentc.cross_entropy(input, target, return_grad=True, **options)
        alone = xentc.cross_entropy(input, target, **options)
    np.testing.assert_allclose(result[0], loss, rtol=16 * float(np.finfo(dtype).eps))
    assert alone.tobytes() == result[0].tobytes()
    tolerances.assert_matches(result, input, np.asarray(target), **options)


def given(rng: np.random.Generator, kind: str, shape: tuple = (4, 5, 3)) -> tuple[np.ndarray, np.ndarray, dict]:
    """Arguments with every option that they allow, in float64."""
    input, samples = rng.normal(0, 2, shape), (shape[0], *shape[2:])
    options: dict[str, Any] = {"weight": rng.uniform(0.5, 2, shape[1]), "sample_weight": rng.uniform(0.5, 2, samples)}
    options |= {"label_smoothing": 0.2, "softcap": 3.0, "temperature": 0.7, "lse_square_scale": 0.1}
    if kind == "probabilities":
        return input, rng.uniform(size=shape), options
    target = rng.integers(0, shape[1], samples)
    target[rng.random(samples) < 0.2] = 3
    return input, target, options | {"ignore_index": 3}


TOGETHER = [("softcap",), ("temperature",), ("softcap", "temperature"), ("lse_square_scale",), ("label_smoothing",),
            ("lse_square_scale", "sample_weight", "weight"), ("softcap", "lse_square_scale"), None]  # fmt: skip


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: "all" if names is None else " ".join(names))
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_gradient_is_the_slope(isa: str, rng: np.random.Generator, kind: str, names: Any) -> None:
    """By central differences of the fourth order, of a sum with weights that no two samples share."""
    input, target, options = given(rng, kind)
    options = {name: value for name, value in options.items() if names is None or name in (*names, "ignore_index")}
    upstream = rng.normal(size=(4, 3))

    def total(shifted: np.ndarray) -> float:
        return float((upstream * xentc.cross_entropy(shifted, target, reduction="none", **options)).sum())

    grad = xentc.cross_entropy(
        input, target, reduction="none", return_grad=True, grad_output=upstream, **options
    )[1]  # fmt: skip
    step, slope = 1e-3, np.empty_like(grad)
    for position in np.ndindex(input.shape):
        unit = np.zeros_like(input)
        unit[position] = step
        near, far = total(input + unit) - total(input - unit), total(input + 2 * unit) - total(input - 2 * unit)
        slope[position] = (8 * near - far) / (12 * step)
    np.testing.assert_allclose(grad, slope, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_every_option_at_once(isa: str, dtype: np.dtype, rng: np.random.Generator, kind: str, reduction: str) -> None:
    """The value, line by line from the page that says what each option means."""
    x, target, options = given(rng, kind, (6, 33))
    x = x.astype(dtype)
    grad_output = rng.normal(size=6 if reduction == "none" else ())
    more = {"reduction": reduction, "grad_output": grad_output, **options}
    result = xentc.cross_entropy(x, target, return_grad=True, **more)
    z = 3.0 * np.tanh(x.astype(np.float64) / 3.0) / 0.7
    q = np.eye(33)[target] if kind == "indices" else target
    plain = -(options["weight"] * (0.8 * q + 0.2 / 33) * log_softmax(z)).sum(axis=1)
    valid = target != 3 if kind == "indices" else np.ones(6, bool)
    s = options["sample_weight"] * valid
    losses = s * (plain + 0.1 * np.log(np.exp(z).sum(axis=1)) ** 2)
    denominator = (s * options["weight"][target] if kind == "indices" else s).sum()
    loss = losses if reduction == "none" else losses.sum() / (denominator if reduction == "mean" else 1)
    np.testing.assert_allclose(result[0], loss, rtol=32 * float(np.finfo(dtype).eps))
    tolerances.assert_matches(result, x, target, **more)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (4, 5, 3), (2, 3, 4, 5), (0, 5, 2), (2, 5, 0)], ids=str)
@pytest.mark.parametrize("kind", ["indices", "probabilities"])
def test_axis(isa: str, dtype: np.dtype, rng: np.random.Generator, kind: str, shape: tuple) -> None:
    """Every position, counted from either end: the answer of the same samples with their classes last."""
    for axis in range(len(shape)):
        samples = shape[:axis] + shape[axis + 1 :]
        input = rng.normal(size=shape).astype(dtype)
        n_classes = shape[axis]
        target = rng.integers(0, n_classes, samples) if n_classes else np.full(samples, -100)
        if kind == "probabilities":
            target = rng.uniform(size=shape)
        options = {"reduction": "none", "sample_weight": rng.uniform(size=samples)}
        result = xentc.cross_entropy(input, target, return_grad=True, axis=axis, **options)
        assert_same_bits(
            result, xentc.cross_entropy(input, target, return_grad=True, axis=axis - len(shape), **options)
        )
        assert result[0].shape == samples
        assert result[1].shape == shape
        last = np.ascontiguousarray(np.moveaxis(input, axis, -1))
        target_last = np.ascontiguousarray(np.moveaxis(target, axis, -1)) if kind == "probabilities" else target
        expected = xentc.cross_entropy(last, target_last, return_grad=True, axis=-1, **options)
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(result[0], expected[0], rtol=8 * eps)
        np.testing.assert_allclose(np.moveaxis(result[1], axis, -1), expected[1], rtol=8 * eps, atol=8 * eps)
    default = xentc.cross_entropy(np.ones(shape, dtype), np.ones(shape, dtype), reduction="none")
    same = xentc.cross_entropy(
        np.ones(shape, dtype), np.ones(shape, dtype), reduction="none", axis=min(1, len(shape) - 1)
    )
    assert default.tobytes() == same.tobytes()


UNREAL = [nan, inf, -inf]
OUT_OF_RANGE = {
    "softcap": [0, 0.0, -1.0, -1e-300, *UNREAL],
    "temperature": [0, 0.0, -1.0, -1e-300, *UNREAL],
    "lse_square_scale": [-1.0, -1e-300, *UNREAL],
    "label_smoothing": [-0.1, -1e-300, 1.0000001, 2, *UNREAL],
    "axis": [2, -3, 10**30],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, row in OUT_OF_RANGE.items() for value in row])
def test_out_of_range(name: str, value: Any) -> None:
    assert str(value) in refuse(ValueError, name, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("temperature", None), ("axis", 1.0), ("softcap", "3"), ("axis", "0")])
def test_of_another_type(name: str, value: Any) -> None:
    refuse(TypeError, name, **{name: value})


def test_a_number_may_be_of_numpys() -> None:
    expected = xentc.cross_entropy(X, [0, 1], softcap=2.0, temperature=0.5, lse_square_scale=0.25, label_smoothing=0.5)
    for kind in (np.float16, np.float32, np.float64, np.longdouble, lambda value: np.array(value, np.float32)):
        names = {"softcap": 2.0, "temperature": 0.5, "lse_square_scale": 0.25, "label_smoothing": 0.5}
        assert xentc.cross_entropy(X, [0, 1], **{name: kind(value) for name, value in names.items()}) == expected
    assert xentc.cross_entropy(X, [0, 1], softcap=np.int8(2)) == xentc.cross_entropy(X, [0, 1], softcap=2.0)


def test_more_logits_than_an_integer_counts() -> None:
    """A broadcast array of 2**57 classes would take years, but its size divides by nothing that overflowed to 0."""
    code = "import numpy as np, xentc; xentc.cross_entropy(np.broadcast_to(np.int8(0), (1, 2**57)), [0], num_threads=1)"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=3)


class Unwilling:
    def __index__(self) -> int:
        raise RuntimeError("no")


@pytest.mark.parametrize("name", ["axis", "ignore_index", "num_threads"])
def test_an_index_that_raises(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: got Unwilling"):
        xentc.cross_entropy(X, [0, 1], **{name: Unwilling()})


@pytest.mark.parametrize("name", ["weight", "sample_weight", "grad_output"])
def test_numbers_beyond_float64(name: str) -> None:
    """They become infinite, and without a warning."""
    wide = np.finfo(np.longdouble).max > np.finfo(float).max
    value = np.full(3 if name == "weight" else 2, np.longdouble("1e400") if wide else inf)
    loss, _ = xentc.cross_entropy(X, [0, 1], reduction="none", return_grad=True, **{name: value})
    assert np.isfinite(loss).all() == (name == "grad_output")


@pytest.mark.parametrize("gap", [100, 177, 400, 590])
def test_a_target_far_below_has_a_share(isa: str, gap: int) -> None:
    """Of the whole gradient only that of the squared logsumexp is left at the target, whose class weighs nothing."""
    input = np.array([[3.0, 3.0 - gap]])
    options = {"weight": [1.0, 0.0], "lse_square_scale": 0.5, "reduction": "sum"}
    _, grad = xentc.cross_entropy(input, [1], return_grad=True, **options)
    np.testing.assert_allclose(grad[0, 1], 3 * np.exp(-float(gap)), rtol=1e-13)

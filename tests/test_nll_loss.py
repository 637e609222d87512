"""nll_loss: what each case is worth, what is returned, and what is refused."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import reference_classes
import strategies
import tolerances
from amount import examples
from checks import assert_same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import inf, nan

import xentc
from xentc import _engine

X = [[-1.0, -2.0, -3.0], [-3.0, -2.0, -1.0]]
X32 = np.array(X, np.float32)
NONE: dict[str, Any] = {"reduction": "none"}
SUM: dict[str, Any] = {"reduction": "sum"}
FLOATS = ("float32", "float64", *strategies.HALVES)

# name: input, target, options, the loss, the gradient
VALUES: dict[str, tuple] = {
    "none": (X, [0, 1], NONE, [1, 2], [[-1, 0, 0], [0, -1, 0]]),
    "sum": (X, [0, 1], SUM, 3, [[-1, 0, 0], [0, -1, 0]]),
    "mean": (X, [0, 1], {}, 1.5, [[-0.5, 0, 0], [0, -0.5, 0]]),
    "weight, none": (X, [0, 1], {"weight": [2, 3, 9], **NONE}, [2, 6], [[-2, 0, 0], [0, -3, 0]]),
    "weight, mean": (X, [0, 1], {"weight": [2, 3, 9]}, 8 / 5, [[-2 / 5, 0, 0], [0, -3 / 5, 0]]),
    "sample_weight, mean": (X, [0, 1], {"weight": [2, 3, 9], "sample_weight": [4, 1]}, 14 / 11,
                            [[-8 / 11, 0, 0], [0, -3 / 11, 0]]),
    "sample_weight, none": (X, [0, 1], {"sample_weight": [4, 0], **NONE}, [4, 0], [[-4, 0, 0], [0, 0, 0]]),
    "ignored, none": (X, [-100, 2], NONE, [0, 1], [[0, 0, 0], [0, 0, -1]]),
    "ignored, mean": (X, [-100, 2], {}, 1, [[0, 0, 0], [0, 0, -1]]),
    "ignored class": (X, [1, 2], {"ignore_index": 1}, 1, [[0, 0, 0], [0, 0, -1]]),
    "ignored of nan": ([[nan] * 3, X[1]], [-100, 2], {}, 1, [[0, 0, 0], [0, 0, -1]]),
    "all ignored, none": (X, [-100, -100], NONE, [0, 0], np.zeros((2, 3))),
    "all ignored, mean": (X, [-100, -100], {}, nan, np.zeros((2, 3))),
    "all ignored, sum": (X, [-100, -100], SUM, 0, np.zeros((2, 3))),
    "no samples, none": (np.zeros((0, 3)), [], NONE, [], np.zeros((0, 3))),
    "no samples, mean": (np.zeros((0, 3)), [], {}, nan, np.zeros((0, 3))),
    "no samples, sum": (np.zeros((0, 3)), [], SUM, 0, np.zeros((0, 3))),
    "no classes, ignored": (np.zeros((2, 0)), [-100, -100], NONE, [0, 0], np.zeros((2, 0))),
    "no classes, ignored, mean": (np.zeros((2, 0)), [-100, -100], {}, nan, np.zeros((2, 0))),
    "(C,), none is a scalar": (X[0], 1, NONE, 2, [0, -1, 0]),
    "(C,), mean": (X[0], 1, {"weight": [2, 3, 9]}, 2, [0, -1, 0]),
    "(C,), ignored": (X[0], -100, {}, nan, [0, 0, 0]),
    "as many samples as classes": (np.eye(3), [0, 1, 1], NONE, [-1, -1, 0], [[-1, 0, 0], [0, -1, 0], [0, -1, 0]]),
    "nan elsewhere": ([[nan, -2, inf]], [1], {}, 2, [[0, -1, 0]]),
    "nan at the target": ([[nan, -2, 0]], [0], {}, nan, [[-1, 0, 0]]),
    "-inf at the target": ([[-inf, 0, 0], X[0]], [0, 0], {}, inf, [[-0.5, 0, 0], [-0.5, 0, 0]]),
    "+inf at the target": ([[inf, 0, 0]], [0], {}, -inf, [[-1, 0, 0]]),
    "weight 0 of inf": ([[-inf, 0, 0], X[0]], [0, 1], {"weight": [0, 1, 1]}, 2, [[0, 0, 0], [0, -1, 0]]),
    "weight 0 of nan": ([[nan, 0, 0]], [0], {"weight": [0, 1, 1], **NONE}, [0], [[0, 0, 0]]),
    "sample_weight 0 of nan": ([[nan] * 3, X[0]], [0, 1], {"sample_weight": [0, 2]}, 2, [[0, 0, 0], [0, -1, 0]]),
    "weight 0 throughout, mean": (X, [1, 1], {"weight": [1, 0, 1]}, nan, np.zeros((2, 3))),
    "negative weight": (X, [0, 0], {"weight": [-2, 1, 1], **NONE}, [-2, -6], [[2, 0, 0], [2, 0, 0]]),
    "weight of nan at a target": (X, [0, 1], {"weight": [nan, 1, 1], **NONE}, [nan, 2], [[nan, 0, 0], [0, -1, 0]]),
    "weight of nan at no target": (X, [0, 1], {"weight": [1, 1, nan], **NONE}, [1, 2], [[-1, 0, 0], [0, -1, 0]]),
    "grad_output 0": ([[nan, 0, 0]], [0], {"grad_output": 0.0}, nan, [[0, 0, 0]]),
    "grad_output a sample": (X, [0, 1], {"grad_output": [0.0, 3.0], **NONE}, [1, 2], [[0, 0, 0], [0, -3, 0]]),
}  # fmt: skip


@pytest.mark.parametrize(("input", "target", "options", "loss", "grad"), VALUES.values(), ids=VALUES)
def test_value(isa: str, dtype: np.dtype, input: Any, target: Any, options: dict, loss: Any, grad: Any) -> None:
    input, target = np.array(input, dtype), np.array(target, np.int64)
    with np.errstate(all="raise"):
        result = xentc.nll_loss(input, target, return_grad=True, **options)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(result[0], np.array(loss, float), rtol=eps)
    np.testing.assert_allclose(result[1], np.array(grad, float), rtol=eps)
    assert_matches(result, input, target, **options)


def assert_matches(result: tuple, input: Any, target: Any, **options: Any) -> None:
    exact = reference_classes.nll_loss(input, target, **options)
    summands = 1 if options.get("reduction") == "none" else np.asarray(target).size + 1
    # Terms of two signs cancel in a sum: an ULP is one of the largest of them.
    size = np.abs(reference_classes.nll_loss(input, target, **{**options, "reduction": "none"})[0])
    largest = np.where(np.isfinite(size), size, 0).max(initial=0)
    magnitude = None if options.get("reduction") == "none" else largest
    wide = np.asarray(result[0]).dtype.itemsize == 8
    tolerances.assert_ulp(result[0], exact[0], 1.5 + (summands if wide else 0), magnitude, "loss")
    tolerances.assert_ulp(result[1], exact[1], 1.5 + (summands if wide else 0), None, "gradient")


@st.composite
def problems(draw: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """As cross_entropy's, of plain log-probabilities: what of a mean's sum cancels is not what this is about."""
    features = strategies.FIRST | {"half", "sample_weight"}
    problem = draw(strategies.problems(features))
    if "weight" in problem.options:
        problem.options["weight"] = np.abs(problem.options["weight"])
    return problem.input, problem.target, problem.options


@given(problems())
@settings(max_examples=examples(300))
def test_equals_the_reference(problem: tuple) -> None:
    input, target, options = problem
    before = input.tobytes()
    with np.errstate(all="raise"):
        result = xentc.nll_loss(input, target, return_grad=True, **options)
    assert input.tobytes() == before
    assert_matches(result, input, target, **options)
    plain = {name: value for name, value in options.items() if name != "grad_output"}
    assert_same_bits((xentc.nll_loss(input, target, **plain),), result[:1])
    straight = xentc.nll_loss(input.copy(), target.copy(), return_grad=True, **options)
    assert_same_bits(tuple(map(np.asarray, straight)), tuple(map(np.array, result)))


@pytest.mark.parametrize("layout", ["C", "Fortran", "transposed", "stepped", "reversed", "sliced"])
@pytest.mark.parametrize("shape", [(6, 5), (5,), (3, 5, 4), (700, 3), (3, 70, 30, 30), (4, 3000)], ids=str)
@pytest.mark.parametrize("name", FLOATS)
def test_the_memory_given(isa: str, name: str, shape: tuple, layout: str) -> None:
    """Written where it was asked for, also over the input, and nowhere else."""
    rng = np.random.default_rng(0)
    samples = () if len(shape) == 1 else shape[:1] + shape[2:]
    input, target = rng.normal(size=shape).astype(name), rng.integers(0, shape[len(shape) > 1], samples)
    options = {"reduction": "none", "return_grad": True, "weight": rng.uniform(1, 2, shape[len(shape) > 1])}
    expected = xentc.nll_loss(input, target, **options)
    out = strategies.laid_out(np.empty(samples, expected[0].dtype), layout)
    grad_out = strategies.laid_out(np.full(shape, 7, name), layout)
    outside = None if grad_out.base is None else grad_out.base.copy()
    loss, grad = xentc.nll_loss(input, target, out=out, grad_out=grad_out, **options)
    assert loss is out
    assert grad is grad_out
    assert_same_bits((loss, grad), expected)
    if layout == "stepped":
        assert outside is not None
        written = outside != grad_out.base
        assert np.count_nonzero(written) == grad.size
    in_place = strategies.laid_out(input, layout)
    assert_same_bits(xentc.nll_loss(in_place, target, grad_out=in_place, **options), expected)


@pytest.mark.parametrize("shape", [(601, 1000), (60000, 10), (3, 21, 100, 100), (40, 20000)], ids=str)
def test_same_bits_on_any_number_of_threads(isa: str, dtype: np.dtype, shape: tuple) -> None:
    rng = np.random.default_rng(shape)
    input, target = rng.normal(0, 3, shape).astype(dtype), rng.integers(0, shape[1], shape[:1] + shape[2:])
    for reduction in ("none", "mean", "sum"):
        options = {"reduction": reduction, "weight": rng.uniform(0, 2, shape[1])}
        expected = None
        for n in (1, 2, 3, 4, 7, 16):
            loss = xentc.nll_loss(input, target, num_threads=n, **options)
            both = xentc.nll_loss(input, target, num_threads=n, return_grad=True, **options)
            if _engine.openmp():
                assert _engine.last_team_size() == n  # of the gradient
            bits = loss.tobytes(), both[0].tobytes(), both[1].tobytes()
            expected = expected or bits
            assert bits[0] == bits[1]
            assert bits == expected


def test_a_sum_has_the_same_bits_in_any_layout(isa: str, dtype: np.dtype) -> None:
    rng = np.random.default_rng(1)
    input, target = rng.normal(size=(7, 3, 37, 5)).astype(dtype), rng.integers(0, 3, (7, 37, 5))
    expected = xentc.nll_loss(input, target)
    for layout in ("Fortran", "transposed", "stepped", "reversed", "misaligned", "big_endian"):
        assert_same_bits((xentc.nll_loss(strategies.laid_out(input, layout), target),), (expected,))


def test_every_integer_dtype_gives_the_same_bits(isa: str) -> None:
    input, target = np.random.default_rng(0).normal(size=(50, 7)), np.arange(50) % 7
    expected = xentc.nll_loss(input, target, ignore_index=3, return_grad=True)
    for name in strategies.INTEGERS:
        for layout in ("C", "stepped", "reversed", "misaligned", "big_endian", "read-only"):
            given = strategies.laid_out(target.astype(name), layout)
            assert_same_bits(xentc.nll_loss(input, given, ignore_index=3, return_grad=True), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 3), (2, 3, 4)], ids=str)
def test_result_types(shape: tuple, reduction: str) -> None:
    samples = shape[:-1] if len(shape) == 1 else shape[:1] + shape[2:]
    target = np.zeros(samples, np.int32)
    for name in (*FLOATS, "int8", "uint64"):
        loss, grad = xentc.nll_loss(np.ones(shape, name), target, reduction=reduction, return_grad=True)
        dtype = np.dtype(np.float32 if name in ("float32", *strategies.HALVES) else np.float64)
        assert type(loss) is (np.ndarray if reduction == "none" and samples else dtype.type)
        assert (loss.dtype, grad.dtype) == (dtype, np.dtype(name if name in FLOATS else np.float64))
        assert (np.shape(loss), grad.shape) == (samples if reduction == "none" else (), shape)


# error, the argument it names, and what is wrong over a call that is right
WRONG: list[tuple] = [
    (ValueError, "input", {"input": 3.0}),
    (TypeError, "input", {"input": X32 > 0}),
    (TypeError, "input", {"input": "text"}),
    (TypeError, "target", {"target": [0.0, 1.0]}),
    (TypeError, "target", {"target": [True, False]}),
    (TypeError, "target", {"target": X32}),  # of equal shapes: never probabilities
    (ValueError, "target", {"target": np.zeros((2, 3), int)}),
    (ValueError, "target", {"target": [0, 1, 2]}),
    (ValueError, "target", {"target": 0}),
    (IndexError, "target", {"target": [0, 3]}),
    (IndexError, "target", {"target": [0, -1]}),
    (IndexError, "target", {"target": np.array([0, 2**64 - 100], np.uint64)}),
    (IndexError, "target", {"target": np.array([0, 156], np.uint8)}),
    (ValueError, "weight", {"weight": [1, 2]}),
    (TypeError, "weight", {"weight": "text"}),
    (ValueError, "sample_weight", {"sample_weight": [1, 2, 3]}),
    (TypeError, "ignore_index", {"ignore_index": 1.5}),
    (ValueError, "ignore_index", {"ignore_index": 2**63}),
    (ValueError, "reduction", {"reduction": "avg"}),
    (TypeError, "reduction", {"reduction": None}),
    (ValueError, "axis", {"axis": 2}),
    (ValueError, "grad_output", {"grad_output": [1.0]}),
    (ValueError, "grad_output", {"grad_output": 1.0, "return_grad": False, "grad_out": None}),
    (ValueError, "grad_out", {"return_grad": False}),
    (ValueError, "grad_out", {"grad_out": np.zeros((3, 2), np.float32)}),
    (TypeError, "grad_out", {"grad_out": np.zeros((2, 3))}),
    (ValueError, "out", {"reduction": "mean"}),
    (ValueError, "out", {"out": np.zeros(3, np.float32)}),
    (TypeError, "out", {"out": np.zeros(2)}),
    (ValueError, "num_threads", {"num_threads": 0}),
]


@pytest.mark.parametrize(("error", "name", "changed"), WRONG, ids=lambda value: value if type(value) is str else None)
def test_what_is_refused(error: type[Exception], name: str, changed: dict) -> None:
    out, grad_out = np.full(2, 7, np.float32), np.full((2, 3), 7, np.float32)
    right = {"input": X32, "target": [0, 1], "out": out, "grad_out": grad_out, "return_grad": True, **NONE}
    with pytest.raises(error, match=rf"^{name}: got|^{name}: given") as refused:
        xentc.nll_loss(**{**right, **changed})
    assert refused.type is error
    assert np.all(out == 7)
    assert np.all(grad_out == 7)


def test_a_gradient_that_overlaps_the_input() -> None:
    memory = np.arange(8, dtype=np.float32)
    for kind in ({"grad_out": memory[1:7].reshape(2, 3)}, {"grad_out": memory[:6].reshape(3, 2).T}):
        with pytest.raises(ValueError, match=r"^grad_out: overlaps input"):
            xentc.nll_loss(memory[:6].reshape(2, 3), [0, 1], return_grad=True, **kind)
    assert np.array_equal(memory, np.arange(8))


DEPRECATED = [(None, True, "mean"), (None, False, "none"), (True, None, "mean"), (True, False, "none"),
              (False, None, "sum"), (False, True, "sum"), (False, False, "none")]  # fmt: skip


@pytest.mark.parametrize(("size_average", "reduce", "reduction"), DEPRECATED)
def test_size_average_and_reduce(size_average: Any, reduce: Any, reduction: str) -> None:
    for call in (xentc.nll_loss, lambda *a, **options: xentc.NLLLoss(**options)(*a)):
        with pytest.warns(DeprecationWarning, match="reduction") as warned:
            loss = call(X, [0, 1], size_average=size_average, reduce=reduce)
        assert warned[0].filename == __file__
        assert np.array_equal(loss, xentc.nll_loss(X, [0, 1], reduction=reduction))


@pytest.mark.parametrize(
    "options", [{}, {"weight": [0.5, 2.0, 0.25]}, {"ignore_index": 2, "axis": -1, **NONE}], ids=str
)
def test_class_equals_function(dtype: np.dtype, options: dict) -> None:
    criterion = xentc.NLLLoss(**options)
    call = {"return_grad": True, "grad_output": 0.5, "num_threads": 2, "sample_weight": [1, 2]}
    expected = xentc.nll_loss(np.array(X, dtype), [1, 0], **options, **call)
    for twin in (criterion, copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert twin == criterion
        assert_same_bits(twin(np.array(X, dtype), [1, 0], **call), expected)


def test_class_copies_its_weight_and_is_frozen() -> None:
    weight = np.array([1.0, 2.0, 3.0])
    criterion = xentc.NLLLoss(weight)
    before = criterion(X, [0, 1])
    weight[:] = [3.0, 2.0, 1.0]
    assert criterion(X, [0, 1]) == before
    with pytest.raises(AttributeError):
        criterion.reduction = "sum"  # type: ignore[misc]
    assert repr(xentc.NLLLoss(ignore_index=1)) == "NLLLoss(ignore_index=1)"


def test_follows_cross_entropy() -> None:
    """The log-probabilities' loss is the logits' one."""
    logits = np.random.default_rng(0).normal(size=(20, 5))
    log_softmax = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    target = np.arange(20) % 5
    assert np.isclose(xentc.nll_loss(log_softmax, target), xentc.cross_entropy(logits, target), rtol=1e-14)

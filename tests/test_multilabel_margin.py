"""multilabel_margin_loss: what each case is worth, how near the exact value, what is returned and what is refused."""

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

X = [[0.0, 0.5, 2.0, -1.0]]
X32 = np.array([[0.1, 0.2, 0.4], [0.3, 0.2, 0.1]], np.float32)
NONE: dict[str, Any] = {"reduction": "none"}
SUM: dict[str, Any] = {"reduction": "sum"}
FLOATS = ("float32", "float64", *strategies.HALVES)
ZERO_ROW, NAN_ROW = [[0, 0, 0, 0]], [[nan] * 4]

# name: input, target, options, the loss times C, the gradient times C
VALUES: dict[str, tuple] = {
    "one listed": (X, [[0, -1, 0, 0]], {}, 1.5 + 3.0, [[-2, 1, 1, 0]]),  # at 1 - 0 - 1: on the kink, no pair
    "two listed": (X, [[0, 2, -1, 0]], {}, 1.5, [[-1, 1, 0, 0]]),
    "listed twice": (X, [[0, 0, -1, 0]], {}, 2 * 4.5, [[-4, 2, 2, 0]]),
    "no end mark": (X, [[0, 1, 0, 1]], {}, 2 * 3.0 + 2 * 2.5, [[-2, -2, 4, 0]]),
    "none listed": (X, [[-1, 0, 1, 2]], {}, 0, ZERO_ROW),
    "all listed": (X, [[3, 2, 1, 0]], {}, 0, ZERO_ROW),
    "behind the end mark": (X, [[2, -1, 0, -1]], {}, 0, ZERO_ROW),
    "(C,)": (X[0], [0, -1, 0, 0], {}, 4.5, [-2, 1, 1, 0]),
    "(C,), none is a scalar": (X[0], [0, -1, 0, 0], NONE, 4.5, [-2, 1, 1, 0]),
    "two samples, mean": (X * 2, [[0, -1, 0, 0], [-1] * 4], {}, 4.5 / 2, [[-1, 0.5, 0.5, 0], [0] * 4]),
    "two samples, sum": (X * 2, [[0, -1, 0, 0], [0, 2, -1, -1]], SUM, 6, [[-2, 1, 1, 0], [-1, 1, 0, 0]]),
    "two samples, none": (X * 2, [[0, -1, 0, 0], [0, 2, -1, -1]], NONE, [4.5, 1.5], [[-2, 1, 1, 0], [-1, 1, 0, 0]]),
    "no samples, mean": (np.zeros((0, 4)), np.zeros((0, 4)), {}, nan, np.zeros((0, 4))),
    "no samples, sum": (np.zeros((0, 4)), np.zeros((0, 4)), SUM, 0, np.zeros((0, 4))),
    "no samples, none": (np.zeros((0, 4)), np.zeros((0, 4)), NONE, [], np.zeros((0, 4))),
    "nan listed": ([[nan, 0, 0, 0]], [[0, -1, 0, 0]], {}, nan, NAN_ROW),
    "nan not listed": ([[0, nan, 0, 0]], [[0, -1, 0, 0]], {}, nan, NAN_ROW),
    "nan, none listed": ([[0, nan, 0, 0]], [[-1, -1, 0, 0]], {}, nan, NAN_ROW),
    "nan for that row alone": ([[0, nan, 0, 0], X[0]], [[0, -1, 0, 0]] * 2, NONE, [nan, 4.5],
                               [*NAN_ROW, [-2, 1, 1, 0]]),
    "+inf not listed": ([[0, inf, 0, 0]], [[0, -1, 0, 0]], {}, inf, [[-3, 1, 1, 1]]),
    "+inf listed": ([[0, inf, 0, 0]], [[1, -1, 0, 0]], {}, 0, ZERO_ROW),
    "+inf both": ([[0, inf, inf, 0]], [[1, -1, 0, 0]], {}, 0, ZERO_ROW),
    "-inf not listed": ([[0, -inf, -inf, -inf]], [[0, -1, 0, 0]], {}, 0, ZERO_ROW),
    "-inf listed": ([[0, -inf, 0, 0]], [[1, -1, 0, 0]], {}, inf, [[1, -3, 1, 1]]),
    "-inf listed twice": ([[0, -inf, -inf, 0]], [[1, 2, -1, 0]], {}, inf, [[2, -2, -2, 2]]),
    "-inf both": ([[-inf, -inf, -inf, 0]], [[1, 3, -1, 0]], {}, 0, ZERO_ROW),
    "-inf below others": ([[-inf, 0, 1, 3]], [[0, 1, 2, -1]], {}, inf, [[-1, -1, -1, 3]]),
    "grad_output 0 of nan": ([[nan] * 4], [[0, -1, 0, 0]], {"grad_output": 0.0}, nan, ZERO_ROW),
    "grad_output a sample": (X * 2, [[0, -1, 0, 0]] * 2, {"grad_output": [2.0, 0.0], **NONE}, [4.5, 4.5],
                             [[-4, 2, 2, 0], [0, 0, 0, 0]]),
}  # fmt: skip


@pytest.mark.parametrize(("input", "target", "options", "loss", "grad"), VALUES.values(), ids=VALUES)
def test_value(isa: str, dtype: np.dtype, input: Any, target: Any, options: dict, loss: Any, grad: Any) -> None:
    input, target = np.array(input, dtype), np.array(target, np.int64)
    with np.errstate(all="raise"):
        result = xentc.multilabel_margin_loss(input, target, return_grad=True, **options)
    np.testing.assert_array_equal(result[0], np.array(loss, float) / 4)
    np.testing.assert_array_equal(result[1], np.array(grad, float) / 4)
    assert_matches(result, input, target, **options)


def test_the_example_of_the_seeds() -> None:
    assert round(float(xentc.multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[1, 0, 1, 0]])), 4) == 2.9000
    assert round(float(xentc.multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]])), 4) == 0.8500


def test_one_number() -> None:
    """0-d: one class, listed or not, and nothing to pair it with."""
    for target in (0, -1, np.int8(0)):
        for reduction in ("mean", "sum", "none"):
            grad_out = np.full((), 7.0)
            loss, grad = xentc.multilabel_margin_loss(
                3.0, target, reduction=reduction, return_grad=True, grad_out=grad_out
            )
            assert (type(loss), loss, grad) == (np.float64, 0, 0)
            assert grad is grad_out
    assert xentc.multilabel_margin_loss(np.float32(3), 0, return_grad=True)[1].shape == ()


def assert_matches(result: tuple, input: Any, target: Any, **options: Any) -> None:
    """4 ULP in float32, 8 in float64; samples are added in float64, and a gradient is rounded twice."""
    exact = reference_classes.multilabel_margin_loss(input, target, **options)
    result = tuple(map(np.asarray, result))
    tolerances.assert_ulp(result[0], exact[0], tolerances.row_ulps(result[0].dtype), None, "loss")
    tolerances.assert_ulp(result[1], exact[1], 2, None, "gradient")


def lists(rng: np.random.Generator, shape: tuple[int, ...], n_listed: int | None = None) -> np.ndarray:
    """Lists of any length, or of n_listed, each with repeated classes or without, anything behind the end mark."""
    n_classes = shape[-1]
    target = rng.integers(-1, n_classes, shape)
    for row in target.reshape(-1, n_classes):
        n = int(rng.choice([0, 1, n_classes, rng.integers(0, n_classes + 1)])) if n_listed is None else n_listed
        row[:n] = rng.choice(n_classes, n, replace=rng.random() < 0.5)
        if n < n_classes:
            row[n] = -1
    return target


@st.composite
def problems(draw: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_classes = draw(st.sampled_from([1, 2, 3, 31, 32, 33, 63, 64, 65, 66, 127, 128, 129, 200]))
    shape = draw(st.sampled_from([(n_classes,), (0, n_classes), (1, n_classes), (3, n_classes), (9, n_classes)]))
    dtype = np.dtype(draw(st.sampled_from([*FLOATS, "int16", "uint8"])))
    input = draw(strategies.logits(rng, shape, len(shape) - 1, dtype, draw(st.booleans())))
    target = lists(rng, shape).astype(draw(st.sampled_from([n for n in strategies.INTEGERS if n[0] == "i"])))
    target = np.where(target.astype(int) >= n_classes, -1, target).astype(target.dtype)  # what int8 cannot hold
    target = np.where((target < -1), -1, target).astype(target.dtype)
    if draw(st.booleans()) and np.all(target >= 0):
        target = target.astype("u" + target.dtype.name)
    names = strategies.layouts_of(strategies.FIRST)
    if strategies.is_float(dtype):
        input = strategies.laid_out(input, draw(st.sampled_from(names)))
    target = strategies.laid_out(target, draw(st.sampled_from(names)))
    options: dict[str, Any] = {"reduction": draw(st.sampled_from(["none", "mean", "sum"]))}
    if draw(st.booleans()):
        per_sample = options["reduction"] == "none" and draw(st.booleans())
        options["grad_output"] = rng.normal(size=shape[:-1] if per_sample else ()) * draw(st.sampled_from([0.0, 1e3]))
    return input, target, options


@given(problems())
@settings(max_examples=examples(300))
def test_equals_the_reference(problem: tuple) -> None:
    input, target, options = problem
    before = input.tobytes()
    with np.errstate(all="raise"):
        result = xentc.multilabel_margin_loss(input, target, return_grad=True, **options)
    assert input.tobytes() == before
    assert_matches(result, input, target, **options)
    plain = {"reduction": options["reduction"]}
    assert_same_bits((xentc.multilabel_margin_loss(input, target, **plain),), result[:1])
    straight = xentc.multilabel_margin_loss(input.copy(), target.copy(), return_grad=True, **options)
    assert_same_bits(tuple(map(np.asarray, straight)), tuple(map(np.array, result)))


@pytest.mark.parametrize("n_listed", [3, 32, 33, 500])
def test_same_bits_on_any_number_of_threads(isa: str, dtype: np.dtype, n_listed: int) -> None:
    rng = np.random.default_rng(n_listed)
    input, target = rng.normal(0, 3, (101, 700)).astype(dtype), lists(rng, (101, 700), n_listed)
    for reduction in ("none", "mean", "sum"):
        expected = None
        for n in (1, 2, 3, 4, 7, 16):
            loss = xentc.multilabel_margin_loss(input, target, reduction=reduction, num_threads=n)
            both = xentc.multilabel_margin_loss(input, target, reduction=reduction, num_threads=n, return_grad=True)
            if _engine.openmp():
                assert _engine.last_team_size() == n
            bits = loss.tobytes(), both[0].tobytes(), both[1].tobytes()
            expected = expected or bits
            assert bits[0] == bits[1]
            assert bits == expected


def test_a_row_does_not_depend_on_its_batch(isa: str, dtype: np.dtype) -> None:
    rng = np.random.default_rng(0)
    input, target = rng.normal(0, 3, (60, 150)).astype(dtype), lists(rng, (60, 150))
    losses, grads = xentc.multilabel_margin_loss(input, target, reduction="none", return_grad=True)
    for i in range(60):
        alone = xentc.multilabel_margin_loss(input[i], target[i], reduction="none", return_grad=True)
        assert_same_bits(alone, (losses[i], grads[i]))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("layout", ["C", "Fortran", "transposed", "stepped", "reversed", "sliced"])
def test_the_memory_given(isa: str, name: str, layout: str) -> None:
    rng = np.random.default_rng(0)
    input, target = rng.normal(size=(6, 90)).astype(name), lists(rng, (6, 90))
    options = {"reduction": "none", "return_grad": True}
    expected = xentc.multilabel_margin_loss(input, target, **options)
    out = strategies.laid_out(np.empty(6, expected[0].dtype), layout)
    grad_out = strategies.laid_out(np.full(input.shape, 7, name), layout)
    loss, grad = xentc.multilabel_margin_loss(input, target, out=out, grad_out=grad_out, **options)
    assert loss is out
    assert grad is grad_out
    assert_same_bits((loss, grad), expected)
    in_place = strategies.laid_out(input, layout)
    assert_same_bits(xentc.multilabel_margin_loss(in_place, target, grad_out=in_place, **options), expected)


def test_every_integer_dtype_gives_the_same_bits(isa: str) -> None:
    rng = np.random.default_rng(0)
    input, target = rng.normal(size=(20, 70)), np.abs(lists(rng, (20, 70)))
    for lowest in (0, -1):
        target[:, 7] = lowest
        expected = xentc.multilabel_margin_loss(input, target, return_grad=True)
        for name in strategies.INTEGERS[: None if lowest == 0 else 4]:
            for layout in ("C", "Fortran", "stepped", "reversed", "misaligned", "big_endian", "read-only"):
                given = strategies.laid_out(target.astype(name), layout)
                assert_same_bits(xentc.multilabel_margin_loss(input, given, return_grad=True), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 3)], ids=str)
def test_result_types(shape: tuple, reduction: str) -> None:
    for name in (*FLOATS, "int8", "uint64"):
        loss, grad = xentc.multilabel_margin_loss(
            np.ones(shape, name), np.zeros(shape, np.int8), reduction=reduction, return_grad=True
        )
        dtype = np.dtype(np.float32 if name in ("float32", *strategies.HALVES) else np.float64)
        assert type(loss) is (np.ndarray if reduction == "none" and len(shape) == 2 else dtype.type)
        assert (loss.dtype, grad.dtype) == (dtype, np.dtype(name if name in FLOATS else np.float64))
        assert (np.shape(loss), grad.shape) == (shape[:-1] if reduction == "none" else (), shape)


RIGHT = [[0, -1, 0], [1, 2, -1]]
# error, the argument it names, and what is wrong over a call that is right
WRONG: list[tuple] = [
    (ValueError, "input", {"input": np.zeros((2, 0)), "target": np.zeros((2, 0), int)}),
    (ValueError, "input", {"input": np.zeros((0, 0)), "target": np.zeros((0, 0), int)}),
    (ValueError, "input", {"input": [], "target": np.zeros(0, int)}),
    (ValueError, "input", {"input": np.zeros((2, 3, 1)), "target": np.zeros((2, 3, 1), int)}),
    (TypeError, "input", {"input": X32 > 0}),
    (TypeError, "input", {"input": None}),
    (TypeError, "target", {"target": np.array(RIGHT, float)}),
    (TypeError, "target", {"target": X32 > 0}),
    (TypeError, "target", {"target": "text"}),
    (ValueError, "target", {"target": [0, 1]}),
    (ValueError, "target", {"target": [0, 1, 2]}),
    (ValueError, "target", {"target": 0}),
    (IndexError, "target", {"target": [[0, -1, 0], [1, 3, -1]]}),
    (IndexError, "target", {"target": [[0, -1, 0], [1, -2, -1]]}),
    (IndexError, "target", {"target": [[0, -1, 0], [1, -1, 3]]}),  # behind the end mark
    (IndexError, "target", {"target": [[0, -1, 0], [-1, 0, -100]]}),
    (IndexError, "target", {"target": np.array([[0, 0, 0], [0, 0, 2**64 - 1]], np.uint64)}),
    (IndexError, "target", {"target": np.array([[0, 0, 0], [0, 0, 255]], np.uint8)}),
    (IndexError, "target", {"target": np.array([[0, 0, 0], [0, 0, 2**63 - 1]])}),
    (ValueError, "reduction", {"reduction": "avg"}),
    (TypeError, "reduction", {"reduction": 1}),
    (ValueError, "grad_output", {"grad_output": [1.0]}),
    (ValueError, "grad_output", {"grad_output": 1.0, "return_grad": False, "grad_out": None}),
    (ValueError, "grad_out", {"return_grad": False}),
    (ValueError, "grad_out", {"grad_out": np.zeros((3, 2), np.float32)}),
    (TypeError, "grad_out", {"grad_out": np.zeros((2, 3))}),
    (ValueError, "out", {"reduction": "sum"}),
    (ValueError, "out", {"out": np.zeros(3, np.float32)}),
    (TypeError, "num_threads", {"num_threads": 1.5}),
]


@pytest.mark.parametrize(("error", "name", "changed"), WRONG, ids=lambda value: value if type(value) is str else None)
def test_what_is_refused(error: type[Exception], name: str, changed: dict) -> None:
    out, grad_out = np.full(2, 7, np.float32), np.full((2, 3), 7, np.float32)
    right = {"input": X32, "target": RIGHT, "out": out, "grad_out": grad_out, "return_grad": True, **NONE}
    with pytest.raises(error, match=rf"^{name}: (got|given)") as refused:
        xentc.multilabel_margin_loss(**{**right, **changed})
    assert refused.type is error
    assert np.all(out == 7)
    assert np.all(grad_out == 7)


def test_a_class_out_of_range_says_where() -> None:
    target = np.full((700, 600), -1)
    target[650, 599] = 600
    with pytest.raises(IndexError, match=r"^target: got class 600 at \(650, 599\), expected -1 to 599\b"):
        xentc.multilabel_margin_loss(np.zeros((700, 600)), target)
    with pytest.raises(IndexError, match=r"^target: got class -2 at 2, expected -1 to 2\b"):
        xentc.multilabel_margin_loss(np.zeros(3), [0, 1, -2])
    with pytest.raises(IndexError, match=r"^target: got class 1, expected -1 to 0\b"):
        xentc.multilabel_margin_loss(0.0, 1)


DEPRECATED = [(None, True, "mean"), (None, False, "none"), (True, None, "mean"), (True, False, "none"),
              (False, None, "sum"), (False, True, "sum"), (False, False, "none")]  # fmt: skip


@pytest.mark.parametrize(("size_average", "reduce", "reduction"), DEPRECATED)
def test_size_average_and_reduce(size_average: Any, reduce: Any, reduction: str) -> None:
    for call in (xentc.multilabel_margin_loss, lambda *a, **options: xentc.MultiLabelMarginLoss(**options)(*a)):
        with pytest.warns(DeprecationWarning, match="reduction") as warned:
            loss = call(X32, RIGHT, size_average=size_average, reduce=reduce)
        assert warned[0].filename == __file__
        assert np.array_equal(loss, xentc.multilabel_margin_loss(X32, RIGHT, reduction=reduction))


def test_class_equals_function() -> None:
    criterion = xentc.MultiLabelMarginLoss(**NONE)
    call = {"return_grad": True, "grad_output": [0.5, 1.0], "num_threads": 2}
    expected = xentc.multilabel_margin_loss(X32, RIGHT, **NONE, **call)
    for twin in (criterion, copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion))):
        assert twin == criterion
        assert_same_bits(twin(X32, RIGHT, **call), expected)
    with pytest.raises(AttributeError):
        criterion.reduction = "sum"  # type: ignore[misc]
    assert repr(criterion) == "MultiLabelMarginLoss(reduction='none')"

"""cross_entropy of class indices: what each case is worth, and what is returned."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies
import tolerances
from checks import X32, assert_same_bits
from numpy import inf, nan

import xentc

X = [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]
P = np.exp(X[0]) / np.exp(X[0]).sum()
NLL = -np.log(P)  # of X[0], and backwards of X[1]
LN2, LN3 = np.log(2), np.log(3)
HALF = [[-0.5, 0.0, 0.5]]
NAN_ROW, ZERO_ROW = [[nan] * 3], [[0.0] * 3]
NONE = {"reduction": "none"}
TINY = float(np.finfo(np.float32).smallest_subnormal)
SMOOTH = NLL.sum() / 3

# name: input, target, options, the loss, the gradient (None: whatever belongs to it)
VALUES: dict[str, tuple] = {
    "none": (X, [0, 2], NONE, [NLL[0], NLL[0]], [P - [1, 0, 0], P[::-1] - [0, 0, 1]]),
    "sum": (X, [0, 0], {"reduction": "sum"}, NLL[0] + NLL[2], None),
    "mean": (X, [0, 0], {}, (NLL[0] + NLL[2]) / 2, [(P - [1, 0, 0]) / 2, (P[::-1] - [1, 0, 0]) / 2]),
    "weight, none": (X, [0, 1], {"weight": [2, 3, 9], **NONE}, [2 * NLL[0], 3 * NLL[1]], None),
    "weight, mean": (X, [0, 1], {"weight": [2, 3, 9]}, (2 * NLL[0] + 3 * NLL[1]) / 5, None),
    "weight of one sample cancels": (X[:1], [0], {"weight": [2, 3, 9]}, NLL[0], [P - [1, 0, 0]]),
    "ignored, none": (X, [0, -100], NONE, [NLL[0], 0], [P - [1, 0, 0], [0, 0, 0]]),
    "ignored, mean": (X, [0, -100], {}, NLL[0], [P - [1, 0, 0], [0, 0, 0]]),
    "ignored, weight, mean": (X, [0, -100], {"weight": [2, 3, 9]}, NLL[0], [P - [1, 0, 0], [0, 0, 0]]),
    "ignored, sum": (X, [-1, 0], {"ignore_index": -1, "reduction": "sum"}, NLL[2], None),
    "all ignored, none": (X, [-100, -100], NONE, [0, 0], np.zeros((2, 3))),
    "all ignored, mean": (X, [-100, -100], {}, nan, np.zeros((2, 3))),
    "all ignored, sum": (X, [-100, -100], {"reduction": "sum"}, 0, np.zeros((2, 3))),
    "no samples, none": (np.zeros((0, 3)), [], NONE, [], np.zeros((0, 3))),
    "no samples, mean": (np.zeros((0, 3)), [], {}, nan, np.zeros((0, 3))),
    "no samples, sum": (np.zeros((0, 3)), [], {"reduction": "sum"}, 0, np.zeros((0, 3))),
    "no samples in a row of images": (np.zeros((2, 3, 0)), np.zeros((2, 0), int), {}, nan, np.zeros((2, 3, 0))),
    "no classes, all ignored, none": (np.zeros((2, 0)), [-100, -100], NONE, [0, 0], np.zeros((2, 0))),
    "no classes, all ignored, mean": (np.zeros((2, 0)), [-100, -100], {}, nan, np.zeros((2, 0))),
    "no classes, all ignored, sum": (np.zeros((2, 0)), [-100, -100], {"reduction": "sum"}, 0, np.zeros((2, 0))),
    "no classes, no samples": (np.zeros((0, 0)), [], {}, nan, np.zeros((0, 0))),
    "(C,), none is a scalar": (X[0], 1, NONE, NLL[1], P - [0, 1, 0]),
    "(C,), mean": (X[0], 1, {"weight": [2, 3, 9]}, NLL[1], P - [0, 1, 0]),
    "(C,), ignored, mean": (X[0], -100, {}, nan, np.zeros(3)),
    "(C,), ignored, none": (X[0], -100, NONE, 0, np.zeros(3)),
    "an ignored class stays in the denominator": (X, [1, 0], {"ignore_index": 1, **NONE}, [0, NLL[2]], None),
    "an ignore_index that no class can be": (X, [0, 0], {"ignore_index": 2**63 - 1, **NONE}, [NLL[0], NLL[2]], None),
    "one class": ([[7.0], [-1.0]], [0, 0], NONE, [0, 0], [[0], [0]]),
    "one class of -inf": ([[-inf]], [0], NONE, [nan], [[nan]]),
    "-inf at another class": ([[0, -inf, 0]], [0], NONE, [LN2], HALF),
    "-inf at the target": ([[0, -inf, 0]], [1], NONE, [inf], [[0.5, -1, 0.5]]),
    "-inf at the target, mean": ([[0, -inf, 0], [0, 0, 0]], [1, 0], {}, inf, None),
    "-inf but at the target": ([[-inf, 0, -inf]], [1], NONE, [0], ZERO_ROW),
    "the lowest number at another class": ([[0, -3.4e38, 0]], [0], NONE, [LN2], HALF),
    "the lowest numbers but at the target": ([[-3.4e38, 0, -3.4e38]], [1], NONE, [0], ZERO_ROW),
    "the lowest number throughout": ([[-3.4e38] * 3], [1], NONE, [LN3], [[1 / 3, -2 / 3, 1 / 3]]),
    "-inf throughout": ([[-inf] * 3], [0], NONE, [nan], NAN_ROW),
    "+inf at the target": ([[inf, 0, 0]], [0], NONE, [nan], NAN_ROW),
    "+inf at another class": ([[inf, 0, 0]], [1], NONE, [nan], NAN_ROW),
    "+inf and -inf at the target": ([[inf, -inf, 0]], [1], NONE, [nan], NAN_ROW),
    "nan at the target": ([[nan, 0, 0]], [0], NONE, [nan], NAN_ROW),
    "nan at another class": ([[nan, 0, 0]], [1], NONE, [nan], NAN_ROW),
    "nan and -inf": ([[nan, -inf, -inf]], [1], NONE, [nan], NAN_ROW),
    "nan for that row alone": ([[nan, 0, 0], [0, -inf, 0]], [0, 0], NONE, [nan, LN2], NAN_ROW + HALF),
    "an ignored sample of nan": ([[nan] * 3, [0, -inf, 0]], [-100, 0], {}, LN2, ZERO_ROW + HALF),
    "an ignored sample of +inf": ([[inf, 0, 0], [0, -inf, 0]], [-100, 0], {}, LN2, ZERO_ROW + HALF),
    "an ignored sample of -inf": ([[-inf] * 3, [0, -inf, 0]], [-100, 0], {}, LN2, ZERO_ROW + HALF),
    "weight 0 of a sample of nan": ([[nan] * 3, [0, -inf, 0]], [1, 0], {"weight": [1, 0, 1]}, LN2, ZERO_ROW + HALF),
    "weight 0 of a loss of inf": ([[0, -inf, 0]] * 2, [1, 0], {"weight": [1, 0, 1]}, LN2, ZERO_ROW + HALF),
    "weight 0 throughout, mean": (X, [1, 1], {"weight": [1, 0, 1]}, nan, np.zeros((2, 3))),
    "weight 0 throughout, sum": (X, [1, 1], {"weight": [1, 0, 1], "reduction": "sum"}, 0, np.zeros((2, 3))),
    "negative weight": (X, [0, 0], {"weight": [-2, 1, 1], **NONE}, [-2 * NLL[0], -2 * NLL[2]], None),
    "negative weight, mean": (X, [0, 1], {"weight": [-2, 1, 1]}, 2 * NLL[0] - NLL[1], None),
    "weight of nan at a target": (
        X,
        [0, 1],
        {"weight": [1, nan, 1], **NONE},
        [NLL[0], nan],
        [P - [1, 0, 0], [nan] * 3],
    ),
    "weight of nan at no target": (X, [0, 2], {"weight": [1, nan, 1]}, NLL[0], None),
    "grad_output 0 of a sample of nan": ([[nan] * 3], [0], {"grad_output": 0.0}, nan, ZERO_ROW),
    "grad_output 0 of one sample": (
        X,
        [0, 0],
        {"grad_output": [0.0, 2.0], **NONE},
        [NLL[0], NLL[2]],
        [[0, 0, 0], 2 * (P[::-1] - [1, 0, 0])],
    ),
    "all equal": ([[5.0] * 3], [2], NONE, [LN3], [[1 / 3, 1 / 3, -2 / 3]]),
    "zeros of two signs": ([[-0.0, 0.0, -inf]], [0], NONE, [LN2], [[-0.5, 0.5, 0]]),
    "subnormals": ([[TINY, -TINY, 0.0]], [0], NONE, [LN3], [[-2 / 3, 1 / 3, 1 / 3]]),
    "confident": ([[60.0, 0.0, 0.0]], [0], NONE, [2 * np.exp(-60.0)], [np.exp(-60.0) * np.array([-2, 1, 1])]),
    "confidently wrong": ([[1000.0, 0.0, 0.0]], [1], NONE, [1000.0], [[1, -1, 0]]),
    "far apart": ([[2.0**100, 0.0, 0.0]], [1], NONE, [2.0**100], [[1, -1, 0]]),
    "large and equal": ([[2.0**100, 2.0**100, 0.0]], [1], NONE, [LN2], [[0.5, -0.5, 0]]),
    "large, negative and equal": ([[-(2.0**100)] * 2 + [-(2.0**101)]], [1], NONE, [LN2], [[0.5, -0.5, 0]]),
}
SMOOTHED: dict[str, tuple] = {
    "smoothing": (X[:1], [0], {"label_smoothing": 0.3}, 0.7 * NLL[0] + 0.3 * SMOOTH, [P - [0.8, 0.1, 0.1]]),
    "smoothing 1": (X[:1], [0], {"label_smoothing": 1.0}, SMOOTH, [P - 1 / 3]),
    "smoothing, weight": (X[:1], [0], {"label_smoothing": 0.3, "weight": [2, 0, 4]},
                          (0.7 * 2 * NLL[0] + 0.1 * (2 * NLL[0] + 4 * NLL[2])) / 2, None),
    "smoothing, weight 0 at the target": (X[:1], [1], {"label_smoothing": 0.3, "weight": [2, 0, 4], **NONE},
                                          [0.1 * (2 * NLL[0] + 4 * NLL[2])], None),
    "smoothing, ignored": (X, [0, -100], {"label_smoothing": 0.3}, 0.7 * NLL[0] + 0.3 * SMOOTH,
                           [P - [0.8, 0.1, 0.1], [0, 0, 0]]),
    "smoothing, -inf": ([[0, -inf, 0]], [0], {"label_smoothing": 0.3}, inf, None),
    "smoothing, -inf of weight 0": ([[0, -inf, 0]], [0], {"label_smoothing": 0.3, "weight": [1, 0, 1]},
                                    0.9 * LN2, None),
}  # fmt: skip


@pytest.mark.parametrize(
    ("input", "target", "options", "loss", "grad"), [*VALUES.values(), *SMOOTHED.values()], ids=[*VALUES, *SMOOTHED]
)
def test_value(isa: str, dtype: np.dtype, input: Any, target: Any, options: dict, loss: Any, grad: Any) -> None:
    input, target = np.array(input, dtype), np.array(target, np.int64)
    with np.errstate(all="raise"):
        result = xentc.cross_entropy(input, target, return_grad=True, **options)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(result[0], np.array(loss, float), rtol=8 * eps)
    if grad is not None:
        np.testing.assert_allclose(result[1], np.array(grad, float), rtol=8 * eps, atol=eps)
        assert np.array_equal(result[1] == 0, np.array(grad) == 0)
    tolerances.assert_matches(result, input, target, **options)


def test_the_examples_of_the_seeds() -> None:
    logits = [
        [0.3703, -0.1607, -0.7473, -2.2135],
        [0.6929, -0.2042, -0.7660, -0.3613],
        [-0.3363, 0.6417, 0.3103, 0.3132],
    ]
    assert round(float(xentc.cross_entropy(logits, [0, 1, 2])), 4) == 1.2130
    assert round(float(xentc.cross_entropy([[4, 1, 2]], [0])), 4) == 0.1698


DEPRECATED = [
    (None, None, "mean"), (None, True, "mean"), (None, False, "none"),
    (True, None, "mean"), (True, True, "mean"), (True, False, "none"),
    (False, None, "sum"), (False, True, "sum"), (False, False, "none"),
]  # fmt: skip


@pytest.mark.parametrize(("size_average", "reduce", "reduction"), DEPRECATED)
def test_size_average_and_reduce(size_average: Any, reduce: Any, reduction: str) -> None:
    expected = xentc.cross_entropy(X, [0, 1], reduction=reduction)
    deprecated = {"size_average": size_average, "reduce": reduce, "reduction": "mean" if reduction == "sum" else "sum"}
    if size_average is None and reduce is None:
        del deprecated["reduction"]
        assert xentc.cross_entropy(X, [0, 1], **deprecated) == expected
        return
    with pytest.warns(DeprecationWarning, match="reduction") as warned:
        loss = xentc.cross_entropy(X, [0, 1], **deprecated)
    assert warned[0].filename == __file__
    assert np.array_equal(loss, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0, 3), (2, 3, 4), (2, 3, 0)], ids=str)
def test_result_types(dtype: np.dtype, shape: tuple, reduction: str) -> None:
    samples = shape[:-1] if len(shape) == 1 else shape[:1] + shape[2:]
    input, target = np.ones(shape, dtype), np.zeros(samples, np.int32)
    for given in (input, input.astype(dtype.newbyteorder(">")), strategies.at_offset(input, 1)):
        loss, grad = xentc.cross_entropy(given, target, reduction=reduction, return_grad=True)
        assert type(loss) is (np.ndarray if reduction == "none" and samples else dtype.type)
        assert loss.shape == (samples if reduction == "none" else ())
        assert type(grad) is np.ndarray
        assert grad.shape == shape
        assert {loss.dtype, grad.dtype} == {dtype}
        assert loss.dtype.isnative
        assert grad.dtype.isnative
    assert type(xentc.cross_entropy(input, target, reduction=reduction)) is type(loss)
    for promoted in (np.ones(shape).tolist(), np.ones(shape, np.int8), np.ones(shape, np.uint64)):
        if np.shape(promoted) == shape:
            loss, grad = xentc.cross_entropy(promoted, target, reduction=reduction, return_grad=True)
            assert {loss.dtype, grad.dtype} == {np.dtype(np.float64)}


def test_every_integer_dtype_gives_the_same_bits(isa: str) -> None:
    input, target = np.random.default_rng(0).normal(size=(50, 7)), np.arange(50) % 7
    expected = xentc.cross_entropy(input, target, ignore_index=3, return_grad=True)
    for name in strategies.INTEGERS:
        for layout in ("C", "stepped", "reversed", "misaligned", "big_endian", "read-only"):
            given = strategies.laid_out(target.astype(name), layout)
            assert_same_bits(xentc.cross_entropy(input, given, ignore_index=3, return_grad=True), expected)


def test_reads_a_read_only_memory_map(tmp_path: Path) -> None:
    np.save(tmp_path / "logits.npy", X32)
    np.save(tmp_path / "labels.npy", np.array([0, 2], np.uint16))
    logits, labels = (np.load(tmp_path / name, mmap_mode="r") for name in ("logits.npy", "labels.npy"))
    result = xentc.cross_entropy(logits, labels, return_grad=True)
    assert_same_bits(result, xentc.cross_entropy(X32, [0, 2], return_grad=True))
    assert type(result[1]) is np.ndarray


OPTIONS = [{}, {"weight": [0.5, 2.0, 0.25]}, {"ignore_index": 2, "reduction": "sum"}, {"reduction": "none", "axis": -1}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_class_equals_function(dtype: np.dtype, options: dict) -> None:
    input, target = np.array(X, dtype), np.array([1, 0])
    criterion = xentc.CrossEntropyLoss(**options)
    for call in ({}, {"return_grad": True, "grad_output": 0.5, "num_threads": 2}):
        result = criterion(input, target, **call)
        expected = xentc.cross_entropy(input, target, **options, **call)
        assert_same_bits(result if call else (result,), expected if call else (expected,))
    for twin in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion)), xentc.CrossEntropyLoss(**options)):
        assert twin == criterion
        assert_same_bits((twin(input, target),), (criterion(input, target),))
    assert criterion != xentc.CrossEntropyLoss(reduction="none", ignore_index=7)
    for name in options:
        assert f"{name}=" in repr(criterion)


def test_class_copies_its_weight_and_is_frozen() -> None:
    weight = np.array([1.0, 2.0, 3.0])
    criterion = xentc.CrossEntropyLoss(weight)
    before = criterion(X, [0, 1])
    weight[:] = [3.0, 2.0, 1.0]
    assert criterion(X, [0, 1]) == before
    with pytest.raises(AttributeError):
        criterion.reduction = "sum"
    with pytest.raises(ValueError, match="read-only"):
        criterion.weight[0] = 5.0
    assert repr(xentc.CrossEntropyLoss()) == "CrossEntropyLoss()"

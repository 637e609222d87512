"""score: every number of a sample against the obvious one, on the worst inputs that hypothesis finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference_score
import strategies
import test_accuracy
import test_batch_invariance
import test_threads
import tolerances
from amount import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import xentc
from xentc import _arguments

FEATURES = frozenset({"ignore_index", "ugly", "layout", "big_endian", "misaligned", "axis", "promoted", "half"})
ENTROPY_ULPS = 4  # of max(1, entropy)


def score_with_confidence(input: Any, target: Any, ignore_index: int = -100, axis: int | None = None) -> tuple:
    return _arguments.score(input, target, axis, ignore_index, None)


def assert_scores(result: tuple, expected: reference_score.Answer, context: Any = "") -> None:
    _, lse, rank, prediction, entropy, confidence = result
    for integers, right in ((rank, expected.rank), (prediction, expected.prediction)):
        assert integers.dtype == np.int64
        np.testing.assert_array_equal(integers, right, err_msg=str(context))
    extra = tolerances.REFERENCE_ULPS
    # From the sum that nll is from, and held to the same; its logarithm is added to the largest logit.
    allowed = tolerances.row_ulps(lse.dtype)
    tolerances.assert_ulp(lse, expected.lse, allowed, np.maximum(np.abs(expected.lse), 1), f"lse {context}")
    tolerances.assert_ulp(entropy, expected.entropy, ENTROPY_ULPS + extra, np.maximum(expected.entropy, 1), context)
    # exp turns an ULP of lse - x into as many eps as that is large.
    size = expected.confidence * (1 - np.log(expected.confidence))
    tolerances.assert_ulp(confidence, expected.confidence, allowed, size, context)


@settings(max_examples=examples(400))
@given(st.data())
def test_against_numpy(isa: str, data: Any) -> None:
    problem = data.draw(strategies.problems(FEATURES))
    options = {name: value for name, value in problem.options.items() if name in ("axis", "ignore_index")}
    result = score_with_confidence(problem.input, problem.target, **options)
    scores = xentc.score(problem.input, problem.target, **options)
    loss = np.asarray(xentc.cross_entropy(problem.input, problem.target, reduction="none", **options))
    assert isinstance(scores, xentc.Scores)
    for public, internal in zip(scores, result[:5], strict=True):
        assert public.shape == problem.target.shape
        assert public.tobytes() == internal.tobytes()
    assert scores.nll.dtype == scores.lse.dtype == scores.entropy.dtype == loss.dtype
    assert scores.nll.tobytes() == loss.tobytes(), problem
    expected = reference_score.score(problem.input, problem.target, **options)
    assert_scores(result, expected, problem)


@settings(max_examples=examples(60))
@given(st.integers(0, 2**32 - 1), st.sampled_from([65, 129, 1000, 4097, 16385, 40000]), st.booleans(), st.booleans())
def test_many_classes(isa: str, dtype: np.dtype, seed: int, n_classes: int, ugly: bool, planes: bool) -> None:
    """More than a chunk, more than a block of columns; ties within and across them."""
    rng = np.random.default_rng(seed)
    rows = test_batch_invariance.rows_of(rng, 8, n_classes, dtype, ugly)
    rows[::2] = np.round(rows[::2])
    rows[1, rng.integers(0, n_classes, 3)] = rows[1].max()
    target = np.where(rng.random(8) < 0.5, np.nan_to_num(rows).argmax(axis=1), rng.integers(0, n_classes, 8))
    input, labels = (np.ascontiguousarray(rows.T)[None], target[None]) if planes else (rows, target)
    result = score_with_confidence(input, labels)
    loss = xentc.cross_entropy(input, labels, reduction="none")
    assert result[0].tobytes() == loss.tobytes()
    flat = tuple(array.reshape(-1) for array in result)
    assert_scores(flat, reference_score.score(rows, target), (seed, n_classes, ugly))


@pytest.mark.parametrize("planes", [False, True], ids=["rows", "planes"])
@pytest.mark.parametrize("n_classes", test_accuracy.EXACT_ROWS)
@pytest.mark.parametrize("family", test_accuracy.FAMILIES)
def test_entropy_against_mpmath(isa: str, dtype: np.dtype, family: str, n_classes: int, planes: bool) -> None:
    n_rows = test_accuracy.EXACT_ROWS[n_classes]
    rows, target = test_accuracy.family_rows(family, n_rows, n_classes, dtype.name)
    input, labels = (np.ascontiguousarray(rows.T)[None], target[None]) if planes else (rows, target)
    exact = tolerances.to_longdouble([exact_entropy(family, n_classes, dtype.name, i) for i in range(n_rows)])
    for shift in (0, 1):  # the target, and a class that is not the one left out
        entropy = xentc.score(input, (labels + shift) % n_classes).entropy.reshape(-1)
        tolerances.assert_ulp(entropy, exact, ENTROPY_ULPS, np.maximum(exact, 1), "entropy")


EXACT: dict[tuple, Any] = {}


def exact_entropy(family: str, n_classes: int, dtype: str, i: int) -> Any:
    key = family, n_classes, dtype, i
    if key not in EXACT:
        rows, _ = test_accuracy.family_rows(family, test_accuracy.EXACT_ROWS[n_classes], n_classes, dtype)
        EXACT[key] = reference_score.exact_entropy(rows[i])
    return EXACT[key]


INF, NAN = np.inf, np.nan

# row, target -> nll, lse, rank, prediction, entropy
EDGES = [
    ([0.0, 0.0], 0, (np.log(2), np.log(2), 0, 0, np.log(2))),
    ([0.0, -0.0], 1, (np.log(2), np.log(2), 1, 0, np.log(2))),
    ([3.0], 0, (0.0, 3.0, 0, 0, 0.0)),
    ([-INF, 5.0, -INF], 1, (0.0, 5.0, 0, 1, 0.0)),
    ([-INF, 5.0, -INF], 2, (INF, 5.0, 2, 1, 0.0)),
    ([NAN, 1.0], 1, (NAN, NAN, -1, -1, NAN)),
    ([1.0, NAN], 1, (NAN, NAN, -1, -1, NAN)),
    ([NAN, INF], 1, (NAN, NAN, -1, -1, NAN)),
    ([INF, NAN, INF], 2, (NAN, NAN, -1, -1, NAN)),
    ([1.0, INF, INF], 2, (NAN, INF, 1, 1, NAN)),
    ([1.0, INF, INF], 0, (NAN, INF, 2, 1, NAN)),
    ([1e30, INF, -1e30], 1, (NAN, INF, 0, 1, NAN)),  # what is left beside the target is too large to be summed
    ([1e30, INF, NAN], 1, (NAN, NAN, -1, -1, NAN)),
    ([-INF, -INF], 1, (NAN, -INF, 1, 0, NAN)),
    ([1.0, 0.0], -100, (0.0, np.log1p(np.e), -1, 0, None)),
    ([1.0, NAN], -100, (0.0, NAN, -1, -1, NAN)),
    ([1.0, INF], -100, (0.0, INF, -1, 1, NAN)),
]


@pytest.mark.parametrize("n_more", [0, 100])
@pytest.mark.parametrize("layout", ["row", "planes"])
@pytest.mark.parametrize(("row", "target", "expected"), EDGES, ids=[f"{row} {target}" for row, target, _ in EDGES])
def test_edges(isa: str, dtype: np.dtype, row: list, target: int, expected: tuple, layout: str, n_more: int) -> None:
    input = np.array([row + [-INF] * n_more] * 3, dtype)
    if layout == "planes":
        input = np.ascontiguousarray(input.T)[None]
    labels = np.full((1, 3) if layout == "planes" else 3, target)
    with np.errstate(all="raise"):
        scores = xentc.score(input, labels)
    for name, array, right in zip(scores._fields, scores, expected, strict=True):
        if right is not None:
            atol = ENTROPY_ULPS * float(np.finfo(dtype).eps) if name == "entropy" else 0
            np.testing.assert_allclose(array, np.full(labels.shape, right), rtol=1e-6, atol=atol, err_msg=name)


def test_no_classes() -> None:
    scores = xentc.score(np.empty((2, 0), np.float32), [-100, -100])
    np.testing.assert_array_equal(scores.nll, [0, 0])
    np.testing.assert_array_equal(scores.lse, [-INF, -INF])
    assert scores.rank.tolist() == scores.prediction.tolist() == [-1, -1]
    assert np.isnan(scores.entropy).all()
    with pytest.raises(IndexError, match=r"^target: got class 0"):
        xentc.score(np.empty((1, 0)), [0])


def test_more_strided_classes_than_a_float_counts() -> None:
    """A tie behind class 2**24, in planes of halves that are all one number."""
    n_classes = 2**24 + 100
    input = np.broadcast_to(np.float16(1.5), (1, n_classes, 1))
    for target in (2**24 - 1, 2**24 + 77):
        scores = xentc.score(input, [[target]])
        assert scores.rank.item() == target
        assert scores.prediction.item() == 0


@pytest.mark.parametrize("call", ["score", "loss"])
def test_a_block_of_columns_far_below_the_others(isa: str, dtype: np.dtype, call: str) -> None:
    """Its reference, taken from its first logits, lies further below than any power of two reaches."""
    for highest, level, first in ((0.0, -70_000.0, -2e5), (4e5, 3.3e5, -1e9)):
        rows = np.full((1, 40_000), highest, dtype)
        rows[:, 16384:] = first
        rows[:, 30_000:32_768] = level
        if call == "score":
            assert_scores(score_with_confidence(rows, [5]), reference_score.score(rows, [5]))
        else:
            np.testing.assert_allclose(xentc.cross_entropy(rows, [5]), np.log(16384), rtol=1e-6)


@pytest.mark.parametrize("shape", test_threads.SHAPES, ids=str)
def test_same_bits_on_any_number_of_threads(isa: str, dtype: np.dtype, shape: tuple) -> None:
    input, target, _ = test_threads.big_problem(shape, dtype)
    expected = None
    for n in test_threads.TEAMS:
        bits = [array.tobytes() for array in xentc.score(input, target, num_threads=n)]
        expected = expected or bits
        assert bits == expected, f"{n} threads"


@settings(max_examples=examples(60))
@given(
    test_batch_invariance.SEEDS,
    test_batch_invariance.N_SAMPLES,
    test_batch_invariance.FEW_CLASSES | test_batch_invariance.MANY_CLASSES,
    st.booleans(),
    st.integers(0, 63),
)
def test_a_sample_is_on_its_own(
    isa: str, dtype: np.dtype, seed: int, n_samples: int, n_classes: int, planes: bool, offset: int
) -> None:
    _, rows, target, _ = test_batch_invariance.problem(seed, n_samples, n_classes, dtype, True)

    def bits(rows: np.ndarray, target: np.ndarray) -> list[bytes]:
        if planes:  # two samples wide at least, or else classes would be contiguous
            wide = np.zeros((1, n_classes, len(rows) + 1), dtype)
            wide[0, :, :-1] = rows.T
            wide = strategies.at_offset(wide, offset)
            scores = [array[0, :-1] for array in xentc.score(wide, np.append(target, -100)[None])]
        else:
            scores = list(xentc.score(strategies.at_offset(rows, offset), target))
        return [b"".join(one.tobytes() for one in sample) for sample in zip(*scores, strict=True)]

    alone = [bits(rows[i : i + 1], target[i : i + 1])[0] for i in range(len(rows))]
    assert bits(rows, target) == alone
    assert bits(rows[::-1], target[::-1]) == alone[::-1]


X = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    ("error", "beginning", "changed"),
    [
        (TypeError, "input: got an array of bool", {"input": X > 1}),
        (ValueError, "input: got a 0-dimensional array", {"input": 1.0}),
        (TypeError, "target: got an array of float32, expected class indices", {"target": X}),
        (TypeError, "target: got an array of float64, expected class indices", {"target": np.zeros(2)}),
        (TypeError, "target: got an array of bool", {"target": np.zeros(2, bool)}),
        (ValueError, r"target: got shape \(2, 3\) for an input of shape \(2, 3\)", {"target": np.zeros((2, 3), int)}),
        (ValueError, r"target: got shape \(3,\)", {"target": [0, 1, 2]}),
        (IndexError, "target: got class 3 at 1, expected 0 to 2", {"target": [0, 3]}),
        (IndexError, "target: got class -1 at 0", {"target": [-1, 0]}),
        (TypeError, "ignore_index: got float", {"ignore_index": 1.0}),
        (ValueError, "ignore_index: got", {"ignore_index": 2**70}),
        (ValueError, "axis: got 2", {"axis": 2}),
        (ValueError, "num_threads: got 0", {"num_threads": 0}),
    ],
)
def test_errors(error: type[Exception], beginning: str, changed: dict) -> None:
    arguments = {"input": X, "target": [0, 2], **changed}
    with np.errstate(all="raise"), pytest.raises(error, match=f"^{beginning}") as refused:
        xentc.score(arguments.pop("input"), arguments.pop("target"), **arguments)
    assert refused.type is error

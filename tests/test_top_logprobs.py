"""top_logprobs and gather_logprobs: against a stable argsort, the exact value, and torch's topk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
import reference_score
import strategies
import test_accuracy
import test_batch_invariance
import test_score
import test_threads
import tolerances
from amount import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import xentc


def assert_logprobs(logprobs: np.ndarray, exact: np.ndarray, context: Any = "") -> None:
    """A row's tolerance, which holds where one class outweighs all others, too; below 1e-30, an absolute one."""
    floor = np.longdouble(1e-30) / np.finfo(logprobs.dtype).eps
    size = np.where(np.abs(exact) < 1e-30, floor, np.abs(exact))
    tolerances.assert_ulp(logprobs, exact, tolerances.row_ulps(logprobs.dtype), size, context)


@settings(max_examples=examples(400))
@given(st.data())
def test_against_a_stable_argsort(isa: str, data: Any) -> None:
    problem = data.draw(strategies.problems(test_score.FEATURES))
    options = {name: value for name, value in problem.options.items() if name == "axis"}
    input = problem.input
    axis = reference.class_axis(input.ndim, options.get("axis"))
    if not input.shape[axis]:
        with pytest.raises(ValueError, match=r"^k: got 1, expected at most the number of classes, 0"):
            xentc.top_logprobs(input, 1, **options)
        return
    k = data.draw(st.integers(1, input.shape[axis]))
    logprobs, indices = xentc.top_logprobs(input, k, **options)
    exact, order = reference_score.top_logprobs(input, k, **options)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, order, err_msg=str(problem))
    assert_logprobs(logprobs, exact, problem)

    layout = data.draw(st.sampled_from(strategies.layouts_of(test_score.FEATURES)))
    dtype = data.draw(st.sampled_from(["int64", "int32", "uint8", "uint64"]))
    wanted = strategies.laid_out(np.maximum(indices, 0).astype(dtype), layout)
    if layout == "broadcast":
        return
    gathered = xentc.gather_logprobs(input, wanted, **options)
    assert gathered.tobytes() == logprobs.tobytes(), problem
    first = np.take(wanted, 0, axis=axis)
    one = xentc.gather_logprobs(input, first, **options)
    assert one.shape == first.shape
    assert one.tobytes() == np.take(logprobs, 0, axis=axis).tobytes(), problem


@settings(max_examples=examples(60))
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([65, 1000, 4097, 16385, 40000]),
    st.sampled_from([1, 2, 50, 1024]),
    st.booleans(),
    st.booleans(),
)
def test_many_classes(isa: str, dtype: np.dtype, seed: int, n_classes: int, k: int, ugly: bool, planes: bool) -> None:
    rng = np.random.default_rng(seed)
    rows = test_batch_invariance.rows_of(rng, 6, n_classes, dtype, ugly)
    rows[::2] = np.round(rows[::2])
    rows[1] = np.sort(rows[1])
    k = min(k, n_classes)
    input = np.ascontiguousarray(rows.T)[None] if planes else rows
    logprobs, indices = xentc.top_logprobs(input, k)
    gathered = xentc.gather_logprobs(input, np.maximum(indices, 0))
    assert gathered.tobytes() == logprobs.tobytes()
    if planes:
        logprobs, indices = logprobs[0].T, indices[0].T
    exact, order = reference_score.top_logprobs(rows, k)
    np.testing.assert_array_equal(indices, order)
    large = np.abs(np.nan_to_num(rows).max(axis=1)) > tolerances.LARGE_LOGIT
    assert_logprobs(logprobs[~large], exact[~large], (seed, n_classes, k))
    np.testing.assert_allclose(logprobs[large].astype(np.longdouble), exact[large], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("planes", [False, True], ids=["rows", "planes"])
@pytest.mark.parametrize("n_classes", test_accuracy.EXACT_ROWS)
@pytest.mark.parametrize("family", test_accuracy.FAMILIES)
def test_against_mpmath(isa: str, dtype: np.dtype, family: str, n_classes: int, planes: bool) -> None:
    """The target's log-probability, down to 1e-30 where it outweighs all others."""
    n_rows = test_accuracy.EXACT_ROWS[n_classes]
    rows, target = test_accuracy.family_rows(family, n_rows, n_classes, dtype.name)
    losses = test_accuracy.exact_answer(family, n_classes, dtype.name)[0]
    input, wanted = (np.ascontiguousarray(rows.T)[None], target[None]) if planes else (rows, target)
    assert_logprobs(xentc.gather_logprobs(input, wanted).reshape(-1), -losses, family)


def test_a_confident_class_is_not_lost_beside_the_sum(isa: str) -> None:
    """In any block of columns: log p = -log1p of 1e-20, not 0."""
    for at in (0, 20_000, 39_999):
        row = np.zeros((1, 40_000), np.float32)
        row[0, at] = 57.0
        logprobs, indices = xentc.top_logprobs(row, 2)
        assert indices[0, 0] == at
        np.testing.assert_allclose(logprobs[0], [-39_999 * np.exp(-57.0), -57.0], rtol=1e-6)


def test_torch_topk(isa: str, torch: Any, rng: np.random.Generator) -> None:
    for shape, axis, k in (((5, 1000), 1, 50), ((5, 40), 1, 3), ((2, 30, 4, 5), 1, 7), ((3, 4, 200), -1, 200)):
        x = rng.normal(0, 3, shape)  # no ties
        logprobs, indices = xentc.top_logprobs(x, k, axis=axis)
        values, order = torch.topk(torch.log_softmax(torch.from_numpy(x), axis), k, dim=axis)
        np.testing.assert_array_equal(indices, order.numpy())
        np.testing.assert_allclose(logprobs, values.numpy(), rtol=1e-12)
        wanted = rng.integers(0, shape[axis], indices.shape)
        gathered = torch.gather(torch.log_softmax(torch.from_numpy(x), axis), axis, torch.from_numpy(wanted))
        np.testing.assert_allclose(xentc.gather_logprobs(x, wanted, axis=axis), gathered.numpy(), rtol=1e-12)


@pytest.mark.parametrize("shape", test_threads.SHAPES, ids=str)
def test_same_bits_on_any_number_of_threads(isa: str, shape: tuple) -> None:
    input, _, _ = test_threads.big_problem(shape, np.float32)
    expected = None
    for n in test_threads.TEAMS:
        logprobs, indices = xentc.top_logprobs(input, 5, num_threads=n)
        gathered = xentc.gather_logprobs(input, indices, num_threads=n)
        bits = logprobs.tobytes(), indices.tobytes(), gathered.tobytes()
        expected = expected or bits
        assert bits == expected, f"{n} threads"


@settings(max_examples=examples(40))
@given(test_batch_invariance.SEEDS, test_batch_invariance.N_SAMPLES, st.sampled_from([1, 5, 64, 65, 1000, 16385]))
def test_a_sample_is_on_its_own(isa: str, dtype: np.dtype, seed: int, n_samples: int, n_classes: int) -> None:
    _, rows, _, _ = test_batch_invariance.problem(seed, n_samples, n_classes, dtype, True)
    k = min(4, n_classes)
    for wide in (False, True):
        together = np.ascontiguousarray(rows.T)[None] if wide else rows
        expected = [array[0].T if wide else array for array in xentc.top_logprobs(together, k)]
        for i in range(len(rows)):
            alone = xentc.top_logprobs(together[:, :, i : i + 2] if wide else rows[i : i + 1], k)
            for one, whole in zip(alone, expected, strict=True):
                one = one[0].T[0] if wide else one[0]
                assert one.tobytes() == np.ascontiguousarray(whole[i]).tobytes()


@pytest.mark.parametrize("n_more", [0, 100])
@pytest.mark.parametrize("planes", [False, True], ids=["rows", "planes"])
def test_edges(isa: str, dtype: np.dtype, planes: bool, n_more: int) -> None:
    inf, nan = np.inf, np.nan
    for row, logprobs, indices in (
        ([1.0, nan, 2.0], [nan, nan], [-1, -1]),
        ([inf, nan, 2.0], [nan, nan], [-1, -1]),
        ([1.0, inf, inf], [nan, nan], [1, 2]),
        ([-inf, -inf, -inf], [nan, nan], [0, 1]),
        ([-inf, 7.0, -inf], [0.0, -inf], [1, 0]),
        ([0.0, -0.0, -inf], [-np.log(2)] * 2, [0, 1]),
    ):
        input = np.array([row + [-inf] * n_more], dtype)
        input = np.ascontiguousarray(input.T)[None].repeat(2, axis=2) if planes else input
        with np.errstate(all="raise"):
            result = [array.reshape(2, -1)[:, 0] for array in xentc.top_logprobs(input, 2)]
        np.testing.assert_allclose(result[0], logprobs, rtol=1e-6, err_msg=str(row))
        assert result[1].tolist() == indices, row


X = test_score.X


@pytest.mark.parametrize(
    ("error", "beginning", "arguments", "options"),
    [
        (TypeError, "k: got float, expected an integer", (X, 2.0), {}),
        (TypeError, "k: got bool", (X, True), {}),
        (ValueError, "k: got 0, expected 1 to 1024", (X, 0), {}),
        (ValueError, "k: got 1025, expected 1 to 1024", (np.zeros(2000), 1025), {}),
        (ValueError, "k: got 4, expected at most the number of classes, 3", (X, 4), {}),
        (ValueError, "axis: got 5", (X, 1), {"axis": 5}),
        (ValueError, "num_threads: got -1", (X, 1), {"num_threads": -1}),
        (TypeError, "input: got", ("text", 1), {}),
    ],
)
def test_errors(error: type[Exception], beginning: str, arguments: tuple, options: dict) -> None:
    with pytest.raises(error, match=f"^{beginning}") as refused:
        xentc.top_logprobs(*arguments, **options)
    assert refused.type is error


@pytest.mark.parametrize(
    ("error", "beginning", "indices", "options"),
    [
        (TypeError, "indices: got an array of float64, expected class indices", [0.0, 1.0], {}),
        (TypeError, "indices: got an array of bool", [True, False], {}),
        (ValueError, r"indices: got shape \(3,\) for an input of shape \(2, 3\)", [0, 1, 2], {}),
        (ValueError, r"indices: got shape \(3, 1\)", [[0], [1], [2]], {}),
        (IndexError, r"indices: got class 3 at \(1, 0\), expected 0 to 2", [[0], [3]], {}),
        (IndexError, "indices: got class -100 at 0", [-100, 0], {}),
        (IndexError, "indices: got class 18446744073709551615", np.array([2**64 - 1, 0], np.uint64), {}),
        (ValueError, "axis: got -3", [0, 1], {"axis": -3}),
    ],
)
def test_errors_of_gather(error: type[Exception], beginning: str, indices: Any, options: dict) -> None:
    with pytest.raises(error, match=f"^{beginning}") as refused:
        xentc.gather_logprobs(X, indices, **options)
    assert refused.type is error


def test_nothing_to_gather() -> None:
    assert xentc.gather_logprobs(X, np.zeros((2, 0), int)).shape == (2, 0)
    assert xentc.gather_logprobs(np.zeros((0, 3)), np.zeros(0, int)).shape == (0,)
    assert xentc.top_logprobs(np.zeros((0, 3, 2)), 2)[0].shape == (0, 2, 2)

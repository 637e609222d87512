"""One evaluation: every figure against the obvious version, what is refused, and what is kept."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
import reference_evaluation
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import laid_out

import xentc
from xentc import Evaluator, evaluation

X = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [0.0, 0.0, -1.0]], np.float32)
T = np.array([2, 2, 1])


def evaluate(input, target, sample_weight=None, **options):
    evaluator = Evaluator(**options)
    evaluator.update(input, target, sample_weight=sample_weight)
    return evaluator.compute()


def assert_close(found: evaluation.Evaluation, expected: dict, tolerance: float) -> None:
    figures = dataclasses.asdict(found)
    figures["bins"] = [[row[name] for name in ("samples", "accuracy", "confidence")] for row in figures["bins"]]
    assert {name for name, value in figures.items() if value is not None} == set(expected)
    for name, value in expected.items():
        if name == "top_k":
            assert list(figures[name]) == list(value)
            figures[name], value = list(figures[name].values()), list(value.values())
        np.testing.assert_allclose(figures[name], np.array(value, float), rtol=tolerance, atol=tolerance, err_msg=name)


@st.composite
def cases(draw):
    """Logits with ties, infinities and nans, in any layout, with targets and options."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16]))
    n_classes = draw(st.integers(1, 9))
    shape = draw(st.lists(st.integers(0, 6), max_size=3))
    axis = draw(st.integers(0, len(shape)))
    x = rng.normal(size=(*shape[:axis], n_classes, *shape[axis:])) * draw(st.sampled_from([0.0, 1.0, 4.0, 30.0]))
    if draw(st.booleans()):
        x = np.round(x)
    for value in draw(st.lists(st.sampled_from([np.inf, -np.inf, np.nan, -np.inf]), max_size=3)):
        x[rng.random(x.shape) < 0.05] = value
    options = {"bins": draw(st.integers(1, 20)), "top_k": draw(st.lists(st.integers(1, 12), max_size=3, unique=True))}
    options |= {"axis": axis, "per_class": draw(st.booleans())}
    options["ignore_index"] = draw(st.sampled_from([-100, 0, 255]))
    target = rng.integers(0, n_classes, shape)
    target[rng.random(shape) < 0.2] = options["ignore_index"]
    target = (
        target.astype(draw(st.sampled_from([np.int64, np.int16, np.uint64]))) if target.min(initial=0) >= 0 else target
    )
    if draw(st.booleans()):
        options["weight"] = np.round(4 * rng.random(n_classes)) / 4
    if draw(st.booleans()):
        options["label_smoothing"] = draw(st.sampled_from([0.1, 1.0]))
    if draw(st.booleans()):
        options["sample_weight"] = np.round(4 * rng.random(shape)) / 4
    return laid_out(x.astype(dtype), draw(st.sampled_from(["C", "Fortran", "reversed", "misaligned"]))), target, options


@pytest.mark.filterwarnings("error")
@given(cases())
def test_against_reference(case):
    input, target, options = case
    expected = reference_evaluation.evaluate(input, target, **options)
    wide = np.float64 if input.dtype == np.float64 else np.float32
    rows = np.moveaxis(input.astype(np.float64), options["axis"], -1)
    with np.errstate(all="ignore"):
        exponentials = np.exp(rows - rows.max(axis=-1, keepdims=True))
        position = options["bins"] / exponentials.sum(axis=-1)
    near = np.abs(position - np.round(position)) < 1e-4
    assume(wide == np.float64 or not near.any() or options["bins"] == 1)  # a bin's edge is excepted
    assume(not np.any(near & (position < options["bins"] - 0.5)))
    # A sample's loss is within 4 or 8 ULP, or as many of the terms where there are many; so is a mean of them.
    largest = np.abs(rows[np.isfinite(rows)]).max(initial=1)
    assert_close(evaluate(input, target, **options), expected, 32 * float(np.finfo(wide).eps) * (1 + largest))


def test_by_hand():
    found = evaluate(
        np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.125, 0.375]]), [0, 0, 2], bins=2, top_k=(2, 7)
    )
    assert (found.samples, found.ignored, found.nonfinite) == (3, 0, 0)
    losses = np.log([2, 4, 8 / 3])
    assert found.loss == pytest.approx(losses.mean(), rel=1e-15)
    assert found.loss_stderr == pytest.approx(losses.std(ddof=1) / np.sqrt(3), rel=1e-14)
    assert found.bits == pytest.approx(found.loss / math.log(2))
    assert found.perplexity == pytest.approx(math.exp(found.loss))
    assert found.accuracy == 1 / 3
    assert found.top_k == {2: 1.0, 7: 1.0}
    assert found.mean_rank == 5 / 3
    assert found.mrr == pytest.approx(2 / 3)
    assert found.class_loss is None


def test_bins_hold_their_upper_edge():
    """(lo, hi]: a confidence of exactly 1/2 is in the first of two bins, of 1/4 in the first of four."""
    for n_classes, bins in [(2, 2), (4, 4), (4, 8)]:
        found = evaluate(np.zeros((1, n_classes), np.float32), [0], bins=bins)
        samples = [row.samples for row in found.bins]
        assert samples.index(1) == bins // n_classes - 1
    assert [row.samples for row in evaluate(np.array([[1e-9, 0.0]]), [0], bins=2).bins] == [0, 1]
    assert [(row.lower, row.upper) for row in evaluate(X, T, bins=4).bins] == [
        (0, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 1),
    ]


def test_loss_is_that_of_cross_entropy(rng):
    x, t = rng.normal(size=(500, 7)), rng.integers(0, 7, 500)
    w, s = rng.random(7), rng.random(500)
    for options in ({}, {"weight": w}, {"label_smoothing": 0.1}, {"weight": w, "label_smoothing": 0.1}):
        for sample_weight in (None, s):
            expected = float(xentc.cross_entropy(x, t, sample_weight=sample_weight, **options))
            assert evaluate(x, t, sample_weight, **options).loss == pytest.approx(expected, rel=1e-14)


def test_standard_error_of_losses_that_hardly_differ():
    """Moments about 0 in float64 would leave nothing of it."""
    x = np.zeros((1000, 2))
    x[:, 1] = 1e5 + np.arange(1000) * 1e-7
    losses = np.asarray(xentc.cross_entropy(x, np.zeros(1000, int), reduction="none"))
    exact = (losses - losses[0]).std(ddof=1) / math.sqrt(1000)
    assert evaluate(x, np.zeros(1000, int)).loss_stderr == pytest.approx(exact, rel=1e-9)
    assert evaluate(x, np.zeros(1000, int), np.full(1000, 1e-160)).loss_stderr == pytest.approx(
        exact * math.sqrt(999 / 1000), rel=1e-5
    )


@pytest.mark.filterwarnings("error")
def test_nan_rows():
    x = X.copy()
    x[1, 0] = np.nan
    found = evaluate(x, T, per_class=True, top_k=(1, 3))
    assert (found.samples, found.nonfinite) == (3, 1)
    assert all(
        map(math.isnan, (found.loss, found.loss_stderr, found.perplexity, found.mean_rank, found.entropy, found.ece))
    )
    assert found.accuracy == 1 / 3
    assert found.top_k == {1: 1 / 3, 3: 2 / 3}
    assert found.mrr == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert sum(row.samples for row in found.bins) == 2
    assert math.isnan(found.class_loss[2])
    assert math.isfinite(found.class_loss[1])
    # An ignored row's nan is nobody's, and a weight of 0 removes it as well, but is not ignoring.
    assert evaluate(x, np.where([0, 1, 0], -100, T)).nonfinite == 0
    without = evaluate(x, T, [1, 0, 1])
    assert (without.ignored, without.nonfinite) == (0, 1)
    assert without.loss == evaluate(X[[0, 2]], T[[0, 2]]).loss
    assert without.accuracy == 0.5
    assert math.isfinite(without.ece)


@pytest.mark.filterwarnings("error")
def test_nothing_counts():
    for input, target in [(np.zeros((0, 3)), []), (X, [-100] * 3), (np.zeros((2, 0)), [-100, -100])]:
        found = evaluate(input, np.array(target, int), per_class=True)
        assert found.samples == found.ignored == len(target)
        figures = (found.loss, found.loss_stderr, found.accuracy, found.mean_rank, found.mrr, found.entropy, found.ece)
        assert all(map(math.isnan, figures))
    assert Evaluator().compute() == evaluate(np.zeros((0, 3)), np.zeros(0, int))
    assert math.isnan(evaluate(X[:1], T[:1]).loss_stderr)


def test_weights_of_either_sign(rng):
    """Bins may weigh less than nothing; and one 0 is enough to remove what else is there."""
    x, t = rng.normal(size=(200, 4)), rng.integers(0, 4, 200)
    s = np.where(x.max(axis=1) - x.min(axis=1) > 2, -0.1, 1.0) * rng.random(200)
    expected = reference_evaluation.evaluate(x, t, sample_weight=s, bins=4)
    assert_close(evaluate(x, t, s, bins=4), expected, 1e-9)
    s = np.where(t == 1, np.nan, 1.0)
    w = np.array([1.0, 0.0, 2.0, 3.0])
    loss = evaluate(x[t != 1], t[t != 1], weight=w).loss
    assert evaluate(x, t, s, weight=w).loss == loss


def test_weights_that_not_all_blocks_have(rng):
    x, t, s = rng.normal(size=(200, 4)), rng.integers(0, 4, 200), rng.random(200)
    s[100:] = 1
    for first, last in [((0, 100), (100, 200)), ((100, 200), (0, 100))]:
        evaluator = Evaluator()
        for start, stop in (first, last):
            weight = s[:100] if start == 0 else None
            evaluator.update(x[start:stop], t[start:stop], sample_weight=weight)
        assert evaluator.compute() == evaluate(x, t, s)


def test_one_sample_of_one_dimension():
    assert evaluate([1.0, 2.0, 3.0], 2).loss == evaluate(np.array([[1.0, 2.0, 3.0]]), [2]).loss


def test_weight_is_copied():
    weight = np.ones(3)
    evaluator = Evaluator(weight=weight)
    weight[:] = 7
    evaluator.update(X, T)
    other = Evaluator(weight=[1, 1, 1])
    other.update(X, T)
    assert evaluator.compute() == other.compute()


def test_merge_with_itself_and_reset():
    evaluator = Evaluator()
    evaluator.update(X, T)
    once = evaluator.compute()
    evaluator.merge(evaluator)
    assert evaluator.compute().samples == 6
    assert evaluator.compute().loss == once.loss
    evaluator.reset()
    assert evaluator.compute() == Evaluator().compute()
    evaluator.update(X, T)
    assert evaluator.compute() == once


def test_copies_and_pickles(rng):
    evaluator = Evaluator(weight=[0.1, np.nan, 2], label_smoothing=0.3, axis=-1, top_k=(2, 1), bins=3, per_class=True)
    evaluator.update(X, T, sample_weight=[1, 0, 0.3])
    twins = [copy.copy(evaluator), copy.deepcopy(evaluator)]
    twins += [pickle.loads(pickle.dumps(evaluator, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    before = evaluator.state_dict()
    for twin in twins:
        assert twin.state_dict() == before
        assert twin.compute() == evaluator.compute()
        twin.update(X, T)
        assert twin.state_dict() != before
    assert evaluator.state_dict() == before
    found = evaluator.compute()
    assert pickle.loads(pickle.dumps(found)) == found
    assert found != Evaluator().compute()
    assert json.loads(json.dumps(dataclasses.asdict(found)))["bins"][0]["lower"] == 0


def test_state_is_small(rng):
    evaluator = Evaluator()
    sizes = []
    for _ in range(3):
        for _ in range(20):
            evaluator.update(np.float32(rng.normal(size=(1000, 10))), rng.integers(0, 10, 1000))
        sizes.append(len(json.dumps(evaluator.state_dict(), allow_nan=False)))
    assert max(sizes) < 3000
    assert sizes[2] - sizes[0] < 200


def test_import_is_late():
    """An import of the package is fast; the names are there all the same."""
    script = (
        "import sys, xentc; assert not any('evaluation' in name for name in sys.modules);"
        "assert 'Evaluator' in dir(xentc);"
        "from xentc import *; assert Evaluator is xentc.Evaluator; assert not hasattr(xentc, 'Evaluators')"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

"""Properties of cross_entropy that need no other answer to compare with: symmetries, and sums of parts.

(a) A comparison of two calls allows each of them its row tolerance: twice what tolerances.py derives for one. What a
    transformation rounds beforehand is avoided: shifts are of integers that the dtype holds, weights are integers.
(b) Problems are drawn with every option unless a property is about leaving one out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import reference
import strategies
import tolerances
from amount import examples
from hypothesis import given, settings
from hypothesis import strategies as st

import xentc

FLOATS = ("float32", "float64")
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=examples(60))


@st.composite
def batches(draw: Any, n_samples: int | None = None) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """Logits (N, C) that are multiples of 1/8, and a class for each."""
    rng = np.random.default_rng(draw(SEEDS))
    n = draw(st.integers(1, 40)) if n_samples is None else n_samples
    n_classes = draw(st.sampled_from([1, 2, 3, 7, 16, 33, 64, 100, 700]))
    logits = np.round(rng.normal(0, draw(st.sampled_from([0.5, 3.0, 10.0])), (n, n_classes)) * 8) / 8
    return rng, logits.astype(draw(st.sampled_from(FLOATS))), rng.integers(0, n_classes, n)


def call(input: Any, target: Any, **options: Any) -> tuple:
    return xentc.cross_entropy(input, target, return_grad=True, **options)


def assert_close(result: tuple, expected: tuple, input: Any, target: Any, **options: Any) -> None:
    """Two answers to one question, each within its tolerance of the truth, so that they lie within both of another."""
    with np.errstate(all="ignore"):
        steps = reference.take_steps(input, target, dtype=np.longdouble, **options)
        loss_size, grad_size = tolerances.sizes(steps, None, options, result[0].dtype)
    allowed = 2 * (tolerances.row_ulps(result[0].dtype) + tolerances.extra_ulps(steps, result[0].dtype))
    tolerances.assert_ulp(np.asarray(result[0]), expected[0], allowed, loss_size, "loss")
    tolerances.assert_ulp(result[1], expected[1], allowed, grad_size, "gradient", relative=True)


@FEW
@given(batches(), st.integers(-1000, 1000), st.sampled_from(["none", "mean", "sum"]))
def test_shift(isa: str, batch: Any, shift: int, reduction: str) -> None:
    """A number added to a row changes nothing: these sums are exact."""
    rng, input, target = batch
    shifts = np.where(rng.random(len(input)) < 0.5, shift, -3)[:, None].astype(input.dtype)
    options = {"reduction": reduction, "weight": rng.uniform(0.5, 2, input.shape[1])}
    result = call(input + shifts, target, **options)
    assert_close(result, call(input, target, **options), input, target, **options)


@FEW
@given(batches(), st.sampled_from([0.0, 0.25]), st.booleans())
def test_permutation_of_classes(isa: str, batch: Any, label_smoothing: float, soft: bool) -> None:
    rng, input, target = batch
    n_classes = input.shape[1]
    order = rng.permutation(n_classes)
    weight, place = rng.uniform(0.5, 2, n_classes), np.argsort(order)
    target = rng.uniform(size=input.shape) if soft else target
    options: dict[str, Any] = {"label_smoothing": label_smoothing, "reduction": "none"}
    loss, grad = call(input[:, order], target[:, order] if soft else place[target], weight=weight[order], **options)
    expected = call(input, target, weight=weight, **options)
    assert_close((loss, grad[:, place]), expected, input, target, weight=weight, **options)


@FEW
@given(batches(), st.sampled_from([0.0, 0.25]), st.sampled_from(["none", "sum"]))
def test_one_hot_is_the_index(isa: str, batch: Any, label_smoothing: float, reduction: str) -> None:
    rng, input, target = batch
    one_hot = np.eye(input.shape[1], dtype=input.dtype)[target]
    options = {
        "label_smoothing": label_smoothing,
        "reduction": reduction,
        "weight": rng.uniform(0.5, 2, len(one_hot[0])),
    }
    options |= {"lse_square_scale": 0.125, "sample_weight": rng.integers(0, 4, len(input))}
    assert_close(call(input, one_hot, **options), call(input, target, **options), input, one_hot, **options)


@FEW
@given(batches(), st.sampled_from(["none", "mean", "sum"]), st.sampled_from([0.0, 0.25]))
def test_ignoring_is_deleting(isa: str, batch: Any, reduction: str, label_smoothing: float) -> None:
    """To the bit for each sample; sums are folded of the same numbers, in another order."""
    rng, input, target = batch
    ignored = rng.random(len(input)) < 0.4
    options = {"reduction": reduction, "label_smoothing": label_smoothing, "lse_square_scale": 0.125}
    result = call(input, np.where(ignored, -100, target), **options)
    expected = call(input[~ignored], target[~ignored], **options)
    assert not np.any(result[1][ignored])
    if reduction == "none":
        assert not np.any(result[0][ignored])
        assert result[0][~ignored].tobytes() == expected[0].tobytes()
        assert result[1][~ignored].tobytes() == expected[1].tobytes()
        return
    kept = result[0], result[1][~ignored]
    assert_close(kept, expected, input[~ignored], target[~ignored], **options)


@FEW
@given(batches(), st.sampled_from(["mean", "sum"]), st.booleans())
def test_a_sample_weight_is_repetition(isa: str, batch: Any, reduction: str, soft: bool) -> None:
    """An integer weight counts a row so often; a class weight is one for each of the class's samples."""
    rng, input, target = batch
    times = rng.integers(0, 4, len(input))
    target = rng.uniform(size=input.shape) if soft else target
    options = {"reduction": reduction, "lse_square_scale": 0.125, "label_smoothing": 0.25}
    loss, grad = call(input, target, sample_weight=times, **options)
    repeated = np.repeat(input, times, axis=0), np.repeat(target, times, axis=0)
    expected, rows = call(*repeated, **options)
    summed = np.zeros(input.shape, np.longdouble)
    np.add.at(summed, np.repeat(np.arange(len(input)), times), rows.astype(np.longdouble))
    assert_close((loss, grad), (expected, summed), input, target, sample_weight=times, **options)
    if not soft:
        by_class = rng.integers(0, 4, input.shape[1])
        loss, _ = call(input, target, weight=by_class, reduction=reduction)
        repeated = np.repeat(input, by_class[target], axis=0), np.repeat(target, by_class[target])
        twin = xentc.cross_entropy(*repeated, reduction=reduction)
        np.testing.assert_allclose(loss, twin, rtol=2 * 8 * float(np.finfo(input.dtype).eps))


@settings(max_examples=examples(150))
@given(st.data())
def test_gradient_rows_sum_to_0(isa: str, data: Any) -> None:
    """Within 8 eps of the row's coefficient: what adds to all logits alike changes no loss."""
    features = strategies.EVERYTHING - {"softcap", "temperature", "lse_square_scale", "half", "ugly", "promoted"}
    problem = data.draw(strategies.problems(frozenset(features), dtypes=FLOATS))
    grad_output = problem.options.pop("grad_output", 1.0)
    steps = reference.take_steps(problem.input, problem.target, dtype=np.longdouble, **problem.options)
    grad = xentc.cross_entropy(
        problem.input, problem.target, return_grad=True, grad_output=grad_output, **problem.options
    )[1]  # fmt: skip
    rows = reference.class_rows(grad, steps.axis, np.longdouble)[0]
    with np.errstate(all="ignore"):
        upstream = np.abs(reference.upstream_gradient(steps, grad_output))
        coefficient = np.where(reference.takes_part(steps), np.abs(steps.coefficient).sum(axis=1) * upstream, 0)
    limits = np.finfo(grad.dtype)
    allowed = 8 * float(limits.eps) * coefficient + rows.shape[1] * float(limits.tiny)
    assert np.all(np.abs(rows.sum(axis=1)) <= allowed), problem


@FEW
@given(st.data())
def test_parts_are_the_whole(isa: str, data: Any) -> None:
    """Samples in parts: the same bits for each, and sums that add up."""
    problem = data.draw(strategies.problems(strategies.EVERYTHING - {"half", "grad_output", "ugly"}, dtypes=FLOATS))
    input, target, options = problem.input, problem.target, problem.options
    axis = reference.class_axis(input.ndim, options.pop("axis", None))
    if input.ndim == 1:
        return
    first = 1 if axis == 0 else 0  # a sample axis
    cut = data.draw(st.integers(0, input.shape[first]))
    soft = target.shape == input.shape
    options["axis"] = axis
    sample_weight = options.pop("sample_weight", None)
    parts = []
    for part in (slice(None, cut), slice(cut, None)):
        where = (slice(None),) * first + (part,)
        more = {} if sample_weight is None else {"sample_weight": sample_weight[part]}
        more |= options | {"reduction": "none"}
        parts.append((call(input[where], target[where] if soft else target[part], **more), part, where))
    if sample_weight is not None:
        options["sample_weight"] = sample_weight
    loss, grad = call(input, target, **options | {"reduction": "none"})
    for (part_loss, part_grad), part, where in parts:
        assert part_loss.tobytes() == loss[part].tobytes(), problem
        assert part_grad.tobytes() == grad[where].tobytes(), problem
    total = sum(float(part_loss.sum(dtype=np.float64)) for (part_loss, _), _, _ in parts)
    size = sum(float(np.abs(part_loss).sum(dtype=np.float64)) for (part_loss, _), _, _ in parts)
    whole = xentc.cross_entropy(input, target, **options | {"reduction": "sum"})
    eps = 2 * float(np.finfo(loss.dtype).eps) + loss.size * float(np.finfo(np.float64).eps)
    assert abs(float(whole) - total) <= eps * size + float(np.finfo(loss.dtype).tiny)

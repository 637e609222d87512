"""The obvious NumPy version of every loss: the specification that the kernels are tested against.

(a) Plain on purpose: whole arrays, one line a rule, no loop and no blocking. Slow and hungry; never imported by xentc.
(b) Exact: computed in `dtype`, by default np.longdouble, of 64 bits of mantissa or more on most platforms, so that its
    own error does not show beside float64 (tolerances.REFERENCE_ULPS says where it does).
(c) Nothing cancels. The class of the largest logit is left out of the sum of exponentials, where it would be a 1:
        rest = sum of exp(x_k - max), k not that class
        log_softmax = (x - max) - log1p(rest)          softmax = exp(x - max) / (1 + rest)
    so that a confident row's loss is log1p of something small, and 1 - softmax is rest / (1 + rest).
(d) A loss is linear in -log_softmax. Class weights, smoothing, indices and probabilities are all one array of
    coefficients (N, C), and loss = sum of coefficient * -log_softmax. A coefficient of 0 removes its own term.
(e) Arguments are trusted: what has to be refused is the business of the tests of errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import mpmath
import numpy as np


class Steps(NamedTuple):
    """What lies between the arguments and the loss; N samples in C order, classes last. tolerances.py reads it too."""

    logits: np.ndarray  # (N, C), after softcap and temperature
    slope: np.ndarray  # (N, C), their derivative by the input
    coefficient: np.ndarray  # (N, C), of -log_softmax; ignored samples are all 0
    log_softmax: np.ndarray  # (N, C)
    softmax: np.ndarray  # (N, C)
    not_softmax: np.ndarray  # (N, C), 1 - softmax
    lse: np.ndarray  # (N,)
    square_scale: np.ndarray  # (N,), of lse^2; ignored samples are 0
    sample_weight: np.ndarray  # (N,)
    valid: np.ndarray  # (N,), not ignored
    denominator: np.ndarray  # scalar, 1 unless the reduction is mean
    reduction: str
    sample_shape: tuple[int, ...]
    axis: int


def cross_entropy(input: Any, target: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient, with xentc.cross_entropy's meaning and options; `dtype` is what to compute in."""
    grad_output = options.pop("grad_output", None)
    with np.errstate(all="ignore"):
        return finish(take_steps(input, target, **options), grad_output)


def finish(steps: Steps, grad_output: Any = None) -> tuple[np.ndarray, np.ndarray]:
    grad = row_gradient(steps, 1 if grad_output is None else grad_output)
    return reduce(row_loss(steps), steps), to_input_shape(grad, steps)


def take_steps(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    axis: int | None = None,
    sample_weight: Any = None,
    softcap: float | None = None,
    temperature: float = 1.0,
    lse_square_scale: float = 0.0,
    dtype: Any = np.longdouble,
) -> Steps:
    input = np.asarray(input)
    axis = class_axis(input.ndim, axis)
    rows, sample_shape = class_rows(input, axis, dtype)
    n_samples, n_classes = rows.shape
    logits, slope = transform(rows, softcap, temperature)
    log_softmax, softmax, not_softmax, lse = softmax_rows(logits)

    target = np.asarray(target)
    indices = target.shape != input.shape
    if indices:
        # Made dense first: NumPy 2.1 compares a broadcast uint64 array with a negative number by a segmentation fault.
        valid = np.reshape(target, -1) != ignore_index
        probability = one_hot(np.reshape(target, -1), valid, n_classes, dtype)
    else:
        valid = np.ones(n_samples, bool)
        probability = class_rows(target, axis, dtype)[0]
    if n_classes:
        probability = probability * (1 - dtype(label_smoothing)) + dtype(label_smoothing) / n_classes
    weight = np.ones(n_classes, dtype) if weight is None else np.asarray(weight, dtype)
    coefficient = np.where(valid[:, None], both(weight, probability), 0)

    shape = (n_samples,)
    sample_weight = np.ones(shape, dtype) if sample_weight is None else np.asarray(sample_weight, dtype).reshape(shape)
    counted = valid.astype(dtype)
    if indices and n_classes:
        counted = np.where(valid, weight[np.where(valid, np.reshape(target, -1), 0).astype(np.intp)], 0)
    denominator = both(sample_weight, counted).sum() if reduction == "mean" else dtype(1)
    if not n_classes and reduction == "mean":
        denominator = dtype(0)
    return Steps(
        logits=logits,
        slope=slope,
        coefficient=coefficient,
        log_softmax=log_softmax,
        softmax=softmax,
        not_softmax=not_softmax,
        lse=lse,
        square_scale=np.where(valid, dtype(lse_square_scale), 0),
        sample_weight=sample_weight,
        valid=valid,
        denominator=denominator,
        reduction=reduction,
        sample_shape=sample_shape,
        axis=axis,
    )


def class_axis(n_dimensions: int, axis: int | None) -> int:
    """torch's rule unless an axis is given: the second axis, or the only one."""
    return min(1, n_dimensions - 1) if axis is None else axis % n_dimensions


def class_rows(array: Any, axis: int, dtype: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """(N, C), and the shape that N was."""
    moved = np.moveaxis(np.asarray(array), axis, -1)
    sample_shape, n_classes = moved.shape[:-1], moved.shape[-1]
    return moved.reshape(int(np.prod(sample_shape)), n_classes).astype(dtype), sample_shape


def transform(rows: np.ndarray, softcap: float | None, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """s tanh(x / s) / T, and its derivative 1 / cosh^2(x / s) / T: 1 - tanh^2 would cancel."""
    temperature = rows.dtype.type(temperature)
    if softcap is None:
        return rows / temperature, np.ones_like(rows) / temperature
    softcap = rows.dtype.type(softcap)
    return softcap * np.tanh(rows / softcap) / temperature, 1 / np.cosh(rows / softcap) ** 2 / temperature


def softmax_rows(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """log_softmax, softmax, 1 - softmax and logsumexp of each row, by (c)."""
    if not logits.size:
        return logits, logits, logits, np.full(len(logits), -np.inf, logits.dtype)
    row_max = logits.max(axis=1, keepdims=True)
    is_top = np.arange(logits.shape[1]) == logits.argmax(axis=1)[:, None]
    below = logits - row_max
    rest = np.where(is_top, 0, np.exp(below)).sum(axis=1, keepdims=True)
    # Only -inf in a row, or +inf or nan anywhere in it: nan for that row, and for that row alone.
    rest = np.where(np.isfinite(row_max), rest, np.nan)
    log_softmax = below - np.log1p(rest)
    softmax = np.exp(below) / (1 + rest)
    not_softmax = np.where(is_top, rest / (1 + rest), 1 - softmax)
    return log_softmax, softmax, not_softmax, (row_max + np.log1p(rest))[:, 0]


def one_hot(indices: np.ndarray, valid: np.ndarray, n_classes: int, dtype: Any) -> np.ndarray:
    classes = np.arange(n_classes)
    return (valid[:, None] & (classes == np.where(valid, indices, 0).astype(np.intp)[:, None])).astype(dtype)


def term(coefficient: np.ndarray, value: np.ndarray) -> np.ndarray:
    """coefficient * value, where a coefficient of exactly 0 removes the term: 0 times inf or nan is 0."""
    return np.where(coefficient == 0, 0, coefficient * value)


def both(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The product of two coefficients: either of them removes the term."""
    return np.where((first == 0) | (second == 0), 0, first * second)


def takes_part(steps: Steps) -> np.ndarray:
    """Samples that at least one term is left of: the others are exactly 0, whatever their logits hold."""
    has_term = np.any(steps.coefficient != 0, axis=1) | (steps.square_scale != 0)
    return steps.valid & has_term & (steps.sample_weight != 0)


def row_loss(steps: Steps) -> np.ndarray:
    plain = term(steps.coefficient, -steps.log_softmax).sum(axis=1)
    loss = steps.sample_weight * (plain + term(steps.square_scale, steps.lse**2))
    return np.where(takes_part(steps), loss, 0)


def reduce(row_loss: np.ndarray, steps: Steps) -> np.ndarray:
    if steps.reduction == "none":
        return row_loss.reshape(steps.sample_shape)
    return row_loss.sum() / steps.denominator


def to_input_shape(rows: np.ndarray, steps: Steps) -> np.ndarray:
    return np.moveaxis(rows.reshape(*steps.sample_shape, rows.shape[1]), -1, steps.axis)


def row_gradient(steps: Steps, grad_output: Any) -> np.ndarray:
    """By the logits (N, C), then through softcap and temperature.

    sum_k coefficient_k * (softmax_c - [c is k]), written so that neither side cancels: what the other classes pull up
    and what the class itself pulls down.
    """
    others = steps.coefficient.sum(axis=1, keepdims=True) - steps.coefficient
    plain = others * steps.softmax - steps.coefficient * steps.not_softmax
    square = term(steps.square_scale, 2 * steps.lse)[:, None] * steps.softmax
    upstream = upstream_gradient(steps, grad_output)[:, None]
    removed = ~takes_part(steps)[:, None] | (upstream == 0)
    return np.where(removed, 0, upstream * (plain + square) * steps.slope)


def upstream_gradient(steps: Steps, grad_output: Any) -> np.ndarray:
    """(N,): what multiplies the gradient of a sample's unweighted loss."""
    given = np.broadcast_to(np.asarray(grad_output, steps.logits.dtype), steps.sample_shape).reshape(-1)
    return both(both(given, steps.sample_weight), 1 / steps.denominator)


def exact_loss(row: Any, target: int) -> mpmath.mpf:
    """-log_softmax(row)[target] to 60 digits, for finite logits and -inf at other classes."""
    with mpmath.workdps(60):
        return mpmath.log1p(_rest_over_own(row, target))


def exact_gradient(row: Any, target: int) -> list[mpmath.mpf]:
    """softmax(row) - one_hot(target) to 60 digits."""
    with mpmath.workdps(60):
        own_share = 1 / (1 + _rest_over_own(row, target))
        grad = [mpmath.exp(mpmath.mpf(float(x)) - mpmath.mpf(float(row[target]))) * own_share for x in row]
        grad[target] = -_rest_over_own(row, target) * own_share
        return grad


def _rest_over_own(row: Any, target: int) -> mpmath.mpf:
    """Sum of exp(x_k - x_target) over the other classes. mpmath's exponents do not overflow."""
    own = mpmath.mpf(float(row[target]))
    return mpmath.fsum(mpmath.exp(mpmath.mpf(float(x)) - own) for k, x in enumerate(row) if k != target)

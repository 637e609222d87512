"""How far a result may lie from the exact value, and why.

(a) The unit is the ULP of the result's own dtype, at the size of the terms that were summed. Where all terms have one
    sign, that is the size of the exact value itself.
(b) A row's loss, and its gradient at an index target: 4 ULP in float32, 8 in float64. That is what xentc promises, for
    rows whose largest logit is at most 6e4 in size; 5e-6 relative for other rows in float32. The other entries of a
    gradient, coefficient * exp(x - lse), are held to the textbook's bound: an eps each for exp and for the sum, half of
    one each for the quotient and the coefficient, and one more; that is 4 eps of the value, which is 4 to 8 ULP. And
    half an eps for each unit of x - max, which is rounded before exp sees it.
(c) Where terms of two signs meet (smoothing, soft targets, negative weights), the textbook formula errs by an ULP of
    the terms, not of their difference. Its log_softmax = x - max - log(sum) errs by an eps of the sum, which is 1 or
    more: only where one class is asked for can that be avoided. A logit that was transformed (softcap, temperature)
    has been rounded: that moves a term by as many ULP as the logit is large.
(d) A mean or a sum adds N terms in float64, one after another at worst: (N - 1) / 2 ULP of float64 for the numerator
    and as many for the denominator, which is nothing in float32.
(e) The reference errs as well. Where np.longdouble has more bits than float64, by under 0.01 ULP of float64, and
    1 / 4096 for each unit that the deciding logits lie apart; where it has not, by about log2(C) ULP for the sum and
    one for each of the exp, log1p and division behind it.
(f) Below 4 times the smallest normal number, a term may be 0.
"""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import reference

ROW_ULPS = {"float32": 4.0, "float64": 8.0, "float16": 1.5, "bfloat16": 1.5}  # halves: 1, and the rounding
LARGE_LOGIT = 6e4
LARGE_LOGIT_ULPS = 5e-6 / float(np.finfo(np.float32).eps)
_SMALLEST = mpmath.mpf(str(np.finfo(np.longdouble).tiny))
REFERENCE_ULPS = 0 if np.finfo(np.longdouble).nmant > 60 else 24


def float_limits(dtype: Any) -> Any:
    dtype = np.dtype(dtype)
    if dtype.name != "bfloat16":
        return np.finfo(dtype)
    import ml_dtypes

    return ml_dtypes.finfo(dtype)


def row_ulps(dtype: Any) -> float:
    dtype = np.dtype(dtype)
    return ROW_ULPS[dtype.name] + (REFERENCE_ULPS if dtype == np.float64 else 0)


def reference_dtype(dtype: Any) -> Any:
    """What the reference is computed in: float64 is exact enough, and ten times as fast, beside float32 and halves."""
    return np.longdouble if np.dtype(dtype).itemsize == 8 else np.float64


def to_longdouble(exact: Any) -> np.ndarray:
    """Exact values, mpmath's too: through 25 digits, as mpmath converts to nothing wider than float64."""
    if isinstance(exact, mpmath.mpf):
        return np.longdouble(mpmath.nstr(exact, 25) if abs(exact) > _SMALLEST else 0)
    if isinstance(exact, list):
        return np.array([to_longdouble(value) for value in exact], np.longdouble)
    return np.asarray(exact).astype(np.longdouble)


def ulp(size: np.ndarray, dtype: Any) -> np.ndarray:
    """The distance of neighbouring numbers of a dtype at this size, in long double."""
    limits = float_limits(dtype)
    exponent = np.frexp(np.where(np.isfinite(size), size, 0))[1] - 1
    return np.maximum(np.ldexp(np.longdouble(limits.eps), exponent), np.longdouble(limits.smallest_subnormal))


def ulp_errors(actual: Any, exact: Any, magnitude: Any = None, relative: bool = False) -> np.ndarray:
    """|actual - exact| in ULP of the dtype of `actual`; inf where the one is nan or infinite and the other is not.

    With `relative`, in eps of the magnitude: an ULP is an eps at powers of two, and half of one just below them.
    """
    actual, exact = np.asarray(actual), to_longdouble(exact)
    assert actual.shape == exact.shape, f"shape {actual.shape}, expected {exact.shape}"
    wide = actual.astype(np.longdouble)
    largest = np.longdouble(float_limits(actual.dtype).max)
    with np.errstate(all="ignore"):
        size = np.abs(exact) if magnitude is None else np.maximum(to_longdouble(magnitude), np.abs(exact))
        unit = ulp(size, actual.dtype)
        if relative:
            unit = np.maximum(unit, size * np.longdouble(float_limits(actual.dtype).eps))
        errors = np.abs(wide - exact) / unit
        overflowed = np.isinf(wide) & (np.abs(exact) >= largest * (1 - 1e-6)) & (np.sign(wide) == np.sign(exact))
    same = (np.isnan(exact) & np.isnan(wide)) | (exact == wide) | overflowed
    return np.where(same, 0, np.where(np.isfinite(exact) & np.isfinite(wide), errors, np.inf))


def assert_ulp(
    actual: Any, exact: Any, ulps: float, magnitude: Any = None, context: Any = "", relative: bool = False
) -> None:
    errors = ulp_errors(actual, exact, magnitude, relative)
    if errors.size == 0 or errors.max() <= ulps:
        return
    worst = np.unravel_index(errors.argmax(), errors.shape)
    unit, wrong = "eps" if relative else "ULP", np.count_nonzero(errors > ulps)
    raise AssertionError(
        f"{errors[worst]:.3g} {unit}, allowed {ulps:.3g}, at {tuple(map(int, worst))}: {np.asarray(actual)[worst]!r}, "
        f"expected {to_longdouble(exact)[worst]!r}; {wrong} of {errors.size} wrong. {context}"
    )


def assert_matches(result: Any, input: Any, target: Any, context: Any = "", **options: Any) -> None:
    """What cross_entropy returned, a loss or a loss and its gradient, against the reference of the same arguments."""
    loss, grad = result if isinstance(result, tuple) else (result, None)
    loss = np.asarray(loss)
    grad_output = options.pop("grad_output", None)
    with np.errstate(all="ignore"):
        steps = reference.take_steps(input, target, dtype=reference_dtype(loss.dtype), **options)
        exact_loss, exact_grad = reference.finish(steps, grad_output)
        loss_size, grad_size = sizes(steps, grad_output, options, loss.dtype)
    extra = extra_ulps(steps, loss.dtype)
    assert_ulp(loss, exact_loss, row_ulps(loss.dtype) + extra, loss_size, f"loss {context}")
    if grad is not None:
        half = np.asarray(grad).dtype.itemsize == 2
        allowed = row_ulps(grad.dtype) + (0 if half else extra)
        assert_ulp(grad, exact_grad, allowed, grad_size, f"gradient {context}", relative=not half)


def extra_ulps(steps: reference.Steps, arithmetic: Any) -> float:
    """What (b) adds for large logits, and (d) for a sum over samples."""
    extra = 0.0
    if steps.reduction != "none":
        extra = len(steps.lse) * np.finfo(np.float64).eps / float(np.finfo(arithmetic).eps)
    if np.dtype(arithmetic) == np.float32 and _any_large(steps.logits[reference.takes_part(steps)]):
        extra += LARGE_LOGIT_ULPS
    return extra


def sizes(steps: reference.Steps, grad_output: Any, options: Any, arithmetic: Any) -> tuple[np.ndarray, np.ndarray]:
    """The size of the terms of loss and gradient, in their shapes."""
    smoothed = options.get("label_smoothing", 0.0) != 0
    capped, temperature = options.get("softcap") is not None, options.get("temperature", 1.0)
    loss, grad = _row_sizes(steps, capped or temperature != 1.0, smoothed, arithmetic)
    grad = grad * (np.abs(steps.slope) + (2 / temperature if capped else 0))  # 1 - tanh^2 is made of terms of size 1
    live = reference.takes_part(steps)
    upstream = np.abs(reference.upstream_gradient(steps, 1 if grad_output is None else grad_output))
    loss = np.where(live, np.abs(steps.sample_weight) * loss, 0)
    grad = np.where(live[:, None], upstream[:, None] * grad, 0)
    return np.abs(reference.reduce(loss, steps)), reference.to_input_shape(grad, steps)


def _any_large(logits: np.ndarray) -> bool:
    largest = logits.max(axis=1, initial=-np.inf)
    return bool(np.any(np.abs(largest[np.isfinite(largest)]) > LARGE_LOGIT))


def _row_sizes(steps: reference.Steps, transformed: bool, smoothed: bool, arithmetic: Any) -> tuple:
    """Of a sample's loss, and of its gradient by the transformed logits."""
    size = np.abs(steps.coefficient)
    total = size.sum(axis=1, keepdims=True)
    one_class = (np.count_nonzero(size, axis=1) <= 1) & (not smoothed)  # an index, or one probability
    loss = reference.term(size, -steps.log_softmax).sum(axis=1) + np.where(one_class, 0, total[:, 0])
    softmax = reference.term(steps.softmax, 1 - steps.log_softmax / (2 * row_ulps(arithmetic)))
    grad = np.where(
        one_class[:, None],
        (total - size) * softmax + size * steps.not_softmax,
        total * softmax + size,
    )

    # lse is the sum of the largest logit and a logarithm, of a sum that errs by an eps. These may cancel.
    lse_size = 1 + np.abs(steps.logits.max(axis=1, initial=-np.inf)) + np.abs(steps.lse)
    square = np.abs(steps.square_scale)
    loss = loss + reference.term(square, lse_size**2)
    grad = grad + reference.term(square, 2 * lse_size)[:, None] * softmax

    if transformed:
        rounding = np.where(np.isfinite(steps.logits), np.abs(steps.logits), 0)
        mean_rounding = (steps.softmax * rounding).sum(axis=1, keepdims=True)
        pull = total + reference.term(square, 2 * lse_size)[:, None]
        loss = loss + ((pull * steps.softmax + size) * rounding).sum(axis=1)
        grad = grad + pull * steps.softmax * (rounding + mean_rounding)
    # A probability below the smallest normal number may be 0, whatever it is multiplied with.
    floor = np.longdouble(np.finfo(arithmetic).tiny) * 4 / np.finfo(arithmetic).eps
    multiplier = total + reference.term(square, 1 + 2 * np.abs(steps.lse))[:, None]
    return loss + total[:, 0] * floor, grad + multiplier * floor

"""xentc.cross_entropy."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Losses, Readable, Real, Scalar

_run = _arguments.cross_entropy  # looked up once: a tiny call takes a microsecond


# fmt: off
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., reduction: Literal["mean", "sum"] = ...,
    label_smoothing: Real = ..., *, axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: Literal[False] = ..., grad_output: None = ..., out: None = ..., grad_out: None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Scalar: ...
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., reduction: Literal["mean", "sum"] = ...,
    label_smoothing: Real = ..., *, axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: Literal[True], grad_output: Readable | None = ..., out: None = ...,
    grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Scalar, Grad]: ...
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., *, reduction: Literal["none"],
    label_smoothing: Real = ..., axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] | None = ..., grad_out: None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Losses: ...
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., *, reduction: Literal["none"],
    label_smoothing: Real = ..., axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
    grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ...,
    ignore_index: SupportsIndex = ..., reduce: bool | None = ..., reduction: str = ...,
    label_smoothing: Real = ..., *, axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] | None = ..., grad_out: None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Loss: ...
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ...,
    ignore_index: SupportsIndex = ..., reduce: bool | None = ..., reduction: str = ...,
    label_smoothing: Real = ..., *, axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
    grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Loss, Grad]: ...
@overload
def cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ...,
    ignore_index: SupportsIndex = ..., reduce: bool | None = ..., reduction: str = ...,
    label_smoothing: Real = ..., *, axis: SupportsIndex | None = ..., sample_weight: Readable | None = ...,
    softcap: Real | None = ..., temperature: Real = ..., lse_square_scale: Real = ...,
    return_grad: bool, grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
    grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss | tuple[Loss, Grad]: ...
# fmt: on
def cross_entropy(
    input: Readable,
    target: Readable,
    weight: Readable | None = None,
    size_average: bool | None = None,
    ignore_index: SupportsIndex = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: Real = 0.0,
    *,
    axis: SupportsIndex | None = None,
    sample_weight: Readable | None = None,
    softcap: Real | None = None,
    temperature: Real = 1.0,
    lse_square_scale: Real = 0.0,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Loss | tuple[Loss, Grad]:
    r"""
    Cross-entropy between logits and class indices or probabilities, and its gradient.

    .. math:: \ell_i = s_i \Bigl((1 - \varepsilon)\, w_{t_i} (\mathrm{lse}_i - x_{i t_i})
              + \frac{\varepsilon}{C} \sum_c w_c (\mathrm{lse}_i - x_{ic}) + z\, \mathrm{lse}_i^2\Bigr), \qquad
              \mathrm{lse}_i = \log \sum_c e^{x_{ic}}, \qquad
              \text{mean} = \frac{\sum_i \ell_i}{\sum_i s_i w_{t_i}}

    for class indices t, over the samples i that are not ignored; for probabilities q,

    .. math:: \ell_i = s_i \Bigl(\sum_c w_c \bigl((1 - \varepsilon) q_{ic} + \tfrac{\varepsilon}{C}\bigr)
              (\mathrm{lse}_i - x_{ic}) + z\, \mathrm{lse}_i^2\Bigr), \qquad
              \text{mean} = \frac{\sum_i \ell_i}{\sum_i s_i}

    as torch.nn.functional.cross_entropy defines them; s, z, `softcap` and `temperature` are xentc's own. Each logit is
    read from memory once.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    target : array_like
        Of any integer dtype and the input's shape without its class axis: the class of each sample, 0 to C - 1, or
        `ignore_index`. Of any floating dtype and the input's shape: a probability for each class; rows need not sum
        to 1.
    weight : array_like of any real dtype, shape (C,), optional
        A weight for each class. Negative ones are taken.
    size_average, reduce : bool, optional
        Deprecated, as in torch: they override `reduction`.
    ignore_index : int
        Samples of this target have loss 0 and gradient 0 and do not count in the mean. It may lie inside 0 to C - 1;
        a value of 0 or more does not go with probabilities.
    reduction : {'mean', 'sum', 'none'}
    label_smoothing : float
        The share of the target that is spread evenly over the classes, 0 to 1.
    axis : int, optional
        The class axis. None is torch's rule: axis 1, or 0 of a one-dimensional input.
    sample_weight : array_like of any real dtype, shape of the samples, optional
        A weight for each sample, in loss, gradient and the mean's denominator.
    softcap : float, optional
        Logits become softcap * tanh(input / softcap) first. A mask of -inf becomes -softcap by that.
    temperature : float
        Logits are divided by it, after the softcap.
    lse_square_scale : float
        Adds this times lse squared to each sample (z-loss), not weighed by class.
    return_grad : bool
        Also return the gradient with respect to `input`.
    grad_output : float or array_like, optional
        The upstream gradient, 1 by default; a scalar, or with 'none' also one number a sample.
    out : ndarray, optional
        Where the losses of 'none' go: shape and dtype of the loss.
    grad_out : ndarray, optional
        Where the gradient goes: shape and dtype of the gradient, and possibly `input` itself.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    loss : numpy scalar ('mean', 'sum', and 'none' of a (C,) input), or ndarray of the shape of the samples
        In nats; float64 for float64 and integers, else float32. The memory of `out` where that is given.
    grad : ndarray of the input's shape
        Only with `return_grad`; of the input's dtype, float64 for integers. The memory of `grad_out` where given.

    Raises
    ------
    TypeError
        For an argument of the wrong kind. Nothing has been written then.
    ValueError
        For shapes or options that do not fit. Nothing has been written then.
    IndexError
        For a target that is no class and not `ignore_index`. Nothing has been written then.

    Notes
    -----
    Where this differs from torch, on purpose: a coefficient of exactly 0 (a weight, a probability, an upstream
    gradient) removes its own term even where the logit is infinite or nan; an ignored sample has gradient 0 even where
    its logits are nan; losses of half precision are float32, and no sum is kept in a half; label_smoothing outside
    0 to 1 is refused.

    Logits are exponentiated in float32 (in float64 for float64 and integer input, float64 probabilities, a softcap or a
    temperature) and summed over classes and samples in float64. With logits up to 65000 in size, the loss of an index
    target is within 4 ULP (float32) or 8 ULP (float64) of the exact value, however confident the row; larger ones
    within 5e-6 relative. A nan, a +inf, or -inf throughout gives nan for its row alone; -inf at the target gives inf.
    The mean over no samples is nan, with gradient 0. After a KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from xentc import cross_entropy
    >>> round(float(cross_entropy([[4.0, 1.0, 2.0]], [0])), 4)
    0.1698
    >>> loss, grad = cross_entropy(np.zeros((2, 4), np.float32), np.array([1, 3]), return_grad=True)
    >>> print(round(float(loss), 4), grad[0])
    1.3863 [ 0.125 -0.375  0.125  0.125]
    """
    return _run(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        label_smoothing,
        axis,
        sample_weight,
        softcap,
        temperature,
        lse_square_scale,
        return_grad,
        grad_output,
        out,
        grad_out,
        num_threads,
    )

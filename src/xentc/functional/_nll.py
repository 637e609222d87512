"""xentc.nll_loss."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Losses, Readable, Scalar


# fmt: off
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., reduction: Literal["mean", "sum"] = ..., *,
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: Literal[False] = ...,
    grad_output: None = ..., out: None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Scalar: ...
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., reduction: Literal["mean", "sum"] = ..., *,
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: Literal[True],
    grad_output: Readable | None = ..., out: None = ..., grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> tuple[Scalar, Grad]: ...
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., *, reduction: Literal["none"],
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: Literal[False] = ...,
    grad_output: None = ..., out: NDArray[Any] | None = ..., grad_out: None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Losses: ...
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ...,
    ignore_index: SupportsIndex = ..., reduce: None = ..., *, reduction: Literal["none"],
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: Literal[True],
    grad_output: Readable | None = ..., out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ...,
    ignore_index: SupportsIndex = ..., reduce: bool | None = ..., reduction: str = ..., *,
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: Literal[False] = ...,
    grad_output: None = ..., out: NDArray[Any] | None = ..., grad_out: None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Loss: ...
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ...,
    ignore_index: SupportsIndex = ..., reduce: bool | None = ..., reduction: str = ..., *,
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: Literal[True],
    grad_output: Readable | None = ..., out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> tuple[Loss, Grad]: ...
@overload
def nll_loss(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ...,
    ignore_index: SupportsIndex = ..., reduce: bool | None = ..., reduction: str = ..., *,
    axis: SupportsIndex | None = ..., sample_weight: Readable | None = ..., return_grad: bool,
    grad_output: Readable | None = ..., out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Loss | tuple[Loss, Grad]: ...
# fmt: on
def nll_loss(
    input: Readable,
    target: Readable,
    weight: Readable | None = None,
    size_average: bool | None = None,
    ignore_index: SupportsIndex = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: SupportsIndex | None = None,
    sample_weight: Readable | None = None,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Loss | tuple[Loss, Grad]:
    r"""
    Negative log-likelihood of class indices, given log-probabilities, and its gradient.

    .. math:: \ell_i = -s_i\, w_{t_i}\, x_{i t_i}, \qquad \text{mean} = \frac{\sum_i \ell_i}{\sum_i s_i w_{t_i}}

    over the samples i that are not ignored, as torch.nn.functional.nll_loss defines it; s is xentc's own.
    `cross_entropy` takes the logits themselves, and needs no log-probabilities.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, shape (C,), (N, C) or (N, C, d1, ...)
        Log-probabilities. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    target : array_like of any integer dtype, the input's shape without its class axis
        The class of each sample, 0 to C - 1, or `ignore_index`.
    weight : array_like of any real dtype, shape (C,), optional
        A weight for each class. Negative ones are taken.
    size_average, reduce : bool, optional
        Deprecated, as in torch: they override `reduction`.
    ignore_index : int
        Samples of this target have loss 0 and gradient 0 and do not count in the mean.
    reduction : {'mean', 'sum', 'none'}
    axis : int, optional
        The class axis. None is torch's rule: axis 1, or 0 of a one-dimensional input.
    sample_weight : array_like of any real dtype, shape of the samples, optional
        A weight for each sample, in loss, gradient and the mean's denominator.
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
    loss : numpy scalar ('mean', 'sum', and 'none' of a single sample), or ndarray of the shape of the samples
        float64 for float64 and integers, else float32. The memory of `out` where that is given.
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
    Only the target's entry of a sample is read: a nan elsewhere is harmless. Where this differs from torch, on purpose:
    a coefficient of exactly 0 (a weight, an upstream gradient) removes its own term even where the entry is infinite
    or nan, and losses of half precision are float32.

    A loss is rounded once, and sums are float64. The mean over no samples is nan, with gradient 0. After a
    KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from xentc import nll_loss
    >>> loss, grad = nll_loss(np.log([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]), [0, 2], return_grad=True)
    >>> print(round(float(loss), 4), grad[0])
    0.4581 [-0.5  0.   0. ]
    """
    return _arguments.nll_loss(
        input,
        target,
        weight,
        size_average,
        ignore_index,
        reduce,
        reduction,
        axis,
        sample_weight,
        return_grad,
        grad_output,
        out,
        grad_out,
        num_threads,
    )

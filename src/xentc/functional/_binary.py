"""xentc.binary_cross_entropy."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Losses, Readable, Scalar


# fmt: off
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    reduction: Literal["mean", "sum"] = ..., *, return_grad: Literal[False] = ..., grad_output: None = ..., out:
    None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Scalar: ...
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    reduction: Literal["mean", "sum"] = ..., *, return_grad: Literal[True], grad_output: Readable | None = ..., out:
    None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Scalar, Grad]: ...
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    *, reduction: Literal["none"], return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] |
    None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Losses: ...
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    *, reduction: Literal["none"], return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any]
    | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ..., reduce: bool
    | None = ..., reduction: str = ..., *, return_grad: Literal[False] = ..., grad_output: None = ..., out:
    NDArray[Any] | None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss: ...
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ..., reduce: bool
    | None = ..., reduction: str = ..., *, return_grad: Literal[True], grad_output: Readable | None = ..., out:
    NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Loss, Grad]: ...
@overload
def binary_cross_entropy(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ..., reduce: bool
    | None = ..., reduction: str = ..., *, return_grad: bool, grad_output: Readable | None = ..., out: NDArray[Any]
    | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss | tuple[Loss, Grad]: ...
# fmt: on
def binary_cross_entropy(
    input: Readable,
    target: Readable,
    weight: Readable | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Loss | tuple[Loss, Grad]:
    r"""
    Binary cross-entropy between probabilities and targets, and its gradient.

    .. math:: \ell = w \bigl(-t \max(\log x, -100) - (1 - t) \max(\log(1 - x), -100)\bigr)

    as torch.nn.functional.binary_cross_entropy defines it. Each number is read from memory once.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, of any shape
        Probabilities, 0 to 1. Integers and lists are promoted to float64. Any strides and byte order.
    target : array_like of any real dtype, bool too, of the input's shape
        0 to 1.
    weight : array_like of any real dtype, optional
        Broadcasts to the input's shape, and is read where it lies.
    size_average, reduce : bool, optional
        Deprecated, as in torch: they override `reduction`.
    reduction : {'mean', 'sum', 'none'}
        A mean divides by the number of elements, whatever the weights.
    return_grad : bool
        Also return the gradient with respect to `input`.
    grad_output : float or array_like, optional
        The upstream gradient, 1 by default; a scalar, or with 'none' also one number an element.
    out : ndarray, optional
        Where the losses of 'none' go: shape and dtype of the loss.
    grad_out : ndarray, optional
        Where the gradient goes: shape and dtype of the gradient, and possibly `input` itself.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    loss : numpy scalar ('mean', 'sum', and 'none' of a 0-dimensional input), or ndarray of the input's shape
        float64 for float64 and integers, else float32. The memory of `out` where that is given.
    grad : ndarray of the input's shape
        Only with `return_grad`; of the input's dtype, float64 for integers. The memory of `grad_out` where given.

    Raises
    ------
    TypeError
        For an argument of the wrong kind. Nothing has been written then.
    ValueError
        For shapes, or probabilities or targets outside 0 to 1 or nan, that do not fit. Nothing has been written then.

    Notes
    -----
    Where this differs from torch, on purpose: targets may be integers; a weight or an upstream gradient of exactly 0
    removes its element even where the other factor is infinite or nan; a number out of range is a ValueError. Numbers
    are checked in the pass that computes; with `out` or `grad_out`, in a pass of their own before it.

    Computed in float32 (float64 for float64 or integer input, and for float64 targets) and summed in float64: a loss is
    within 4 ULP (float32) or 8 ULP (float64) of the exact value. Losses of half precision are float32. The mean over no
    elements is nan. After a KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> from xentc import binary_cross_entropy
    >>> round(float(binary_cross_entropy([0.7], [1.0])), 4)
    0.3567
    >>> loss, grad = binary_cross_entropy([0.5, 0.25], [1, 0], return_grad=True)
    >>> print(round(float(loss), 4), grad.round(4))
    0.4904 [-1.      0.6667]
    """
    return _arguments.binary_cross_entropy(
        input,
        target,
        weight,
        size_average,
        reduce,
        reduction,
        return_grad,
        grad_output,
        out,
        grad_out,
        num_threads,
    )

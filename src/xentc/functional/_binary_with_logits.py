"""xentc.binary_cross_entropy_with_logits."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Losses, Readable, Scalar


# fmt: off
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    reduction: Literal["mean", "sum"] = ..., pos_weight: Readable | None = ..., *, return_grad: Literal[False] =
    ..., grad_output: None = ..., out: None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Scalar: ...
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    reduction: Literal["mean", "sum"] = ..., pos_weight: Readable | None = ..., *, return_grad: Literal[True],
    grad_output: Readable | None = ..., out: None = ..., grad_out: NDArray[Any] | None = ..., num_threads:
    SupportsIndex | None = ...,
) -> tuple[Scalar, Grad]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    *, reduction: Literal["none"], pos_weight: Readable | None = ..., return_grad: Literal[False] = ...,
    grad_output: None = ..., out: NDArray[Any] | None = ..., grad_out: None = ..., num_threads: SupportsIndex | None
    = ...,
) -> Losses: ...
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: None = ..., reduce: None = ...,
    *, reduction: Literal["none"], pos_weight: Readable | None = ..., return_grad: Literal[True], grad_output:
    Readable | None = ..., out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ..., num_threads:
    SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ..., reduce: bool
    | None = ..., reduction: str = ..., pos_weight: Readable | None = ..., *, return_grad: Literal[False] = ...,
    grad_output: None = ..., out: NDArray[Any] | None = ..., grad_out: None = ..., num_threads: SupportsIndex | None
    = ...,
) -> Loss: ...
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ..., reduce: bool
    | None = ..., reduction: str = ..., pos_weight: Readable | None = ..., *, return_grad: Literal[True],
    grad_output: Readable | None = ..., out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> tuple[Loss, Grad]: ...
@overload
def binary_cross_entropy_with_logits(
    input: Readable, target: Readable, weight: Readable | None = ..., size_average: bool | None = ..., reduce: bool
    | None = ..., reduction: str = ..., pos_weight: Readable | None = ..., *, return_grad: bool, grad_output:
    Readable | None = ..., out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ..., num_threads:
    SupportsIndex | None = ...,
) -> Loss | tuple[Loss, Grad]: ...
# fmt: on
def binary_cross_entropy_with_logits(
    input: Readable,
    target: Readable,
    weight: Readable | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Readable | None = None,
    *,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    out: NDArray[Any] | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Loss | tuple[Loss, Grad]:
    r"""
    Binary cross-entropy between logits and targets, and its gradient.

    .. math:: \ell = w \bigl((1 - t) \log(1 + e^x) + p\, t \log(1 + e^{-x})\bigr)

    as torch.nn.functional.binary_cross_entropy_with_logits defines it. Each number is read from memory once.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, of any shape
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    target : array_like of any real dtype, bool too, of the input's shape
        Usually 0 to 1, which is not checked.
    weight : array_like of any real dtype, optional
        Broadcasts to the input's shape, and is read where it lies.
    size_average, reduce : bool, optional
        Deprecated, as in torch: they override `reduction`.
    reduction : {'mean', 'sum', 'none'}
        A mean divides by the number of elements, whatever the weights.
    pos_weight : array_like of any real dtype, optional
        The p of the formula, a weight of positive targets. Broadcasts to the input's shape.
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
        For shapes that do not fit. Nothing has been written then.

    Notes
    -----
    Where this differs from torch, on purpose: targets may be integers; a coefficient of exactly 0 (a weight, t, 1 - t,
    an upstream gradient) removes its own term even where the logit is infinite or nan, so that infinite logits give the
    limits: 0 at (inf, 1) and (-inf, 0), inf at (inf, 0) and (-inf, 1).

    Computed in float32 (float64 for float64 or integer input, and for float64 targets) and summed in float64: the loss
    of a target in 0 to 1 is within 4 ULP (float32) or 8 ULP (float64) of the exact value, however confident the logit.
    Losses of half precision are float32. The mean over no elements is nan. After a KeyboardInterrupt `out` and
    `grad_out` are undefined.

    Examples
    --------
    >>> from xentc import binary_cross_entropy_with_logits
    >>> round(float(binary_cross_entropy_with_logits([[0.0, -40.0]], [[1, 0]])), 4)
    0.3466
    >>> print(binary_cross_entropy_with_logits([[0.0, 2.0]], [[1, 0]], pos_weight=[3, 1], reduction="none").round(4))
    [[2.0794 2.1269]]
    """
    return _arguments.binary_cross_entropy_with_logits(
        input,
        target,
        weight,
        size_average,
        reduce,
        reduction,
        pos_weight,
        return_grad,
        grad_output,
        out,
        grad_out,
        num_threads,
    )

"""xentc.multilabel_margin_loss."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Losses, Readable, Scalar


# fmt: off
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: None = ..., reduce: None = ...,
    reduction: Literal["mean", "sum"] = ..., *, return_grad: Literal[False] = ..., grad_output: None = ...,
    out: None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Scalar: ...
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: None = ..., reduce: None = ...,
    reduction: Literal["mean", "sum"] = ..., *, return_grad: Literal[True], grad_output: Readable | None = ...,
    out: None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Scalar, Grad]: ...
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: None = ..., reduce: None = ..., *, reduction: Literal["none"],
    return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] | None = ...,
    grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Losses: ...
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: None = ..., reduce: None = ..., *, reduction: Literal["none"],
    return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
    grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: bool | None = ..., reduce: bool | None = ...,
    reduction: str = ..., *, return_grad: Literal[False] = ..., grad_output: None = ...,
    out: NDArray[Any] | None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss: ...
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: bool | None = ..., reduce: bool | None = ...,
    reduction: str = ..., *, return_grad: Literal[True], grad_output: Readable | None = ...,
    out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Loss, Grad]: ...
@overload
def multilabel_margin_loss(
    input: Readable, target: Readable, size_average: bool | None = ..., reduce: bool | None = ...,
    reduction: str = ..., *, return_grad: bool, grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
    grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss | tuple[Loss, Grad]: ...
# fmt: on
def multilabel_margin_loss(
    input: Readable,
    target: Readable,
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
    Hinge loss between every class that a sample is listed with and every other class, and its gradient.

    .. math:: \ell_i = \frac{1}{C} \sum_{j \in t_i} \sum_{k \notin t_i} \max(0, 1 - x_{ij} + x_{ik}), \qquad
              \text{mean} = \frac{1}{N} \sum_i \ell_i

    as torch.nn.functional.multilabel_margin_loss defines it; in O(C log C) a sample, not O(C^2).

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, shape (C,) or (N, C), C at least 1
        Scores. Integers and lists are promoted to float64. Any strides and byte order: read where they lie. A single
        number is one class.
    target : array_like of any integer dtype, the input's shape
        The classes of each sample, 0 to C - 1, up to its first -1; what follows that is not looked at, but must be -1
        to C - 1 as well. A class that is listed twice counts twice.
    size_average, reduce : bool, optional
        Deprecated, as in torch: they override `reduction`.
    reduction : {'mean', 'sum', 'none'}
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
        For an entry of `target` outside -1 to C - 1. Nothing has been written then.

    Notes
    -----
    A pair counts if 1 - x_j + x_k > 0 in the dtype of the arithmetic: float32, for float64 and integers float64. The
    gradient counts pairs, and is exact but for its last rounding; distances are added in float64. Two infinities of one
    sign are no pair. The mean over no samples is nan. After a KeyboardInterrupt `out` and `grad_out` are undefined.

    Where this differs from torch, on purpose: a nan gives nan for its row, in the gradient too (torch leaves its pairs
    out); an upstream gradient of exactly 0 gives 0 even there; losses of half precision are float32; the mean over no
    samples is nan.

    Examples
    --------
    >>> from xentc import multilabel_margin_loss
    >>> round(float(multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]])), 4)
    0.85
    >>> round(float(multilabel_margin_loss([[0.1, 0.2, 0.4, 0.8]], [[1, 0, 1, 0]])), 4)
    2.9
    """
    return _arguments.multilabel_margin_loss(
        input,
        target,
        size_average,
        reduce,
        reduction,
        return_grad,
        grad_output,
        out,
        grad_out,
        num_threads,
    )

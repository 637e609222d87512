"""xentc.hinge_embedding_loss."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Losses, Readable, Real, Scalar


# fmt: off
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: None = ..., reduce: None = ..., reduction:
    Literal["mean", "sum"] = ..., *, return_grad: Literal[False] = ..., grad_output: None = ..., out: None = ...,
    grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Scalar: ...
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: None = ..., reduce: None = ..., reduction:
    Literal["mean", "sum"] = ..., *, return_grad: Literal[True], grad_output: Readable | None = ..., out: None =
    ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Scalar, Grad]: ...
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: None = ..., reduce: None = ..., *,
    reduction: Literal["none"], return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] | None
    = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Losses: ...
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: None = ..., reduce: None = ..., *,
    reduction: Literal["none"], return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any] |
    None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: bool | None = ..., reduce: bool | None =
    ..., reduction: str = ..., *, return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] |
    None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss: ...
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: bool | None = ..., reduce: bool | None =
    ..., reduction: str = ..., *, return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any]
    | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Loss, Grad]: ...
@overload
def hinge_embedding_loss(
    input: Readable, target: Readable, margin: Real = ..., size_average: bool | None = ..., reduce: bool | None =
    ..., reduction: str = ..., *, return_grad: bool, grad_output: Readable | None = ..., out: NDArray[Any] | None =
    ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> Loss | tuple[Loss, Grad]: ...
# fmt: on
def hinge_embedding_loss(
    input: Readable,
    target: Readable,
    margin: Real = 1.0,
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
    Hinge loss between distances and targets of 1 (similar) and -1 (dissimilar), and its gradient.

    .. math:: \ell = x \;\text{ for } t = 1, \qquad \ell = \max(0, m - x) \;\text{ for } t = -1

    as torch.nn.functional.hinge_embedding_loss defines it: of any other target, both are added.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, of any shape
        Distances. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    target : array_like of any real dtype, bool too
        Input and target broadcast against each other.
    margin : float
        The m of the formula.
    size_average, reduce : bool, optional
        Deprecated, as in torch: they override `reduction`.
    reduction : {'mean', 'sum', 'none'}
        A mean divides by the number of elements of the broadcast, whatever the weights.
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
    loss : numpy scalar ('mean', 'sum', and 'none' of a 0-dimensional input), or ndarray of the shape of the broadcast
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
    The gradient has the input's shape: where the input was broadcast, it is summed, in float64 and in a fixed order. At
    margin = x it is -1, as in torch. On purpose unlike torch, the gradient of a nan is nan.

    Computed in float32 (float64 for float64 or integer input, float64 targets, and a margin that float32 does not hold)
    and summed in float64: a loss is within 1 ULP of the exact value. Losses of half precision are float32. The mean
    over no elements is nan. After a KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> from xentc import hinge_embedding_loss
    >>> round(float(hinge_embedding_loss([[0.5, 0.7], [-0.3, -0.9]], [1, -1])), 4)
    0.6
    >>> loss, grad = hinge_embedding_loss([0.5, 0.25], [[1, -1], [1, -1]], reduction="sum", return_grad=True)
    >>> print(loss, grad)
    2.5 [ 2. -2.]
    """
    return _arguments.hinge_embedding_loss(
        input,
        target,
        margin,
        size_average,
        reduce,
        reduction,
        return_grad,
        grad_output,
        out,
        grad_out,
        num_threads,
    )

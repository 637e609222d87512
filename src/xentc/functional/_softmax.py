"""xentc.softmax, xentc.log_softmax and xentc.logsumexp."""

from __future__ import annotations

from typing import Any, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Losses, Readable, Values


# fmt: off
@overload
def softmax(
    input: Readable, axis: SupportsIndex = ..., *, out: NDArray[Any] | None = ..., return_grad: Literal[False] = ...,
    grad_output: None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Values: ...
@overload
def softmax(
    input: Readable, axis: SupportsIndex = ..., *, out: NDArray[Any] | None = ..., return_grad: Literal[True],
    grad_output: Readable, grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Values, Grad]: ...
@overload
def softmax(
    input: Readable, axis: SupportsIndex = ..., *, out: NDArray[Any] | None = ..., return_grad: bool,
    grad_output: Readable | None, grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> Values | tuple[Values, Grad]: ...
# fmt: on
def softmax(
    input: Readable,
    axis: SupportsIndex = -1,
    *,
    out: NDArray[Any] | None = None,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Values | tuple[Values, Grad]:
    r"""
    The probabilities of the classes, and their gradient.

    .. math:: p_k = \frac{e^{x_k}}{\sum_c e^{x_c}}, \qquad
              \frac{\partial L}{\partial x_k} = p_k \Bigl(g_k - \sum_c g_c p_c\Bigr)

    along one axis, with g the upstream gradient. Each logit is read from memory once.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, of any shape
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie. A
        0-dimensional one is a single class.
    axis : int
        The class axis.
    out : ndarray, optional
        Where the probabilities go: shape of the input, dtype of the result, and possibly `input` itself.
    return_grad : bool
        Also return the gradient with respect to `input`.
    grad_output : array_like of any real dtype, shape of the probabilities
        The upstream gradient. Needed for a gradient, and refused without one.
    grad_out : ndarray, optional
        Where the gradient goes: shape and dtype of the gradient, and possibly `input` itself.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    probabilities : ndarray of the input's shape, or numpy scalar of a 0-dimensional one
        Of the input's dtype, float64 for integers. The memory of `out` where that is given.
    grad : ndarray of the input's shape
        Only with `return_grad`; of the input's dtype, float64 for integers. The memory of `grad_out` where given.

    Raises
    ------
    TypeError
        For an argument of the wrong kind. Nothing has been written then.
    ValueError
        For shapes or options that do not fit. Nothing has been written then.

    Notes
    -----
    Exponentials are taken in float32 (in float64 for float64 and integers) and summed in float64; an entry of a half
    dtype is rounded once. A probability below the smallest normal number of that arithmetic may be 0. A nan, a +inf, or
    -inf throughout gives nan for its row alone; where every upstream gradient of such a row is 0, so is its gradient.
    Without classes the result is empty. After a KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from xentc import softmax
    >>> softmax(np.log([[1.0, 2.0, 5.0]])).round(4)
    array([[0.125, 0.25 , 0.625]])
    >>> logits = np.zeros((2, 4), np.float32)
    >>> softmax(logits, out=logits) is logits
    True
    >>> probabilities, grad = softmax([0.0, 0.0], return_grad=True, grad_output=[1.0, 0.0])
    >>> grad
    array([ 0.25, -0.25])
    """
    return _arguments.softmax(input, axis, return_grad, grad_output, out, grad_out, num_threads)


# fmt: off
@overload
def log_softmax(
    input: Readable, axis: SupportsIndex = ..., *, out: NDArray[Any] | None = ..., return_grad: Literal[False] = ...,
    grad_output: None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
) -> Values: ...
@overload
def log_softmax(
    input: Readable, axis: SupportsIndex = ..., *, out: NDArray[Any] | None = ..., return_grad: Literal[True],
    grad_output: Readable, grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> tuple[Values, Grad]: ...
@overload
def log_softmax(
    input: Readable, axis: SupportsIndex = ..., *, out: NDArray[Any] | None = ..., return_grad: bool,
    grad_output: Readable | None, grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
) -> Values | tuple[Values, Grad]: ...
# fmt: on
def log_softmax(
    input: Readable,
    axis: SupportsIndex = -1,
    *,
    out: NDArray[Any] | None = None,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Values | tuple[Values, Grad]:
    r"""
    The logarithms of the probabilities of the classes, and their gradient.

    .. math:: \ell_k = x_k - \log \sum_c e^{x_c}, \qquad
              \frac{\partial L}{\partial x_k} = g_k - p_k \sum_c g_c

    along one axis, with g the upstream gradient and p the softmax. Each logit is read from memory once.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, of any shape
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie. A
        0-dimensional one is a single class.
    axis : int
        The class axis.
    out : ndarray, optional
        Where the log-probabilities go: shape of the input, dtype of the result, and possibly `input` itself.
    return_grad : bool
        Also return the gradient with respect to `input`.
    grad_output : array_like of any real dtype, shape of the log-probabilities
        The upstream gradient. Needed for a gradient, and refused without one.
    grad_out : ndarray, optional
        Where the gradient goes: shape and dtype of the gradient, and possibly `input` itself.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    log_probabilities : ndarray of the input's shape, or numpy scalar of a 0-dimensional one
        In nats; of the input's dtype, float64 for integers. The memory of `out` where that is given.
    grad : ndarray of the input's shape
        Only with `return_grad`; of the input's dtype, float64 for integers. The memory of `grad_out` where given.

    Raises
    ------
    TypeError
        For an argument of the wrong kind. Nothing has been written then.
    ValueError
        For shapes or options that do not fit. Nothing has been written then.

    Notes
    -----
    Where one class outweighs the others, its entry is -log1p of what they come to beside it: right to a few ULP,
    however near 0. Exponentials are taken in float32 (in float64 for float64 and integers) and summed in float64; an
    entry of a half dtype is rounded once. A nan, a +inf, or -inf throughout gives nan for its row alone; where every
    upstream gradient of such a row is 0, so is its gradient. Without classes the result is empty. After a
    KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from xentc import log_softmax
    >>> log_softmax([[4.0, 1.0, 2.0]]).round(4)
    array([[-0.1698, -3.1698, -2.1698]])
    >>> print(log_softmax(np.array([0.0, 60.0])))
    [-6.00000000e+01 -8.75651076e-27]
    >>> log_probabilities, grad = log_softmax([0.0, 0.0], return_grad=True, grad_output=[-1.0, 0.0])
    >>> grad
    array([-0.5,  0.5])
    """
    return _arguments.log_softmax(input, axis, return_grad, grad_output, out, grad_out, num_threads)


# fmt: off
@overload
def logsumexp(
    input: Readable, axis: SupportsIndex = ..., keepdims: bool = ..., *, out: NDArray[Any] | None = ...,
    return_grad: Literal[False] = ..., grad_output: None = ..., grad_out: None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Losses: ...
@overload
def logsumexp(
    input: Readable, axis: SupportsIndex = ..., keepdims: bool = ..., *, out: NDArray[Any] | None = ...,
    return_grad: Literal[True], grad_output: Readable, grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> tuple[Losses, Grad]: ...
@overload
def logsumexp(
    input: Readable, axis: SupportsIndex = ..., keepdims: bool = ..., *, out: NDArray[Any] | None = ...,
    return_grad: bool, grad_output: Readable | None, grad_out: NDArray[Any] | None = ...,
    num_threads: SupportsIndex | None = ...,
) -> Losses | tuple[Losses, Grad]: ...
# fmt: on
def logsumexp(
    input: Readable,
    axis: SupportsIndex = -1,
    keepdims: bool = False,
    *,
    out: NDArray[Any] | None = None,
    return_grad: bool = False,
    grad_output: Readable | None = None,
    grad_out: NDArray[Any] | None = None,
    num_threads: SupportsIndex | None = None,
) -> Losses | tuple[Losses, Grad]:
    r"""
    The logarithm of the sum of the exponentials, and its gradient.

    .. math:: \mathrm{lse} = \log \sum_c e^{x_c}, \qquad \frac{\partial L}{\partial x_k} = g\, p_k

    along one axis, with g the upstream gradient and p the softmax. Each logit is read from memory once.

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, of any shape
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie. A
        0-dimensional one is a single class.
    axis : int
        The class axis.
    keepdims : bool
        Keep the class axis, with length 1, in the result.
    out : ndarray, optional
        Where the sums go: shape and dtype of the result.
    return_grad : bool
        Also return the gradient with respect to `input`.
    grad_output : array_like of any real dtype, shape of the sums
        The upstream gradient. Needed for a gradient, and refused without one.
    grad_out : ndarray, optional
        Where the gradient goes: shape and dtype of the gradient, and possibly `input` itself.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    lse : ndarray, or numpy scalar if no axis is left
        In nats; float64 for float64 and integers, else float32. The memory of `out` where that is given.
    grad : ndarray of the input's shape
        Only with `return_grad`; of the input's dtype, float64 for integers. The memory of `grad_out` where given.

    Raises
    ------
    TypeError
        For an argument of the wrong kind. Nothing has been written then.
    ValueError
        For shapes or options that do not fit. Nothing has been written then.

    Notes
    -----
    Where the largest logit is near 0 and outweighs the others, log1p of these is added to it: right to a few ULP, also
    of a sum near 0. Elsewhere within 4 ULP (float32) or 8 ULP (float64) of the larger of result and largest logit.
    Halves give float32, on purpose: torch returns the half. No classes and -inf throughout give -inf, +inf gives +inf,
    a nan gives nan. The gradient is nan where the softmax is, except 0 beside a +inf, as in torch, and wherever the
    upstream gradient is 0. After a KeyboardInterrupt `out` and `grad_out` are undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from xentc import logsumexp
    >>> print(logsumexp([[1.0, 2.0], [3.0, 5.0]]).round(4))
    [2.3133 5.1269]
    >>> print(logsumexp(np.array([0.0, -60.0])))
    8.75651076269652e-27
    >>> lse, grad = logsumexp(np.zeros((2, 4)), return_grad=True, grad_output=[1.0, 2.0])
    >>> grad
    array([[0.25, 0.25, 0.25, 0.25],
           [0.5 , 0.5 , 0.5 , 0.5 ]])
    """
    return _arguments.logsumexp(input, axis, keepdims, return_grad, grad_output, out, grad_out, num_threads)

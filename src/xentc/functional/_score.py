"""xentc.score, xentc.top_logprobs and xentc.gather_logprobs."""

from __future__ import annotations

from typing import NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Losses, Readable


class Scores(NamedTuple):
    """What `score` gives: one entry a sample in each array, in the target's shape."""

    nll: Losses
    lse: Losses
    rank: NDArray[np.int64]
    prediction: NDArray[np.int64]
    entropy: Losses


def score(
    input: Readable,
    target: Readable,
    *,
    axis: SupportsIndex | None = None,
    ignore_index: SupportsIndex = -100,
    num_threads: SupportsIndex | None = None,
) -> Scores:
    r"""
    Loss, logsumexp, rank, prediction and entropy of each sample, from one read of the logits.

    .. math:: \mathrm{lse}_i = \log \sum_c e^{x_{ic}}, \qquad \mathrm{nll}_i = \mathrm{lse}_i - x_{i t_i}, \qquad
              H_i = \sum_c p_{ic} (\mathrm{lse}_i - x_{ic}), \qquad p_{ic} = e^{x_{ic} - \mathrm{lse}_i}

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    target : array_like of any integer dtype, the input's shape without its class axis
        The class of each sample, 0 to C - 1, or `ignore_index`.
    axis : int, optional
        The class axis. None is torch's rule: axis 1, or 0 of a one-dimensional input.
    ignore_index : int
        Samples of this target have an nll of 0 and a rank of -1; the rest is computed.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    Scores
        A named tuple of arrays of the target's shape; floats are float64 for float64 and integer input, else float32.

        nll : the unweighted loss, in nats: the bits of ``cross_entropy(..., reduction="none")``
        lse : logsumexp
        rank : int64, how many classes beat the target: by a higher logit, or an equal one at a lower index. 0 means
            that the target is predicted
        prediction : int64, the class of the largest logit, the first of equal ones
        entropy : of softmax(x), in nats

    Raises
    ------
    TypeError
        For an argument of the wrong kind.
    ValueError
        For a shape, an axis or a number of threads that does not fit.
    IndexError
        For a target that is no class and not `ignore_index`.

    Notes
    -----
    The nll is as accurate as cross_entropy's; the entropy is within 4 ULP of max(1, entropy). A nan in a row gives nan,
    and -1 for rank and prediction. A +inf gives a nll and entropy of nan, an lse of +inf, and rank and prediction by
    comparison; a row of -inf only the same with an lse of -inf. Without any class, a prediction is -1.

    Examples
    --------
    >>> from xentc import score
    >>> scores = score([[4.0, 1.0, 2.0], [0.0, 0.0, 0.0]], [0, 2])
    >>> scores.nll.round(4), scores.rank, scores.prediction
    (array([0.1698, 1.0986]), array([0, 2]), array([0, 0]))
    >>> float(scores.entropy[1].round(4))
    1.0986
    """
    return Scores(*_arguments.score(input, target, axis, ignore_index, num_threads)[:5])


def top_logprobs(
    input: Readable, k: SupportsIndex, *, axis: SupportsIndex | None = None, num_threads: SupportsIndex | None = None
) -> tuple[Losses, NDArray[np.int64]]:
    r"""
    The log-probabilities of the k best classes of each sample, and which classes these are.

    .. math:: \log p_{ic} = x_{ic} - \log \sum_j e^{x_{ij}}

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    k : int
        How many classes, 1 to 1024 and at most C.
    axis : int, optional
        The class axis. None is torch's rule: axis 1, or 0 of a one-dimensional input.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    logprobs : ndarray of the input's shape with k in place of the classes
        Best first; float64 for float64 and integer input, else float32.
    indices : ndarray of int64, of the same shape
        Their classes. Of equal logits the one with the lower index is better.

    Raises
    ------
    TypeError
        For an argument of the wrong kind.
    ValueError
        For a k, an axis or a number of threads that does not fit.

    Notes
    -----
    Each logit is read from memory once; where classes are not contiguous and one class outweighs all others, twice. The
    log-probability of such a class is -log1p of what the others weigh against it, and does not cancel. A nan in a row
    gives nan and -1; a +inf, or -inf throughout, gives nan, and classes by comparison.

    Examples
    --------
    >>> from xentc import top_logprobs
    >>> logprobs, indices = top_logprobs([[4.0, 1.0, 2.0]], 2)
    >>> logprobs.round(4), indices
    (array([[-0.1698, -2.1698]]), array([[0, 2]]))
    """
    return _arguments.top_logprobs(input, k, axis, num_threads)


def gather_logprobs(
    input: Readable,
    indices: Readable,
    *,
    axis: SupportsIndex | None = None,
    num_threads: SupportsIndex | None = None,
) -> Losses:
    r"""
    The log-probabilities of given classes of each sample.

    .. math:: \log p_{ic} = x_{ic} - \log \sum_j e^{x_{ij}}

    Parameters
    ----------
    input : array_like of float16, bfloat16, float32, float64 or integers, shape (C,), (N, C) or (N, C, d1, ...)
        Logits. Integers and lists are promoted to float64. Any strides and byte order: read where they lie.
    indices : array_like of any integer dtype
        Classes, 0 to C - 1: of the input's shape with any length in place of the classes, or of the input's shape
        without its class axis, one class a sample.
    axis : int, optional
        The class axis. None is torch's rule: axis 1, or 0 of a one-dimensional input.
    num_threads : int, optional
        Threads for this call; see `set_num_threads`. The result has the same bits for any number.

    Returns
    -------
    ndarray of the shape of `indices`
        float64 for float64 and integer input, else float32.

    Raises
    ------
    TypeError
        For an argument of the wrong kind.
    ValueError
        For a shape, an axis or a number of threads that does not fit.
    IndexError
        For an index that is no class.

    Notes
    -----
    As for `top_logprobs`, but that classes are given: a row with a nan gives nan.

    Examples
    --------
    >>> from xentc import gather_logprobs
    >>> gather_logprobs([[4.0, 1.0, 2.0]], [[2, 0]]).round(4)
    array([[-2.1698, -0.1698]])
    """
    return _arguments.gather_logprobs(input, indices, axis, num_threads)

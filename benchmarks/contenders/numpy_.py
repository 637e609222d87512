"""NumPy, the vectorised lines that people write. One thread: that is what its element-wise loops use."""

from functools import partial

import numpy as np
from operations import SMOOTHING


def _wide(array):
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array


def _shifted_and_sums(logits):
    shifted = _wide(logits)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=1, keepdims=True)


def cross_entropy(logits, target, labels, gradient):
    shifted, exponentials, sums = _shifted_and_sums(logits)
    n_samples, n_classes = sums.size, logits.shape[1]
    if labels == "soft":
        loss = (_wide(target) * (np.log(sums) - shifted)).sum() / n_samples
    else:
        loss = (np.log(sums) - np.take_along_axis(shifted, target, axis=1)).mean()
    if labels == "smoothed":
        loss = (1 - SMOOTHING) * loss + SMOOTHING * (np.log(sums) - shifted.mean(axis=1, keepdims=True)).mean()
    if not gradient:
        return loss
    exponentials /= sums
    if labels == "soft":
        exponentials -= _wide(target)
    else:
        smoothing = SMOOTHING if labels == "smoothed" else 0
        own = np.take_along_axis(exponentials, target, axis=1) - (1 - smoothing)
        np.put_along_axis(exponentials, target, own, axis=1)
        if smoothing:
            exponentials -= smoothing / n_classes
    exponentials /= n_samples
    return loss, exponentials.astype(logits.dtype, copy=False)


def nll_loss(logits, target):
    return -np.take_along_axis(logits, target[:, None], axis=1).mean()


def binary_cross_entropy(x, t):
    return (-(t * np.log(x) + (1 - t) * np.log1p(-x))).mean()


def binary_cross_entropy_with_logits(x, t):
    return (np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))).mean()


def hinge_embedding_loss(x, t):
    return np.where(t == 1, x, np.maximum(0, 1 - x)).mean()


def softmax(logits):
    _, exponentials, sums = _shifted_and_sums(logits)
    exponentials /= sums
    return exponentials


def log_softmax(logits):
    shifted, _, sums = _shifted_and_sums(logits)
    shifted -= np.log(sums)
    return shifted


def logsumexp(logits):
    largest = logits.max(axis=1)
    return largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))


def score(logits, target):
    index = target[:, None]
    log_probabilities, own = log_softmax(logits), np.take_along_axis(logits, index, axis=1)
    nll = -np.take_along_axis(log_probabilities, index, axis=1)
    rank = ((logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < index))).sum(axis=1)
    entropy = -(np.exp(log_probabilities) * log_probabilities).sum(axis=1)
    return nll[:, 0], (own + nll)[:, 0], rank, logits.argmax(axis=1), entropy


def top_logprobs(logits, k):
    log_probabilities = log_softmax(logits)
    best = np.argpartition(log_probabilities, -k, axis=1)[:, -k:]
    values = np.take_along_axis(log_probabilities, best, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(best, order, axis=1)


FORWARD = {
    function.__name__: function
    for function in (
        nll_loss, binary_cross_entropy, binary_cross_entropy_with_logits, hinge_embedding_loss, softmax, log_softmax,
        logsumexp, score, top_logprobs,
    )
}  # fmt: skip


def _cross_entropy(case, gradient):
    target = case.target if case.labels == "soft" else np.expand_dims(case.target, 1)
    return partial(cross_entropy, case.logits, target, case.labels, gradient)


def forward(case):
    if case.operation == "cross_entropy":
        return _cross_entropy(case, gradient=False)
    function = FORWARD.get(case.operation)
    return function and partial(function, *case.arguments, **case.options)


def forward_grad(case):
    return _cross_entropy(case, gradient=True) if case.operation == "cross_entropy" else None

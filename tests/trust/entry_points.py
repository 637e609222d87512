"""Every function over arrays, with operands for it: what holds for one has to be shown for all."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import xentc

Operands = dict[str, Any]


def classes_of(logits: np.ndarray) -> np.ndarray:
    """A class for each sample; of a view without strides, one without."""
    n, c = logits.shape
    if logits.strides[0] == 0:
        return np.broadcast_to(np.array(c - 1), (n,))
    return np.arange(n) % c


def lists_of(logits: np.ndarray) -> np.ndarray:
    if logits.strides[0] == 0 and len(logits):
        return np.broadcast_to(lists_of(logits[0].reshape(1, -1)), logits.shape)
    lists = np.full(logits.shape, -1)
    lists[:, 0] = classes_of(logits)
    return lists


def signs_of(logits: np.ndarray) -> np.ndarray:
    if logits.strides[0] == 0 and len(logits):
        return np.broadcast_to(signs_of(logits[0].reshape(1, -1)), logits.shape)
    return np.where(logits > 0, 1, -1)


def halves_of(logits: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.array(0.25, np.float32), logits.shape)


def labelled(logits: np.ndarray) -> Operands:
    return {"input": logits, "target": classes_of(logits)}


# Name: the function, its operands for an array of logits of shape (N, C), and whether it has a gradient.
ENTRY_POINTS: dict[str, tuple[Callable[..., Any], Callable[[np.ndarray], Operands], bool]] = {
    "cross_entropy": (xentc.cross_entropy, labelled, True),
    "nll_loss": (xentc.nll_loss, labelled, True),
    "binary_cross_entropy": (
        xentc.binary_cross_entropy,
        lambda x: {"input": halves_of(x), "target": halves_of(x)},
        True,
    ),
    "binary_cross_entropy_with_logits": (
        xentc.binary_cross_entropy_with_logits,
        lambda x: {"input": x, "target": halves_of(x)},
        True,
    ),
    "hinge_embedding_loss": (xentc.hinge_embedding_loss, lambda x: {"input": x, "target": signs_of(x)}, True),
    "multilabel_margin_loss": (xentc.multilabel_margin_loss, lambda x: {"input": x, "target": lists_of(x)}, True),
    "softmax": (xentc.softmax, lambda x: {"input": x, "axis": 1}, True),
    "log_softmax": (xentc.log_softmax, lambda x: {"input": x, "axis": 1}, True),
    "logsumexp": (xentc.logsumexp, lambda x: {"input": x, "axis": 1}, True),
    "score": (xentc.score, labelled, False),
    "top_logprobs": (xentc.top_logprobs, lambda x: {"input": x, "k": min(3, x.shape[1])}, False),
    "gather_logprobs": (xentc.gather_logprobs, lambda x: {"input": x, "indices": classes_of(x)[:, None]}, False),
}

NAMES = list(ENTRY_POINTS)


def prepare(name: str, logits: np.ndarray, **options: Any) -> Callable[[], Any]:
    """A call whose operands are made: with the gradient where there is one, unless return_grad=False is given."""
    function, operands, has_grad = ENTRY_POINTS[name]
    options = operands(logits) | options
    if has_grad and options.setdefault("return_grad", True):
        if name in ("softmax", "log_softmax"):
            options.setdefault("grad_output", np.broadcast_to(logits.dtype.type(1), logits.shape))
        elif name == "logsumexp":
            options.setdefault("grad_output", np.broadcast_to(logits.dtype.type(1), logits.shape[:1]))
    return functools.partial(function, **options)


def call(name: str, logits: np.ndarray, **options: Any) -> Any:
    return prepare(name, logits, **options)()


def bits(answer: Any) -> bytes:
    """All of an answer, as bytes that can be compared."""
    if isinstance(answer, tuple):
        return b"|".join(map(bits, answer))
    return np.asarray(answer).tobytes()


def random_logits(n: int, c: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (n, c)).astype(dtype)

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from xentc._types import Grad, Loss, Losses, Readable, Real, Values

def cross_entropy(
    input: Readable,
    target: Readable,
    weight: Readable | None,
    size_average: bool | None,
    ignore_index: SupportsIndex,
    reduce: bool | None,
    reduction: str,
    label_smoothing: Real,
    axis: SupportsIndex | None,
    sample_weight: Readable | None,
    softcap: Real | None,
    temperature: Real,
    lse_square_scale: Real,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Loss | tuple[Loss, Grad]: ...
def binary_cross_entropy(
    input: Readable,
    target: Readable,
    weight: Readable | None,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Loss | tuple[Loss, Grad]: ...
def binary_cross_entropy_with_logits(
    input: Readable,
    target: Readable,
    weight: Readable | None,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    pos_weight: Readable | None,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Loss | tuple[Loss, Grad]: ...
def hinge_embedding_loss(
    input: Readable,
    target: Readable,
    margin: Real,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Loss | tuple[Loss, Grad]: ...
def softmax(
    input: Readable,
    axis: SupportsIndex,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Values | tuple[Values, Grad]: ...
def log_softmax(
    input: Readable,
    axis: SupportsIndex,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Values | tuple[Values, Grad]: ...
def logsumexp(
    input: Readable,
    axis: SupportsIndex,
    keepdims: bool,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Losses | tuple[Losses, Grad]: ...
def score(
    input: Readable,
    target: Readable,
    axis: SupportsIndex | None,
    ignore_index: SupportsIndex,
    num_threads: SupportsIndex | None,
) -> tuple[Losses, Losses, NDArray[np.int64], NDArray[np.int64], Losses, Losses]: ...
def top_logprobs(
    input: Readable, k: SupportsIndex, axis: SupportsIndex | None, num_threads: SupportsIndex | None
) -> tuple[Losses, NDArray[np.int64]]: ...
def gather_logprobs(
    input: Readable, indices: Readable, axis: SupportsIndex | None, num_threads: SupportsIndex | None
) -> Losses: ...
def nll_loss(
    input: Readable,
    target: Readable,
    weight: Readable | None,
    size_average: bool | None,
    ignore_index: SupportsIndex,
    reduce: bool | None,
    reduction: str,
    axis: SupportsIndex | None,
    sample_weight: Readable | None,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Loss | tuple[Loss, Grad]: ...
def multilabel_margin_loss(
    input: Readable,
    target: Readable,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    return_grad: bool,
    grad_output: Readable | None,
    out: NDArray[Any] | None,
    grad_out: NDArray[Any] | None,
    num_threads: SupportsIndex | None,
) -> Loss | tuple[Loss, Grad]: ...

from typing import Any, SupportsIndex

from numpy.typing import NDArray

from xentc._types import Grad, Loss, Readable, Real

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

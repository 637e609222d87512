"""xentc.MultiLabelMarginLoss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Readable
from xentc.modules._base import LossModule


@dataclass(frozen=True, eq=False, repr=False)
class MultiLabelMarginLoss(LossModule):
    """
    Multilabel margin loss with its options fixed; see `multilabel_margin_loss` for what they mean.

    Takes the arguments of torch.nn.MultiLabelMarginLoss. Called as ``criterion(input, target)``, with `return_grad`,
    `grad_output`, `out`, `grad_out` and `num_threads` as keywords. Immutable, and safe to share between threads.

    Examples
    --------
    >>> from xentc import MultiLabelMarginLoss
    >>> criterion = MultiLabelMarginLoss(reduction="sum")
    >>> criterion
    MultiLabelMarginLoss(reduction='sum')
    >>> float(criterion([[1.0, 2.0, 4.0, 2.0]], [[2, 1, -1, -1]]))
    0.25
    """

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    __hash__: ClassVar[None] = None  # see CrossEntropyLoss

    # fmt: off
    @overload
    def __call__(
        self, input: Readable, target: Readable, *, return_grad: Literal[False] = ..., grad_output: None = ...,
        out: NDArray[Any] | None = ..., grad_out: None = ..., num_threads: SupportsIndex | None = ...,
    ) -> Loss: ...
    @overload
    def __call__(
        self, input: Readable, target: Readable, *, return_grad: Literal[True], grad_output: Readable | None = ...,
        out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
    ) -> tuple[Loss, Grad]: ...
    @overload
    def __call__(
        self, input: Readable, target: Readable, *, return_grad: bool, grad_output: Readable | None = ...,
        out: NDArray[Any] | None = ..., grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
    ) -> Loss | tuple[Loss, Grad]: ...
    # fmt: on
    def __call__(
        self,
        input: Readable,
        target: Readable,
        *,
        return_grad: bool = False,
        grad_output: Readable | None = None,
        out: NDArray[Any] | None = None,
        grad_out: NDArray[Any] | None = None,
        num_threads: SupportsIndex | None = None,
    ) -> Loss | tuple[Loss, Grad]:
        return _arguments.multilabel_margin_loss(
            input,
            target,
            self.size_average,
            self.reduce,
            self.reduction,
            return_grad,
            grad_output,
            out,
            grad_out,
            num_threads,
        )

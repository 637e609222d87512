"""xentc.NLLLoss."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, SupportsIndex, overload

from numpy.typing import NDArray

from xentc import _arguments
from xentc._types import Grad, Loss, Readable
from xentc.modules._base import LossModule, own_copy
from xentc.modules._cross_entropy import check_class_weight


@dataclass(frozen=True, eq=False, repr=False)
class NLLLoss(LossModule):
    """
    Negative log-likelihood with its options fixed; see `nll_loss` for what they mean.

    Takes the arguments of torch.nn.NLLLoss, and `axis` by keyword. Called as ``criterion(input, target)``, with
    `return_grad`, `grad_output`, `out`, `grad_out`, `num_threads` and `sample_weight` as keywords. Immutable, and safe
    to share between threads.

    Examples
    --------
    >>> from xentc import NLLLoss
    >>> criterion = NLLLoss(reduction="sum")
    >>> criterion
    NLLLoss(reduction='sum')
    >>> float(criterion([[-1.0, -2.0], [-3.0, -4.0]], [0, 1]))
    5.0
    """

    weight: Readable | None = None
    size_average: bool | None = None
    ignore_index: SupportsIndex = -100
    reduce: bool | None = None
    reduction: str = "mean"
    _: KW_ONLY
    axis: SupportsIndex | None = None

    __hash__: ClassVar[None] = None  # see CrossEntropyLoss

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", own_copy(self.weight, check_class_weight))

    # fmt: off
    @overload
    def __call__(
        self, input: Readable, target: Readable, *, sample_weight: Readable | None = ...,
        return_grad: Literal[False] = ..., grad_output: None = ..., out: NDArray[Any] | None = ...,
        grad_out: None = ..., num_threads: SupportsIndex | None = ...,
    ) -> Loss: ...
    @overload
    def __call__(
        self, input: Readable, target: Readable, *, sample_weight: Readable | None = ...,
        return_grad: Literal[True], grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
        grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
    ) -> tuple[Loss, Grad]: ...
    @overload
    def __call__(
        self, input: Readable, target: Readable, *, sample_weight: Readable | None = ...,
        return_grad: bool, grad_output: Readable | None = ..., out: NDArray[Any] | None = ...,
        grad_out: NDArray[Any] | None = ..., num_threads: SupportsIndex | None = ...,
    ) -> Loss | tuple[Loss, Grad]: ...
    # fmt: on
    def __call__(
        self,
        input: Readable,
        target: Readable,
        *,
        sample_weight: Readable | None = None,
        return_grad: bool = False,
        grad_output: Readable | None = None,
        out: NDArray[Any] | None = None,
        grad_out: NDArray[Any] | None = None,
        num_threads: SupportsIndex | None = None,
    ) -> Loss | tuple[Loss, Grad]:
        return _arguments.nll_loss(
            input,
            target,
            self.weight,
            self.size_average,
            self.ignore_index,
            self.reduce,
            self.reduction,
            self.axis,
            sample_weight,
            return_grad,
            grad_output,
            out,
            grad_out,
            num_threads,
        )

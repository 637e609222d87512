"""xentc.CrossEntropyLoss."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from xentc import _arguments, functional
from xentc._types import Grad, Loss, Readable, Real
from xentc.modules._base import LossModule, own_copy, shape_of


def check_class_weight(weight: Readable) -> None:
    classes = shape_of(weight)[:1] or (0,)
    functional.cross_entropy(np.empty((0, *classes)), np.empty(0, np.int64), weight)


@dataclass(frozen=True, eq=False, repr=False)
class CrossEntropyLoss(LossModule):
    """
    Cross-entropy with its options fixed; see `cross_entropy` for what they mean.

    Takes the arguments of torch.nn.CrossEntropyLoss, and xentc's own by keyword. Called as
    ``criterion(input, target)``, with `return_grad`, `grad_output`, `out`, `grad_out`, `num_threads` and
    `sample_weight` as keywords. Immutable, and safe to share between threads.

    Examples
    --------
    >>> from xentc import CrossEntropyLoss
    >>> criterion = CrossEntropyLoss(ignore_index=0, reduction="sum")
    >>> criterion
    CrossEntropyLoss(ignore_index=0, reduction='sum')
    >>> float(criterion([[4.0, 1.0, 2.0]], [0]))
    0.0
    """

    weight: Readable | None = None
    size_average: bool | None = None
    ignore_index: SupportsIndex = -100
    reduce: bool | None = None
    reduction: str = "mean"
    label_smoothing: Real = 0.0
    _: KW_ONLY
    axis: SupportsIndex | None = None
    softcap: Real | None = None
    temperature: Real = 1.0
    lse_square_scale: Real = 0.0

    __hash__: ClassVar[None] = None  # again: pyright takes every frozen dataclass for hashable that does not say so

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
        # Not by way of functional.cross_entropy: warnings name the line two frames up, which is to be the caller's.
        return _arguments.cross_entropy(
            input,
            target,
            self.weight,
            self.size_average,
            self.ignore_index,
            self.reduce,
            self.reduction,
            self.label_smoothing,
            self.axis,
            sample_weight,
            self.softcap,
            self.temperature,
            self.lse_square_scale,
            return_grad,
            grad_output,
            out,
            grad_out,
            num_threads,
        )

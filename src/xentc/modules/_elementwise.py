"""xentc.BCELoss, xentc.BCEWithLogitsLoss and xentc.HingeEmbeddingLoss."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from xentc import _arguments, functional
from xentc._types import Grad, Loss, Readable, Real
from xentc.modules._base import LossModule, own_copy, shape_of


def _check_weight(weight: Readable) -> None:
    """For an input of no elements to which it broadcasts."""
    nothing = np.empty((0, *shape_of(weight)))
    functional.binary_cross_entropy_with_logits(nothing, nothing, weight)


@dataclass(frozen=True, eq=False, repr=False)
class ElementwiseLoss(LossModule):
    """The call of the element-wise losses, which differ in their options."""

    __hash__: ClassVar[None] = None  # again: pyright takes every frozen dataclass for hashable that does not say so

    _function: ClassVar[Any]  # of _arguments: by way of functional, warnings would not name the caller's line
    _options: ClassVar[Any]  # what it takes between the target and the options of a call

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
        return self._function(  # type: ignore[no-any-return]
            input, target, *self._options(self), return_grad, grad_output, out, grad_out, num_threads
        )


@dataclass(frozen=True, eq=False, repr=False)
class BCELoss(ElementwiseLoss):
    """
    Binary cross-entropy of probabilities with its options fixed; see `binary_cross_entropy` for what they mean.

    Takes the arguments of torch.nn.BCELoss. Called as ``criterion(input, target)``, with `return_grad`, `grad_output`,
    `out`, `grad_out` and `num_threads` as keywords. Immutable, and safe to share between threads.

    Examples
    --------
    >>> from xentc import BCELoss
    >>> round(float(BCELoss()([0.7], [1.0])), 4)
    0.3567
    """

    weight: Readable | None = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", own_copy(self.weight, _check_weight))

    _function = staticmethod(_arguments.binary_cross_entropy)
    _options = attrgetter("weight", "size_average", "reduce", "reduction")


@dataclass(frozen=True, eq=False, repr=False)
class BCEWithLogitsLoss(ElementwiseLoss):
    """
    Binary cross-entropy of logits with its options fixed; see `binary_cross_entropy_with_logits` for what they mean.

    Takes the arguments of torch.nn.BCEWithLogitsLoss. Called as ``criterion(input, target)``, with `return_grad`,
    `grad_output`, `out`, `grad_out` and `num_threads` as keywords. Immutable, and safe to share between threads.

    Examples
    --------
    >>> from xentc import BCEWithLogitsLoss
    >>> criterion = BCEWithLogitsLoss(reduction="sum")
    >>> criterion
    BCEWithLogitsLoss(reduction='sum')
    >>> round(float(criterion([0.0, 0.0], [1, 0])), 4)
    1.3863
    """

    weight: Readable | None = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"
    pos_weight: Readable | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", own_copy(self.weight, _check_weight))
        object.__setattr__(self, "pos_weight", own_copy(self.pos_weight, _check_weight))

    _function = staticmethod(_arguments.binary_cross_entropy_with_logits)
    _options = attrgetter("weight", "size_average", "reduce", "reduction", "pos_weight")


@dataclass(frozen=True, eq=False, repr=False)
class HingeEmbeddingLoss(ElementwiseLoss):
    """
    The hinge embedding loss with its options fixed; see `hinge_embedding_loss` for what they mean.

    Takes the arguments of torch.nn.HingeEmbeddingLoss. Called as ``criterion(input, target)``, with `return_grad`,
    `grad_output`, `out`, `grad_out` and `num_threads` as keywords. Immutable, and safe to share between threads.

    Examples
    --------
    >>> from xentc import HingeEmbeddingLoss
    >>> round(float(HingeEmbeddingLoss()([[0.5, 0.7], [-0.3, -0.9]], [1, -1])), 4)
    0.6
    """

    margin: Real = 1.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    _function = staticmethod(_arguments.hinge_embedding_loss)
    _options = attrgetter("margin", "size_average", "reduce", "reduction")

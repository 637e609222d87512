"""The losses as objects: frozen options with a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from xentc import _arguments, functional
from xentc._types import Grad, Loss, Readable, Real


def _own_copy(weight: Readable | None) -> NDArray[Any] | None:
    """The object's own, so that a later change to the caller's array does not change the loss."""
    if weight is None:
        return None
    _check_weight(weight)
    if not hasattr(weight, "__array__") and hasattr(weight, "__dlpack__"):
        weight = np.from_dlpack(weight)  # type: ignore[arg-type]
    copy: NDArray[Any] = np.array(np.asarray(weight))  # in two steps: torch's __array__ does not know `copy`
    copy.flags.writeable = False
    return copy


def _check_weight(weight: Readable) -> None:
    """Refused as a call refuses it: np.array would drop a mask, among others."""
    shape = getattr(weight, "shape", None) or (len(weight) if isinstance(weight, Sequence) else 0,)
    functional.cross_entropy(np.empty((0, shape[0])), np.empty(0, np.int64), weight)


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and bool(a == b)


@dataclass(frozen=True, eq=False, repr=False)
class _Loss:
    """What the classes share: equality, a repr that shows what differs from the defaults, and what a pickle forgets."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))

    # What object has is a method, and None in its place is Python's way to say that there is none.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if not _same(getattr(self, field.name), field.default)
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def __setstate__(self, state: dict[str, object]) -> None:
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False  # which neither a pickle nor a deep copy keeps
        self.__dict__.update(state)


@dataclass(frozen=True, eq=False, repr=False)
class CrossEntropyLoss(_Loss):
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
        object.__setattr__(self, "weight", _own_copy(self.weight))

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

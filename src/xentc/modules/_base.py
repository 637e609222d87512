"""What the classes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xentc._types import Readable


def own_copy(weight: Readable | None, check: Callable[[Readable], None]) -> NDArray[Any] | None:
    """The object's own, so that a later change to the caller's array does not change the loss.

    `check` refuses what a call refuses: np.array would drop a mask, among others.
    """
    if weight is None:
        return None
    check(weight)
    copy: NDArray[Any] = np.array(to_array(weight))  # in two steps: torch's __array__ does not know `copy`
    copy.flags.writeable = False
    return copy


def shape_of(weight: Readable) -> tuple[int, ...]:
    """The shape of a weight that nothing has checked; () where it has none, for the check to say what is wrong."""
    try:
        return np.empty((0, *np.shape(weight))).shape[1:]  # type: ignore[arg-type]
    except Exception:  # ragged, no shape an array has (that of np.ndarray itself), or whatever foreign methods raise
        return ()


def to_array(value: Readable) -> NDArray[Any]:
    """What a call has accepted, as an array of NumPy's."""
    if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
        value = np.from_dlpack(value)  # type: ignore[arg-type]
    return np.asarray(value)


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and bool(a == b)


@dataclass(frozen=True, eq=False, repr=False)
class LossModule:
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

"""Names for what the public functions take and give, for type checkers and readers; nothing here runs."""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SupportsDLPack(Protocol):
    """A tensor of another library that NumPy can look into without a copy."""

    def __dlpack__(self) -> object: ...


# What is read: arrays, lists and scalars, anything with `__array__`, anything with a CPU `__dlpack__`.
Readable: TypeAlias = ArrayLike | SupportsDLPack
Real: TypeAlias = float | np.floating[Any] | np.integer[Any]

# 'none' of a (C,) input is a scalar too. Types do not know the number of dimensions, so Losses is said there as well.
Scalar: TypeAlias = np.floating[Any]
Losses: TypeAlias = NDArray[np.floating[Any]]
Loss: TypeAlias = Scalar | Losses

# Of the input's dtype, which may be none of NumPy's own (bfloat16).
Grad: TypeAlias = NDArray[Any]
Values: TypeAlias = NDArray[Any]

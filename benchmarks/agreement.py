"""Whether a contender computed what xentc did. What does not give the same answer is not timed, and fails the run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TOLERANCES = {
    "f32": 1e-4,
    "f64": 1e-9,
    "bf16": 2e-2,
    "f16": 4e-3,
}  # sums of any order; halves: so does torch's loss round
WHOLE = 2**16  # numbers; of larger arrays the first and the last sample

Call = Callable[[], object]


class Disagreement(Exception):
    """A contender gave another loss or gradient than ours."""


def _numbers(part: object) -> np.ndarray:
    """As float64, and copied: the buffer they may lie in is shared."""
    if hasattr(part, "detach"):
        part = part.detach()
        part = part.double() if part.is_floating_point() else part
    elif type(part).__name__ == "OrtValue":
        part = part.numpy()
    array = np.asarray(part)
    if array.size > WHOLE:
        array = np.concatenate([np.ravel(array[0]), np.ravel(array[-1])])
    return array.astype(np.float64)


def answer(call: Call) -> list[np.ndarray] | None:
    getattr(call, "prepare", lambda: None)()
    result = call()
    if result is None:
        return None
    return [_numbers(part) for part in (result if isinstance(result, (tuple, list)) else (result,))]


def check_same(ours: Call, theirs: Call, tolerance: float) -> None:
    """Raise Disagreement if they do. Also the first call of each, which is never timed."""
    expected, got = answer(ours), answer(theirs)
    if got is None:  # a roofline computes nothing
        return
    if len(got) != len(expected):
        raise Disagreement(f"{len(expected)} results (ours) and {len(got)}")
    for i, (mine, other) in enumerate(zip(expected, got, strict=True)):
        if mine.shape != other.shape:
            raise Disagreement(f"result {i}: the shapes differ: {mine.shape} (ours) and {other.shape}")
        off, scale = np.abs(mine - other).max(initial=0), np.abs(mine).max(initial=0)
        if not off <= tolerance * scale:
            where = f": {mine} (ours) and {other}" if mine.ndim == 0 else ""
            raise Disagreement(f"result {i} is off by {off:.2g} of {scale:.2g}{where}")

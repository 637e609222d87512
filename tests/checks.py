"""What several test files ask of a result: the same bits, or the right refusal with nothing written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xentc

X32 = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)


def refuse(error: type[Exception], beginning: str, **changed: Any) -> str:
    """A right call but for what changed: the error begins with an argument's name, and nothing has been written."""
    outputs = {"out": np.full(2, 7, np.float32), "grad_out": np.full((2, 3), 7, np.float32)}
    arguments = {
        "input": X32,
        "target": np.array([0, 2]),
        "reduction": "none",
        "return_grad": True,
        **outputs,
        **changed,
    }
    with np.errstate(all="raise"), pytest.raises(error, match=rf"^{beginning}: ") as refused:
        xentc.cross_entropy(**arguments)
    assert refused.type is error
    for output in outputs.values():
        assert np.all(output == 7)
    return str(refused.value)


def assert_same_bits(result: tuple, expected: tuple) -> None:
    for one, other in zip(result, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()

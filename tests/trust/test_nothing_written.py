"""What is wrong with the last sample is found before anything of the caller's is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import xentc

INDICES = np.zeros(3000, np.int64)
LISTS = np.zeros((3000, 5), np.int64)
HALF = np.full((3000, 5), 0.5)


def spoiled(array: np.ndarray, value: float) -> np.ndarray:
    copy = array.copy()
    copy[(-1,) * array.ndim] = value
    return copy


CALLS: dict[str, tuple[Callable[..., Any], np.ndarray, type[Exception]]] = {
    "cross_entropy": (xentc.cross_entropy, spoiled(INDICES, 5), IndexError),
    "nll_loss": (xentc.nll_loss, spoiled(INDICES, 5), IndexError),
    "multilabel_margin_loss": (xentc.multilabel_margin_loss, spoiled(LISTS, 5), IndexError),
    "binary_cross_entropy": (xentc.binary_cross_entropy, spoiled(HALF, 1.5), ValueError),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("given", [("out",), ("grad_out",), ("out", "grad_out")], ids="+".join)
def test_nothing_is_written(isa: str, dtype: np.dtype, name: str, given: tuple[str, ...]) -> None:
    function, target, error = CALLS[name]
    input = np.full((3000, 5), 0.25, dtype)
    losses = input.shape if name == "binary_cross_entropy" else (3000,)
    outputs = {"out": np.full(losses, 7, dtype), "grad_out": np.full(input.shape, 7, dtype)}
    options = {key: outputs[key] for key in given} | {"return_grad": "grad_out" in given}
    for num_threads in (1, 2):
        with pytest.raises(error, match=r"^target: got "):
            function(input, target, reduction="none", num_threads=num_threads, **options)
        assert all(np.all(array == 7) for array in outputs.values())

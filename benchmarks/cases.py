"""The named shapes that contenders are timed on, each with its input, made when it is first asked for.

A new case is one line in CASES. What a case cannot express yet (soft targets, half types) becomes a field here, and
a contender that does not know the field answers None.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

DTYPES = {"f32": np.float32, "f64": np.float64}


def cores() -> int:
    """The cores this process may run on: a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Case:
    """What is timed: a shape with its classes on axis 1, a dtype, and how many threads may work on it."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "f32"
    threads: int = 1

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def title(self) -> str:
        return f"{' x '.join(map(str, self.shape))} {self.dtype}"

    @property
    def every_core(self) -> bool:
        return self.threads == cores()

    @cached_property
    def logits(self) -> np.ndarray:
        array = np.empty(self.shape, DTYPES[self.dtype])
        np.random.default_rng(1).standard_normal(dtype=array.dtype, out=array)
        array *= 3
        return array

    @cached_property
    def target(self) -> np.ndarray:
        return np.random.default_rng(2).integers(0, self.shape[1], self.shape[:1] + self.shape[2:])

    @cached_property
    def buffer(self) -> np.ndarray:
        """One kept array of the logits' shape, for all who write one: its pages are touched here, not in a timing."""
        array = np.empty_like(self.logits)
        array.fill(0)
        return array


CASES = {
    case.name: case
    for case in (
        Case("language_model", (1024, 128256)),
        Case("language_model_32k", (4096, 32000)),
        Case("classifier", (65536, 1000)),
        Case("classifier_batch", (256, 1000)),
        Case("mid", (200_000, 100)),
        Case("tabular", (1_000_000, 10)),
        Case("segmentation", (8, 21, 512, 512)),
        Case("tiny_batch", (32, 10)),
        Case("tiny", (1, 10)),
    )
}


def select(names: list[str], threads: int) -> list[Case]:
    """Fresh cases, whose arrays die with them: the largest are half a GiB each."""
    return [replace(CASES[name], threads=threads) for name in names]

"""The named cases that contenders are timed on, each with its arrays, made when they are first asked for.

A new case is one line below. What a case cannot express yet becomes a field here, and a contender that does not know
the field answers None.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from operations import OPERATIONS, SMOOTHING, Operation, dtype_of, normal, soft


def cores() -> int:
    """The cores this process may run on: a container often has fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Case:
    """What is timed: a function, a shape with its classes on axis 1, a dtype, and how many threads may work on it."""

    name: str
    shape: tuple[int, ...]
    operation: str = "cross_entropy"
    dtype: str = "f32"
    labels: str = "index"  # or "smoothed", "soft": what cross_entropy is told
    threads: int = 1
    small: bool = False  # cut down to see that everything works: nothing is measured

    @property
    def spec(self) -> Operation:
        return OPERATIONS[self.operation]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def samples(self) -> int:
        return self.size // self.shape[1] if len(self.shape) > 1 else self.size

    @property
    def title(self) -> str:
        about = [" x ".join(map(str, self.shape)), self.dtype]
        about += [self.labels] if self.labels != "index" else []
        about += [self.operation] if self.operation != "cross_entropy" else []
        return " ".join(about)

    @property
    def every_core(self) -> bool:
        return self.threads == cores()

    @cached_property
    def logits(self) -> np.ndarray:
        """The first argument, whatever it holds."""
        return self.spec.make_input(self.shape, self.dtype)

    @cached_property
    def target(self) -> np.ndarray | None:
        make = soft if self.labels == "soft" else self.spec.make_target
        return None if make is None else make(self.shape, self.dtype)

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        return (self.logits,) if self.target is None else (self.logits, self.target)

    @property
    def options(self) -> dict[str, object]:
        return self.spec.options | ({"label_smoothing": SMOOTHING} if self.labels == "smoothed" else {})

    @cached_property
    def grad_output(self) -> np.ndarray | None:
        """The upstream gradient, where the result is not one number."""
        shapes = {"each": self.shape, "rows": self.shape[:1] + self.shape[2:]}
        return normal(shapes[self.spec.result], self.dtype, 3) if self.spec.result in shapes else None

    @cached_property
    def buffer(self) -> np.ndarray:
        """One kept array of the logits' shape, for all who write one: its pages are touched here, not in a timing."""
        return self._touched()

    @cached_property
    def result(self) -> np.ndarray:
        """Another one, for results that are as large as the logits."""
        return self._touched()

    def _touched(self) -> np.ndarray:
        array = np.empty(self.shape, dtype_of(self.dtype))
        array.fill(0)
        return array

    def reduced(self) -> Case:
        """As small as it can be and still say that a contender computes the right thing."""
        most = (16, 200, 6, 6)
        return replace(self, shape=tuple(min(n, m) for n, m in zip(self.shape, most, strict=False)), small=True)


def _with_labels_and_dtypes(shape: Case) -> Iterator[Case]:
    yield shape
    for dtype in ("f64", "bf16", "f16"):
        yield replace(shape, name=f"{shape.name}_{dtype}", dtype=dtype)
    for labels in ("smoothed", "soft"):
        yield replace(shape, name=f"{shape.name}_{labels}", labels=labels)


SHAPES = [
    Case("language_model", (1024, 128256)),
    Case("language_model_32k", (4096, 32000)),
    Case("classifier", (65536, 1000)),
    Case("classifier_batch", (256, 1000)),
    Case("mid", (200_000, 100)),
    Case("mid_200", (20_000, 200)),
    Case("tabular", (1_000_000, 10)),
    Case("tabular_2", (1_000_000, 2)),
    Case("segmentation", (8, 21, 512, 512)),
    Case("segmentation_150", (2, 150, 512, 512)),
    Case("long_row", (1, 256_000)),
    Case("tiny_batch", (32, 10)),
    Case("tiny", (1, 10)),
]
OTHERS = [
    Case("nll", (65536, 1000), "nll_loss"),
    Case("nll_tiny", (32, 10), "nll_loss"),
    Case("binary", (4096, 4096), "binary_cross_entropy"),
    Case("binary_tiny", (32, 10), "binary_cross_entropy"),
    Case("binary_logits", (4096, 4096), "binary_cross_entropy_with_logits"),
    Case("binary_logits_tiny", (32, 10), "binary_cross_entropy_with_logits"),
    Case("hinge", (4096, 4096), "hinge_embedding_loss"),
    Case("hinge_tiny", (32, 10), "hinge_embedding_loss"),
    Case("multilabel", (4096, 1000), "multilabel_margin_loss"),
    Case("multilabel_tiny", (32, 10), "multilabel_margin_loss"),
    Case("softmax", (65536, 1000), "softmax"),
    Case("softmax_batch", (256, 1000), "softmax"),
    Case("softmax_tiny", (32, 10), "softmax"),
    Case("log_softmax", (65536, 1000), "log_softmax"),
    Case("log_softmax_batch", (256, 1000), "log_softmax"),
    Case("log_softmax_tiny", (32, 10), "log_softmax"),
    Case("logsumexp", (65536, 1000), "logsumexp"),
    Case("logsumexp_tiny", (32, 10), "logsumexp"),
    Case("score", (1024, 128256), "score"),
    Case("score_classifier", (65536, 1000), "score"),
    Case("top_logprobs", (1024, 128256), "top_logprobs"),
]
# For the plots: one number of logits in rows ever longer; samples over four decades; classes over four decades.
SWEEP = [
    *(
        Case(f"same_size_{c}", (2**24 // c, c))
        for c in (2, 4, 8, 16, 32, 64, 128, 160, 192, 256, 512, 2048, 8192, 32768, 131072)
    ),
    *(Case(f"samples_{n}", (n, 100)) for n in (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)),
    *(Case(f"classes_{c}", (16, c)) for c in (10, 100, 1000, 10_000, 100_000, 1_000_000)),
]

EVERY_SHAPE = {case.name: case for shape in SHAPES for case in _with_labels_and_dtypes(shape)}
CASES = EVERY_SHAPE | {case.name: case for case in (*OTHERS, *SWEEP)}

# What a run times unless it is told otherwise; the names of CASES left out here are there for the asking.
VARIED = ("language_model", "classifier", "classifier_batch", "mid", "tabular", "segmentation")
_VARIANTS = [case for shape in SHAPES if shape.name in VARIED for case in _with_labels_and_dtypes(shape)]
GOALS_TOO = ("language_model_bf16", "language_model_smoothed")  # which the goals name
FULL = list(dict.fromkeys(case.name for case in (*SHAPES, *OTHERS, *_VARIANTS)))
SLOW = ("mid", "mid_200", "tabular_2", "segmentation_150")  # and like another one
TINY = ("nll_tiny", "multilabel_tiny", "softmax_tiny", "log_softmax_tiny", "logsumexp_tiny")
_ORDER = [*(case.name for case in SHAPES), "score", "top_logprobs", *GOALS_TOO, *(case.name for case in OTHERS)]
QUICK = list(dict.fromkeys(name for name in _ORDER if name not in SLOW + TINY))


def select(names: list[str], threads: int, smoke: bool = False) -> list[Case]:
    """Fresh cases, whose arrays die with them: the largest are half a GiB each."""
    chosen = [replace(CASES[name], threads=threads) for name in names]
    if not smoke:
        return chosen
    alike = {replace(case.reduced(), name=""): case.reduced() for case in chosen}  # many, once they are small
    return list(alike.values())

"""Timing by turns: A, B, A, B, ... in one process, and the median of the ratios of the pairs.

a) A shared machine changes its speed by half from one minute to the next, so a time means little and the ratio of two
   neighbouring times means much.
b) An OpenMP pool keeps its threads spinning for several milliseconds after a parallel region, and every contender
   brings a pool of its own: without a pause, one's idle threads hold the cores that the next one is timed on.
c) Short calls are repeated until a sample is long enough for the clock, after one call that wakes the threads.
d) What does not give the same answer is not timed.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

SETTLE_SECONDS = 0.015  # see b): libgomp's threads spun for up to 10 ms where this was measured
SAMPLE_SECONDS = 0.005
TOLERANCE = 1e-4  # f32 against f32 with sums of any order; a wrong loss is far outside

Call = Callable[[], object]


class Disagreement(Exception):
    """A contender gave another loss or gradient than ours."""


@dataclass(frozen=True)
class Budget:
    """As many pairs as fit into `seconds`, but from `fewest` to `pairs` of them."""

    pairs: int
    fewest: int
    seconds: float


@dataclass(frozen=True)
class Pairs:
    """Seconds per call of ours and theirs, pair by pair."""

    ours: np.ndarray
    theirs: np.ndarray

    def quartiles(self) -> tuple[float, float, float]:
        """Of their time over ours: above 1, ours is the faster."""
        return tuple(float(x) for x in np.percentile(self.theirs / self.ours, (25, 50, 75)))


def _seconds(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in repeat(None, repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _repeats(call: Call) -> int:
    """How often to repeat `call` in a sample, found by doubling: a single tiny call is all noise."""
    repeats = 1
    while (seconds := _seconds(call, repeats) * repeats) < SAMPLE_SECONDS / 2:
        repeats *= 2
    return max(1, round(repeats * SAMPLE_SECONDS / seconds))


def _sample(call: Call, repeats: int) -> float:
    time.sleep(SETTLE_SECONDS)
    if repeats > 1:
        call()
    return _seconds(call, repeats)


def _answer(call: Call) -> tuple[float, np.ndarray] | None:
    """The loss and the first and last sample's gradient, copied: the buffer they may lie in is shared."""
    result = call()
    if result is None:
        return None
    loss, gradient = result if isinstance(result, tuple) else (result, None)
    ends = [] if gradient is None else [np.array(gradient[i]).ravel() for i in (0, -1)]
    return float(loss), np.concatenate(ends) if ends else np.empty(0)


def check_same(ours: Call, theirs: Call) -> None:
    """Raise Disagreement if they do. Also the first call of each, which is never timed."""
    expected, got = _answer(ours), _answer(theirs)
    if got is None:  # a roofline computes nothing
        return
    if not np.isclose(got[0], expected[0], rtol=TOLERANCE):
        raise Disagreement(f"the losses differ: {expected[0]} (ours) and {got[0]}")
    scale = np.abs(expected[1]).max(initial=0)
    if not np.allclose(got[1], expected[1], rtol=0, atol=TOLERANCE * scale):
        raise Disagreement("the gradients differ")


def time_pairs(ours: Call, theirs: Call, budget: Budget) -> Pairs:
    check_same(ours, theirs)
    ours_repeats, theirs_repeats = _repeats(ours), _repeats(theirs)
    samples = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        while len(samples) < budget.pairs:
            if len(samples) >= budget.fewest and time.perf_counter() - start > budget.seconds:
                break
            samples.append((_sample(ours, ours_repeats), _sample(theirs, theirs_repeats)))
    finally:
        if collecting:
            gc.enable()
    return Pairs(*np.array(samples).T)

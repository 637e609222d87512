"""Timing by turns: A, B, B, A, ... in one process, and the median of the ratios of the pairs.

a) A shared machine changes its speed by half from one minute to the next, so a time means little and the ratio of two
   neighbouring times means much.
b) An OpenMP pool keeps its threads spinning for several milliseconds after a parallel region, and every contender
   brings a pool of its own: without a pause, one's idle threads hold the cores that the next one is timed on. A
   contender whose threads spin for longer has a SETTLE_SECONDS of its own.
c) Short calls are repeated until a sample is long enough for the clock. Before a sample, calls are made that wake the
   threads: where a team has slept, its next two calls were seen to take 7 and 4 ms longer, xentc's and torch's alike.
   Where both calls take LONG_SECONDS and more they go without, as those milliseconds are little beside them.
d) What does not give the same answer is not timed (agreement.py).
e) A contender that is FAR_BEHIND in every one of `decided` pairs needs no more: those that take seconds a call would be
   most of a full run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import numpy as np

SETTLE_SECONDS = 0.015  # see b): libgomp's threads spun for up to 10 ms where this was measured
WAKE_SECONDS = 0.02  # see c)
LONG_SECONDS = 0.1
SAMPLE_SECONDS = 0.005
FAR_BEHIND = 4.0

Call = Callable[[], object]


@dataclass(frozen=True)
class Budget:
    """As many pairs as fit into `seconds`, but from `fewest` to `pairs` of them. See e) for `decided`."""

    pairs: int
    fewest: int
    seconds: float
    decided: int | None = None
    settle: float = SETTLE_SECONDS
    wake: float = WAKE_SECONDS
    sample: float = SAMPLE_SECONDS


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


def _repeats(call: Call, sample: float) -> tuple[int, float]:
    """How often to repeat `call` in a sample, found by doubling: a single tiny call is all noise. And its seconds."""
    repeats = 1
    while (seconds := _seconds(call, repeats) * repeats) < sample / 2:
        repeats *= 2
    return max(1, round(repeats * sample / seconds)), seconds / repeats


def _sample(call: Call, repeats: int, long: bool, budget: Budget) -> float:
    getattr(call, "prepare", _nothing)()
    time.sleep(budget.settle)
    awake = time.perf_counter() + budget.wake
    while not long and time.perf_counter() < awake:
        call()
    return _seconds(call, repeats)


def _nothing() -> None:
    pass


def _enough(samples: list[list[float]], budget: Budget) -> bool:
    if budget.decided is None or len(samples) < budget.decided:
        return len(samples) >= budget.fewest
    return len(samples) >= budget.fewest or all(theirs > FAR_BEHIND * ours for ours, theirs in samples)


def time_pairs(ours: Call, theirs: Call, budget: Budget) -> Pairs:
    """Both have been called before: neither's first call is timed."""
    calls = [(call, *_repeats(call, budget.sample)) for call in (ours, theirs)]
    long = all(seconds >= LONG_SECONDS for _, _, seconds in calls)
    samples: list[list[float]] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        while len(samples) < budget.pairs:
            if time.perf_counter() - start > budget.seconds and _enough(samples, budget):
                break
            order = slice(None, None, -1 if len(samples) % 2 else 1)
            samples.append([_sample(call, repeats, long, budget) for call, repeats, _ in calls[order]][order])
    finally:
        if collecting:
            gc.enable()
    return Pairs(*np.array(samples).T)

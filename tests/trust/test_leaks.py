"""Nothing is kept of a call, and nothing of an error."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from typing import Any

import pytest
from entry_points import ENTRY_POINTS, NAMES, prepare, random_logits
from scripts import linux_only

CALLS = 100_000
LIMIT = 2**20


def resident() -> int:
    with open("/proc/self/smaps_rollup") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith("Rss:"))


def grows(run: Callable[[], Any]) -> int:
    """How many bytes more are resident after CALLS calls; a first tenth as many fill what Python keeps for reuse."""
    for _ in range(CALLS // 10):
        run()
    gc.collect()
    before = resident()
    for _ in range(CALLS):
        run()
    gc.collect()
    return resident() - before


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_calls(name: str) -> None:
    assert grows(prepare(name, random_logits(20, 50), num_threads=1)) < LIMIT


WRONG = {
    "input": None,
    "num_threads": 0,
    "out": 3,
    "grad_out": 3,
    "grad_output": "x",
    "axis": 7,
    "reduction": "some",
    "target": "x",
    "weight": [1, 2],
    "k": 0,
    "indices": [[10**9]],
}


@linux_only
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_errors(name: str) -> None:
    """Every argument that the function has, wrong in turn."""
    function, operands, _ = ENTRY_POINTS[name]
    right = operands(random_logits(5, 6))
    names = set(function.__code__.co_varnames[: function.__code__.co_argcount + function.__code__.co_kwonlyargcount])
    wrong = [right | {argument: value} for argument, value in WRONG.items() if argument in names]

    def run() -> None:
        for arguments in wrong:
            with contextlib.suppress(TypeError, ValueError, IndexError):
                function(**arguments)
                raise AssertionError(f"{name} takes {arguments}")

    assert len(wrong) > 2
    run()
    assert grows(run) < LIMIT

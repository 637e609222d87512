"""Python's threads call at once: right bits, and no more threads of the system than they asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import PRELUDE, linux_only, needs_openmp, run_script

HERE = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n" + PRELUDE


@linux_only
@needs_openmp
@pytest.mark.parametrize("num_threads", [1, 3])
def test_eight_callers_of_a_thousand_calls(num_threads: int) -> None:
    run_script(f"""
from concurrent.futures import ThreadPoolExecutor
from entry_points import NAMES, bits, prepare, random_logits

# The first is large enough for teams, and does not come as often.
large = prepare("cross_entropy", random_logits(400, 500), num_threads={num_threads})
small = [prepare(name, random_logits(6, 9), num_threads={num_threads}) for name in NAMES]
expected = [bits(run()) for run in small]
expected_large = bits(large())
before = os_threads()

def caller(number):
    for i in range(1000):
        which = (i + number) % len(small)
        assert bits(small[which]()) == expected[which]
        if i % 50 == 0:
            assert bits(large()) == expected_large

most = 0
with ThreadPoolExecutor(8) as pool:
    calls = [pool.submit(caller, number) for number in range(8)]
    while not all(call.done() for call in calls):
        most = max(most, os_threads())
        time.sleep(0.002)
    for call in calls:
        call.result()
assert most - before <= 8 * {num_threads}, (before, most)
time.sleep(1)
# libgomp ends a caller's team with the caller; LLVM's runtime keeps its threads, and gives them to the next caller.
with open("/proc/self/maps") as maps:
    kept = 8 if "/libomp" in maps.read() else 1
assert os_threads() <= before + kept * {num_threads}, (before, os_threads())
""", before=HERE)  # fmt: skip

"""A forked child answers, whatever its parent was doing, and says once that it runs on one thread."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from scripts import linux_only, needs_openmp, run_script

from xentc import _engine

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

IN_THE_CHILD = """
expected = answer()
assert not _engine.openmp() or _engine.last_team_size() == 2

def work():
    for _ in range(3):
        assert answer(2) == expected
        assert answer(None) == expected
        assert xentc.cross_entropy(LOGITS[:3], TARGET[:3]) > 0
    assert _engine.last_team_size() <= 1 or not _engine.openmp()
"""


@forks
def test_fork() -> None:
    warned = run_script(IN_THE_CHILD + "check(work); assert answer() == expected; check(work)")
    assert warned.count("RuntimeWarning") == (2 if _engine.openmp() else 0)  # one of each child


@forks
def test_fork_with_warnings_as_errors() -> None:
    flags = ("-W", "error", "-W", "ignore::DeprecationWarning")  # Python itself warns of forks from 3.12 on
    warned = run_script(IN_THE_CHILD + "check(work)", *flags)
    assert warned.count("RuntimeWarning") == (1 if _engine.openmp() else 0)


@forks
def test_grandchild() -> None:
    warned = run_script(IN_THE_CHILD + "check(lambda: check(work)); check(lambda: (work(), check(work)))")
    assert warned.count("RuntimeWarning") <= (3 if _engine.openmp() else 0)


@forks
def test_fork_while_another_thread_computes() -> None:
    run_script(IN_THE_CHILD + """
stop = False
def compute():
    while not stop:
        assert answer() == expected
threads = [threading.Thread(target=compute) for _ in range(2)]
for thread in threads:
    thread.start()
try:
    for _ in range(10):
        check(work)
finally:
    stop = True
for thread in threads:
    thread.join()
""")  # fmt: skip


@forks
@linux_only
@needs_openmp
def test_fork_of_a_parent_without_a_team_keeps_its_threads() -> None:
    for before in ("", "answer(1); xentc.cross_entropy(LOGITS[:2], TARGET[:2], num_threads=16)"):
        warned = run_script(before + """
def work():
    alone = answer(1)
    assert answer(2) == alone
    assert _engine.last_team_size() == 2
    assert os_threads() >= 2
check(work)
check(work)
""")  # fmt: skip
        assert "RuntimeWarning" not in warned


@forks
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(method: str, tmp_path: Path) -> None:
    run_script(f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def work(_):
    return float(answer())

if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    expected = float(answer())
    context = multiprocessing.get_context({method!r})
    with context.Pool(2) as pool:
        assert pool.map_async(work, range(4)).get(20) == [expected] * 4
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert list(pool.map(work, range(4), timeout=20)) == [expected] * 4
""", folder=tmp_path)  # fmt: skip

"""Threads: the same bits on any number of them, and how many a call gets."""

from __future__ import annotations

import ctypes.util
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from scripts import linux_only, needs_openmp, run_script

import xentc
from xentc import _engine, _threads

needs_two_cores = pytest.mark.skipif(_threads.usable_cores() < 2, reason="one core: no call gets two threads")

TEAMS = [1, 2, 3, 4, 7, 16]

# Enough blocks for 16 threads in each: rows, few classes, planes, one long row, few long rows; of (40, 20000) rows are
# handed out whole to few threads and cut into columns for many.
SHAPES = [(601, 1000), (60000, 10), (3, 21, 100, 100), (1, 300_001), (3, 100_000), (40, 20000), (20, 70, 900)]


@pytest.fixture(autouse=True)
def _default_setting() -> Iterator[None]:
    xentc.set_num_threads(None)
    yield
    xentc.set_num_threads(None)


def big_problem(shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(shape)
    input = rng.normal(0, 3, shape).astype(dtype)
    target = rng.integers(0, shape[1], shape[:1] + shape[2:])
    target[rng.random(target.shape) < 0.1 * (target.size > 9)] = -100
    return input, target, rng.uniform(0, 2, shape[1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_on_any_number_of_threads(isa: str, dtype: np.dtype, shape: tuple) -> None:
    input, target, weight = big_problem(shape, dtype)
    for reduction in ("none", "mean", "sum"):
        grad_output = np.random.default_rng(0).normal(size=target.shape if reduction == "none" else ())
        options = {"reduction": reduction, "weight": weight}
        expected = None
        for n in TEAMS:
            loss = xentc.cross_entropy(input, target, num_threads=n, **options)
            team = _engine.last_team_size()
            both = xentc.cross_entropy(
                input, target, num_threads=n, return_grad=True, grad_output=grad_output, **options
            )
            bits = loss.tobytes(), both[0].tobytes(), both[1].tobytes()
            expected = expected or bits
            assert bits[0] == bits[1]
            assert bits == expected, f"{n} threads, {reduction}"
            if _engine.openmp():
                assert (team, _engine.last_team_size()) == (n, n)


def test_many_callers(isa: str) -> None:
    """Python's threads call at the same time, with teams of their own, on problems of their own."""
    problems = [
        big_problem(shape, np.float32) for shape in ((64, 1000), (5000, 10), (2, 30, 50, 50), (2, 40000), (3, 4))
    ]
    expected = [xentc.cross_entropy(x, t, w, return_grad=True)[1].tobytes() for x, t, w in problems]

    def caller(number: int) -> bool:
        right = True
        for i in range(number, number + 150):
            x, t, w = problems[i % len(problems)]
            result = xentc.cross_entropy(x, t, w, return_grad=True, num_threads=1 + i % 2)[1]
            right &= result.tobytes() == expected[i % len(problems)]
        return right

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(caller, range(8)))


def test_releases_the_gil() -> None:
    input = np.broadcast_to(np.linspace(0, 1, 1000, dtype=np.float32), (200_000, 1000))
    target = np.zeros(len(input), np.int8)
    begun = threading.Event()
    call = threading.Thread(target=lambda: (begun.set(), xentc.cross_entropy(input, target, num_threads=1)))
    call.start()
    begun.wait()
    turns = 0
    while call.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10


# How many threads.


@pytest.mark.parametrize("value", [0, -1, -(2**80)])
def test_a_number_of_threads_below_one(value: int) -> None:
    with pytest.raises(ValueError, match=r"^num_threads: "):
        xentc.set_num_threads(value)
    for input in (np.zeros((2, 3)), np.zeros((1000, 1000))):
        with pytest.raises(ValueError, match=r"^num_threads: "):
            xentc.cross_entropy(input, np.zeros(len(input), int), num_threads=value)


@pytest.mark.parametrize("value", [True, 2.0, "2", [2], np.bool_(True), np.array([1, 2]), object()])
def test_a_number_of_threads_of_another_type(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^num_threads: "):
        xentc.set_num_threads(value)
    for input in (np.zeros((2, 3)), np.zeros((1000, 1000))):
        with pytest.raises(TypeError, match=r"^num_threads: "):
            xentc.cross_entropy(input, np.zeros(len(input), int), num_threads=value)


@pytest.mark.parametrize(
    ("setting", "ours", "openmp", "expected"),
    [
        (3, "5", "7", 3),
        (None, "5", "7", 5),
        (None, None, "7", 7),
        (None, " 5 ", None, 5),
        (None, "", "7", 7),
        (None, None, "6,3", 6),
        (None, None, "what", None),
        (None, None, "0", None),
        (None, None, None, None),
        (90, "5", "7", 64),
        (None, "90", "7", 64),
        (None, None, "90", 64),
        (np.int64(3), None, None, 3),
    ],
)
def test_order(
    monkeypatch: Any, setting: int | None, ours: str | None, openmp: str | None, expected: int | None
) -> None:
    """set_num_threads > XENTC_NUM_THREADS > OMP_NUM_THREADS > cores, on a machine of 64 cores."""
    for name, value in (("XENTC_NUM_THREADS", ours), ("OMP_NUM_THREADS", openmp)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    monkeypatch.setattr(_threads, "usable_cores", lambda: 64)
    xentc.set_num_threads(setting)
    assert xentc.get_num_threads() == min(64, expected or os.cpu_count() or 1)


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", "2,3", "1e3"])
def test_our_variable_is_wrong(monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv("XENTC_NUM_THREADS", value)
    with pytest.raises(ValueError, match=r"^XENTC_NUM_THREADS: "):
        xentc.get_num_threads()
    if _engine.openmp():
        with pytest.raises(ValueError, match=r"^XENTC_NUM_THREADS: "):
            xentc.cross_entropy(np.zeros((1000, 1000)), np.zeros(1000, int))


# What needs a process of its own.


@linux_only
@needs_openmp
def test_teams_of_os_threads() -> None:
    """The threads are really there, no more than asked for, and none for small work."""
    run_script("""
before = os_threads()
for input in (LOGITS[:8], LOGITS[:1, :10], LOGITS[:0]):
    xentc.cross_entropy(input, TARGET[:len(input)] % input.shape[1], num_threads=16)
xentc.cross_entropy(LOGITS, TARGET, num_threads=1)
assert os_threads() == before, "a team for small work"
for n in (2, 3, 4, 7, 16):
    answer(n)
    assert os_threads() - before == n - 1, (n, os_threads(), before)
    assert _engine.last_team_size() == n
answer(10**30)
assert _engine.last_team_size() <= 256
assert os_threads() - before <= 255
""")


@linux_only
@needs_openmp
@needs_two_cores
def test_what_decides_and_what_caps() -> None:
    run_script("answer(None); assert _engine.last_team_size() == 1", XENTC_NUM_THREADS="1", OMP_NUM_THREADS="2")
    run_script("answer(None); assert _engine.last_team_size() == 2", XENTC_NUM_THREADS="2", OMP_NUM_THREADS="1")
    run_script("answer(None); assert _engine.last_team_size() == 1", OMP_NUM_THREADS="1")
    run_script("answer(3); assert _engine.last_team_size() == 3", XENTC_NUM_THREADS="1", OMP_NUM_THREADS="1")
    run_script("""
xentc.set_num_threads(2)
answer(None)
assert _engine.last_team_size() == 2
xentc.set_num_threads(1)
answer(None)
assert _engine.last_team_size() == 1
answer(3)
assert _engine.last_team_size() == 3
xentc.set_num_threads(64)
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
answer(None)
assert (_engine.last_team_size(), xentc.get_num_threads()) == (1, 1), "the affinity is no cap"
answer(2)
assert _engine.last_team_size() == 2, "the affinity caps a number per call"
""", XENTC_NUM_THREADS="1")  # fmt: skip


@linux_only
@needs_openmp
@needs_two_cores
@pytest.mark.skipif(ctypes.util.find_library("gomp") is None, reason="GNU's OpenMP is not here")
def test_openmps_own_limit() -> None:
    """Lowered after import, as threadpoolctl does it."""
    run_script("""
import ctypes
answer(None)
assert _engine.last_team_size() == 2
paths = {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line}
for path in paths:
    ctypes.CDLL(path).omp_set_num_threads(1)
if paths:
    answer(None)
    assert _engine.last_team_size() == 1
    answer(2)
    assert _engine.last_team_size() == 2
""", XENTC_NUM_THREADS="2")  # fmt: skip

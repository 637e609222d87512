"""Threads: the same bits on any number of them, how many a call gets, and what happens after a fork."""

from __future__ import annotations

import ctypes.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xentc
from xentc import _engine, _threads

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
needs_openmp = pytest.mark.skipif(not _engine.openmp(), reason="built without threads")
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


@pytest.mark.parametrize(("quota", "cores"), [(0.2, 1), (1.0, 1), (1.5, 2), (3.01, 4), (100.0, 8), (None, 8)])
def test_the_quota_is_rounded_up(monkeypatch: Any, quota: float | None, cores: int) -> None:
    monkeypatch.setattr(_threads, "process_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert _threads.usable_cores() == cores


# name: /proc/self/cgroup, files below /sys/fs/cgroup, the quota
CGROUPS: dict[str, tuple[str | None, dict[str, str], float | None]] = {
    "nothing": (None, {}, None),
    "version 2": ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
    "version 2, no limit": ("0::/\n", {"cpu.max": "max 100000\n"}, None),
    "version 2, nested": ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n"}, 0.5),
    "version 2, of a parent": ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2.0),
    "version 2, the smallest": ("0::/a/b\n", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "300000 100000"}, 2.0),
    "version 2, of another": ("0::/a\n", {"b/cpu.max": "50000 100000\n"}, None),
    "version 1": (
        "5:memory:/x\n4:cpu,cpuacct:/x\n",
        {"cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
        2.5,
    ),
    "version 1, no limit": (
        "4:cpu,cpuacct:/x\n",
        {"cpu,cpuacct/x/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"},
        None,
    ),
    "version 1, cpu alone": (
        "4:cpu:/x/y\n",
        {"cpu/x/cpu.cfs_quota_us": "50000\n", "cpu/x/cpu.cfs_period_us": "50000\n"},
        1.0,
    ),
    "version 1, in a container": (
        "4:cpu,cpuacct:/docker/0123\n",
        {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        0.5,
    ),
    "both, as systemd mounts them": (
        "4:cpu,cpuacct:/x\n0::/x\n",
        {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
        3.0,
    ),
    "rubbish": ("::::\n0\n\nxyz:/\n", {"cpu.max": "much\n", "cpu/cpu.cfs_quota_us": ""}, None),
    "period 0": ("0::/\n", {"cpu.max": "100000 0\n"}, None),
}  # fmt: skip


@pytest.mark.parametrize(("proc", "files", "quota"), CGROUPS.values(), ids=CGROUPS)
def test_cgroup_quota(tmp_path: Path, proc: str | None, files: dict[str, str], quota: float | None) -> None:
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    if proc is not None:
        (tmp_path / "proc").write_text(proc)
    assert _threads.cgroup_quota(root=tmp_path / "root", proc=tmp_path / "proc") == quota
    assert _threads.cgroup_quota(root=str(tmp_path / "root"), proc=str(tmp_path / "proc")) == quota


# What needs a process of its own. Scripts, with a hard limit: a hang must end the test, not the suite.

PRELUDE = """
import os, signal, sys, threading, time, warnings
import numpy as np
import xentc
from xentc import _engine

LOGITS = np.random.default_rng(0).normal(size=(4096, 1000)).astype(np.float32)
TARGET = np.arange(4096) % 1000


def answer(num_threads=2):
    return xentc.cross_entropy(LOGITS, TARGET, num_threads=num_threads)


def os_threads():
    return len(os.listdir("/proc/self/task"))


def in_child(work):
    '''Runs work() in a forked child that has 5 s for it.'''
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise SystemExit("the child hangs")


def check(work):
    '''in_child, and its exit code.'''
    read, write = os.pipe()
    in_child(lambda: (work(), os.write(write, b"done")))
    os.close(write)
    assert os.read(read, 4) == b"done", "the child failed"
    os.close(read)
"""


def run_script(script: str, *flags: str, folder: Path | None = None, **environment: str) -> str:
    """Runs a script and returns what it wrote to stderr; its end within 30 s, and all of its children's, is certain."""
    env = {name: value for name, value in os.environ.items() if name not in ("XENTC_NUM_THREADS", "OMP_NUM_THREADS")}
    command = [sys.executable, *flags, "-c", PRELUDE + script]
    if folder is not None:  # spawn and forkserver import the script again
        (folder / "script.py").write_text(PRELUDE + script)
        command[-2:] = [str(folder / "script.py")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=env | environment, start_new_session=True
    )
    try:
        error = process.communicate(timeout=30)[1]
    except subprocess.TimeoutExpired:
        raise AssertionError("the script hangs") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, error
    return error


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

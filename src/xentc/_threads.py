"""How many threads a call gets, and what happens after a fork. Decisions only: no threads are made here.

a) per call > set_num_threads > XENTC_NUM_THREADS > OMP_NUM_THREADS > the number of cores.
b) All but the per-call number are capped by the CPU affinity, by the cgroup's CPU quota rounded up (OpenMP runtimes
   look at neither), and by omp_get_max_threads where somebody lowered it after import (threadpoolctl does).
c) In a forked child whose parent ran a team, GNU OpenMP waits for ever for threads that were not copied: such a child
   computes serially, and says so once.
"""

import math
import operator
import os
import sys
import warnings
from functools import cache
from pathlib import Path

import numpy as np

MAX_THREADS = 256

_setting: int | None = None
_warned_of_fork = False


def checked_count(value: object, name: str) -> int:
    """A number of threads as the caller gave it, or TypeError / ValueError."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        count = operator.index(value)  # type: ignore[arg-type]
    except Exception:  # a foreign __index__ may raise anything
        raise TypeError(f"{name}: got {type(value).__name__}, expected an integer") from None
    if count < 1:
        raise ValueError(f"{name}: got {count}, expected at least 1")
    return min(count, MAX_THREADS)


def set_num_threads(num_threads: int | None) -> None:
    """
    Set how many threads calls without `num_threads` use, for this process.

    Parameters
    ----------
    num_threads : int or None
        At least 1; above what the CPU affinity and the cgroup's quota allow it has no effect. None returns to the
        default (XENTC_NUM_THREADS, OMP_NUM_THREADS, the number of cores).

    Raises
    ------
    TypeError, ValueError
        If it is no positive integer.
    """
    global _setting
    _setting = None if num_threads is None else checked_count(num_threads, "num_threads")


def get_num_threads() -> int:
    """
    How many threads a large call without `num_threads` uses now. Small calls use one, whatever this says.

    Returns
    -------
    int
    """
    return default_count()


def default_count() -> int:
    """The number of threads before the work and OpenMP's own limit are looked at."""
    asked, _ = setting_and_source()
    return max(1, min(asked, usable_cores()))


def setting_and_source() -> tuple[int, str]:
    if _setting is not None:
        return _setting, "set_num_threads"
    text = os.environ.get("XENTC_NUM_THREADS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"XENTC_NUM_THREADS: got {text!r}, expected a positive integer")
        return min(int(text), MAX_THREADS), "XENTC_NUM_THREADS"
    # OMP_NUM_THREADS may be a list, one number a nesting level; what OpenMP itself ignores, so do we.
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if text.isdecimal() and int(text) >= 1:
        return min(int(text), MAX_THREADS), "OMP_NUM_THREADS"
    return min(os.cpu_count() or 1, MAX_THREADS), "cores"


def usable_cores() -> int:
    """Cores that the affinity mask and the cgroup's quota leave."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = process_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


@cache
def process_quota() -> float | None:
    """The quota, read once: 20 us a look would be half the time of a mid-sized call."""
    return cgroup_quota()


def cgroup_quota(
    root: str | os.PathLike[str] = "/sys/fs/cgroup", proc: str | os.PathLike[str] = "/proc/self/cgroup"
) -> float | None:
    """The CPU quota of this process's cgroup and of those above it, in cores; None where there is none."""
    quotas = [quota for folder in cgroup_folders(Path(root), Path(proc)) if (quota := folder_quota(folder)) is not None]
    return min(quotas, default=None)


def cgroup_folders(root: Path, proc: Path) -> list[Path]:
    """Where the quota may stand: version 2's tree, and version 1's cpu controller; each up to its root."""
    try:
        lines = proc.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    folders = [root, root / "cpu", root / "cpu,cpuacct"]
    for line in lines:
        _, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [root] if not controllers else [root / "cpu", root / "cpu,cpuacct", root / controllers]
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for mount in mounts:
            folders += [mount.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def folder_quota(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()[:2]
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        microseconds, each = float(quota), float(period)
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return microseconds / each if microseconds > 0 and each > 0 else None


def resolve(requested: object, n_blocks: int, openmp_limit: int, forked: bool) -> int:
    """
    The size of the team for work that was cut into n_blocks.

    openmp_limit is omp_get_max_threads where it was lowered after import, else 0; forked says that a team ran before
    this process was forked off.
    """
    if requested is not None:
        count = checked_count(requested, "num_threads")
    elif n_blocks == 1:
        return 1
    else:
        count = default_count()
        if openmp_limit:
            count = min(count, openmp_limit)
    count = min(count, n_blocks)
    if forked and count > 1:
        warn_of_fork()
        return 1
    return count


def warn_of_fork() -> None:
    global _warned_of_fork
    if _warned_of_fork:
        return
    _warned_of_fork = True
    message = (
        "this process was forked after its parent had used xentc with several threads: calls run on one thread here. "
        "Start workers with the 'forkserver' or 'spawn' method, or pass num_threads=1, to avoid this warning."
    )
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=4)
    except RuntimeWarning:  # -W error must not turn a right answer into a failed call
        print(f"xentc: RuntimeWarning: {message}", file=sys.stderr)

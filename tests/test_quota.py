"""The quota of a cgroup, which caps how many threads a call gets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from xentc import _threads


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

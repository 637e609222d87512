"""Scripts for what needs a process of its own, with a hard limit: a hang must end the test, not the suite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xentc import _engine

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
needs_openmp = pytest.mark.skipif(not _engine.openmp(), reason="built without threads")

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


def run_script(script: str, *flags: str, folder: Path | None = None, before: str = PRELUDE, **environment: str) -> str:
    """Runs a script and returns what it wrote to stderr; its end within 30 s, and all of its children's, is certain."""
    env = {name: value for name, value in os.environ.items() if name not in ("XENTC_NUM_THREADS", "OMP_NUM_THREADS")}
    command = [sys.executable, *flags, "-c", before + script]
    if folder is not None:  # spawn and forkserver import the script again
        (folder / "script.py").write_text(before + script)
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

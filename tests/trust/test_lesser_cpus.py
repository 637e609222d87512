"""Kernels on a CPU that lacks their instructions: an ImportError, and not the end of the process.

xentc itself never imports them there, but a type checker, pydoc or a freezer imports every module of a package. The
CPU is this one where it is a lesser one, or one that qemu-user emulates (on Debian: apt-get install qemu-user).
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys

import pytest

from xentc import _dispatch

# The newest CPU that lacks something of an ISA.
LESSER = {"baseline": "core2duo", "x86_v3": "Nehalem", "x86_v4": "Haswell"}
# By its path, without xentc around it: NumPy may have a floor of its own.
LOAD = """
import importlib.util, sys
name, path = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, path)
try:
    importlib.util.module_from_spec(spec)
except ImportError as error:
    print(error)
else:
    print("loaded")
"""


def load(name: str, *emulator: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    command = [*emulator, sys.executable, "-S", "-c", LOAD, name, spec.origin]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, (result.returncode, result.stderr)
    return result.stdout.strip()


@pytest.mark.parametrize("built", _dispatch.built())
def test_kernels_that_this_cpu_cannot_run(built: str) -> None:
    refusal = "this CPU lacks instructions that these kernels of xentc are compiled for"
    assert load(f"xentc._kernels.{built}") == ("loaded" if built in _dispatch.runnable() else refusal)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86-64 only")
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="no qemu-x86_64 on PATH")
@pytest.mark.parametrize("built", _dispatch.built())
def test_kernels_that_an_emulated_cpu_cannot_run(built: str) -> None:
    emulator = ("qemu-x86_64", "-cpu", LESSER[built])
    assert "lacks instructions" in load(f"xentc._kernels.{built}", *emulator)
    assert load("xentc._kernels.cpu", *emulator) == "loaded"  # that it is not Python that cannot run there

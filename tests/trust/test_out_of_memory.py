"""Memory that runs out: MemoryError and nothing else, and the next call is right."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from entry_points import NAMES
from scripts import PRELUDE, linux_only, run_script

HERE = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    + PRELUDE
    + """
from entry_points import *
"""
)


@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="Python's own test module is not here")
@pytest.mark.parametrize("name", NAMES)
def test_every_allocation_of_pythons(name: str) -> None:
    """Each allocation of a call in turn, and all after it."""
    run_script(f"""
import _testcapi
run = prepare({name!r}, random_logits(20, 30))
expected = bits(run())
failed = 0
for k in range(1, 400):
    ended = False
    _testcapi.set_nomemory(k, 0)
    try:
        run()
        ended = True
    except MemoryError:
        failed += 1
    finally:
        _testcapi.remove_mem_hooks()
    assert bits(run()) == expected, k
    if ended and failed and k > failed + 20:
        break
assert failed > 0
""", before=HERE)  # fmt: skip


@linux_only
@pytest.mark.parametrize("name", NAMES)
def test_a_process_that_may_have_no_more(name: str) -> None:
    """Answers that do not fit into what is left: often, so that a leak of the operands would show, too."""
    run_script(f"""
import resource
small = prepare({name!r}, random_logits(20, 30), num_threads=1)
expected = bits(small())
options = {{"reduction": "none"}} if "loss" in {name!r} or "entropy" in {name!r} else {{}}
large = prepare({name!r}, np.broadcast_to(random_logits(1, 40), (10**8, 40)), num_threads=1, **options)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, -1))
for _ in range(20):
    try:
        large()
    except MemoryError:
        pass
    else:
        raise SystemExit("there was memory")
    assert bits(small()) == expected
""", before=HERE)  # fmt: skip


# Memory for the engine's own scratch, which no hook of Python's reaches: malloc fails where the engine calls it.
SCARCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static int is_scarce, n_refused;

int scarce(int on) {
    int before = n_refused;
    is_scarce = on;
    n_refused = 0;
    return before;
}

void *malloc(size_t size) {
    static void *(*next)(size_t);
    Dl_info caller;
    if (!next)
        next = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    if (is_scarce && dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, "/_engine.")) {
        n_refused++;
        return NULL;
    }
    return next(size);
}
"""


@pytest.fixture(scope="module")
def scarce_library(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("scarce")
    (folder / "scarce.c").write_text(SCARCE)
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(folder / "scarce.so"), str(folder / "scarce.c"), "-ldl"]
    subprocess.run(command, check=True)
    return str(folder / "scarce.so")


@linux_only
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc makes the library whose malloc fails")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="another malloc is in the way")
@pytest.mark.parametrize("shape", [(300, 500), (2, 40_000), (3000, 10)], ids=["rows", "columns", "lanes"])
def test_every_allocation_of_the_engine(scarce_library: str, shape: tuple[int, int]) -> None:
    """On two threads, where there is scratch for each. What was given for results is as it was."""
    run_script(f"""
import ctypes
scarce = ctypes.CDLL({scarce_library!r}).scarce
refused = 0
for name in ENTRY_POINTS:
    logits = random_logits(*{shape!r})
    has_grad = ENTRY_POINTS[name][2]
    grad = np.full_like(logits, 7)
    options = {{"grad_out": grad}} if has_grad else {{}}
    expected = bits(prepare(name, logits, num_threads=2)())
    run = prepare(name, logits, num_threads=2, **options)
    scarce(1)
    try:
        run()
        ended = True
    except MemoryError:
        ended = False
    now = scarce(0)
    assert ended == (now == 0), (name, ended, now)
    refused += now
    if not ended:
        assert (grad == 7).all(), name
    assert bits(run()) == expected, name
assert refused >= 6, refused
""", before=HERE, LD_PRELOAD=scarce_library)  # fmt: skip

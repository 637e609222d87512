"""Memory that runs out: MemoryError and nothing else, and the next call is right."""

from __future__ import annotations

import importlib.util
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

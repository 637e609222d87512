"""threadpoolctl, as others use it, limits xentc too."""

from __future__ import annotations

import pytest
from scripts import linux_only, needs_openmp, run_script

from xentc import _threads


@linux_only
@needs_openmp
@pytest.mark.skipif(_threads.usable_cores() < 2, reason="one core: no call gets two threads")
def test_threadpoolctl() -> None:
    pytest.importorskip("threadpoolctl")
    run_script("""
from threadpoolctl import threadpool_info, threadpool_limits
expected = answer(None)
assert _engine.last_team_size() == 2
assert any(library["user_api"] == "openmp" for library in threadpool_info()), "OpenMP is not seen"
with threadpool_limits(1):
    assert answer(None) == expected
    assert _engine.last_team_size() == 1
    assert answer(2) == expected
    assert _engine.last_team_size() == 2, "a limit caps a number per call"
assert answer(None) == expected
assert _engine.last_team_size() == 2, "the limit stays"
""", XENTC_NUM_THREADS="2")  # fmt: skip

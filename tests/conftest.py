"""What every test file shares: the ISAs to run on, seeds, torch, and the counts that the summary prints."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from amount import examples
from hypothesis import settings

# Runs on a busy machine must not fail by the clock; the printed blob repeats a failure anywhere.
settings.register_profile("xentc", deadline=None, print_blob=True, max_examples=examples(100))
settings.load_profile("xentc")

TORCH_VERSION = "2.13"
COUNTS = pytest.StashKey[Counter]()


def available_isas() -> tuple[str, ...]:
    from xentc import _dispatch

    return _dispatch.available()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = Counter()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "isa" in metafunc.fixturenames:
        metafunc.parametrize("isa", available_isas(), indirect=True, scope="module")


@pytest.fixture(scope="module")
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each ISA that is built and that this machine has; the engine runs on it for the length of the test."""
    from xentc import _dispatch

    previous = _dispatch.select(request.param)
    yield request.param
    _dispatch.select(previous)


@pytest.fixture(scope="module", params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return np.dtype(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    """Another seed in every run; what pytest prints of a failed test names it, and XENTC_TEST_SEED sets it."""
    seed = int(os.environ.get("XENTC_TEST_SEED") or secrets.randbits(32))
    print(f"XENTC_TEST_SEED={seed}")
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def torch() -> Any:
    """torch, of the version that the package is held against. Its absence is an error if XENTC_REQUIRE_TORCH=1."""
    try:
        import torch
    except ImportError:
        problem = "torch is not installed"
    else:
        if torch.__version__.startswith(TORCH_VERSION + "."):
            torch.set_num_threads(1)  # the cases are small
            return torch
        problem = f"torch is {torch.__version__}, not {TORCH_VERSION}"
    if os.environ.get("XENTC_REQUIRE_TORCH") == "1":
        pytest.fail(f"{problem}, and XENTC_REQUIRE_TORCH=1")
    pytest.skip(f"{problem} (XENTC_REQUIRE_TORCH=1 makes this an error)")


@pytest.fixture(scope="session")
def count_case(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Call it with the features of a case that was compared with torch's answer."""
    counts = request.config.stash[COUNTS]

    def count(*features: str) -> None:
        counts["cases"] += 1
        counts.update(features)

    return count


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of pytest-xdist's processes
        session.config.workeroutput["counts"] = dict(session.config.stash[COUNTS])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What pytest-xdist tells the process that prints the summary."""
    node.config.stash[COUNTS].update(getattr(node, "workeroutput", {}).get("counts", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    counts = config.stash[COUNTS]
    if not counts:
        return
    terminalreporter.section("torch parity")
    terminalreporter.write_line(f"{counts['cases']} cases")
    for feature in sorted(set(counts) - {"cases"}):
        terminalreporter.write_line(f"{counts[feature]:6d} {feature}")

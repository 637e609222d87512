"""XENTC_ISA caps the kernels, and asking for what is not there is an ImportError."""

import os
import subprocess
import sys

import numpy as np
import pytest

import xentc
from xentc import _dispatch


def run(isa: str, code: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "XENTC_ISA": isa}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("cap", _dispatch.available())
def test_cap(cap: str) -> None:
    """The ISA asked for is the one in use, and those above it are not available."""
    result = run(cap, "import xentc; c = xentc.show_config('dicts'); print(c['isa'], *c['isa_available'])")
    names = _dispatch.ISA_NAMES[: _dispatch.ISA_NAMES.index(cap) + 1]
    assert result.stdout.split() == [cap, *(name for name in names if name in _dispatch.available())]


def test_the_best_is_chosen() -> None:
    result = run("", "import xentc; print(xentc.show_config('dicts')['isa'])")
    assert result.stdout.split() == [_dispatch.runnable()[-1]]


def test_unknown_name() -> None:
    result = run("avx2", "import xentc")
    assert result.returncode != 0
    assert "ImportError: XENTC_ISA: got 'avx2', expected one of baseline, x86_v3, x86_v4" in result.stderr


def test_more_than_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dispatch.cpu, "supports", lambda isa: isa == "baseline")
    for isa in _dispatch.built():
        if isa != "baseline":
            with pytest.raises(ImportError, match=f"XENTC_ISA: this machine cannot run '{isa}'"):
                _dispatch.choose(isa)
    assert _dispatch.choose(None) == "baseline"


def test_what_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dispatch, "built", lambda: ("baseline",))
    with pytest.raises(ImportError, match="XENTC_ISA: 'x86_v4' was not built here"):
        _dispatch.choose("x86_v4")


def test_select_changes_the_kernels() -> None:
    """Every available ISA really is another library: they agree to accuracy, and somewhere not to the bit."""
    logits = np.random.default_rng(0).normal(size=(64, 1000)).astype(np.float32)
    target = np.arange(64)
    before = _dispatch.current()
    losses = {}
    for isa in _dispatch.available():
        _dispatch.select(isa)
        losses[isa] = xentc.cross_entropy(logits, target, reduction="none")
    _dispatch.select(before)
    first = next(iter(losses.values()))
    for loss in losses.values():
        np.testing.assert_allclose(loss, first, rtol=1e-6)
    if {"baseline", "x86_v3"} <= set(losses):
        gradients = []
        for isa in ("baseline", "x86_v3"):
            _dispatch.select(isa)
            gradients.append(xentc.cross_entropy(logits, target, return_grad=True)[1])
        _dispatch.select(before)
        assert gradients[0].tobytes() != gradients[1].tobytes()


def test_select_refuses() -> None:
    with pytest.raises(ValueError, match="isa: got 'x86_v9'"):
        _dispatch.select("x86_v9")

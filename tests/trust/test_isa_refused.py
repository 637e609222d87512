"""XENTC_ISA and what it may name, whatever was built: a step down that nobody is told of would show on a clock only."""

from __future__ import annotations

import sys

import pytest

from xentc import _dispatch


@pytest.mark.parametrize("name", _dispatch.ISA_NAMES[1:])
def test_kernels_that_do_not_load(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, f"xentc._kernels.{name}", None)  # what import makes an ImportError of
    with pytest.raises(ImportError, match=name):
        _dispatch.kernels(name)


@pytest.mark.parametrize("name", _dispatch.ISA_NAMES[1:])
def test_what_the_machine_lacks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(_dispatch, "built", lambda: _dispatch.ISA_NAMES)
    monkeypatch.setattr(_dispatch.cpu, "supports", lambda isa: isa == "baseline")
    with pytest.raises(ImportError, match=f"^XENTC_ISA: this machine cannot run '{name}'"):
        _dispatch.choose(name)


def test_nothing_above_the_cap_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dispatch, "runnable", lambda: _dispatch.ISA_NAMES)
    monkeypatch.setattr(_dispatch, "_cap", "baseline")
    with pytest.raises(ValueError, match=r"^isa: got 'x86_v3', expected one of baseline$"):
        _dispatch.select("x86_v3")

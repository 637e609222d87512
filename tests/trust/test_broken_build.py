"""Kernels that were built and do not load are an error: nobody wants to find out by a clock that they are not used."""

from __future__ import annotations

import sys

import pytest

from xentc import _dispatch


@pytest.mark.parametrize("name", _dispatch.ISA_NAMES[1:])
def test_kernels_that_do_not_load(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, f"xentc._kernels.{name}", None)  # what import makes an ImportError of
    with pytest.raises(ImportError, match=name):
        _dispatch.kernels(name)

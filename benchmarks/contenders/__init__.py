"""The contenders: one small module each, with the same two functions.

`forward(case)` and `forward_grad(case)` do everything that a caller would do once (convert, allocate what is kept) and
return a callable without arguments, which is what is timed. It gives the mean loss, or `(loss, gradient)`, so that the
runner can check that all compute the same thing; a roofline, which computes nothing, gives None. A contender that
cannot do a case returns None instead of a callable.

A new contender is one module and one line in MODULES. Its top-level imports decide whether it is there.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from types import ModuleType

MODULES = {
    "xentc": "xentc_",
    "xentc_fresh": "xentc_fresh",
    "roofline": "roofline",
    "torch": "torch_",
    "torch_warm": "torch_warm",
    "numpy": "numpy_",
}


def load(names: list[str]) -> tuple[dict[str, ModuleType], dict[str, str]]:
    """The contenders that are installed, and for each one that is not, the reason."""
    found, missing = {}, {}
    for name in names:
        try:
            found[name] = importlib.import_module(f"contenders.{MODULES[name]}")
        except (ImportError, OSError) as error:  # OSError: installed, but a shared library of it does not load
            missing[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found, missing


def versions(found: dict[str, ModuleType]) -> dict[str, str]:
    return {name: _version(name) for name in sorted({module.DISTRIBUTION for module in found.values()})}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # imported from a source tree on PYTHONPATH
        return "not installed"

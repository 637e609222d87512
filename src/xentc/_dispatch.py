"""Which kernels run: the best that the CPU and the operating system support, or what XENTC_ISA asks for."""

import importlib
import importlib.util
import os
from collections.abc import Callable

from xentc._kernels import cpu

ISA_NAMES = ("baseline", "x86_v3", "x86_v4")

_listeners: list[Callable[[object], None]] = []


def built() -> tuple[str, ...]:
    """The ISAs this installation was built for, lowest first."""
    return tuple(isa for isa in ISA_NAMES if importlib.util.find_spec(f"xentc._kernels.{isa}") is not None)


def runnable() -> tuple[str, ...]:
    """The ISAs that were built and that this machine can run, lowest first."""
    return tuple(isa for isa in built() if cpu.supports(isa))


def available() -> tuple[str, ...]:
    """Those of them that are not above the cap of XENTC_ISA."""
    return tuple(isa for isa in runnable() if ISA_NAMES.index(isa) <= ISA_NAMES.index(_cap))


def choose(asked: str | None) -> str:
    """The best ISA to use. XENTC_ISA is a cap; more than the machine has is an error, never a silent fallback."""
    usable = runnable()
    if not asked:
        return usable[-1]
    if asked not in ISA_NAMES:
        raise ImportError(f"XENTC_ISA: got {asked!r}, expected one of {', '.join(ISA_NAMES)}")
    if asked not in built():
        raise ImportError(f"XENTC_ISA: {asked!r} was not built here; built: {', '.join(built())}")
    if asked not in usable:
        raise ImportError(f"XENTC_ISA: this machine cannot run {asked!r}; it can run: {', '.join(usable)}")
    return asked


def kernels(isa: str) -> object:
    """The capsule of an ISA's kernels. A module that was built but does not import is an error."""
    return importlib.import_module(f"xentc._kernels.{isa}").CAPSULE


def on_select(listener: Callable[[object], None]) -> None:
    """Calls listener with the capsule in use, now and whenever another is selected."""
    _listeners.append(listener)
    listener(kernels(_current))


def select(isa: str) -> str:
    """Makes the engine use an ISA from now on and returns the one before. For tests: not safe while a call runs."""
    global _current
    if isa not in available():
        raise ValueError(f"isa: got {isa!r}, expected one of {', '.join(available())}")
    before, _current = _current, isa
    for listener in _listeners:
        listener(kernels(isa))
    return before


def current() -> str:
    return _current


_cap = choose(os.environ.get("XENTC_ISA"))
_current = _cap

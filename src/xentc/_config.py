"""What this installation is and does on this machine."""

import os
import platform

import numpy as np

from xentc import _dispatch, _engine, _threads
from xentc._version import __version__


def config() -> dict[str, object]:
    asked, source = _threads.setting_and_source()
    return {
        "version": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "isa": _dispatch.current(),
        "isa_available": list(_dispatch.available()),
        "isa_built": list(_dispatch.built()),
        "openmp": _engine.openmp() or None,
        "num_threads": _threads.get_num_threads() if _engine.openmp() else 1,
        "num_threads_asked": asked,
        "num_threads_source": source,
        "cores": os.cpu_count(),
        "cores_usable": _threads.usable_cores(),
        "cpu_quota": _threads.process_quota(),
        "forked_after_team": _engine.forked(),
    }


def show_config(mode: str = "stdout") -> dict[str, object] | None:
    """
    Show what xentc was built with and what it uses on this machine.

    Parameters
    ----------
    mode : {'stdout', 'dicts'}
        Print a table, or return a dict.

    Returns
    -------
    dict or None
        Keys: version, python, numpy, machine; isa (in use), isa_available, isa_built; openmp (its version's date, or
        None where the build has no threads); num_threads (of a large call), num_threads_asked and where that came from,
        cores, cores_usable, cpu_quota; forked_after_team (calls are serial then).

    Raises
    ------
    ValueError
        For another mode.
    """
    if mode == "dicts":
        return config()
    if mode != "stdout":
        raise ValueError(f"mode: got {mode!r}, expected 'stdout' or 'dicts'")
    found = config()
    found["openmp"] = found["openmp"] or "no: this build has no threads"
    width = max(map(len, found))
    for name, value in found.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
        print(f"{name:<{width}}  {text}")
    return None

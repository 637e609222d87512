"""The contenders: one small module each, with the same two functions.

`forward(case)` and `forward_grad(case)` do everything that a caller would do once (convert, allocate what is kept) and
return a callable without arguments, which is what is timed. It gives the result, or `(result, gradient)`, so that the
runner can check that all compute the same thing; what computes less on purpose, as a roofline does, gives None. A
contender that cannot do a case returns None instead of a callable. A callable with an attribute `prepare` has that
called before each timing.

A new contender is one module and one line in CONTENDERS, which says what has to be installed for it.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType


@dataclass(frozen=True)
class Contender:
    module: str
    packages: tuple[str, ...]  # what its module imports


CONTENDERS = {
    "xentc": Contender("xentc_", ("xentc",)),
    "xentc_fresh": Contender("xentc_fresh", ("xentc",)),
    "xentc_in_place": Contender("xentc_in_place", ("xentc",)),
    "xentc_loss": Contender("xentc_loss", ("xentc",)),
    "xentc_f32": Contender("xentc_f32", ("xentc",)),
    "roofline": Contender("roofline", ("numpy",)),
    "torch": Contender("torch_", ("torch",)),
    "onnxruntime": Contender("onnxruntime_", ("onnxruntime", "onnx")),
    "torch_warm": Contender("torch_warm", ("torch",)),
    "numpy": Contender("numpy_", ("numpy",)),
    "torch_compile": Contender("torch_compile", ("torch",)),
    "jax": Contender("jax_", ("jax", "optax")),
    "sklearn_loss": Contender("sklearn_loss", ("sklearn",)),
    "sklearn_log_loss": Contender("sklearn_log_loss", ("sklearn", "scipy")),
    "scipy": Contender("scipy_", ("scipy",)),
    "numba": Contender("numba_", ("numba",)),
}
OURS = ("xentc", "xentc_fresh", "xentc_in_place")
OTHERS = [name for name in CONTENDERS if name not in OURS]
DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def missing(names: list[str]) -> dict[str, str]:
    """For each contender that is not installed, the reason; nothing is imported."""
    absent = {}
    for name in names:
        lacking = [package for package in CONTENDERS[name].packages if importlib.util.find_spec(package) is None]
        if lacking:
            absent[name] = f"{' and '.join(lacking)} not installed"
    return absent


def load(name: str) -> ModuleType:
    return importlib.import_module(f"contenders.{CONTENDERS[name].module}")


def versions(names: list[str]) -> dict[str, str]:
    packages = sorted({package for name in names for package in CONTENDERS[name].packages})
    return {package: _version(DISTRIBUTIONS.get(package, package)) for package in packages}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # imported from a source tree on PYTHONPATH
        return "not installed"

"""A target that changes between its check and the kernel, as one under a memmap may: nan, and nothing out of bounds.

No race has to be won for that: each function of the kernels' table is replaced in turn by one that changes the target
and then goes on. What the table holds is read off api.pxd.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tolerances

import xentc
from xentc import _dispatch

API = Path(__file__).parents[2] / "src" / "xentc" / "_kernels" / "api.pxd"
CHANGED = 1  # the sample
KERNEL = ctypes.CFUNCTYPE(None, *[ctypes.c_size_t] * 6)  # as many arguments as any has; all are words
ctypes.pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p
ctypes.pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def fields(struct: str) -> Iterator[tuple[str, str]]:
    """Type and name of each word of a struct, arrays in pieces."""
    body = API.read_text().split(f"ctypedef struct {struct}:")[1].split("\nctypedef")[0]
    for kind, name, length in re.findall(r"^    (\w+) (\w+)(?:\[(\d)\])?(?: .*)?$", body, re.MULTILINE):
        for i in range(int(length or 1)):
            if kind == "ClassKernels":
                yield from ((kind_of, f"{name}[{i}].{part}") for kind_of, part in fields(kind))
            else:
                yield kind, f"{name}[{i}]"


FUNCTIONS = {
    name: number
    for number, (kind, name) in enumerate(fields("KernelTable"))
    if kind.endswith("_fn") and kind != "scratch_fn" and not name.startswith(("check_", "weigh_"))
}


def table(isa: str) -> Any:
    address = ctypes.pythonapi.PyCapsule_GetPointer(_dispatch.kernels(isa), b"xentc.KernelTable")
    return (ctypes.c_size_t * (max(FUNCTIONS.values()) + 1)).from_address(address)


@contextlib.contextmanager
def before_each(isa: str, names: list[str], action: Callable[[str], None]) -> Iterator[None]:
    """Calls action(name) whenever one of these kernels is about to run."""
    slots, kept = table(isa), {}

    def replacement(name: str, kernel: Any) -> Any:
        def call(*arguments: int) -> None:
            action(name)
            kernel(*arguments)

        return KERNEL(call)

    before = {name: slots[FUNCTIONS[name]] for name in names if slots[FUNCTIONS[name]]}
    for name, address in before.items():
        kept[name] = replacement(name, KERNEL(address))
        slots[FUNCTIONS[name]] = ctypes.cast(kept[name], ctypes.c_void_p).value or 0
    try:
        yield
    finally:
        for name, address in before.items():
            slots[FUNCTIONS[name]] = address


def classes(shape: tuple[int, ...], function: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if function == "multilabel_margin_loss":
        return np.where(rng.random(shape) < 0.3, -1, rng.integers(0, shape[1], shape))
    return rng.integers(0, shape[1], shape[:1] + shape[2:])


CALLS: dict[str, Callable[..., Any]] = {
    "cross_entropy": lambda x, t, **k: xentc.cross_entropy(x, t, reduction="none", return_grad=True, **k),
    "cross_entropy weighted": lambda x, t, **k: xentc.cross_entropy(
        x, t, np.linspace(1, 2, x.shape[1]), reduction="none", return_grad=True, **k
    ),
    "cross_entropy smoothed": lambda x, t, **k: xentc.cross_entropy(
        x, t, np.linspace(1, 2, x.shape[1]), reduction="none", return_grad=True, label_smoothing=0.1, **k
    ),
    "nll_loss": lambda x, t, **k: xentc.nll_loss(x, t, reduction="none", return_grad=True, **k),
    "multilabel_margin_loss": lambda x, t, **k: xentc.multilabel_margin_loss(
        x, t, reduction="none", return_grad=True, **k
    ),
    "score": lambda x, t, **k: tuple(xentc.score(x, t, **k)),
    "gather_logprobs": lambda x, t, **k: (xentc.gather_logprobs(x, t, **k),),
}
SHAPES = {"rows": (5, 200), "lanes": (70, 7), "planes": (3, 40, 3), "long rows": (2, 40000)}


BAD = {"far above": 2**40, "far below": -(2**40), "the next": None, "-1": -1}
CASES = [
    (call, shape, bad)
    for call in CALLS
    for shape in SHAPES.values()
    for bad in BAD.values()
    # Lists of classes end with a negative number, and are a row's: of a work that grows with the square of its length.
    if call != "multilabel_margin_loss" or (len(shape) == 2 and shape[1] < 1000 and (bad is None or bad > 0))
]


@pytest.mark.parametrize(("call", "shape", "bad"), CASES, ids=str)
def test_target_that_changes(isa: str, dtype: np.dtype, call: str, shape: tuple, bad: int | None) -> None:
    input, target = np.random.default_rng(1).normal(size=shape).astype(dtype), classes(shape, call)
    value, right = shape[1] if bad is None else bad, target[CHANGED].copy()
    called: dict[str, None] = {}
    with before_each(isa, list(FUNCTIONS), lambda name: called.setdefault(name)):
        expected = CALLS[call](input, target, num_threads=2)
    assert called
    for number, name in enumerate(called):

        def change(_: str) -> None:
            target[CHANGED] = value

        target[CHANGED] = right
        try:
            with before_each(isa, [name], change):
                results = CALLS[call](input, target, num_threads=2)
        except IndexError:  # nll_loss, whose losses are the check
            assert name == "nll[0]"
            continue
        for result, usual in zip(results, expected, strict=True):
            assert_nothing_made_up(result[CHANGED], usual[CHANGED], call)
            others = np.arange(shape[0]) != CHANGED
            assert result[others].tobytes() == usual[others].tobytes()
        if number == 0:
            assert np.isnan(results[0][CHANGED]).all(), name


def score_limit(result: Any) -> float:
    """What a sum over a row may err by, on either side; classes are compared exactly."""
    return 2 * tolerances.row_ulps(result.dtype) * float(np.finfo(result.dtype).eps) if result.dtype.kind == "f" else 0


def assert_nothing_made_up(result: Any, usual: Any, call: str) -> None:
    """Of a target that is no class: nan, no class, or what does not depend on it or was computed before."""
    right = np.isnan(result) | (result == -1) | (result == usual)
    if call == "score":  # the sum is over the same terms, but the target's is no longer apart
        right |= np.isclose(result, usual, rtol=score_limit(result), atol=0)
    if call == "nll_loss":
        right |= result == 0  # its gradient's other entries
    assert right.all()

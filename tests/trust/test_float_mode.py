"""Nobody else's floating-point mode leaks in, and ours never leaks out."""

from __future__ import annotations

import ctypes
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from entry_points import ENTRY_POINTS, NAMES, bits, call, prepare, random_logits
from scripts import run_script

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the modes are those of x86"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc makes the library that changes the mode"),
]

SOURCE = """
#include <xmmintrin.h>
unsigned get_mode(void) { return _mm_getcsr() & ~0x3f; }     /* without what has happened, which is no mode */
void set_mode(unsigned mode) { _mm_setcsr(mode); }
void set_team(unsigned mode) {                              /* of GNU's OpenMP: xentc's calls get the same threads */
    #pragma omp parallel num_threads(3)
    _mm_setcsr(mode);
}
"""
STANDARD = 0x1F80
SUBNORMALS_OFF = 0x8040
# Rounding up or towards 0; and division by zero, overflow and invalid operations that raise a signal.
MODES = {
    "subnormals off": STANDARD | SUBNORMALS_OFF,
    "rounds up": STANDARD | 0x4000,
    "rounds to 0, subnormals off": STANDARD | 0x6000 | SUBNORMALS_OFF,
    "signals": STANDARD & ~0x680,
}


class Mode:
    def __init__(self, path: Path) -> None:
        self.path = path
        library = ctypes.PyDLL(str(path))  # PyDLL keeps the GIL: nothing else runs in between
        self.get: Callable[[], int] = library.get_mode
        self.set: Callable[[int], None] = library.set_mode
        self.set_team: Callable[[int], None] = library.set_team

    @contextmanager
    def poisoned(self, mode: int) -> Iterator[None]:
        self.set(mode)
        try:
            yield
            after = self.get()
        finally:
            self.set(STANDARD)
        assert after == mode, f"{after:#x}"


@pytest.fixture(scope="module")
def mode(tmp_path_factory: Any) -> Mode:
    folder = tmp_path_factory.mktemp("mode")
    (folder / "mode.c").write_text(SOURCE)
    command = ["gcc", "-shared", "-fPIC", "-fopenmp", "-O1", "-o", str(folder / "mode.so"), str(folder / "mode.c")]
    subprocess.run(command, check=True)
    return Mode(folder / "mode.so")


def problems() -> list[np.ndarray]:
    """Logits of which something is subnormal: the logits, their exponentials, a gradient; and rows of every kernel."""
    found = []
    for dtype in (np.float32, np.float64):
        tiny = np.finfo(dtype).smallest_normal
        for n, c in ((7, 5), (3, 100), (2, 9000)):
            logits = random_logits(n, c, dtype)
            found += [logits, logits * tiny]
            wide = logits.copy()
            wide[:, ::2] += np.log(tiny) - 3
            found.append(wide)
    return found


PROBLEMS = problems()


@pytest.mark.parametrize("poison", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_same_bits(mode: Mode, isa: str, name: str, poison: str) -> None:
    for logits in PROBLEMS:
        run = prepare(name, logits)
        expected = run()
        with mode.poisoned(MODES[poison]):
            found = run()
        assert bits(found) == bits(expected), (logits.shape, logits.dtype)


@pytest.mark.parametrize("poison", MODES)
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_loss_that_is_subnormal(mode: Mode, isa: str, reduction: str, poison: str) -> None:
    """Weights of 1e-40, or 1e-310: the sum, and what it is divided by or not, have to be there still."""
    for dtype, size in ((np.float32, 1e-40), (np.float64, 1e-310)):
        logits = random_logits(9, 4, dtype)
        weights = {
            "cross_entropy": np.full(4, size),
            "nll_loss": np.full(4, size),
            "binary_cross_entropy": np.full(logits.shape, size, dtype),
            "binary_cross_entropy_with_logits": np.full(logits.shape, size, dtype),
        }
        for name, weight in weights.items():
            function, operands, _ = ENTRY_POINTS[name]
            options = {**operands(logits), "weight": weight, "reduction": reduction}
            expected = function(**options)
            with mode.poisoned(MODES[poison]):
                found = function(**options)
            assert bits(found) == bits(expected), (name, dtype)


@pytest.mark.parametrize("poison", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_errors_leave_the_mode(mode: Mode, name: str, poison: str) -> None:
    """The mode is looked at by `poisoned`."""
    logits = random_logits(5, 4)
    for wrong in ({"num_threads": 0}, {"num_threads": "2"}, {"input": None}, {"input": "x"}):
        function, operands, _ = ENTRY_POINTS[name]
        with mode.poisoned(MODES[poison]):
            try:
                function(**{**operands(logits), **wrong})
            except (TypeError, ValueError, IndexError) as error:
                message = str(error)
            else:
                message = ""
        assert message, wrong


@pytest.mark.parametrize("poison", ["subnormals off", "rounds to 0, subnormals off"])
def test_teams_that_were_started_in_that_mode(mode: Mode, poison: str) -> None:
    """Threads take over the mode of the thread that starts them, and keep it."""
    logits = random_logits(4000, 300)
    logits[:, ::2] += np.log(np.finfo(np.float32).smallest_normal) - 3  # probabilities and gradients are subnormal
    expected = {name: bits(call(name, logits, num_threads=1)) for name in NAMES}
    runs = {name: prepare(name, logits, num_threads=3) for name in NAMES}

    def in_a_new_thread() -> dict[str, bytes]:
        mode.set_team(MODES[poison])
        with mode.poisoned(MODES[poison]):
            found = {name: bits(run()) for name, run in runs.items()}
        for name, run in runs.items():  # the team is in the mode that it began with, its caller no more
            assert bits(run()) == found[name]
        return found

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(in_a_new_thread).result()
    assert found == expected


def test_import_leaves_the_mode(mode: Mode) -> None:
    """Also one that is not the standard one; and nothing that is linked switches subnormals off."""
    library = f"import ctypes; mode = ctypes.PyDLL({str(mode.path)!r}); import numpy\n"
    for value in (STANDARD, STANDARD | SUBNORMALS_OFF):
        run_script(
            f"mode.set_mode({value}); import xentc, xentc.evaluation, xentc.cli; assert mode.get_mode() == {value}",
            before=library,
        )

"""What a call adds to memory: less than 16 MiB beside 256 MiB of logits, or 2 GiB with XENTC_TEST_LARGE=1.

(a) Each call runs in a process of its own, this file as a script, after its arguments were made and touched and after
    a small call has started the threads. tracemalloc sees what Python and NumPy allocate; the peak of resident memory
    (VmHWM) sees all, from wherever it came. Both must stay under the limit.
(b) Arguments are made without a temporary, so that no earlier peak hides a copy: what is reported is the peak less what
    was resident before the call.
(c) test_a_copy_is_noticed makes the copy that must not be made, and sees the limit exceeded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xentc

SIZE = 2**31 if os.environ.get("XENTC_TEST_LARGE") == "1" else 2**28  # bytes of logits
LIMIT = 16 * 2**20
STATUS = Path("/proc/self/status")
VOCABULARY = 128256

Arguments = tuple[np.ndarray, np.ndarray, dict[str, Any]]


def filled(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Numbers from 0 to 3, row by row: nothing of the array's size but the array itself."""
    array = np.empty(shape, dtype)
    rows = array.reshape(-1, shape[-1])
    rows[0] = np.arange(shape[-1]) % 4
    rows[1:] = rows[0]
    return array


def rows(dtype: Any, size: int, **options: Any) -> Arguments:
    n_rows = size // (VOCABULARY * np.dtype(dtype).itemsize)
    return filled((n_rows, VOCABULARY), dtype), np.arange(n_rows), options


def bfloat16() -> np.dtype:
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def contiguous(size: int) -> Arguments:
    return rows(bfloat16(), size)


def language_model(size: int) -> Arguments:
    """All but the last step of each sequence, read where it lies."""
    logits = filled((4, size // (4 * 2 * VOCABULARY), VOCABULARY), bfloat16())[:, :-1]
    return logits, np.zeros(logits.shape[:2], np.int64), {"axis": -1}


def in_place(size: int) -> Arguments:
    logits, target, _ = rows(bfloat16(), size)
    return logits, target, {"return_grad": True, "grad_out": logits}


def language_model_in_place(size: int) -> Arguments:
    logits, target, options = language_model(size)
    return logits, target, options | {"return_grad": True, "grad_out": logits}


def planes(size: int) -> Arguments:
    """float32 with the classes on a strided axis."""
    logits = filled((4, 21, size // (4 * 21 * 4 * 512), 512), np.float32)
    return logits, np.ones((4, *logits.shape[2:]), np.uint8), {}


def planes_in_place(size: int) -> Arguments:
    logits, target, _ = planes(size)
    return logits, target, {"return_grad": True, "grad_out": logits}


def few_classes(size: int) -> Arguments:
    return filled((size // 64, 16), np.float32), np.ones(size // 64, np.uint8), {}


def every_other_class(size: int) -> Arguments:
    logits, target, _ = rows(np.float32, size)
    return logits[:, ::2], target, {}


def big_endian(size: int) -> Arguments:
    return rows(">f4", size)


def label_smoothing(size: int) -> Arguments:
    return rows(bfloat16(), size, label_smoothing=0.1)


def label_smoothing_and_weight(size: int) -> Arguments:
    return rows(np.float32, size, label_smoothing=0.1, weight=np.ones(VOCABULARY))


def soft_target(size: int) -> Arguments:
    logits, _, _ = rows(bfloat16(), size)
    return logits, logits, {}  # probabilities that do not sum to 1 are used as they are


def soft_target_of_one_row(size: int) -> Arguments:
    logits, _, _ = rows(np.float32, size)
    return logits, np.broadcast_to(logits[0].astype(np.float64), logits.shape), {}


def temperature(size: int) -> Arguments:
    return rows(bfloat16(), size, temperature=2.0)


def softcap(size: int) -> Arguments:
    return rows(bfloat16(), size, softcap=30.0)


def integers(size: int) -> Arguments:
    """Promoted to float64, eight times their size."""
    return rows(np.uint8, size)


OF_BFLOAT16 = (
    contiguous,
    language_model,
    in_place,
    language_model_in_place,
    label_smoothing,
    soft_target,
    temperature,
    softcap,
)
OF_OTHERS = (
    planes,
    planes_in_place,
    few_classes,
    every_other_class,
    big_endian,
    label_smoothing_and_weight,
    soft_target_of_one_row,
    integers,
)
CASES = {case.__name__: case for case in OF_BFLOAT16 + OF_OTHERS}
# Calls that copy what they should read where it lies, or write a gradient of their own.
COPIES: dict[str, Callable[[Arguments], Arguments]] = {
    "input": lambda a: (np.ascontiguousarray(a[0]), *a[1:]),
    "widened": lambda a: (a[0].astype(np.float32), *a[1:]),
    "target": lambda a: (a[0], np.ascontiguousarray(a[1]), a[2]),
    "gradient": lambda a: (*a[:2], {"return_grad": True}),
}


def resident(name: str) -> int:
    """Of this process, in bytes: VmRSS now, VmHWM at most."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {name} in {STATUS}")


def measure(case: str, size: int, copy: str) -> tuple[int, int]:
    """What a call added, in bytes: as tracemalloc and as the system see it."""
    small, small_target, options = CASES[case](2**24)
    if options.get("grad_out") is not None:
        options["grad_out"] = small
    xentc.cross_entropy(small, small_target, **options)
    del small, small_target, options
    arguments = CASES[case](size)
    tracemalloc.start()
    before = resident("VmRSS")
    if copy:
        arguments = COPIES[copy](arguments)
    xentc.cross_entropy(arguments[0], arguments[1], **arguments[2])
    return tracemalloc.get_traced_memory()[1], resident("VmHWM") - before


def added(case: str, copy: str = "") -> dict[str, int]:
    if not STATUS.exists():
        pytest.skip(f"resident memory is read from {STATUS}, which this system has not")
    if CASES[case] in OF_BFLOAT16:
        pytest.importorskip("ml_dtypes", reason="bfloat16 logits need ml_dtypes")
    command = [sys.executable, __file__, case, str(SIZE), copy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    traced, resident_bytes = map(int, done.stdout.split())
    return {"tracemalloc": traced, "resident": resident_bytes}


@pytest.mark.parametrize("case", CASES)
def test_adds_less_than_16_mib(case: str) -> None:
    for seen_by, n_bytes in added(case).items():
        assert n_bytes < LIMIT, f"{case}: {n_bytes / 2**20:.1f} MiB by {seen_by}"


@pytest.mark.parametrize(
    ("case", "copy"),
    [
        ("language_model", "input"),
        ("contiguous", "widened"),
        ("in_place", "gradient"),
        ("planes_in_place", "gradient"),
        ("every_other_class", "input"),
        ("soft_target_of_one_row", "target"),
    ],
)
def test_a_copy_is_noticed(case: str, copy: str) -> None:
    for seen_by, n_bytes in added(case, copy).items():
        assert n_bytes > SIZE / 4, f"{case}: {n_bytes / 2**20:.1f} MiB by {seen_by}"


if __name__ == "__main__":
    print(*measure(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

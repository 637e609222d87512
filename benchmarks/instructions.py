"""How many instructions ten fixed calls take, on one thread: python benchmarks/instructions.py [--check | --write]

(a) A count does not know how busy the machine is: it shows a tenth more, where no timing on a shared machine would.
(b) callgrind counts a whole process: all of them make the same arrays and differ only in which call they repeat, so the
    count of the one that calls nothing is subtracted. A process varies by about 1e6 instructions, of NumPy's import;
    the repeats are as many as make that less than a hundredth.
(c) The counts hold for one compiler, Python and NumPy: instructions.json says which, and others are a note.
(d) valgrind has no AVX-512; hence x86_v3.

Exit code 1: a count grew by more than a tenth. 3: there is no valgrind, or it cannot run this; nothing was checked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from cases import Case, cores

KEPT = Path(__file__).with_name("instructions.json")
GROWTH = 0.10
ISA = "x86_v3"
NOTHING = "nothing"
NO_VALGRIND = 3
COUNT = re.compile(rb"Collected : (\d+)")

# name: (times, case, with its gradient)
CALLS = {
    "1x10": (20_000, Case("", (1, 10)), False),
    "32x10 grad": (10_000, Case("", (32, 10)), True),
    "64x1000": (1000, Case("", (64, 1000)), False),
    "64x1000 grad": (500, Case("", (64, 1000)), True),
    "4096x10": (1000, Case("", (4096, 10)), False),
    "2x128256": (250, Case("", (2, 128256)), False),
    "2x21x32x32": (1000, Case("", (2, 21, 32, 32)), False),
    "64x1000 bf16": (1000, Case("", (64, 1000), dtype="bf16"), False),
    "64x1000 smoothed": (1000, Case("", (64, 1000), labels="smoothed"), False),
    "64x1000 soft": (1000, Case("", (64, 1000), labels="soft"), False),
}


def repeat(name: str) -> None:
    """The child: whichever call is asked for, all arrays are made, and each call runs once, for what it sets up."""
    import xentc

    calls: dict[str, tuple[int, Callable[[], object]]] = {NOTHING: (0, lambda: None)}
    for other, (times, case, gradient) in CALLS.items():
        options = case.options | ({"return_grad": True, "grad_out": case.buffer} if gradient else {})
        calls[other] = times, partial(xentc.cross_entropy, *case.arguments, **options)
        calls[other][1]()
    times, call = calls[name]
    for _ in range(times):
        call()


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XENTC_", "OMP_", "OPENBLAS_"))}
    one = {"XENTC_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # OpenBLAS would make threads, of which some spin
    return kept | one | {"XENTC_ISA": ISA, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def instructions(valgrind: str, name: str) -> int:
    command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={os.devnull}", sys.executable, __file__]
    done = subprocess.run([*command, "--call", name], env=environment(), capture_output=True, check=False)
    found = COUNT.search(done.stderr)
    if done.returncode or not found:
        raise RuntimeError(done.stderr.decode(errors="replace").strip()[-2000:])
    return int(found[1])


def count(valgrind: str, names: list[str]) -> dict[str, int]:
    """Of one call each. The processes do not disturb each other: a count is not a time."""
    with ThreadPoolExecutor(cores()) as pool:
        nothing, *counts = pool.map(partial(instructions, valgrind), [NOTHING, *names])
    return {name: round((n - nothing) / CALLS[name][0]) for name, n in zip(names, counts, strict=True)}


def _compiler() -> str:
    """Of this machine, which is not always the one that built the package: a note, no more."""
    compiler = os.environ.get("CC", "gcc").split()[0]
    if shutil.which(compiler) is None:
        return "unknown"
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["unknown"])[0]


def about() -> dict[str, str]:
    return {"isa": ISA, "python": platform.python_version(), "numpy": np.__version__, "compiler": _compiler()}


def grown(kept: dict[str, int], counts: dict[str, int]) -> list[str]:
    return [name for name in counts if name not in kept or counts[name] > kept[name] * (1 + GROWTH)]


def show(kept: dict, counts: dict[str, int]) -> None:
    for name, value in about().items():
        if kept and kept["about"].get(name) != value:
            print(f"note: {name} was {kept['about'].get(name)}, is {value}")
    for name, n in counts.items():
        before = kept.get("counts", {}).get(name)
        change = f"  {n / before - 1:+7.1%} of {before}" if before else ""
        print(f"{name:18}{n:12}{change}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if a call takes a tenth more than is kept")
    parser.add_argument("--write", action="store_true", help=f"keep the counts in {KEPT.name}")
    parser.add_argument("--only", nargs="+", choices=list(CALLS), metavar="CALL", help="not all ten of them")
    parser.add_argument("--call", choices=[NOTHING, *CALLS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        repeat(options.call)
        return 0
    if options.write and options.only:
        parser.error("--write keeps all of them: leave out --only")
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print("valgrind is not installed (on Debian: apt-get install valgrind): nothing was counted", file=sys.stderr)
        return NO_VALGRIND
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    if options.check and not kept:
        print(f"there is no {KEPT.name} to check against: make it with --write", file=sys.stderr)
        return 2
    try:
        counts = count(valgrind, options.only or list(CALLS))
    except RuntimeError as error:
        print(f"valgrind could not run this, so nothing was counted:\n{error}", file=sys.stderr)
        return NO_VALGRIND
    show(kept, counts)
    if options.write:
        KEPT.write_text(json.dumps({"about": about(), "counts": counts}, indent=1) + "\n")
    worse = grown(kept["counts"], counts) if options.check else []
    if worse:
        print(f"more than {GROWTH:.0%} above {KEPT.name}, or not in it: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())

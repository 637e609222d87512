"""One process of a run: xentc and one contender, on one case or on several. run.py starts it; results go to a file.

a) torch, JAX and xentc each bring a pool of threads, and two OpenMP run-times in one process can slow or stop each
   other. So a process holds xentc and one contender, and nothing of the others is ever imported.
b) All are held to the same cores, by affinity, before anything is imported: pools are sized by it, JAX's too. The
   environment (`environment`) says it again to those that ask it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
# A development machine may force OpenBLAS to an old kernel, which slows NumPy; and --threads decides for everyone.
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XENTC_NUM_THREADS")

# Contenders whose large results are arrays of each call. A kept buffer beside a fresh one would only time new pages.
FRESH = ("torch", "torch_compile", "jax", "scipy", "numpy", "sklearn_log_loss")

# What is printed as a row: its name, which form of xentc gives it, by which function, and against whom (None: all), in
# a full run and in a quick one. A gradient of torch's is always fresh, so it is timed against both of ours.
ANSWERS = (
    ("forward", "xentc", "forward", None, None),
    ("forward fresh", "xentc_fresh", "forward", FRESH, ("torch",)),
    ("with gradient", "xentc", "forward_grad", None, None),
    ("with gradient fresh", "xentc_fresh", "forward_grad", FRESH, ("torch",)),
    ("with gradient in place", "xentc_in_place", "forward_grad", ("roofline", "torch"), ("roofline",)),
)


def environment(threads: int) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    kept |= dict.fromkeys(THREAD_COUNTS, str(threads))
    several = str(threads > 1).lower()
    kept["XLA_FLAGS"] = f"{kept.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={several}".strip()
    return kept | {"JAX_PLATFORMS": "cpu"}


def pin(threads: int) -> list[int] | None:
    """Hold this process to as many cores as it may have threads; which ones, where the system lets us."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))[:threads]
    os.sched_setaffinity(0, allowed)
    return allowed


def peak_gib() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def time_case(case, contender: str, budget, quick: bool) -> Iterator[dict]:
    import agreement
    import contenders

    about = {"case": case.name, "operation": case.operation, "labels": case.labels, "dtype": case.dtype}
    about |= {"title": case.title, "elements": case.size, "samples": case.samples, "contender": contender}
    theirs_from = contenders.load(contender)
    if budget.settle > 0:
        budget = replace(budget, settle=getattr(theirs_from, "SETTLE_SECONDS", budget.settle))
    for answer, our_name, function, *whom in ANSWERS:
        against = whom[quick]
        if against is not None and contender not in against:
            continue
        ours = getattr(contenders.load(our_name), function)(case)
        theirs = ours and getattr(theirs_from, function)(case)
        if theirs:
            tolerance = getattr(theirs_from, "TOLERANCES", agreement.TOLERANCES).get(case.dtype)
            yield about | {"answer": answer} | timed(ours, theirs, tolerance, budget)


def timed(ours, theirs, tolerance: float, budget) -> dict:
    import agreement
    import runner

    try:
        agreement.check_same(ours, theirs, tolerance)
        pairs = runner.time_pairs(ours, theirs, budget)
    except agreement.Disagreement as error:
        return {"error": str(error)}
    except Exception as error:  # a contender's own: it is one cell that fails, and says why
        return {"error": "".join(traceback.format_exception_only(error)).strip()}
    lower, median, upper = pairs.quartiles()
    middle = len(pairs.ours) // 2
    return {
        "pairs": len(pairs.ours),
        "lower": lower,
        "median": median,
        "upper": upper,
        "xentc_seconds": float(sorted(pairs.ours)[middle]),
        "contender_seconds": float(sorted(pairs.theirs)[middle]),
    }


def main() -> int:
    asked = json.loads(sys.argv[1])
    affinity = pin(asked["threads"])
    import cases
    import contenders
    import runner

    started = time.perf_counter()
    report: dict[str, object] = {"affinity": affinity, "rows": []}
    try:
        contenders.load(asked["contender"])
    except (ImportError, OSError) as error:  # OSError: installed, but a shared library of it does not load
        report["missing"] = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        budget = runner.Budget(**asked["budget"])
        for case in cases.select(asked["cases"], asked["threads"], asked["smoke"]):
            report["rows"] += time_case(case, asked["contender"], budget, asked["quick"])
    report |= {"peak_gib": peak_gib(), "seconds": time.perf_counter() - started}
    Path(asked["file"]).write_text(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())

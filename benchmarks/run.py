"""Time xentc against the memory's speed and against what people have: python benchmarks/run.py --quick"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

# A development machine may force OpenBLAS to an old kernel, which slows NumPy; it is read when numpy is imported.
os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ.pop("OPENBLAS_L2_SIZE", None)

import cases
import contenders
import report
import runner

QUICK = runner.Budget(pairs=15, fewest=5, seconds=0.8)
FULL = runner.Budget(pairs=31, fewest=15, seconds=10.0)

# What is printed as a row: its name, which form of xentc gives it, and by which function.
ANSWERS = (
    ("loss", "xentc", "forward"),
    ("loss+grad kept", "xentc", "forward_grad"),
    ("loss+grad fresh", "xentc_fresh", "forward_grad"),
)
OURS = ("xentc", "xentc_fresh")
OTHERS = [name for name in contenders.MODULES if name not in OURS]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer pairs: the whole table in a few minutes")
    parser.add_argument("--cases", nargs="+", choices=list(cases.CASES), default=list(cases.CASES), metavar="CASE")
    parser.add_argument("--contenders", nargs="+", choices=OTHERS, default=OTHERS, metavar="CONTENDER")
    parser.add_argument("--pairs", type=int, help="exactly so many pairs for every cell")
    parser.add_argument("--threads", type=int, default=cases.cores(), help="default: every core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, for compare.py")
    options = parser.parse_args(arguments)
    if options.threads < 1 or (options.pairs is not None and options.pairs < 1):
        parser.error("--threads and --pairs must be at least 1")
    return options


def budget(options: argparse.Namespace) -> runner.Budget:
    if options.pairs is not None:
        return runner.Budget(options.pairs, options.pairs, 0.0)
    return QUICK if options.quick else FULL


def time_case(case: cases.Case, found: dict, names: list[str], how_long: runner.Budget, say) -> list[dict]:
    results = []
    for answer, our_name, function in ANSWERS:
        ours = getattr(found[our_name], function)(case)
        for name in names:
            theirs = getattr(found[name], function)(case)
            if theirs is None:
                continue
            say(f"{case.name}: {answer} against {name}")
            row = {"case": case.name, "title": case.title, "answer": answer, "contender": name, "elements": case.size}
            results.append(row | _timed(ours, theirs, how_long))
    return results


def _timed(ours: runner.Call, theirs: runner.Call, how_long: runner.Budget) -> dict:
    try:
        pairs = runner.time_pairs(ours, theirs, how_long)
    except runner.Disagreement as error:
        return {"error": str(error)}
    lower, median, upper = pairs.quartiles()
    return {
        "pairs": len(pairs.ours),
        "lower": lower,
        "median": median,
        "upper": upper,
        "xentc_seconds": float(sorted(pairs.ours)[len(pairs.ours) // 2]),
        "contender_seconds": float(sorted(pairs.theirs)[len(pairs.theirs) // 2]),
    }


def progress(text: str) -> None:
    """One line that is written over, and only for someone who watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def peak_memory() -> str:
    try:
        import resource
    except ImportError:  # Windows
        return "not known"
    unit = 2**30 if sys.platform == "darwin" else 2**20  # bytes there, KiB elsewhere
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:.1f} GiB"


def main() -> int:
    options = parse()
    started = time.perf_counter()
    found, missing = contenders.load([*OURS, *options.contenders])
    if "xentc" in missing:
        print(f"xentc is not there to be timed ({missing['xentc']}): pip install .", file=sys.stderr)
        return 1
    names = [name for name in options.contenders if name in found]
    run = {
        "format": 1,
        "machine": report.machine(options.threads, cases.cores()),
        "load": report.busy(),
        "versions": {"python": platform.python_version()} | contenders.versions(found),
        "config": found["xentc"].xentc.show_config(mode="dicts"),
        "missing": missing,
        "results": [],
    }
    print("\n".join(report.header(run)), flush=True)
    for case in cases.select(options.cases, options.threads):
        progress(f"{case.name}: making the input")
        run["results"] += time_case(case, found, names, budget(options), progress)
    progress("")
    print()
    print("\n".join(report.table(run["results"], names)))
    print(f"\n{report.LEGEND}\n")
    print(f"took {time.perf_counter() - started:.0f} s, peak memory {peak_memory()}")
    if options.json:
        options.json.write_text(json.dumps(run, indent=1) + "\n")
    wrong = [row for row in run["results"] if "error" in row]
    for row in wrong:
        print(f"{row['case']}, {row['answer']}, {row['contender']}: {row['error']}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

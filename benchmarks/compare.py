"""What got slower between two runs: python benchmarks/compare.py OLD.json NEW.json (exit code 1 if anything did, or
is an error now).

Ratios are compared, never times, so the two runs may come from different hours of a busy machine. A row got slower when
its median ratio fell by more than the tolerance and the quartiles of the two runs do not overlap.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import results


def rows(run: dict) -> dict[results.Key, dict]:
    """By case, answer and contender; what threads gain is a row like the others."""
    found = results.cells(run)
    for row in run["scaling"]:
        found["in cache", f"{row['answer']} on {row['threads']} threads", "as many processes"] = row
    return found


def changed(old: dict, new: dict, tolerance: float) -> str | None:
    if new["median"] < old["median"] * (1 - tolerance) and new["upper"] < old["lower"]:
        return "slower"
    if new["median"] > old["median"] * (1 + tolerance) and new["lower"] > old["upper"]:
        return "faster"
    return None


def _facts(run: dict) -> dict[str, object]:
    return run["machine"] | run["versions"] | {name: run["config"][name] for name in ("isa", "openmp")}


def differences(old: dict, new: dict) -> list[str]:
    """What else is not the same: a contender of another version, or another machine, moves a ratio too."""
    before, after = _facts(old), _facts(new)
    return [
        f"note: {name} was {before.get(name)}, is {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--tolerance", type=float, default=0.05, help="the fall that is let pass (default: 0.05)")
    options = parser.parse_args()
    old, new = results.load(options.old), results.load(options.new)
    print("".join(f"{note}\n" for note in differences(old, new)), end="")
    before, after = rows(old), rows(new)
    common = [key for key in before if key in after]
    if not common:
        print("the two runs have no row in common", file=sys.stderr)
        return 2
    slower = 0
    for key in common:
        change = changed(before[key], after[key], options.tolerance)
        slower += change == "slower"
        if change:
            ratio = f"{before[key]['median']:.3g} -> {after[key]['median']:.3g}"
            print(f"{change}: {key[0]}, {key[1]}, against {key[2]}: {ratio}")
    wrong = [row for row in new["results"] if "error" in row and results.key(row) in before]
    for row in wrong:
        print(f"an error now: {row['case']}, {row['answer']}, against {row['contender']}: {row['error']}")
    gone = len(before) - len(common) - len(wrong)
    print(f"{len(common)} rows compared, {slower} slower; {gone} of the old run are not in the new one")
    return 1 if slower or wrong else 0


if __name__ == "__main__":
    sys.exit(main())

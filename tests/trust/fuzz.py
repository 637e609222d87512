"""python tests/trust/fuzz.py --seconds 3600 --seed 1: wrong calls for as long as is wanted.

The first failure ends it with exit code 1; the call, shrunk by hypothesis, is written into corpus/, which
test_wrong_input.py replays. --keep 5 adds to corpus/ the first five calls of each entry point whose
outcomes differ.
Ctrl-C prints the counts, and exits with 130.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

import corpus_files  # noqa: E402
from hypothesis import HealthCheck, given, seed, settings  # noqa: E402
from wrong_values import Call, assert_orderly, calls  # noqa: E402

ROUND = 1000  # calls between two looks at the clock


class Fuzzer:
    """Counts of calls, by entry point and outcome, and what is kept of them."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.outcomes: Counter[str] = Counter()
        self.kept: defaultdict[str, set[Any]] = defaultdict(set)
        self.failed: Call | None = None

    def try_one(self, call: Call) -> None:
        self.failed = call
        refused = assert_orderly(call)
        self.failed = None
        self.outcomes["refused" if refused else "answered"] += 1
        outcome, kept = (refused, len(call[1])), self.kept[call[0]]
        if len(kept) < self.keep and outcome not in kept:
            kept.add(outcome)
            corpus_files.append(call)

    def run(self, number: int) -> None:
        @seed(number)
        @settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,  # so that the last call that fails is the one that is reported
        )
        @given(calls())
        def fuzz(call: Call) -> None:
            self.try_one(call)

        fuzz()

    def counts(self) -> str:
        return f"{sum(self.outcomes.values())} calls: {dict(self.outcomes)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=int, default=0, metavar="COUNT")
    options = parser.parse_args()
    warnings.simplefilter("error")
    fuzzer = Fuzzer(options.keep)
    begin = time.monotonic()
    rounds = 0
    try:
        while (passed := time.monotonic() - begin) < options.seconds:
            if sys.stderr.isatty():
                print(f"\r{passed:.0f} s, {fuzzer.counts()}", end="", file=sys.stderr, flush=True)
            fuzzer.run(options.seed + 1_000_003 * rounds)
            rounds += 1
    except KeyboardInterrupt:
        print(f"\ninterrupted after {fuzzer.counts()}")
        return 130
    except BaseException:
        if fuzzer.failed is not None:
            print(f"{fuzzer.failed!r}\nkept in {corpus_files.write_found(fuzzer.failed)}", file=sys.stderr)
        raise
    print(fuzzer.counts())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""python tests/trust/fuzz.py --seconds 3600 --seed 1: wrong calls for as long as is wanted.

The first failure ends it, shrunk by hypothesis, with the call printed; exit code 1. Put it into corpus/ (see
test_wrong_input.py) when it is mended.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from hypothesis import HealthCheck, given, seed, settings  # noqa: E402
from wrong_values import assert_orderly, calls  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error")
    end = time.monotonic() + options.seconds
    outcomes: Counter[str] = Counter()
    rounds = 0
    while time.monotonic() < end:

        @seed(options.seed + 1_000_003 * rounds)
        @settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(calls())
        def fuzz(call: tuple[str, dict[str, Any]]) -> None:
            outcomes["refused" if assert_orderly(*call) else "answered"] += 1

        fuzz()
        rounds += 1
    print(f"{sum(outcomes.values())} calls: {dict(outcomes)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

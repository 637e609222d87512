"""How much the tests that draw their cases do: XENTC_TEST_SHARE is the part of the usual number of cases, 1 by default.

The suite is run many times by .ci/run, on builds and Pythons that hardly differ in what it can find.
"""

import os

SHARE = float(os.environ.get("XENTC_TEST_SHARE") or 1)


def examples(usual: int) -> int:
    return max(round(usual * SHARE), 3)

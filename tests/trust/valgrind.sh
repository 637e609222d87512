#!/usr/bin/env bash
# valgrind's memcheck over every entry point, dtype and odd size, on the baseline and the x86_v3 kernels (valgrind has no
# AVX-512): bash tests/trust/valgrind.sh [pytest's arguments]
#
# Nothing is suppressed: an error counts if a frame of xentc's is in its stack, whoever else is in it, and what CPython
# and NumPy do by themselves is left to them. Takes some ten minutes. Exit code 1: a test failed, or an error counts.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python}
command -v valgrind >/dev/null || { echo "skipped: valgrind is not installed"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$root"

isa=x86_v3 # the tests run on those below it as well
XENTC_ISA=$isa "$python" -c "import xentc" 2>/dev/null || isa=baseline
# OpenBLAS's threads would spin, and valgrind runs one thread at a time.
export XENTC_ISA=$isa XENTC_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
[ $# -gt 0 ] || set -- tests/trust/test_protected_pages.py tests/trust/test_target_changes.py
status=0
valgrind --tool=memcheck --leak-check=no --error-limit=no --log-file="$work/log.%p" --num-callers=40 \
    "$("$python" -c 'import sys; print(sys.executable)')" -m pytest -q -x -p no:cacheprovider \
    --deselect tests/trust/test_protected_pages.py::test_the_page_is_there "$@" || status=$?

# Errors are paragraphs, each line of which begins with the number of the process.
cat "$work"/log.* | sed -E 's/^==[0-9]+== ?//' | awk -v RS= '
    /(^|\n) *at 0x/ { all += 1 }
    /(^|\n) *at 0x/ && /xentc\/|_kernels\// { ours += 1; print; print "" }
    END { printf "%d errors, of which %d have a frame of xentc\n", all, ours; exit ours > 0 }
' || status=1
exit "$status"

#!/usr/bin/env bash
# ThreadSanitizer over calls by teams of threads, and over calls by several threads: bash tests/trust/tsan.sh
#
# gcc's OpenMP tells a sanitizer nothing, so the package is built by clang, for its libomp with Archer, in a copy of the
# tree; and as ThreadSanitizer has to be the program's own, a driver of one line in C is Python. Before that, two threads
# that write to the same `out` show that a race is reported. On Debian: apt-get install clang-14 libomp-14-dev
# libclang-rt-14-dev. Exit code 1: a test failed, or there was a report.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python}
clang=${CLANG:-$(compgen -c clang | grep -xE 'clang(-[0-9]+)?' | sort -V | tail -n 1)} || true
[ -n "$clang" ] || { echo "skipped: no clang on PATH"; exit 0; }
archer=$(dirname "$(readlink -f "$(command -v "$clang")")")/../lib/libarcher.so
[ -e "$archer" ] || { echo "skipped: $clang has no libarcher.so (libomp-dev)"; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -C "$root" ls-files -z --cached --others --exclude-standard |
    tar -C "$root" --null --ignore-failed-read -T - -cf - | tar -C "$work" -xf -
cd "$work"

cat >driver.c <<'DRIVER'
#include <Python.h>
int main(int argc, char **argv) { return Py_BytesMain(argc, argv); }
DRIVER
mapfile -t flags < <("$python" -c '
import sysconfig
get = sysconfig.get_config_var
print("-I" + sysconfig.get_path("include"), "-L" + get("LIBDIR"), "-Wl,-rpath," + get("LIBDIR"), sep="\n")
print("-lpython" + get("LDVERSION"), *get("LIBS").split(), *get("SYSLIBS").split(), sep="\n")')
if ! "$clang" -fsanitize=thread -g driver.c -o driver "${flags[@]}" 2>driver.txt; then
    tail -n 3 driver.txt
    echo "skipped: $clang has no ThreadSanitizer (libclang-rt-dev), or this Python no library to link with"
    exit 0
fi
echo "building"
alone=(setarch -R) # ThreadSanitizer's shadow memory has its place, which random addresses may take
XENTC_BASELINE_ONLY=1 CC="$clang -fsanitize=thread -g" "${alone[@]}" "$python" setup.py -q build_ext --inplace \
    >build.txt 2>&1 || { cat build.txt; exit 1; }

packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
export PYTHONPATH=$work/src:$packages PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 XENTC_TEST_SHARE=0.1
export OMP_TOOL_LIBRARIES=$archer
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:log_path=$work/report:exitcode=0"
reports() { cat "$work"/report.* 2>/dev/null | grep -c "WARNING: ThreadSanitizer" || true; }

"${alone[@]}" ./driver - <<'RACE'
import threading

import numpy as np
import xentc

# Each pair of calls begins together: calls that follow each other are ordered by the GIL, and that is no race.
input, target, out = np.zeros((4096, 1000), np.float32), np.zeros(4096, int), np.empty(4096, np.float32)
together = threading.Barrier(2)


def call():
    for _ in range(50):
        together.wait()
        xentc.cross_entropy(input, target, reduction="none", out=out, num_threads=1)


threads = [threading.Thread(target=call) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
RACE
[ "$(reports)" -gt 0 ] || { echo "two threads that write to the same memory were not reported"; exit 1; }
echo "a race that is one: $(reports) reports"
rm -f "$work"/report.*

status=0
[ $# -gt 0 ] || set -- tests -k "any_number_of_threads or many_callers or shared_between_threads"
"${alone[@]}" ./driver -m pytest -q -p no:cacheprovider "$@" || status=$?
cat "$work"/report.* 2>/dev/null || true
echo "$(reports) reports"
[ "$(reports)" -eq 0 ] || status=1
exit "$status"

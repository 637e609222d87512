#!/usr/bin/env bash
# The suite under AddressSanitizer and UndefinedBehaviorSanitizer, on each set of kernels that this machine has:
#
#   bash tests/trust/sanitizers.sh [pytest's arguments, such as tests/test_kernels.py]
#
# Builds a copy of the tree. No report is suppressed; what is left out below measures memory or time, or needs a library
# that was built without. ISAS="x86_v3" runs on that one alone, SHARE=0.1 a tenth of the drawn cases.
# Exit code 1: a test failed, or a sanitizer reported something.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python}
left_out=(
    --deselect tests/test_memory.py           # resident memory: the sanitizer's own is counted
    --deselect tests/test_cli_process.py      # the same
    --deselect tests/trust/test_leaks.py      # the same: memory that was freed is kept, to notice its use
    --deselect tests/test_dask.py::test_two_processes_of_which_one_is_killed # the same, of workers with a limit
    --deselect tests/test_hostile_files.py::test_what_claims_much_costs_nothing # RLIMIT_DATA: shadow memory is more
    --deselect tests/test_threads.py::test_releases_the_gil # a ratio of times
    --deselect tests/trust/test_protected_pages.py::test_the_page_is_there # ends by a signal, which the sanitizer takes
    --deselect tests/test_dispatch.py::test_select_changes_the_kernels # -O1 of the sanitizers may make two ISAs agree
)

command -v gcc >/dev/null || { echo "skipped: no gcc on PATH"; exit 0; }
preload=
for library in libasan.so libubsan.so libstdc++.so; do
    path=$(gcc -print-file-name="$library")
    [ "$path" != "$library" ] || { echo "skipped: gcc has no $library"; exit 0; }
    preload="$preload $path"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -C "$root" ls-files -z --cached --others --exclude-standard |
    tar -C "$root" --null --ignore-failed-read -T - -cf - | tar -C "$work" -xf -
cd "$work"
echo "building"
XENTC_SANITIZE=1 "$python" setup.py -q build_ext --inplace >build.txt 2>&1 || { cat build.txt; exit 1; }

export PYTHONPATH=$work/src PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 XENTC_TEST_SHARE=${SHARE:-1}
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:log_path=$work/report"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
status=0
have_run=
for isa in x86_v4 x86_v3 baseline; do
    [[ " ${ISAS:-$isa} " == *" $isa "* ]] || continue
    if ! LD_PRELOAD=$preload XENTC_ISA=$isa "$python" -c "import xentc" 2>import.txt; then
        tail -n 1 import.txt
        continue
    fi
    echo "the suite on $isa${have_run:+, but for tests that have run on it}"
    LD_PRELOAD=$preload XENTC_ISA=$isa "$python" -m pytest -q -p no:cacheprovider -n "${JOBS:-auto}" -k "not torch$have_run" \
        "${left_out[@]}" "$@" || [ "$?${have_run:+ }" = "5 " ] || status=1 # 5: all that was asked for has run
    have_run=" and not x86_v4 and not x86_v3 and not baseline" # tests that take an isa run on those below, too
done
reports=$(find "$work" -maxdepth 1 -name 'report.*' | wc -l)
cat "$work"/report.* 2>/dev/null || true
echo "$reports reports"
[ "$reports" -eq 0 ] || status=1
exit "$status"

#!/usr/bin/env bash
# The suite in new virtual environments: Pythons, NumPys and builds, the wheel made of the source distribution.
#
#   bash tests/trust/versions.sh                          # all of them, 40 minutes
#   bash tests/trust/versions.sh 3.11-oldest clang        # some of: 3.11-oldest 3.11-newest 3.12-oldest 3.12-newest
#                                                         # 3.13-oldest 3.13-newest no-openmp clang baseline
#   TESTS="tests/test_kernels.py tests/test_errors.py"    # not the whole suite
#
# "oldest" is the first NumPy 2 that has a wheel for that Python; the package is built against the newest, as a release
# is, and once for both. Pythons and NumPys change nothing in a kernel, so there tests that take an ISA run on the best
# one alone; other builds run them on all that they have. What is missing here (a Python, clang) is skipped, and named at
# the end.
set -euo pipefail
shopt -s inherit_errexit
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/.ci/steps.sh"
trap finish EXIT
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME CC CFLAGS LDFLAGS XENTC_ISA XENTC_NUM_THREADS XENTC_NO_OPENMP OMP_NUM_THREADS
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PYTHONNOUSERSITE=1 XENTC_TEST_SHARE=${XENTC_TEST_SHARE:-0.25}
declare -A oldest=([3.11]=2.0 [3.12]=2.0 [3.13]=2.1)
tree=$(fresh_tree tree)

wheel_of() { # NAME VERSION: of the source distribution, made in that environment or an earlier one of that Python
    if compgen -G "$work/dist/$2/*.whl"; then return; fi
    install "$1" build
    inside "$1" python -m build --sdist --outdir "$work/dist/$2" "$tree" >"$work/build.txt" 2>&1 || { cat "$work/build.txt"; exit 1; }
    inside "$1" python -m pip wheel -qq --no-deps --wheel-dir "$work/dist/$2" "$work/dist/$2"/xentc-*.tar.gz
    echo "$work/dist/$2"/xentc-*.whl
}

suite() { # NAME PYTEST-ARGUMENTS...; in a copy of the tests, so that no tree is imported from
    mkdir -p "$work/tests/$1"
    cp -r "$tree"/{tests,src,docs,examples,.ci,pyproject.toml,README.md,CONTRIBUTING.md,CHANGELOG.md,LICENSE,benchmarks} "$work/tests/$1"
    cd "$work/tests/$1"
    inside "$1" python -c 'import numpy, sys, xentc; print("Python", sys.version.split()[0], "NumPy", numpy.__version__, xentc.__file__)'
    # shellcheck disable=SC2086 # names of files
    inside "$1" python -m pytest -q -n "${JOBS:-auto}" "${@:2}" ${TESTS:-}
    cd "$work"
}

with_python() { # VERSION oldest|newest
    local name=$1-$2 python wheel
    if ! python=$(find_python "$1"); then
        skip "$name" "no such Python with venv and headers"
        return
    fi
    step "Python $1, the $2 NumPy"
    new_environment "$name" "$python"
    wheel=$(wheel_of "$name" "$1")
    install "$name" "$wheel[test]"
    if [ "$2" = oldest ]; then install "$name" --only-binary numpy "numpy==${oldest[$1]}.*"; fi
    suite "$name" -k "$(inside "$name" python -c 'from xentc import _dispatch
print(" and ".join(["test", *(f"not {isa}" for isa in _dispatch.available()[:-1])]))')"
}

built() { # NAME VARIABLE=VALUE: another build, of Python 3.11
    local name=$1 python
    python=$(find_python 3.11) || { skip "$name" "no Python 3.11 with venv and headers"; return; }
    step "$name"
    new_environment "$name" "$python"
    env "$2" VIRTUAL_ENV="$work/venv/$name" PATH="$work/venv/$name/bin:$PATH" python -m pip install -qq "$tree[test]"
    suite "$name"
}

[ $# -gt 0 ] || set -- 3.1{1,2,3}-{oldest,newest} no-openmp clang baseline
for name; do
    case $name in
        3.1[123]-oldest | 3.1[123]-newest) with_python "${name%-*}" "${name#*-}" ;;
        no-openmp) built no-openmp XENTC_NO_OPENMP=1 ;;
        baseline) built baseline XENTC_BASELINE_ONLY=1 ;;
        clang)
            clang=$(compgen -c clang | grep -xE 'clang(-[0-9]+)?' | sort -V | tail -n 1) || clang=
            if [ -n "$clang" ]; then built clang CC="$clang"; else skip clang "no clang on PATH"; fi
            ;;
        *) fail "no such environment: $name" ;;
    esac
done

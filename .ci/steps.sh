# What the steps of .ci/run are made of: their headers and summary, fresh trees, fresh virtual environments.
# Sourced. Steps are plain commands at the top level of .ci/run: `set -e` does nothing inside `if f` or `f || ...`.

work=$(mktemp -d)
steps_done=()
steps_skipped=()
current_step="the start"

elapsed() { printf '%2dm%02ds' $((SECONDS / 60)) $((SECONDS % 60)); }

step() { # TITLE
    current_step=$1
    steps_done+=("$1")
    printf '\n==> [%s] %s\n' "$(elapsed)" "$1"
}

skip() { # TITLE REASON
    steps_skipped+=("$1: $2")
    printf '\n==> [%s] skipped: %s: %s\n' "$(elapsed)" "$1" "$2"
}

fail() { # MESSAGE
    printf '.ci/run: %s\n' "$1" >&2
    exit 1
}

finish() { # as the EXIT trap
    local status=$? line
    rm -rf "$work"
    printf '\n==> [%s] ' "$(elapsed)"
    if [ "$status" -ne 0 ]; then
        printf 'FAILED (exit %d) in: %s\n' "$status" "$current_step"
    else
        printf 'passed, %d steps:\n' "${#steps_done[@]}"
        for line in "${steps_done[@]}"; do printf '    ran      %s\n' "$line"; done
    fi
    for line in ${steps_skipped[@]+"${steps_skipped[@]}"}; do printf '    skipped  %s\n' "$line"; done
    exit "$status"
}

# A Python that can make virtual environments and compile extensions: a bare interpreter on PATH is often neither.
usable_python() { # COMMAND VERSION
    "$1" - "$2" >/dev/null 2>&1 <<'PYTHON'
import ensurepip, os, sys, sysconfig, venv
right = "%d.%d" % sys.version_info[:2] == sys.argv[1]
sys.exit(not (right and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))))
PYTHON
}

find_python() { # VERSION; prints a command, or fails
    local candidate versions
    versions=${PYENV_ROOT:-$HOME/.pyenv}/versions
    for candidate in "python$1" python3 "$versions/$1"/bin/python "$versions/$1".*/bin/python; do
        if usable_python "$candidate" "$1"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# Asked of the system, not of xentc: kernels that do not load must fail, and not be taken for a CPU that lacks them.
cpu_has() { # FLAG...
    local flag
    for flag; do grep -qw "$flag" /proc/cpuinfo 2>/dev/null || return 1; done
}

# A copy of the tree in which nothing was ever built. A clone where everything is committed: it proves that nothing
# depends on a file that git does not have.
fresh_tree() { # NAME; prints its path
    local target=$work/tree/$1
    mkdir -p "$work/tree"
    if ! git -C "$root" rev-parse HEAD >/dev/null 2>&1; then
        mkdir "$target"
        tar -C "$root" --exclude=.git --exclude=build --exclude='*.so' --exclude='*.c' -cf - . | tar -C "$target" -xf -
    elif [ -z "$(git -C "$root" status --porcelain)" ]; then
        git clone -q --no-hardlinks "$root" "$target"
    else
        printf 'note: %s has uncommitted changes, so they are copied too\n' "the tree" >&2
        mkdir "$target"
        git -C "$root" ls-files -z --cached --others --exclude-standard |
            tar -C "$root" --null --ignore-failed-read -T - -cf - 2>/dev/null | tar -C "$target" -xf -
    fi
    printf '%s\n' "$target"
}

new_environment() { # NAME PYTHON
    "$2" -m venv "$work/venv/$1"
}

inside() { # NAME COMMAND...: in that virtual environment, as if it were activated
    local environment=$work/venv/$1
    shift
    VIRTUAL_ENV=$environment PATH=$environment/bin:$PATH "$@"
}

install() { # NAME PIP-ARGUMENTS...; quiet about all but errors
    local environment=$1
    shift
    inside "$environment" python -m pip install -qq "$@"
}

openmp_of() { # NAME; prints yes or no
    inside "$1" python -c 'import xentc; print("yes" if xentc.show_config("dicts")["openmp"] else "no")'
}

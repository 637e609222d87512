"""Takes each guard out in turn, and wants the test that is named for it to fail: python tests/trust/break_guards.py

guards/*.toml says what the guards are. An entry has a `name`, the number of the `promise` in docs/trust.md, a `file`,
the text to `find` in it, which must stand there once, what to `replace` it by, the `test` that fails then (one pytest
node id, or several of which one has to fail), `rebuild = true` where that text is compiled, and `sanitize = true` where
only the sanitizers notice, under which tests/trust/sanitizers.sh runs every test.

(a) A copy of the tree is built once, the baseline kernels alone and with -O1, as each guard is a build of its own, and
    all the tests named have to pass in it.
(b) Each guard is taken out in a copy of that copy, so that nothing has to be put back.
(c) To fail is an assertion, a crash, or no end within the limit. A test that cannot be collected or set up, and a copy
    that does not build, prove nothing: that is an error of the entry.

Exit code 1: a guard was taken out, and nothing noticed, or an entry is wrong.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GUARDS = Path(__file__).with_name("guards")
TRUST = ROOT / "docs" / "trust.md"
BEGIN, END = "<!-- guards: begin -->", "<!-- guards: end -->"
SECONDS = 180
FIELDS = {"name": str, "promise": int, "file": str, "find": str, "replace": str, "test": (str, list)} | {
    "rebuild": bool,
    "sanitize": bool,
}


class Guard(NamedTuple):
    name: str
    promise: int
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    rebuild: bool
    sanitize: bool


class Outcome(NamedTuple):
    guard: Guard
    failed: bool
    how: str


def read_guards(folder: Path, tree: Path) -> list[Guard]:
    """Every entry, checked: of a wrong one, nothing that it says can be believed."""
    guards = []
    for path in sorted(folder.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["guard"]:
            entry = {"rebuild": False, "sanitize": False, **entry}
            where = f"{path.name}: {entry.get('name')}"
            if entry.keys() != FIELDS.keys():
                raise SystemExit(f"{where}: has {sorted(entry)}, expected {sorted(FIELDS)}")
            for field, kind in FIELDS.items():
                if not isinstance(entry[field], kind):
                    raise SystemExit(f"{where}: {field} is {entry[field]!r}")
            found = (tree / entry["file"]).read_text().count(entry["find"])
            if found != 1 or entry["find"] == entry["replace"]:
                raise SystemExit(
                    f"{where}: its text stands {found} times in {entry['file']}, expected one that changes"
                )
            test = entry.pop("test")
            guards.append(Guard(tests=(test,) if isinstance(test, str) else tuple(test), **entry))
    return sorted(guards, key=lambda guard: guard.promise)


def copy_of(root: Path, target: Path) -> None:
    """What git knows of, or would; without git, all but what a build makes."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        shutil.copytree(root, target, ignore=shutil.ignore_patterns(".git", "build", "*.so", "*.c", "__pycache__"))
        return
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def sanitized() -> dict[str, str]:
    """What a build with the sanitizers, and a Python with modules of that build, need."""
    libraries = ("libasan.so", "libubsan.so", "libstdc++.so")
    paths = [subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip() for name in libraries]
    options = "detect_leaks=0:allocator_may_return_null=1"
    return {"XENTC_SANITIZE": "1", "LD_PRELOAD": " ".join(paths), "ASAN_OPTIONS": options, "PYTHONMALLOC": "malloc"}


def environment(tree: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XENTC_", "OMP_", "PYTEST_"))}
    ours = {"XENTC_BASELINE_ONLY": "1", "XENTC_OPTIMIZE": "1", "XENTC_ISA": "baseline", "PYTHONPATH": str(tree / "src")}
    return kept | ours | {"PYTHONDONTWRITEBYTECODE": "1"}


def run(
    tree: Path, *command: str, seconds: float | None = None, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Python in the copy; TimeoutExpired when it takes longer, and then it and what it started are gone."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=tree,
        env=environment(tree) | (extra or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except BaseException:
        os.killpg(process.pid, 9)
        process.communicate()
        raise
    return subprocess.CompletedProcess(command, process.returncode, output)


def build(tree: Path, sanitize: bool = False) -> None:
    extra = {"XENTC_SANITIZE": "1"} if sanitize else {}
    done = run(tree, "setup.py", "-q", "build_ext", "--inplace", extra=extra)
    if done.returncode:
        raise RuntimeError(f"does not build: {done.stdout.strip()[-2000:]}")


def pytest(
    tree: Path, tests: Iterable[str], seconds: float | None = None, sanitize: bool = False
) -> subprocess.CompletedProcess[str]:
    command = ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=line", *tests, *(["-s"] * sanitize))
    return run(tree, *command, seconds=seconds, extra=sanitized() if sanitize else {})


def outcome(guard: Guard, built: Path) -> Outcome:
    """What the tests of a guard do without it."""
    with tempfile.TemporaryDirectory(prefix="xentc_guard_") as folder:
        tree = Path(folder, "tree")
        shutil.copytree(built, tree)
        place = tree / guard.file
        place.write_text(place.read_text().replace(guard.find, guard.replace))
        try:
            if guard.rebuild:
                build(tree, guard.sanitize)
            done = pytest(tree, guard.tests, SECONDS, guard.sanitize)
        except RuntimeError as error:
            return Outcome(guard, False, str(error))
        except subprocess.TimeoutExpired:
            return Outcome(guard, True, f"no end within {SECONDS} s")
    last = done.stdout.strip().rsplit("\n", 1)[-1]
    if guard.sanitize:
        return Outcome(guard, "runtime error:" in done.stdout or "AddressSanitizer" in done.stdout, "is reported")
    if done.returncode < 0 or "Fatal Python error" in done.stdout:
        return Outcome(guard, True, "crashed")
    if done.returncode == 1 and re.search(r"\d+ failed", last) and "error" not in last:
        return Outcome(guard, True, "failed")
    return Outcome(guard, False, last or f"exit code {done.returncode}")


def table(guards: list[Guard], outcomes: list[Outcome], before: str) -> str:
    """A row a guard: as it was found now, or else as it stands in the table before."""
    known = {line.split(" | ")[0].removeprefix("| "): line for line in before.strip().split("\n")[2:]}
    for guard, failed, how in outcomes:
        names = ", ".join(f"`{test.removeprefix('tests/').replace('.py::', '::')}`" for test in guard.tests)
        result = how if failed else f"DOES NOT FAIL: {how}"
        known[guard.name] = f"| {guard.name} | {guard.promise} | {names} | {result} |"
    lines = ["| guard | promise | test | without the guard it |", "|---|---|---|---|"]
    return "\n".join(lines + [known[guard.name] for guard in guards if guard.name in known])


def write_table(guards: list[Guard], outcomes: list[Outcome]) -> None:
    page = TRUST.read_text()
    before, rest = page.split(BEGIN)
    old, after = rest.split(END)
    TRUST.write_text(f"{before}{BEGIN}\n{table(guards, outcomes, old)}\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="guards whose name or file has one of these in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="guards at a time")
    parser.add_argument("--markdown", action="store_true", help="write what was found into the table of docs/trust.md")
    parser.add_argument("--list", action="store_true", help="check the entries, and run nothing")
    options = parser.parse_args()
    every = read_guards(GUARDS, ROOT)
    only = options.only or [""]
    guards = [guard for guard in every if any(text in guard.name or text in guard.file for text in only)]
    if options.list or not guards:
        print(*(f"{guard.promise:3}  {guard.name}" for guard in guards), f"{len(guards)} guards", sep="\n")
        return 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background: tests that send it would fail
    with tempfile.TemporaryDirectory(prefix="xentc_guards_") as folder:
        built = Path(folder, "tree")
        copy_of(ROOT, built)
        build(built)
        done = pytest(built, sorted({test for guard in guards for test in guard.tests}))
        if done.returncode:
            print(done.stdout, "the tests do not pass with the guards in place", sep="\n", file=sys.stderr)
            return 1
        outcomes = []
        with ThreadPoolExecutor(options.jobs) as pool:
            for found in pool.map(lambda guard: outcome(guard, built), guards):
                outcomes.append(found)
                print("ok  " if found.failed else "BAD ", found.guard.name, "-", found.how, flush=True)
    wrong = [found for found in outcomes if not found.failed]
    print(f"{len(outcomes)} guards, {len(outcomes) - len(wrong)} failed as they should")
    if options.markdown:
        write_table(every, outcomes)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

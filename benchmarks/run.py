"""Time xentc against the memory's speed and against what people have: python benchmarks/run.py --quick"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import cases
import contenders
import goals
import report
import results
import runner
import scaling
import worker

QUICK = runner.Budget(pairs=15, fewest=3, seconds=0.4)
FULL = runner.Budget(pairs=31, fewest=15, seconds=1.0, decided=5)
SMOKE = runner.Budget(pairs=1, fewest=1, seconds=0.0, settle=0.0, sample=1e-6)
QUICK_CONTENDERS = ["roofline", "xentc_loss", "torch", "onnxruntime", "torch_warm", "numpy"]
QUICK_MINUTES = 4
LONGEST_SECONDS = 1800  # of one process: a contender that hangs is one error, not a lost run


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer cases, contenders and pairs: under 5 minutes")
    parser.add_argument("--smoke", action="store_true", help="everything once, on tiny arrays: does it all work?")
    parser.add_argument("--sweep", action="store_true", help="the cases of plot.py instead of the named ones")
    parser.add_argument("--cases", nargs="+", choices=list(cases.CASES), metavar="CASE", help="see cases.py")
    parser.add_argument("--contenders", nargs="+", choices=contenders.OTHERS, metavar="CONTENDER")
    parser.add_argument("--pairs", type=int, help="exactly so many pairs for every cell")
    parser.add_argument("--minutes", type=float, help="what has not begun by then is left out, and named; quick: 4")
    parser.add_argument("--threads", type=int, default=cases.cores(), help="default: every core")
    parser.add_argument("--scaling", action="store_true", help="and what threads gain (scaling.py), --cases or not")
    parser.add_argument("--goals", action="store_true", help="and the table of goals, in markdown (goals.py)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there, for compare.py and plot.py")
    options = parser.parse_args(arguments)
    if options.threads < 1 or (options.pairs is not None and options.pairs < 1):
        parser.error("--threads and --pairs must be at least 1")
    if options.threads > cases.cores():
        parser.error(f"--threads: got {options.threads}, and this process may use {cases.cores()} cores")
    if options.minutes is not None and not options.minutes > 0:
        parser.error(f"--minutes: got {options.minutes}, expected more than 0")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: there is no folder {options.json.absolute().parent}")
    if options.minutes is None:
        options.minutes = QUICK_MINUTES if options.quick else math.inf
    options.scaling |= options.cases is None and not options.sweep
    if options.cases is None:
        sweep = [case.name for case in cases.SWEEP]
        options.cases = sweep if options.sweep else cases.QUICK if options.quick else cases.FULL
    if options.contenders is None:
        options.contenders = QUICK_CONTENDERS if options.quick else contenders.OTHERS
    options.cases, options.contenders = (list(dict.fromkeys(names)) for names in (options.cases, options.contenders))
    return options


def budget(options: argparse.Namespace) -> runner.Budget:
    if options.pairs is not None:
        return runner.Budget(options.pairs, options.pairs, 0.0)
    return SMOKE if options.smoke else QUICK if options.quick else FULL


def progress(text: str) -> None:
    """One line that is written over, and only for someone who watches."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def peak_memory() -> str:
    peak = worker.peak_gib()
    return "not known" if peak is None else f"{peak:.1f} GiB"


def in_process(contender: str, names: list[str], options: argparse.Namespace) -> dict:
    """The report of one worker; one that died is an error of each of its cases."""
    with tempfile.TemporaryDirectory() as folder:
        asked = {"contender": contender, "cases": names, "threads": options.threads, "smoke": options.smoke}
        asked |= {"quick": options.quick, "budget": asdict(budget(options)), "file": str(Path(folder, "report.json"))}
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), json.dumps(asked)]
        try:
            done = subprocess.run(
                command,
                env=worker.environment(options.threads),
                capture_output=True,
                text=True,
                timeout=LONGEST_SECONDS,
            )
            reason = f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
        except subprocess.TimeoutExpired:
            reason = f"not done after {LONGEST_SECONDS} s"
        try:
            return json.loads(Path(asked["file"]).read_text())
        except OSError:
            return {"rows": [_died(name, contender, reason) for name in names]}


def _died(name: str, contender: str, reason: str) -> dict:
    case = cases.CASES[name]
    about = {"case": name, "title": case.title, "dtype": case.dtype, "labels": case.labels}
    about |= {"operation": case.operation, "elements": case.size, "samples": case.samples}
    return about | {"answer": "all", "contender": contender, "error": reason}


def available(names: list[str], xentc) -> tuple[list[str], dict[str, str]]:
    """The cases that can be timed, and for each of the others the reason."""
    skipped = {}
    for name in names:
        case = cases.CASES[name]
        if not hasattr(xentc, case.operation):
            skipped[name] = f"xentc has no {case.operation} yet"
        elif case.dtype == "bf16" and contenders.importlib.util.find_spec("ml_dtypes") is None:
            skipped[name] = "ml_dtypes not installed"
    return [name for name in names if name not in skipped], skipped


def batches(options: argparse.Namespace, names: list[str], found: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A fresh process for each pair of a case and a contender; in a smoke run, where time is not measured, a contender.

    Case by case, so that what a quick run leaves out for want of time are whole cases, the last ones.
    """
    if options.smoke:
        yield from ((contender, names) for contender in found)
    else:
        yield from ((contender, [name]) for name in names for contender in found)


def keep(run: dict, options: argparse.Namespace) -> None:
    """The file as far as it goes, so that a run that is stopped has one. Replaced whole: never half a file."""
    if options.json is not None:
        part = options.json.with_name(options.json.name + ".part")
        part.write_text(json.dumps(run, indent=1) + "\n")
        part.replace(options.json)


def commit() -> str | None:
    """Of the tree that this file lies in, with a + where it has changes."""
    here = ["git", "-C", str(Path(__file__).parent)]
    try:
        name = subprocess.run([*here, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changes = subprocess.run([*here, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return name.stdout.strip() + "+" * bool(changes.stdout)


def time_all(run: dict, options: argparse.Namespace, names: list[str]) -> None:
    found = [name for name in options.contenders if name not in run["missing"]]
    work, started = list(batches(options, names, found)), time.perf_counter()
    for i, (contender, batch) in enumerate(work):
        if contender in run["missing"]:
            continue
        if time.perf_counter() - started > 60 * options.minutes:
            run["left_out"] += [f"{name} against {contender}" for name in batch]
            continue
        progress(f"{i + 1} of {len(work)}: {', '.join(batch)[:60]} against {contender}")
        try:
            got = in_process(contender, batch, options)
        except KeyboardInterrupt:
            run["left_out"] += [f"{name} against {contender}" for contender, batch in work[i:] for name in batch]
            run["interrupted"] = True
            break
        run["results"] += got["rows"]
        run["machine"]["affinity"] = got.get("affinity", run["machine"]["affinity"])
        run["peak_gib"] = max(run["peak_gib"], got.get("peak_gib") or 0)
        run["seconds"][contender] = run["seconds"].get(contender, 0) + got.get("seconds", 0)
        if "missing" in got:
            run["missing"][contender] = got["missing"]
        keep(run, options)
    progress("")


def main() -> int:
    options = parse()
    started = time.perf_counter()
    try:
        import xentc
    except ImportError as error:
        print(f"xentc cannot be imported, is it installed (pip install .)? {error}", file=sys.stderr)
        return 1
    names, skipped = available(options.cases, xentc)
    missing = contenders.missing(options.contenders)
    run = {
        "format": results.FORMAT,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit(),
        "interrupted": False,
        "machine": report.machine(options.threads, cases.cores()) | {"affinity": None},
        "load": report.busy(),
        "versions": {"python": platform.python_version()}
        | contenders.versions(["numpy", *(name for name in options.contenders if name not in missing)])
        | {"xentc": xentc.__version__},
        "config": xentc.show_config(mode="dicts"),
        "environment": report.settings(),
        "missing": missing,
        "skipped": skipped,
        "left_out": [],
        "peak_gib": 0.0,
        "seconds": {},
        "scaling": [],
        "results": [],
    }
    print("\n".join(report.header(run)), flush=True)
    if options.scaling:
        progress("what threads gain")
        run["scaling"] = scaling.measure(cases.cores(), scaling.SMOKE if options.smoke else scaling.Budget())
    time_all(run, options, names)
    show = report.agreed if options.smoke else report.body  # the times of a smoke run mean nothing
    print("\n" + "\n".join(show(run, options.contenders)))
    if options.goals:
        print("\n" + "\n".join(goals.table([run])))
    print(f"\ntook {time.perf_counter() - started:.0f} s, peak memory of a process {run['peak_gib']:.1f} GiB")
    keep(run, options)
    wrong = [row for row in run["results"] if "error" in row]
    for row in wrong:
        print(f"{row['case']}, {row['answer']}, {row['contender']}: {row['error']}", file=sys.stderr)
    return 130 if run["interrupted"] else 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
